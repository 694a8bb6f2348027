"""The fixture ``tunnel`` of a replay: the answers are those of the stored calls, and today's checks judge them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from hopscope.errors import HarnessFault
from hopscope.hosts.executor import Executor
from hopscope.lab.tunnel import RunningTunnel
from hopscope.plugin.measuring import Measuring
from hopscope.plugin.recorded import defaults
from hopscope.plugin.standins import Live, StoredWindow, needs, raise_stored, same_call, typed
from hopscope.plugin.window import Window

T = TypeVar("T")


class StoredMeasuring(Measuring):
    """Answers of the stored test whose window it is in.

    A call of the test takes the next stored call of its name, which has to have had the same arguments; the answers
    that the call rests on come in their order. HarnessFault where it comes to one that the stored call never asked for,
    as when a check that failed then passes today.
    """

    def __init__(self) -> None:
        super().__init__(cast(RunningTunnel, Live("tunnel.running", RunningTunnel)))
        self._told: dict[str, Any] = {}
        self._answers: deque[dict[str, Any]] = deque()
        self._asked = ""

    @property
    def name(self) -> str:
        return str(self._fact("sut"))

    @property
    def reconnects(self) -> bool:
        return bool(self._fact("reconnects"))

    @property
    def carrier(self) -> str:
        return str(self._fact("carrier"))

    def host(self, name: str) -> Executor:
        return self.window.chain.lab.host(name)

    @contextmanager
    def call(self, method: Callable[..., Any], asked: dict[str, Any]) -> Iterator[None]:
        name = f"tunnel.{method.__name__}"
        self._asked = typed(name, [], {key: each for key, each in asked.items() if each != defaults(method).get(key)})
        stored = self._stored_window().stored.next(name, self._asked)
        same_call(name, defaults(method) | stored["arguments"], asked)
        self._answers = deque(stored["steps"])
        yield

    def _answer(self, asked: str, form: Callable[[], TypeAdapter[T]], ask: Callable[[], T]) -> T:
        if not self._answers or self._answers[0]["asked"] != asked:
            raise HarnessFault(f"the stored test did not come to {asked} in {self._asked}")
        step = self._answers.popleft()
        raise_stored(step)
        try:
            return form().validate_python(step["answer"])
        except (KeyError, ValidationError) as error:
            raise HarnessFault(f"{self._asked}: what was stored of {asked} cannot be read: {error}") from None

    def state(self) -> tuple[list[str], str]:
        """That of the stored fault; nothing where today's checks object to what passed then."""
        told = bool(self._answers) and self._answers[0]["asked"] == "state"
        return super().state() if told else ([], "")

    def folder(self) -> Path:
        return self.window.look()

    def ready(self, window: Window) -> None:
        self._window = window
        told = self._stored_window().stored.find("tunnel", None)
        if told is None:
            needs("tunnel: the run was recorded before what it answers was kept")
        self._told = told
        raise_stored(told)

    def begin(self, window: Window) -> None:
        self._window = window
        if window.capture_directory is not None:
            window.capture_directory.mkdir(exist_ok=True)

    def finish(self) -> None:
        self._window = None

    def _fact(self, key: str) -> Any:
        assert self.window
        return self._told[key]

    def _stored_window(self) -> StoredWindow:
        window = self.window
        assert isinstance(window, StoredWindow)
        return window
