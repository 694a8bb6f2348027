"""``--lab-replay RUN``: the same tests judge a stored run again, without a lab.

Nothing is built, captured or sent, and the stored run is only read. The replay writes a run of its own, whose captures
are links into the stored one.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest

from hopscope.errors import HarnessFault
from hopscope.plugin.ahead import lab_of
from hopscope.run.stored import StoredRun, StoredTest

if TYPE_CHECKING:
    from hopscope.lab.lab import Lab
    from hopscope.plugin.chains import Chain
    from hopscope.run.rundir import Run


class Replay:
    """The stored run of a session, and the test of it that is judged."""

    def __init__(self, stored: StoredRun) -> None:
        self.run = stored
        self._test: StoredTest | None = None
        self._chain: Chain | None = None

    @property
    def test(self) -> StoredTest:
        if self._test is None:
            raise HarnessFault("no stored test is being judged")
        return self._test

    def begin(self, item: pytest.Item) -> None:
        """Find the stored test of this one, or skip it with the reason. HarnessFault when its record is damaged."""
        self._test = None
        if lab_of(item) is None:
            if item.get_closest_marker("integration"):
                _skip("needs a live lab: it builds its own, and a replay has the fixture chain alone")
            return
        found = self.run.tests.get(item.nodeid)
        if found is None:
            told = self.run.outcomes.get(item.nodeid)
            came = "" if told is None else f", where it came to {told['outcome']} uncaptured: {told['reason']}"
            _skip(f"not in the stored run {self.run.directory.name}{came.removesuffix(': ')}{self._moved(item)}")
        found.rewind()
        self._test = found
        if self._chain is not None:
            self._set(self._chain)

    def _moved(self, item: pytest.Item) -> str:
        """A hint where the stored run knows the test from another root directory of pytest's."""
        mine = item.nodeid
        same = [name for name in self.run.tests if mine.endswith(f"/{name}") or name.endswith(f"/{mine}")]
        return f", but {same[0]} is: set --rootdir, which is {item.config.rootpath}" if same else ""

    def chain(self, run: Run) -> Chain:
        """The one chain of the session: at each test it is set to the lab that this test ran on."""
        from hopscope.plugin.chains import Chain

        self._chain = Chain(cast("Lab", None), run, 0, self.run.directory / "topology.yaml")
        self._set(self._chain)
        return self._chain

    def impaired(self, chain: Chain) -> AbstractContextManager[Chain]:
        """The chain as the markers of the test had made it."""
        return nullcontext(chain.with_rtt(self.test.rtt_ns))

    def _set(self, chain: Chain) -> None:
        from hopscope.model.document import from_document
        from hopscope.plugin.standins import StoredLab

        facts = self.test.lab
        chain.lab = cast(Any, StoredLab(from_document(facts["topology"]), facts))
        chain.rtt_ns = int(facts["rtt_ns"])


def _skip(reason: str) -> NoReturn:
    raise pytest.skip.Exception(reason, _use_item_location=True)
