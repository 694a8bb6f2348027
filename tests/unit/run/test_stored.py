from __future__ import annotations

import json
from pathlib import Path

import pytest

from hopscope.errors import HarnessFault, UsageError
from hopscope.run import rundir
from hopscope.run.rundir import Run
from hopscope.run.stored import StoredRun
from support.stored_runs import RTT_NS, StoredRunBuilder


def one(root: Path, nodeid: str, outcome: str = "PASS", **facts: object) -> StoredRunBuilder:
    run = StoredRunBuilder(root, facts)
    test = run.test(nodeid)
    test.open(None)
    test.connections(count=1)
    test.connections(count=2)
    run.add(test, outcome, ordering=outcome)
    return run


def test_calls_of_a_name_come_in_their_order_and_again_after_a_rewind(tmp_path: Path) -> None:
    stored = StoredRun(one(tmp_path, "a").finish()).tests["a"]
    assert stored.rtt_ns == RTT_NS
    for _ in range(2):
        stored.rewind()
        assert [stored.next("connections", "x")["arguments"]["count"] for _ in range(2)] == [1, 2]
        assert stored.find("open", None) is not None
        assert stored.find("open", "capture-1") is None
        with pytest.raises(HarnessFault, match="did not come to connections of mine"):
            stored.next("connections", "connections of mine")


def test_a_test_that_ran_twice_is_its_last_run(tmp_path: Path) -> None:
    run = one(tmp_path, "a", "FAIL")
    run.add(run.test("a"), "PASS", rtt_ns=1)
    stored = StoredRun(run.finish())
    assert (stored.tests["a"].rtt_ns, stored.outcomes["a"]["outcome"]) == (1, "PASS")
    assert stored.tests["a"].directory.name == "a.2"


def test_runs_of_the_workers_of_one_session_are_one(tmp_path: Path) -> None:
    one(tmp_path, "a", session="s").finish()
    one(tmp_path, "other", session="t").finish()
    one(tmp_path, "lonely").finish()
    stored = StoredRun(one(tmp_path, "b", session="s").finish())
    assert set(stored.tests) == set(stored.outcomes) == {"a", "b"}


def test_what_a_killed_session_left_is_read(tmp_path: Path) -> None:
    directory = one(tmp_path, "a").directory
    with (directory / rundir.OUTCOMES).open("a") as file:
        file.write('{"test": "half')
    assert set(StoredRun(directory).outcomes) == {"a"}


@pytest.mark.parametrize(
    ("manifest", "words"),
    [(None, "no run directory"), ({}, "kept too little for a replay"), ({"replay_of": "/x"}, "itself a replay.* /x")],
)
def test_what_cannot_be_replayed_is_wrong_usage(tmp_path: Path, manifest: object, words: str) -> None:
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match=words):
        StoredRun(tmp_path)


def test_what_a_living_session_replays_is_not_removed(tmp_path: Path) -> None:
    facts: dict[str, dict[str, object]] = {"0-first": {"session": "s"}, "0-second": {"session": "s"}, "0-other": {}}
    first, second, other = (one(tmp_path, "a", **more).finish().rename(tmp_path / name) for name, more in facts.items())
    replay = Run.create(tmp_path, {"replay_of": str(first.resolve())})
    assert rundir.collect(tmp_path, keep=0) == [other]
    replay.finish()
    assert set(rundir.collect(tmp_path, keep=0)) == {first, second}
