"""What can go wrong at start, and whose fault it is.

    RewriterError
    ├── UsageError          the command line asks for something that cannot be (exit 64)
    └── EnvironmentFault    the machine is not as the command line says (exit 2)

An unexpected packet is never an error: it is dropped or passed, and counted with its reason.
"""

from __future__ import annotations


class RewriterError(Exception):
    """Base of everything this program reports in one line."""

    exit_status = 2


class UsageError(RewriterError):
    """The command line cannot be followed."""

    exit_status = 64


class EnvironmentFault(RewriterError):
    """An interface, tool or privilege is missing."""
