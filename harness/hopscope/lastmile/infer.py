"""From a view to findings: each loss is explained once, by the most specific cause that it fits."""

from __future__ import annotations

from hopscope.lastmile import causes
from hopscope.lastmile.finding import AREAS, Finding
from hopscope.lastmile.view import View

CERTAIN = {"proven": 0, "likely": 1, "possible": 2}


def infer(view: View) -> list[Finding]:
    """Causes, the most specific and most certain first; empty where every goal probe succeeded."""
    found: dict[tuple[str, str, str], Finding] = {}
    rank: dict[tuple[str, str, str], int] = {}
    modules = causes.modules()
    for loss in view.losses():
        for number, module in enumerate(modules):
            finding: Finding | None = module.find(view, loss)
            if finding is None:
                continue
            single = Finding(**{**finding.__dict__, "explains": (loss.probe.name,)})
            known = found.get(single.key)
            found[single.key] = single if known is None else known.merged(single)
            rank.setdefault(single.key, number)
            break
    return sorted(found.values(), key=lambda each: (CERTAIN[each.confidence] == 2, rank[each.key], each.key))


def areas(view: View, findings: list[Finding]) -> dict[str, str]:
    """A line for each of the six areas: finding, clean, or not seen and why."""
    sources = {"firewall": ("nft", "nft trace"), "routes": ("routes", "rules"), "captures": ("capture",),
               "other filters": ("qdiscs",), "MTU": ("links",), "kernel parameters": ()}  # fmt: skip
    told = {}
    for area in AREAS:
        mine = [f"{each.host}: {each.summary}" for each in findings if each.area == area]
        unseen = [f"{host}: {why}" for host, why in view.blind.items()]
        unseen += [
            f"{host}: {source}: {report['missing'][source]}"
            for host, report in view.reports.items() for source in sources[area] if source in report["missing"]
        ]  # fmt: skip
        told[area] = "finding: " + "; ".join(mine) if mine else "not seen: " + "; ".join(unseen) if unseen else "clean"
    return told
