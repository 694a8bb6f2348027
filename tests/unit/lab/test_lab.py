from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hopscope import data
from hopscope.errors import CommandFailed, EnvironmentFault, LabFailed, NotOurs, SettingRefused, UsageError
from hopscope.hosts.executor import Executor
from hopscope.lab.lab import Lab
from hopscope.lab.setting import SettingRecord, read_back
from hopscope.lab.settings.impairment import LineImpairment, NetemImpairment
from hopscope.model.topology import Impairment
from support.fakes import FakeExecutor, FakeProcess

CHAIN = data.topology("chain")
LAN, WAN, _ = (link.name for link in CHAIN.links)


@dataclass
class Knob:
    """A setting of a world that is one dict; ``stuck`` takes no change, ``sticky`` no undo."""

    world: dict[str, str]
    wanted: str
    host: str = "client"
    name: str = "knob"
    stuck: bool = False
    sticky: bool = False
    before: str | None = field(default=None)

    def read(self, executor: Executor) -> str:
        return self.world["knob"]

    def apply(self, executor: Executor) -> None:
        self.before = self.world["knob"]
        if not self.stuck:
            self.world["knob"] = self.wanted

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        if self.before is not None and not self.sticky:
            self.world["knob"] = self.before


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    hosts = {host.name: FakeExecutor(host.name, tmp_path, lambda argv, stdin: "") for host in CHAIN.hosts}
    middles = {WAN: FakeExecutor("middle", tmp_path, lambda argv, stdin: "")}
    return Lab("test", CHAIN, tmp_path, hosts, {LAN: "veth", WAN: "tap-line"}, middles)


def test_a_setting_holds_until_the_lab_closes_and_is_recorded(lab: Lab) -> None:
    world = {"knob": "old"}
    assert lab.apply(Knob(world, "new")) == SettingRecord("client", "knob", "new", "old", "new")
    assert lab.settings == [SettingRecord("client", "knob", "new", "old", "new")]
    assert world["knob"] == "new"
    lab.close()
    assert world["knob"] == "old"


def test_settings_are_undone_in_reverse_order(lab: Lab) -> None:
    world = {"knob": "0"}
    for value in "123":
        lab.apply(Knob(world, value))
    lab.close()
    assert world["knob"] == "0"


def test_one_that_does_not_take_is_refused_undone_and_not_recorded(lab: Lab) -> None:
    world = {"knob": "old"}
    with pytest.raises(SettingRefused) as caught:
        lab.apply(Knob(world, "new", stuck=True))
    assert str(caught.value) == "client: knob did not take\n    wanted: new\n    seen:   old"
    assert (lab.settings, world["knob"]) == ([], "old")


def test_a_block_undoes_what_it_applied_even_when_it_fails(lab: Lab) -> None:
    world = {"knob": "old"}

    def use() -> None:
        assert world["knob"] == "new"
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"), lab.applied(Knob(world, "new")):
        use()
    assert world["knob"] == "old"


def test_a_block_whose_second_setting_is_refused_undoes_the_first(lab: Lab) -> None:
    world = {"knob": "old"}
    with pytest.raises(SettingRefused), lab.applied(Knob(world, "new"), Knob(world, "newer", stuck=True)):
        pytest.fail("not entered")
    assert world["knob"] == "old"


def test_an_undo_that_does_not_hold_is_told_where_the_block_ends(lab: Lab) -> None:
    with (
        pytest.raises(EnvironmentFault, match="could not be brought back"),
        lab.applied(Knob({"knob": "old"}, "new", sticky=True)),
    ):
        pass


def test_what_belongs_to_built_hosts_is_not_undone(lab: Lab) -> None:
    world = {"knob": "old"}
    lab.apply(Knob(world, "new"), undo=False)
    lab.close()
    assert world["knob"] == "new"


def test_closing_goes_on_after_an_error_and_tells_all_of_them(lab: Lab) -> None:
    ended: list[str] = []

    def fails(name: str) -> None:
        ended.append(name)
        raise CommandFailed(f"{name} would not go")

    lab.on_close(lambda: ended.append("first in"))
    lab.on_close(lambda: fails("one"))
    lab.on_close(lambda: fails("two"))
    with pytest.raises(LabFailed) as caught:
        lab.close()
    assert ended == ["two", "one", "first in"]
    assert "one would not go" in str(caught.value)
    assert "two would not go" in str(caught.value)
    lab.close()
    assert lab.closed


def test_context_managers_are_left_when_it_closes(lab: Lab) -> None:
    left: list[str] = []

    @contextmanager
    def resource() -> Iterator[str]:
        yield "value"
        left.append("left")

    assert lab.enter(resource()) == "value"
    assert left == []
    with lab:
        pass
    assert left == ["left"]


def test_the_first_failure_is_not_hidden_by_the_last(lab: Lab) -> None:
    def fails() -> None:
        raise CommandFailed("second")

    lab.on_close(fails)
    with pytest.raises(ValueError, match="first"), lab:
        raise ValueError("first")


def test_hosts_by_name_and_role_and_links_by_name(lab: Lab) -> None:
    assert lab.host("server") is lab.hosts["server"] is lab.role("server")
    assert lab.host(WAN).name == "middle"
    with pytest.raises(UsageError, match="did you mean 'server'"):
        lab.host("servr")


def test_an_impairment_is_changed_by_what_makes_the_link(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="is veth"):
        lab.impairment(LAN, Impairment(rtt_ms=1))
    with pytest.raises(EnvironmentFault, match="not there"):
        lab.impairment("nowhere", Impairment(rtt_ms=1))
    lab.lines[WAN] = FakeProcess(tmp_path)
    assert isinstance(lab.impairment(WAN, Impairment(rtt_ms=1)), LineImpairment)
    netem = Lab("n", CHAIN, tmp_path, lab.hosts, {WAN: "netem"})
    assert isinstance(netem.impairment(WAN, Impairment(rtt_ms=1)), NetemImpairment)


def test_links_of_found_hosts_are_neither_changed_nor_counted(lab: Lab, tmp_path: Path) -> None:
    there = Lab("n", CHAIN, tmp_path, lab.hosts, {WAN: "found"})
    with pytest.raises(NotOurs, match="changes only by a box in its middle"):
        there.impairment(WAN, Impairment(rtt_ms=1))
    with pytest.raises(NotOurs, match="is not counted"):
        there.link_counters(WAN)


def test_counters_are_those_of_delay_lines(lab: Lab, tmp_path: Path) -> None:
    assert lab.link_counters(LAN) == {}

    def tells(sig: int) -> None:
        line.stdout.write_text('{"event": "counters", "a_to_b": {"lost": 1}, "b_to_a": {"lost": 2}}\n')

    line = FakeProcess(tmp_path, tells)
    lab.lines[WAN] = line
    assert lab.link_counters(WAN) == {"a_to_b": {"lost": 1}, "b_to_a": {"lost": 2}}
