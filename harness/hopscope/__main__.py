"""``python -m hopscope`` is the command ``hopscope``."""

import sys

from hopscope.cli import main

sys.exit(main())
