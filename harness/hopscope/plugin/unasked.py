"""What a test is held to that never asks for its trace: healthy captures, living boxes, nothing carried by the kernel,
nothing of a tunnel to be read outside of it.

Traffic that succeeds proves nothing by itself: with the system under test dead the kernel forwards, and every
connection completes.
"""

from __future__ import annotations

from hopscope.checks.capture_health import capture_health
from hopscope.checks.carried_by import carried_by
from hopscope.checks.tunnel import standing
from hopscope.checks.verdict import Outcome, Verdict
from hopscope.plugin.judged import Judged, raise_for
from hopscope.plugin.tunnels import Tunnel
from hopscope.plugin.window import Window
from hopscope.wire.trace import Trace
from hopscope.wire.tunnel import TunnelTrace


def conclude(window: Window, tunnel: Tunnel | None = None) -> tuple[Verdict, ...]:
    """Close a window that is still open and judge it. Raises what the worst verdict stands for (see ``raise_for``).

    A window in which no connection was made has nothing to judge but that its boxes lived. A tunnel is held to sound
    captures, to a transport that nobody ended, and to hiding what goes through it; who carried it is no question there.
    """
    directory = window.end()
    if directory is None:
        return ()
    if TunnelTrace.is_one(directory):
        return _conclude_tunnel(TunnelTrace.load(directory), tunnel)
    trace = Trace.load(directory)
    if not len(trace):
        return ()
    verdicts = Judged(trace, directory, bring=window.bring).judge(capture_health(), carried_by())
    raise_for([verdict for verdict in verdicts if verdict.outcome is not Outcome.NOT_APPLICABLE])
    return verdicts


def _conclude_tunnel(trace: TunnelTrace, tunnel: Tunnel | None) -> tuple[Verdict, ...]:
    verdicts = standing(trace)
    if tunnel is not None:
        tunnel.record(verdicts)
    raise_for([verdict for verdict in verdicts if verdict.outcome is not Outcome.NOT_APPLICABLE])
    return tuple(verdicts)
