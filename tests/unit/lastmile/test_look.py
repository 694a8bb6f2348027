"""The agent of a look is started by the interpreter that the host is said to have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hopscope.lastmile import look
from support.fakes import FakeExecutor


class Host(FakeExecutor):
    def __init__(self, directory: Path, *, here: bool) -> None:
        super().__init__("left", directory, lambda argv, stdin: "")
        self.python, self.here = "/opt/py/bin/python3.9", here
        self.files: list[str] = []

    def put(self, local: Path, remote: str) -> None:
        self.files.append(remote)

    def spawn(self, argv: Any, **_: Any) -> Any:
        self.commands.append(tuple(argv))


@pytest.mark.parametrize("here", [True, False])
def test_the_agent_runs_under_the_python_of_its_host(tmp_path: Path, here: bool) -> None:
    host = Host(tmp_path, here=here)
    look._spawn(host, {})
    folder = look._ONHOST if here else tmp_path / "lastmile"
    assert host.commands == [("/opt/py/bin/python3.9", "-I", "-S", str(folder / "agent.py"), "{}")]
    assert ("lastmile/agent.py" in host.files) is not here
