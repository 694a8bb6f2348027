"""A view of a tunnel that carries, made of nothing, for tests to break in one place at a time."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hopscope import data
from hopscope.lastmile import faults
from hopscope.lastmile.ground import Ground, Probe, ground
from hopscope.lastmile.view import View
from hopscope.model.document import load_topology
from hopscope.model.laid import lay

TOPOLOGY = load_topology(data.path("topologies/tunnel-bed.yaml"))
GROUND: Ground = ground(TOPOLOGY, lay(TOPOLOGY, faults.sut()))
PROBES = tuple(GROUND.probes(1500))
ESTAB = "ESTAB 0 0 10.8.1.1:40000 10.8.2.2:7000 bytes_sent:{0} bytes_acked:{0} bytes_received:{0} retrans:0/0"


def _devices(host: str) -> dict[str, str | None]:
    found = {port.name: str(port.address(4)) for port in TOPOLOGY.host(host).ports}
    side = GROUND.side(host)
    return found | ({side.device: side.inner} if side else {})


def _links(host: str, counted: int) -> list[dict[str, Any]]:
    return [
        {
            "ifindex": index, "ifname": name, "flags": ["UP", "LOWER_UP"], "mtu": 1500, "address": f"{host}-{name}",
            "stats64": {way: {"packets": counted} for way in ("rx", "tx")},
            "addr_info": [{"family": "inet", "local": address}],
        }
        for index, (name, address) in enumerate(_devices(host).items(), 2)
    ]  # fmt: skip


def _snapshot(host: str, counted: int) -> dict[str, Any]:
    side = GROUND.side(host)
    lookups = {"peer": {"dev": "tun0"}, "far lan": {"dev": "tun0" if side else "eth0"}, "near lan": {"dev": "eth1"}}
    gateways = {"left": "10.8.1.254", "right": "10.8.2.254", "left-lan": "10.20.1.1", "right-lan": "10.20.2.1"}
    lookups["far lan"]["gateway"] = None if side else gateways.get(host)
    lookups |= {"peer outer": {"dev": "eth0", "gateway": gateways.get(host)}, "in": {"type": "local", "dev": "lo"}}
    lookups |= {"to left": {"dev": "eth0"}, "to right": {"dev": "eth1"}} if host == "router" else {}
    return {
        "links": _links(host, counted), "lookups": lookups, "snmp": {}, "sysctl": {}, "clock": 0.0, "missing": {},
        "holders": [{"pid": 9, "device": "tun0", "state": "S", "command": "it", "waits_in": "poll"}] if side else [],
        "sockets": ESTAB.format(counted) if side else "", "routes": [], "rules": [], "neighbours": [], "qdiscs": [],
        "nft": {"nftables": []},
    }  # fmt: skip


def packets(probe: Probe) -> list[tuple[str, dict[str, Any]]]:
    """What taps see of a probe that succeeds, in order."""
    seen = []
    for way in ("there", "back"):
        for point in getattr(probe, way):
            src, dst = probe.source_address, probe.address
            ends = {"src": src, "dst": dst} if way == "there" else {"src": dst, "dst": src}
            record = {"dev": point.device, "way": point.way, "n": 2, "large": 1, "ttl": 60, "longest": 84, **ends}
            if probe.kind == "ping":
                record |= {"kind": "echo" if way == "there" else "reply", "probe": probe.number}
                seen.append((point.host, record))
            elif probe.kind == "tcp":
                record |= {"kind": "tcp", "toward": way, "port": probe.number}
                seen += [(point.host, {**record, "stage": stage}) for stage in ("syn", "data")]
    return seen


class Broken:
    """Mutable reports; ``lose`` cuts a probe's packets short, ``view()`` is what there is to infer from."""

    def __init__(self) -> None:
        self.reports: dict[str, Any] = {
            host: {
                "before": _snapshot(host, 0), "after": _snapshot(host, 1000), "probes": {}, "trace": [],
                "captured": [], "missing": {},
            }
            for host in GROUND.hosts
        }  # fmt: skip
        for probe in PROBES:
            self.reports[probe.source]["probes"][probe.name] = {"ok": True, "port": probe.number, "stage": "done"}
            for host, record in packets(probe):
                self.reports[host]["captured"].append(record)

    def lose(self, *names: str, after: int, **result: Any) -> None:
        """Probes of these names (all of a layer by its name) are seen at ``after`` points and no further."""
        for probe in PROBES:
            if probe.name not in names and probe.layer not in names:
                continue
            told = {"ok": False, "stage": "connect", "errors": [], "port": probe.number, **result}
            self.reports[probe.source]["probes"][probe.name] = told
            points = (*probe.there, *probe.back)
            for host, record in packets(probe)[:: 2 if probe.kind == "tcp" else 1]:
                here = (host, record["dev"], record["way"])
                there = record["src"] == probe.source_address
                at = next(
                    n for n, point in enumerate(points)
                    if (point.host, point.device, point.way) == here and (n < len(probe.there)) == there
                )  # fmt: skip
                if at >= after:
                    listed = self.reports[host]["captured"]
                    listed[:] = [each for each in listed if not _same(each, record)]

    def view(self) -> View:
        return View(GROUND, PROBES, deepcopy(self.reports), {}, 0.5)


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    keys = ("dev", "way", "kind", "probe", "port", "toward", "src", "dst")
    return all(one.get(key) == other.get(key) for key in keys)
