"""Under pytest-xdist: what the controller tells its workers, and what they leave with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hopscope.plugin import turns
from hopscope.plugin.session import session_of
from hopscope.plugin.telling import INPUT, Listener

OUTPUT = "hopscope"


class Workers:
    """Registered as a plugin where pytest-xdist is there: its hooks exist then."""

    def __init__(self, config: pytest.Config) -> None:
        self._session = session_of(config)
        self._listener: Listener | None = None
        self._session_id: str | None = None

    def pytest_configure_node(self, node: Any) -> None:
        """Before a worker starts."""
        if self._listener is None:
            self._listener = Listener(self._session.teller)
        node.workerinput[INPUT] = str(self._listener.path)
        self._session_id = node.workerinput["testrunuid"]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """At the end of a worker: its run, and the labs it has kept, for the controller's summary."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            run = str(self._session.run.directory) if self._session.started else None
            output[OUTPUT] = {"run": run, "kept": self._session.kept}

    def pytest_testnodedown(self, node: Any) -> None:
        """After a worker has ended; one that crashed has left nothing."""
        left = getattr(node, "workeroutput", {}).get(OUTPUT, {})
        if left.get("run"):
            self._session.workers_runs.append(Path(left["run"]))
        self._session.kept += left.get("kept", [])

    def pytest_unconfigure(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._session_id is not None:
            turns.forget(self._session_id)
