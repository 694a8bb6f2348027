"""Command-line options and their ini keys, resolved once into one frozen value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from hopscope.errors import UsageError
from hopscope.plugin import limits
from hopscope.providers.registry import PROVIDERS

TOPOLOGY = "chain.yaml"
RUN_DIR = ".hopscope/runs"


@dataclass(frozen=True)
class LabOptions:
    """What the user asked for. ``rtt_ms`` and ``sut`` are None where the topology decides."""

    provider: str
    topology: str
    sut: str | None
    rtt_ms: float | None
    run_dir: Path
    strict: bool


def add(parser: pytest.Parser) -> None:
    group = parser.getgroup("hopscope", "Hopscope: labs, captures and verdicts")
    for name, metavar, text in (
        ("provider", "NAME", "how to get hosts: " + ", ".join(sorted(PROVIDERS)) + " (default: netns)"),
        ("topology", "FILE", f"topology of tests that name none (default: {TOPOLOGY})"),
        ("sut", "NAME[,HOST=NAME…]", "system under test, or a mix: stamp,servernic=mine (default: the topology's)"),
        ("rtt", "MS", "round trip that the WAN leg adds, instead of the topology's"),
        ("run-dir", "DIR", f"where runs are written (default: {RUN_DIR})"),
    ):
        dest = f"lab_{name.replace('-', '_')}"
        group.addoption(f"--lab-{name}", dest=dest, metavar=metavar, help=text)
        parser.addini(dest, text)
    group.addoption(
        "--lab-strict",
        dest="lab_strict",
        action="store_true",
        default=None,
        help="what could not be seen (INCONCLUSIVE) fails instead of being skipped",
    )
    parser.addini("lab_strict", "like --lab-strict", type="bool", default=False)


def resolve(config: pytest.Config) -> LabOptions:
    """The options, or pytest.UsageError naming the option and the remedy."""
    provider = _value(config, "lab_provider") or "netns"
    if provider not in PROVIDERS:
        raise pytest.UsageError(
            f"--lab-provider {provider}: no such provider; there are: {', '.join(sorted(PROVIDERS))}"
        )
    strict = config.getoption("lab_strict")
    return LabOptions(
        provider=provider,
        topology=_value(config, "lab_topology") or TOPOLOGY,
        sut=_sut(_value(config, "lab_sut")),
        rtt_ms=_milliseconds(_value(config, "lab_rtt")),
        run_dir=config.rootpath / (_value(config, "lab_run_dir") or RUN_DIR),
        strict=bool(config.getini("lab_strict") if strict is None else strict),
    )


def _value(config: pytest.Config, dest: str) -> str | None:
    value = config.getoption(dest) or config.getini(dest)
    return str(value) if value else None


def _sut(text: str | None) -> str | None:
    """The name as given. Its grammar is checked here, its names where the topology is known."""
    if text is not None and "," in text:
        from hopscope.plugin.suts import parse  # brings the model with it, which most sessions do not need

        try:
            parse(text)
        except UsageError as error:
            raise pytest.UsageError(f"--lab-sut: {error.message}") from None
    return text


def _milliseconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 60_000:
        raise pytest.UsageError(f"--lab-rtt {text}: must be a number of milliseconds from 0 up to 60000")
    return value
