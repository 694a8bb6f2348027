"""``--lab-pause-on-fail``: stand still where a test failed, with its lab as it was, until Enter is pressed."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from hopscope.lab import staying
from hopscope.plugin.ahead import lab_of
from hopscope.plugin.session import Session


def pause(session: Session, item: pytest.Item) -> None:
    """Say how to walk in, and wait. Nothing where there is no lab to walk into."""
    chain = session.chains.get(lab_of(item))
    if chain is None:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with nullcontext() if capture is None else capture.global_and_fixture_disabled(), open("/dev/tty", "r+b", 0) as tty:
        tty.write(text(session, item).encode())
        tty.readline()


def text(session: Session, item: pytest.Item) -> str:
    lab = session.chains[lab_of(item)].lab
    window = getattr(item, "funcargs", {}).get("capture")
    state = "its captures and its SUT run" if window is not None and window.is_open else "its SUT has been taken off"
    if lab.walk_in:
        ways = "".join(f"\n  {host}: {typed}" for host, typed in lab.walk_in.items())
    else:
        walk = staying.typed("shell", session.options.labs_dir, lab.name, next(iter(lab.hosts)))
        ways = f"\n  walk in: {walk}   (hosts: {', '.join(lab.hosts)})"
    return f"\n{item.nodeid} failed; {state}.{ways}\nEnter goes on. "
