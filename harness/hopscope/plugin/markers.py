"""The markers, their meaning, and the validation of their arguments at collection."""

from __future__ import annotations

import pytest

MARKERS = {
    "integration": "needs a lab; its traffic is captured on every tap",
    "zero_rtt": "a claim about a rewriter that answers handshakes early",
    "tunnel": "a claim about a tunnel",
    "budget": "compares timings or loads the machine; only one at a time on it",
    "demo": "part of `make demo`",
    "nightly": "takes long; left out unless asked for with -m",
    "soak": "runs for minutes; left out unless asked for with -m",
    "lab_topology(file, ...)": "the topology, or several, each of which the test runs on",
    "lab_uncaptured": "no captures are taken of this test",
    "lab_requires(capability, ...)": "skipped where `hopscope preflight` says no to one of these",
    "lab_impair(link=None, *, rtt_ms, loss, reorder, reorder_ms)": "what a link does to packets during the test",
    # pytest-xdist registers this only when it is active, and --strict-markers needs it always.
    "xdist_group(name)": "pytest-xdist: tests of one group run on one worker",
}

LONG = ("nightly", "soak")


def register(config: pytest.Config) -> None:
    for name, text in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {text}")


def validate(item: pytest.Item) -> None:
    """Raise pytest.UsageError for a marker of ours with arguments that make no sense."""
    for marker in item.iter_markers("lab_topology"):
        if not marker.args or marker.kwargs or not all(isinstance(arg, str) for arg in marker.args):
            raise pytest.UsageError(f'{item.nodeid}: lab_topology takes file names, as in lab_topology("chain.yaml")')
    _validate_requires(item)
    _validate_impair(item)
    for name in ("integration", "zero_rtt", "tunnel", "budget", "demo", "nightly", "soak", "lab_uncaptured"):
        for marker in item.iter_markers(name):
            if marker.args or marker.kwargs:
                raise pytest.UsageError(f"{item.nodeid}: the marker {name} takes no arguments")


def _validate_requires(item: pytest.Item) -> None:
    for marker in item.iter_markers("lab_requires"):
        from hopscope.lab.preflight import NAMES

        if not marker.args or marker.kwargs:
            raise pytest.UsageError(f'{item.nodeid}: lab_requires takes capabilities, as in lab_requires("netem")')
        for name in marker.args:
            if name not in NAMES:
                raise pytest.UsageError(
                    f"{item.nodeid}: lab_requires: no capability {name!r}; there are: {', '.join(NAMES)}"
                )


def _validate_impair(item: pytest.Item) -> None:
    for marker in item.iter_markers("lab_impair"):
        from pydantic import ValidationError

        from hopscope.model.topology import Impairment

        usage = f"{item.nodeid}: lab_impair takes at most one link and what it does, as in lab_impair(loss=0.01)"
        if len(marker.args) > 1 or not marker.kwargs or not all(isinstance(arg, str) for arg in marker.args):
            raise pytest.UsageError(usage)
        fixtures = getattr(item, "fixturenames", ())
        if "capture" not in fixtures and not ("chain" in fixtures and any(item.iter_markers("integration"))):
            raise pytest.UsageError(
                f"{item.nodeid}: lab_impair is for captured tests: mark it integration, use chain or traffic"
            )
        try:
            Impairment.model_validate(marker.kwargs)
        except ValidationError as error:
            first = error.errors()[0]
            raise pytest.UsageError(f"{usage}: {first['loc'][-1]}: {first['msg']}") from None


def deselect_long(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without -m, long tests are left out, and pytest says how many."""
    if config.getoption("markexpr"):
        return
    long = [item for item in items if any(item.get_closest_marker(name) for name in LONG)]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in set(long)]
