"""From a view to findings: each loss is explained once, by the most specific cause that it fits."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from hopscope.lastmile import causes
from hopscope.lastmile.finding import AREAS, Finding, told_of
from hopscope.lastmile.view import Loss, View

CERTAIN = {"proven": 0, "likely": 1, "possible": 2}
UNTOLD = "NOT_SPECIFIED"


def infer(view: View) -> list[Finding]:
    """Causes, the most specific and most certain first; empty where every goal probe succeeded."""
    found: dict[tuple[str, str, str], Finding] = {}
    rank: dict[tuple[str, str, str], int] = {}
    modules = causes.modules()
    for loss in view.losses():
        for number, module in enumerate(modules):
            finding: Finding | None = module.find(view, loss)
            single = None if finding is None else weighed(view, loss, module, finding)
            if single is None:
                continue
            single = replace(single, explains=(loss.probe.name,))
            known = found.get(single.key)
            found[single.key] = single if known is None else known.merged(single)
            rank.setdefault(single.key, number)
            break
    return sorted(found.values(), key=lambda each: (CERTAIN[each.confidence] == 2, rank[each.key], each.key))


def weighed(view: View, loss: Loss, module: ModuleType, finding: Finding) -> Finding | None:
    """The finding with what the kernel of its host says of these packets, or None where that says otherwise.

    ``REASONS`` of a cause's module has the reasons for which the kernel drops a packet where that is the cause, by the
    cause's name; where a cause is not in it, the kernel's reasons neither prove nor exclude it.
    """
    dropped = view.given_up(loss, finding.host)
    reasons: tuple[str, ...] | None = getattr(module, "REASONS", {}).get(finding.cause)
    if reasons is None or not dropped:
        return finding
    fitting = [each for each in dropped if each["reason"] in reasons]
    if not fitting:
        return finding if any(each["reason"] == UNTOLD for each in dropped) else None
    told = tuple(dict.fromkeys(told_of(finding.host, each) for each in fitting))
    return replace(finding, evidence=(*finding.evidence, *told), confidence="proven")


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
