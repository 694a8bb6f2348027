"""MTU: small passes and large does not."""

from __future__ import annotations

import re
from typing import Any

from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("mtu", "path-mtu", "daemon-drops-large")
EMSGSIZE = 90


def find(view: View, loss: Loss) -> Finding | None:
    return _device(view, loss) or _path(view, loss) or _daemon(view, loss)


def _device(view: View, loss: Loss) -> Finding | None:
    """The ends' devices differ, and a packet that fits one does not fit the other; smaller ones pass."""
    smaller = [p for p in view.probes if (p.source, p.target, p.layer, p.kind) == _kin(loss) and not p.large]
    if not loss.large or not all(map(view.ok, smaller)):
        return None
    mtus = {side.host: (view.link(side.host, side.device) or {}).get("mtu") for side in view.ground.sides}
    (first, one), (second, two) = mtus.items()
    if one == two or not one or not two:
        return None
    errors = [f"{e['what']} (mtu {e.get('mtu')})" for e in view.errors(loss.probe) if e.get("errno") == EMSGSIZE]
    small = first if one < two else second
    device = view.ground.sides[0].device
    return Finding(
        "mtu", small, "MTU", f"the devices differ: {device} has {one} on {first} and {two} on {second}",
        (*errors, str(loss)), search="tunnel",
    )  # fmt: skip


def _path(view: View, loss: Loss) -> Finding | None:
    """The transport's large segments are lost on the underlay, and nobody tells its sender."""
    if loss.between is None:
        return None
    small = [p for p in view.probes if p.layer == "underlay" and p.kind == "ping" and not p.large]
    large = [p for p in view.probes if p.layer == "underlay" and p.large]
    if not any(map(view.ok, small)) or any(view.ok(p) for p in large if view.ok(_twin(p, small))):
        stuck = [p for p in large if view.ok(_twin(p, small)) and not view.ok(p)]
        if not stuck:
            return None
    stuck = [p for p in large if view.ok(_twin(p, small)) and not view.ok(p)]
    if not stuck:
        return None
    sockets = [sock for side in view.ground.sides for sock in transport(view, side.host, late=True)]
    resent = sum(sock["retrans"] for sock in sockets)
    if view.ground.protocol == "tcp" and not resent and not any(sock["unacked"] for sock in sockets):
        return None
    where = view.locate(stuck[0])
    host = where.inside or stuck[0].source
    return Finding(
        "path-mtu", host, "MTU", f"packets of {stuck[0].size} bytes are lost on the underlay, and smaller ones are not",
        (str(where), f"the transport has retransmitted {resent} segments", str(loss)), search="underlay",
    )  # fmt: skip


def _kin(loss: Loss) -> tuple[str, str, str, str]:
    return loss.probe.source, loss.probe.target, loss.probe.layer, "ping"


def _twin(large: Any, small: list[Any]) -> Any:
    return next(each for each in small if each.source == large.source)


def _daemon(view: View, loss: Loss) -> Finding | None:
    """The underlay is not to blame: what is large goes into the tunnel and does not come out."""
    if loss.between is None or not loss.large or loss.probe.kind not in ("ping", "tcp"):
        return None
    smalls = [p for p in view.probes if p.layer == "tunnel" and p.kind == "ping" and not p.large]
    if not all(map(view.ok, smalls)):
        return None
    entering = loss.between[0]
    return Finding(
        "daemon-drops-large", entering, "MTU", f"large packets go into the tunnel on {entering} and do not come out",
        ("small ones pass both ways", str(loss)), "likely", search="tunnel",
    )  # fmt: skip


def transport(view: View, host: str, *, late: bool) -> list[dict[str, Any]]:
    """What ``ss -ti`` says of the established transport: queues, bytes, retransmissions."""
    text = (view.after if late else view.before)(host, "sockets", "") or ""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 5 or words[0] != "ESTAB":
            continue
        numbers = {key: int(value) for key, value in re.findall(r"(\w+):(\d+)\b(?!/)", line)}
        retrans = re.search(r"retrans:\d+/(\d+)", line)
        found.append(
            {
                "receive_queue": int(words[1]), "send_queue": int(words[2]), "local": words[3], "peer": words[4],
                "sent": numbers.get("bytes_sent", 0), "acked": numbers.get("bytes_acked", 0),
                "received": numbers.get("bytes_received", 0), "unacked": numbers.get("unacked", 0),
                "retrans": int(retrans[1]) if retrans else 0,
            }
        )  # fmt: skip
    return found
