"""Arguments of markers, judged at collection."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from hopscope.plugin import markers


@dataclass
class Item:
    marker: pytest.Mark
    fixturenames: tuple[str, ...] = ("chain", "capture")
    nodeid: str = field(default="test_x.py::test_x")

    def iter_markers(self, name: str) -> list[pytest.Mark]:
        return [self.marker] if self.marker.name == name else []


def validate(marker: pytest.MarkDecorator, *fixtures: str) -> None:
    markers.validate(Item(marker.mark, fixtures or ("chain", "capture")))


@pytest.mark.parametrize(
    "marker",
    [
        pytest.mark.lab_requires("netem", "bpf"),
        pytest.mark.lab_impair(loss=0.01),
        pytest.mark.lab_impair("clientnic:eth1", rtt_ms=5, reorder=0.1),
        pytest.mark.lab_topology("chain.yaml"),
        pytest.mark.budget,
    ],
    ids=str,
)
def test_what_makes_sense_is_taken(marker: pytest.MarkDecorator) -> None:
    validate(marker)


@pytest.mark.parametrize(
    ("marker", "says"),
    [
        (pytest.mark.lab_topology(), "lab_topology takes file names"),
        (pytest.mark.lab_topology(3), "lab_topology takes file names"),
        (pytest.mark.lab_topology(file="chain.yaml"), "lab_topology takes file names"),
        (pytest.mark.lab_requires(), "takes capabilities"),
        (pytest.mark.lab_requires(netem=True), "takes capabilities"),
        (pytest.mark.lab_requires("netm"), "no capability 'netm'; there are: namespaces, iproute2"),
        (pytest.mark.lab_impair(), "takes at most one link and what it does"),
        (pytest.mark.lab_impair("a", "b", loss=0.1), "takes at most one link"),
        (pytest.mark.lab_impair(0.01, loss=0.1), "takes at most one link"),
        (pytest.mark.lab_impair(loss=1.5), "loss: Input should be less than or equal to 1"),
        (pytest.mark.lab_impair(los=0.5), "los: Extra inputs are not permitted"),
        (pytest.mark.budget(5), "takes no arguments"),
    ],
    ids=str,
)
def test_what_makes_none_is_a_usage_error(marker: pytest.MarkDecorator, says: str) -> None:
    with pytest.raises(pytest.UsageError, match=says) as caught:
        validate(marker)
    assert "test_x.py::test_x" in str(caught.value)


def test_an_impairment_needs_a_lab() -> None:
    for fixtures in (["tmp_path"], ["chain"]):  # a chain alone is not captured, and would not be impaired either
        with pytest.raises(pytest.UsageError, match="mark it integration"):
            validate(pytest.mark.lab_impair(loss=0.1), *fixtures)
