"""pytest sessions of tests: each a process of its own, forked from one that has imported everything already.

To import pytest, NumPy and what the plugin needs takes most of a short session, and there are fifty of them. The plugin
itself is imported by each session, as a user's is.

As a program it reads one JSON object a line (``argv``, ``cwd``, ``env``, and files ``out`` and ``err``), and answers
each with the exit code.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

IMPORTED = (
    "numpy",
    "hopscope.capture.session",
    "hopscope.checks.expectation",
    "hopscope.data",
    "hopscope.lastmile.planner",
    "hopscope.providers.netns",
    "hopscope.report.allure",
    "hopscope.report.allure_files",
    "hopscope.traffic.traffic",
    "hopscope.wire.trace",
)


class Sessions:
    """A context; ends with its process."""

    def __enter__(self) -> Self:
        argv = [sys.executable, __file__]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            os.killpg(self._process.pid, signal.SIGTERM)

    def run(self, cwd: Path, *args: str | os.PathLike[str], timeout: float = 90.0) -> Any:
        """What ``pytester.runpytest_subprocess`` would do and return, in the environment of now."""
        import pytest

        own = Path(tempfile.mkdtemp(prefix="session-", dir=cwd.parent))
        files = {name: str(own / name) for name in ("out", "err")}
        argv = [f"--basetemp={own / 'tmp'}", *map(os.fspath, args)]
        asked = {"argv": argv, "cwd": str(cwd), "env": dict(os.environ), **files}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        began = time.monotonic()
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            os.killpg(self._process.pid, signal.SIGKILL)
            raise TimeoutError(f"pytest {' '.join(argv)} took longer than {timeout:g} s")
        code = int(self._process.stdout.readline())
        out, err = (Path(file).read_text().splitlines() for file in files.values())
        for lines, stream in ((out, sys.stdout), (err, sys.stderr)):
            print("\n".join(lines), file=stream)  # pytest shows it where the test fails
        return pytest.RunResult(code, out, err, time.monotonic() - began)


def serve() -> None:
    """Answer until the end of input."""
    import pytest
    from _pytest.config import default_plugins

    for name in (*(f"_pytest.{each}" for each in default_plugins), *IMPORTED):
        importlib.import_module(name)
    gc.freeze()  # what is here is no session's garbage
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(asked)
            sys.exit(pytest.main())
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(asked: dict[str, Any]) -> None:
    for number, (file, flags) in enumerate(
        ((os.devnull, os.O_RDONLY), *((asked[name], os.O_WRONLY | os.O_CREAT) for name in ("out", "err")))
    ):
        opened = os.open(file, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.path[0] = asked["cwd"]
    sys.argv = ["pytest", *asked["argv"]]


if __name__ == "__main__":
    serve()
