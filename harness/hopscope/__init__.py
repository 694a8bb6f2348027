"""Hopscope: integration tests for what sits in the middle of a network path.

The rooms, and which may import which, are drawn in ``docs/architecture.md``.
"""

__version__ = "0.1.0"
