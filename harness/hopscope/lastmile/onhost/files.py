"""Small files and folders of /proc and /sys, without what pathlib and shutil cost to import. Runs on the host."""

from __future__ import annotations

import os


def read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def quietly(path: str) -> str:
    """Its content without white space around it; empty where it cannot be read."""
    try:
        return read(path).strip()
    except OSError:
        return ""


def children(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def there(program: str) -> bool:
    """It is on PATH."""
    return any(os.access(os.path.join(each, program), os.X_OK) for each in os.environ.get("PATH", "").split(":"))
