"""``hopscope preflight``: what this machine can do, tried out, and what is lost without it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from hopscope.lab.preflight import Capability, preflight


def lines(capabilities: Sequence[Capability]) -> list[str]:
    """What is there in short, then for each thing that is missing what is lost and what mends it."""
    text = [f"{'yes' if each.present else 'NO ':3}  {each.name}" for each in capabilities]
    missing = [each for each in capabilities if not each.present]
    for each in missing:
        text += ["", f"{each.name}: {each.lost_without}"]
        text += [f"    seen:   {line}" for line in each.detail.splitlines()[:3]]
        text += [f"    remedy: {each.remedy}"]
    needed = [each.name for each in missing if each.required]
    here = len(capabilities) - len(missing)
    works = f"labs can be built here; {here} of {len(capabilities)} capabilities are there"
    return [*text, "", f"no lab can be built without: {', '.join(needed)}" if needed else works]


def command(arguments: argparse.Namespace) -> int:
    """0 when a lab can be built, 2 when something that every lab needs is missing."""
    capabilities = preflight()
    if arguments.json:
        print(json.dumps([asdict(each) for each in capabilities], indent=1))
    else:
        print("\n".join(lines(capabilities)))
    return 2 if any(each.required and not each.present for each in capabilities) else 0
