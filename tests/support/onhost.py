"""Modules that the last mile's agent finds beside itself on a host, which are no package."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import hopscope

FOLDER = Path(hopscope.__file__).parent / "lastmile" / "onhost"


def load(name: str) -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(FOLDER))
