"""Faults of the last mile, injected one by one and in pairs: which cause is named first, how soon, and what is mended.

``python bench/lastmile.py [--quick] [--faults NAME…] [--no-repair] [--held-out LIST] [--without-bpf]``, and
with ``--sequence known`` what the known four steps do with the same faults.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import report
from hopscope.errors import HopscopeError
from hopscope.lastmile import faults, known
from hopscope.lastmile.infer import infer
from hopscope.lastmile.look import look

QUICK = 12
PAIRS = (
    ("input-drop-icmp", "no-lan-route"), ("input-drop-tun", "forward-off-left"),
    ("mtu-mismatch", "forward-policy-drop"),
    ("output-drop-tun", "echo-ignored"), ("wrong-route-wan", "input-reject"), ("device-down", "forward-off-left"),
    ("tc-ingress-drop", "no-peer-route"), ("prerouting-raw-drop", "default-ttl"), ("echo-ignored", "lan-route-wan"),
    ("address-missing", "forward-policy-drop"), ("never-reads-tun-one", "input-policy-drop"), ("blackhole", "ttl-one"),
    ("policy-rule", "lan-host-firewall"), ("neighbour-wrong", "input-drop-icmp"), ("snat-tun", "forward-off-right"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--faults", nargs="*")
    parser.add_argument("--no-repair", action="store_true")
    parser.add_argument("--no-pairs", action="store_true")
    parser.add_argument("--held-out", choices=("first", "second"), help="a list that no cause was written for")
    parser.add_argument("--without-bpf", action="store_true", help="no drop reasons of the kernel")
    parser.add_argument("--sequence", choices=("known",), help="the four known steps in place of ours")
    parser.add_argument("--details", type=Path)
    options = parser.parse_args()
    catalogue = faults.load(None, f"held-out/{options.held_out}.yaml" if options.held_out else "*.yaml")
    chosen = [catalogue[name] for name in options.faults] if options.faults else list(catalogue.values())
    if not options.faults and not options.no_pairs:
        chosen += [catalogue[one] + catalogue[two] for one, two in PAIRS if one in catalogue and two in catalogue]
    if options.quick:
        chosen = chosen[:: max(1, len(chosen) // QUICK)][:QUICK]
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for fault in chosen:
            if all(shutil.which(tool) for tool in fault.needs):
                try:
                    if options.sequence:
                        rows.append(known_sequence(fault, Path(directory)))
                    else:
                        rows.append(
                            one(fault, Path(directory), repair=not options.no_repair, drops=not options.without_bpf)
                        )
                except HopscopeError as error:
                    raise SystemExit(f"{fault.name}: {error}") from error
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    if options.details:
        options.details.write_text(json.dumps(rows, indent=1))
    if options.sequence:
        for name in ("claimed_correctly", "called_healthy", "all_fixes_failed", "carries_at_the_end"):
            report.line(f"known_{name}", f"{len(rows)} faults", [float(sum(row[name] for row in rows))], "count")
        report.line("known_median_s", "sequence", [row["seconds"] for row in rows], "s")
        return
    report.line("first_cause_correct", f"{len(rows)} faults", [sum(row["right"] for row in rows) / len(rows)], "share")
    report.line("called_healthy", f"{len(rows)} faults", [float(sum(row["healthy"] for row in rows))], "count")
    times = [row["seconds"] for row in rows]
    report.line("median_s", "diagnosis", times, "s")
    report.line("worst_s", "diagnosis", [max(times)], "s")
    if not options.no_repair:
        able = [row for row in rows if row["repairable"]]
        report.line("repaired", f"of {len(able)}", [float(sum(row["repaired"] for row in able))], "count")


def one(fault: faults.Fault, directory: Path, *, repair: bool, drops: bool) -> dict:
    with faults.bed(fault, directory=directory) as bed:
        began = time.monotonic()
        view = look(bed.lab.hosts, bed.ground, drops=drops)
        findings = infer(view)
        seconds = time.monotonic() - began
        row = {
            "fault": fault.name, "first": findings[0].cause if findings else None, "wanted": list(fault.causes),
            "all": [f"{each.cause}@{each.host}" for each in findings], "healthy": not view.failing,
            "right": bool(findings) and findings[0].cause in fault.causes, "seconds": round(seconds, 3),
            "repairable": fault.repairable, "repaired": False,
        }  # fmt: skip
        if not row["right"]:
            row["evidence"] = [f.summary + " | " + " | ".join(f.evidence) for f in findings]
        row["drops"] = sorted(
            {f"{host} {each['reason']}@{each['function']}" for host, r in view.reports.items() for each in r["drops"]}
        )
        if repair and fault.repairable:
            from hopscope.lastmile.planner import mend

            outcome = mend(bed.lab, bed.ground, view)
            row["repaired"] = not outcome.failing
            row["steps"] = [str(each) for each in outcome.steps]
        return row


def known_sequence(fault: faults.Fault, directory: Path) -> dict:
    """What the four steps do, and what the script of their origin would claim: it stops at the first step after which
    "0 received" is in the output of no ping between the ends."""
    with faults.bed(fault, directory=directory) as bed:
        began = time.monotonic()
        claims = ["works already"] if looks_alive(bed) else []

        def done(step: known.KnownStep) -> None:
            if not claims and looks_alive(bed):
                claims.append(step.name)

        steps = known.run(bed.lab.hosts, bed.ground, done=done)
        claim = claims[0] if claims else ""
        return {
            "fault": fault.name, "steps": [str(each) for each in steps], "claim": claim, "wanted": list(fault.causes),
            "claimed_correctly": known.CAUSES.get(claim) in fault.causes, "called_healthy": claim == "works already",
            "all_fixes_failed": not claim, "carries_at_the_end": not steps[-1].after,
            "seconds": round(time.monotonic() - began, 3),
        }  # fmt: skip


def looks_alive(bed: faults.Bed) -> bool:
    """The test of the script: what it looks for is the absence of a text."""
    said = [
        bed.lab.hosts[side.host].run(["ping", "-c", "2", "-i", "0.2", "-W", "1", far.inner], check=False).text
        for side, far in (bed.ground.sides, bed.ground.sides[::-1])
    ]
    return not any("0 received" in each for each in said)


if __name__ == "__main__":
    main()
