"""``wait_until``, where tests and rooms above the lab look for it."""

from hopscope.hosts.wait import wait_until

__all__ = ["wait_until"]
