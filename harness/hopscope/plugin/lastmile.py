"""The last mile in tests: the fixture ``lastmile``, and what is found out when a test of a tunnel has failed.

A repaired lab never reads as a pass: the test has failed already, and a repair is for those that come after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hopscope.errors import HopscopeError
from hopscope.report import last_mile

if TYPE_CHECKING:
    from hopscope.lastmile.finding import Finding
    from hopscope.lastmile.ground import Ground
    from hopscope.lastmile.planner import Outcome
    from hopscope.plugin.tunnels import Tunnel


@dataclass
class LastMile:
    """``diagnose()`` returns findings, the most specific first; ``repair()`` keeps what helps until the lab ends."""

    tunnel: Tunnel

    def diagnose(self) -> list[Finding]:
        from hopscope.lastmile.infer import infer
        from hopscope.lastmile.look import look

        lab = self.tunnel.running.lab
        return infer(look(lab.hosts, self._ground()))

    def repair(self) -> Outcome:
        from hopscope.lastmile.planner import mend

        return mend(self.tunnel.running.lab, self._ground())

    def _ground(self) -> Ground:
        from hopscope.lastmile.ground import ground

        return ground(self.tunnel.running.lab.topology, self.tunnel.running.laid)


def explain(tunnel: Tunnel, directory: Path, repair: str) -> str:
    """What is known after a failure, in lines; the whole goes to ``lastmile.json`` beside the test's captures."""
    from hopscope.lastmile import planner, render
    from hopscope.lastmile.ground import ground
    from hopscope.lastmile.infer import infer
    from hopscope.lastmile.look import look
    from hopscope.run.rundir import write_json

    lab = tunnel.running.lab
    try:
        what = ground(lab.topology, tunnel.running.laid)
        view = look(lab.hosts, what)
        findings = infer(view)
        outcome = planner.mend(lab, what, view) if repair == "apply" else None
    except HopscopeError as fault:
        return f"the last mile could not be looked at: {fault}"
    told = render.document(view, findings, outcome)
    write_json(directory / last_mile.FILE, told)
    lines = last_mile.diagnosis(told, would=repair != "off")
    return "\n".join([*lines, *(last_mile.repairs(told["repair"]) if outcome is not None else [])])


@pytest.fixture
def lastmile(tunnel: Tunnel) -> LastMile:
    """Why the tunnel carries nothing: ``lastmile.diagnose()``, ``lastmile.repair()``."""
    return LastMile(tunnel)
