"""Tunnels with one fault each, by name; who catches them, and by which words, is in
tests/integration/test_broken_tunnels.py and docs/negative-tests.md."""

from __future__ import annotations

from pathlib import Path

from hopscope import data
from hopscope.model.sut import Box, Ready, Sut
from hopscope.model.tunnel import End, Transport, Tunnel

HERE = Path(__file__).parent
PORT = 7000


def plain(
    name: str, *more: str, key: str = "90", left: tuple[str, ...] = (), setup: tuple[tuple[str, ...], ...] = ()
) -> Sut:
    """``plain.py`` on both ends, disguised by ``key``, with more arguments on both or on the left alone."""
    program = ("{python}", "-I", "-S", str(HERE / "plain.py"))
    disguise = ("--key", key)
    listening = (*program, "listen", "{own}", str(PORT), "10.9.0.2", "10.9.0.1", *disguise, *more)
    connecting = (*program, "connect", "{peer}", str(PORT), "10.9.0.1", "10.9.0.2", *disguise, *more, *left)
    return _tunnel(
        name,
        right=Box(argv=listening, ready=Ready(port=PORT), kernel_forwarding="left"),
        left=Box(argv=connecting, setup=setup, kernel_forwarding="left"),
    )


def silent() -> Sut:
    """It says that something passes every half a second, and nothing does."""
    sut = plain("silent")
    assert sut.tunnel is not None
    return sut.model_copy(update={"tunnel": sut.tunnel.model_copy(update={"keepalive_s": 0.5})})


def _tunnel(name: str, *, right: Box, left: Box, ready_timeout_s: float = 2.0) -> Sut:
    return Sut(
        name=name,
        boxes={"right": right, "left": left},
        tunnel=Tunnel(
            ends={"left": End(addresses=("10.9.0.1",)), "right": End(addresses=("10.9.0.2",))},
            transport=Transport(server="right", port=PORT),
            ready_timeout_s=ready_timeout_s,
            reconnects=False,
        ),
    )


def wrong_certificate() -> Sut:
    """OpenVPN whose client has certificates of another CA."""
    sut = data.sut("openvpn")
    assert sut.tunnel is not None
    swap = ("{python}", str(HERE / "wrong_authority.py"), "{host_dir}", "client")
    boxes = dict(sut.boxes) | {"left": sut.boxes["left"].model_copy(update={"setup": (swap,)})}
    tunnel = sut.tunnel.model_copy(update={"ready_timeout_s": 2.5})
    return sut.model_copy(update={"name": "wrong-certificate", "boxes": boxes, "tunnel": tunnel})


def never_there() -> Sut:
    """Daemons that run and do nothing."""
    idle = Box(argv=("sleep", "60"), kernel_forwarding="left")
    return _tunnel("never-there", right=idle, left=idle, ready_timeout_s=0.5)


def ends_at_once() -> Sut:
    """A daemon that says what is wrong and goes."""
    idle = Box(argv=("sleep", "60"), kernel_forwarding="left")
    words = "print('no such option: tun9', flush=True); raise SystemExit(3)"
    return _tunnel("ends-at-once", right=idle, left=Box(argv=("{python}", "-c", words), kernel_forwarding="left"))


SUTS = {
    sut.name: sut
    for sut in (
        plain("disguised"),
        plain("in-clear", key="0"),
        plain("drops-over-1000", left=("--drop-over", "1000")),
        silent(),
        plain("deaf", left=("--deaf",)),
        plain("leaves-device", setup=(("ip", "tuntap", "add", "dev", "tun0", "mode", "tun"),)),
        wrong_certificate(),
        never_there(),
        ends_at_once(),
    )
}
