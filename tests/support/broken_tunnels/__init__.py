"""Tunnels with one fault each, by name; who catches them, and by which words, is in
tests/integration/test_broken_tunnels.py and docs/negative-tests.md."""

from __future__ import annotations

from pathlib import Path

from hopscope import data
from hopscope.lab.credentials import Authority
from hopscope.model.sut import Box, Ready, Sut
from hopscope.model.tunnel import End, Transport, Tunnel

HERE = Path(__file__).parent
PORT = 7000


def plain(
    name: str, *more: str, key: str = "90", left: tuple[str, ...] = (), setup: tuple[tuple[str, ...], ...] = ()
) -> Sut:
    """``plain.py`` on both ends, disguised by ``key``, with more arguments on both or on the left alone."""
    program, files = ("{python}", "-I", "-S", "{host_dir}/plain.py"), {"plain.py": str(HERE / "plain.py")}
    disguise = ("--key", key)
    listening = (*program, "listen", "{own}", str(PORT), "10.9.0.2", "10.9.0.1", *disguise, *more)
    connecting = (*program, "connect", "{peer}", str(PORT), "10.9.0.1", "10.9.0.2", *disguise, *more, *left)
    return _tunnel(
        name,
        right=Box(argv=listening, files=files, ready=Ready(port=PORT), kernel_forwarding="left"),
        left=Box(argv=connecting, files=files, setup=setup, kernel_forwarding="left"),
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


def wrong_certificate(folder: Path) -> Sut:
    """OpenVPN whose client has certificates of another CA, which are made in ``folder`` and put over this run's."""
    sut = data.sut("openvpn")
    assert sut.tunnel is not None
    files = {}
    for name, content in Authority().files("client").items():
        file = folder / Path(name).name
        file.write_bytes(content)
        file.chmod(0o600)
        files[name] = str(file)
    boxes = dict(sut.boxes) | {"left": sut.boxes["left"].model_copy(update={"files": files})}
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
        never_there(),
        ends_at_once(),
    )
}
