"""``hopscope preflight``: what this machine can do, tried out, and what is lost without it."""

from __future__ import annotations

import argparse
import json

from hopscope.lab.preflight import Capability, probe
from hopscope.report.terminal import table


def lines(capabilities: list[Capability]) -> list[str]:
    """A table of all, then for each one that is missing what is lost and what mends it."""
    rows = [("yes" if each.present else "NO", each.name, each.detail) for each in capabilities]
    text = table(("", "capability", "seen"), rows)
    missing = [each for each in capabilities if not each.present]
    for each in missing:
        text += ["", f"{each.name}: without it, {each.lost_without}", f"    {each.remedy}"]
    text += ["", "everything is there" if not missing else f"{len(missing)} of {len(capabilities)} are missing"]
    return text


def command(arguments: argparse.Namespace) -> int:
    capabilities = probe()
    if arguments.json:
        print(json.dumps([vars(each) for each in capabilities], indent=1))
    else:
        print("\n".join(lines(capabilities)))
    return 2 if any(each.needed and not each.present for each in capabilities) else 0
