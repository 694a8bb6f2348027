"""`python -m hopscope_nic`."""

from __future__ import annotations

import sys

from hopscope_nic.cli import main

if __name__ == "__main__":
    sys.exit(main())
