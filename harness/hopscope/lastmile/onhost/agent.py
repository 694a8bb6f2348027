"""The harness's eyes on one host during a diagnosis: ``python3 agent.py SPEC`` (JSON).

Says ``{"ready": …}`` when everything listens, probes on SIGUSR1 and says ``{"probed": …}``, and on SIGUSR2 says
``{"report": …}`` and ends. Ends by itself after ``life_s``. The standard library alone, Python 3.9 or later.
"""

from __future__ import annotations

import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import collect
import drops
import nfttrace
import probe
import tap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main() -> None:
    spec = json.loads(sys.argv[1])
    awaited = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    missing: dict[str, Any] = {}
    traced = nfttrace.Trace(spec["probe_port"], spec["port"]) if spec.get("trace", True) else None
    dropped = drops.Drops(spec["probe_port"], spec["port"], spec.get("kernel")) if spec.get("drops", True) else None
    for source, reader in (("nft trace", traced), ("drop reasons", dropped)):
        if reader is None:
            missing[source] = "not asked for"
    if dropped is not None and dropped.why:
        missing["drop reasons"] = dropped.why
    listener = probe.Listener(spec["probe_port"])
    if listener.why:
        missing["listener"] = listener.why
    standing = collect.established(spec["port"])
    before = collect.snapshot(spec)
    if traced is not None:
        traced.settle()
        if traced.why:
            missing["nft trace"] = traced.why
    try:
        taps: tap.Tap | None = tap.Tap(spec["probe_port"], spec["port"])
    except OSError as error:
        taps = None
        missing["capture"] = str(error)
    _say({"ready": True})
    results: dict[str, Any] = {}
    while True:
        told = signal.sigtimedwait(awaited, spec.get("life_s", 10.0))
        if told is not None and told.si_signo == signal.SIGUSR1:
            up = not standing.isdisjoint(collect.established(spec["port"]))  # the same as before, not another try
            chosen = [each for each in spec["probes"] if not (up and each.get("unless_established"))]
            results.update(probe.run(chosen, spec["wait_s"]))
            _say({"probed": len(results)})
        else:
            break
    for ending in filter(None, (traced, taps)):
        ending.finish()
    after = collect.snapshot(spec, full=False)
    report = {
        "before": before,
        "probes": results,
        "packets": taps.packets if taps else 0,
        "trace": traced.records() if traced is not None else [],
        "drops": dropped.records() if dropped is not None else [],
        "captured": taps.records() if taps else [],
        "after": after,
        "missing": {**before["missing"], **missing},
    }
    if told is not None and told.si_signo == signal.SIGUSR2:
        _say({"report": report})
    os._exit(0)  # threads of connections that nobody closes are not waited for


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


main()
