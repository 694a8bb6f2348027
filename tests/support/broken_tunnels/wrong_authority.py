"""Puts certificates of another CA where this run's were: ``python wrong_authority.py HOST_DIR client|server``."""

from __future__ import annotations

import sys
from pathlib import Path

from hopscope.lab.credentials import Authority

for name, content in Authority().files(sys.argv[2]).items():
    (Path(sys.argv[1]) / name).write_bytes(content)
