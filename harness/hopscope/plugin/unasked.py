"""What a test is held to that never asks for its trace: healthy captures, living boxes, nothing carried by the kernel.

Traffic that succeeds proves nothing by itself: with the system under test dead the kernel forwards, and every
connection completes.
"""

from __future__ import annotations

from hopscope.checks.capture_health import capture_health
from hopscope.checks.carried_by import carried_by
from hopscope.checks.verdict import Outcome, Verdict
from hopscope.plugin.judged import Judged, raise_for
from hopscope.plugin.window import Window


def conclude(window: Window) -> tuple[Verdict, ...]:
    """Close a window that is still open and judge it. Raises what the worst verdict stands for (see ``raise_for``).

    A window in which no connection was made has nothing to judge but that its boxes lived.
    """
    trace = window.close()
    if trace is None or not len(trace) or window.capture_directory is None:
        return ()
    verdicts = Judged(trace, window.capture_directory).judge(capture_health(), carried_by())
    raise_for([verdict for verdict in verdicts if verdict.outcome is not Outcome.NOT_APPLICABLE])
    return verdicts
