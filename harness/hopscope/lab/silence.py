"""Wait until nothing moves on a host's ports. Run on the host by path, standard library, Python >= 3.9:

    python3 -I -S silence.py SILENCE_S TIMEOUT_S PORT...

Ends with 0 when no packet has come or gone by these ports for SILENCE_S seconds, with 1 when that did not happen within
TIMEOUT_S. Asking from outside would be traffic itself where the question comes by one of the ports.
"""

from __future__ import annotations

import sys
import time

PAUSE_S = 0.02


def packets(ports: list[str]) -> list[str]:
    """Received and sent by each port, from /proc/net/dev."""
    seen = []
    with open("/proc/net/dev") as file:
        for line in file:
            name, colon, rest = line.partition(":")
            if colon and name.strip() in ports:
                fields = rest.split()
                seen += [fields[1], fields[9]]
    return seen


def main() -> int:
    silence, timeout, *ports = sys.argv[1:]
    last, since = packets(ports), time.monotonic()
    deadline = since + float(timeout)
    while time.monotonic() - since < float(silence):
        if time.monotonic() > deadline:
            return 1
        time.sleep(PAUSE_S)
        now = packets(ports)
        if now != last:
            last, since = now, time.monotonic()
    return 0


if __name__ == "__main__":
    sys.exit(main())
