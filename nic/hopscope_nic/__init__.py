"""Reference 0-RTT NIC rewriters. Standard library only; Python 3.9 and later."""

__version__ = "0.1.0"
