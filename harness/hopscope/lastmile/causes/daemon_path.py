"""The daemon lives and packets do not cross: does it read its device and its socket, does it write both?

TUN counts tx when the daemon reads; what a tap saw go out and tx did not count is still waiting for it.
"""

from __future__ import annotations

from hopscope.lastmile.causes.mtu import transport
from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("daemon-deaf", "daemon-slow", "daemon-no-send", "daemon-no-receive", "daemon-no-deliver")
AREA = "captures"
REMEDY = "no setting of the network helps: the daemon has to be mended or restarted"


def find(view: View, loss: Loss) -> Finding | None:
    if loss.between is None or loss.last is None:
        return None
    near = view.ground.side(loss.last.host)
    if near is None or loss.last.device != near.device:
        return None
    far = view.ground.other(near.host)
    out, read = view.passed(near.host, near.device, "out"), view.moved(near.host, near.device, "tx")
    link = view.link(near.host, near.device) or {}
    if not view.established(near.host):
        return None  # what waits for its transport reads nothing
    if out > 0 and read == 0:
        total = link.get("stats64", {}).get("tx", {}).get("packets")
        return Finding(
            "daemon-deaf", near.host, AREA, f"up, established, and the daemon never reads {near.device}",
            (f"{out} packets went out on {near.device}, tx counted {read}", _waits(view, near.host, near.device),
             f"tx of {near.device} since it was made: {total}", str(loss)),
            remedy=REMEDY,
        )  # fmt: skip
    for side in view.ground.sides:
        came, taken = view.passed(side.host, side.device, "out"), view.moved(side.host, side.device, "tx")
        if 0 < taken <= came // 2:
            return Finding(
                "daemon-slow", side.host, AREA, f"the daemon reads {side.device} slower than packets come",
                (f"{came} packets went out on {side.device}, tx counted {taken}",
                 _waits(view, side.host, side.device), str(loss)),
                "likely", remedy="look at what it does between two packets: processor time, locks, what it waits for",
            )  # fmt: skip
    if view.ground.protocol != "tcp":
        return None
    sent = _moved(view, near.host, "sent")
    old, new = transport(view, far.host, late=False), transport(view, far.host, late=True)
    waiting = sum(each["receive_queue"] for each in new)
    stuck = sum(each["send_queue"] for each in transport(view, near.host, late=True))
    if not new and not transport(view, near.host, late=True):
        return None
    if waiting > 0 and waiting >= sum(each["receive_queue"] for each in old):
        return Finding(
            "daemon-no-receive", far.host, AREA, "the daemon does not read what its transport has received",
            (f"{waiting} bytes wait in the receive queue of the transport on {far.host}", str(loss)), remedy=REMEDY,
        )  # fmt: skip
    if read > 0 and sent == 0 and stuck == 0:
        return Finding(
            "daemon-no-send", near.host, AREA, f"the daemon reads {near.device} and sends nothing",
            (f"tx of {near.device} moved by {read}, the transport's bytes_sent by 0", str(loss)), remedy=REMEDY,
        )  # fmt: skip
    got, given = _moved(view, far.host, "received"), view.moved(far.host, far.device, "rx")
    if got > 0 and given == 0:
        return Finding(
            "daemon-no-deliver", far.host, AREA, f"the daemon receives and gives nothing to {far.device}",
            (f"the transport's bytes_received moved by {got}, rx of {far.device} by 0", str(loss)), remedy=REMEDY,
        )  # fmt: skip
    return None


def _moved(view: View, host: str, what: str) -> int:
    old, new = (sum(int(each[what]) for each in transport(view, host, late=late)) for late in (False, True))
    return new - old


def _waits(view: View, host: str, device: str) -> str:
    holders = [each for each in view.after(host, "holders", []) if each["device"] == device]
    return "; ".join(f"process {each['pid']} is in state {each['state']}, in {each['waits_in']}" for each in holders)
