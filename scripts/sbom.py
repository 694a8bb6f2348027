"""What requirements.lock pins, as a bill of materials: CycloneDX 1.5, JSON on standard output.

    python scripts/sbom.py > sbom.json

The lock file alone says what is installed, with the hash of every file that may be; nothing is asked of any registry.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components(lock: str) -> list[dict[str, Any]]:
    """Each pinned distribution once, with its hashes, in the order of the file."""
    found: list[dict[str, Any]] = []
    for line in lock.splitlines():
        if pin := _PIN.match(line):
            name = re.sub(r"[-_.]+", "-", pin[1]).lower()  # PEP 503
            purl = f"pkg:pypi/{name}@{pin[2]}"
            found.append(
                {"type": "library", "bom-ref": purl, "name": name, "version": pin[2], "purl": purl, "hashes": []}
            )
        if found:
            found[-1]["hashes"] += [{"alg": "SHA-256", "content": each} for each in _HASH.findall(line)]
    return found


def bill(root: Path) -> dict[str, Any]:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    subject = {"type": "application", "name": project["name"], "version": project["version"]}
    subject["licenses"] = [{"license": {"id": project["license"]}}]
    listed = components((root / "requirements.lock").read_text())
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": {"component": subject},
            "components": listed}  # fmt: skip


if __name__ == "__main__":
    json.dump(bill(ROOT), sys.stdout, indent=1)
    print()
