"""Command-line options and their ini keys, resolved once into one frozen value."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from hopscope.errors import UsageError
from hopscope.plugin import limits
from hopscope.providers.registry import PROVIDERS
from hopscope.run.stored import StoredRun

TOPOLOGY = "chain.yaml"
TUNNEL_TOPOLOGY = "tunnel.yaml"
RUN_DIR = ".hopscope/runs"
LABS_DIR = ".hopscope/labs"
KEEP = ("never", "failed", "always")
REPAIR = ("off", "dry-run", "apply")
ATTACH = ("failed", "always", "never")
SOURCES = ("build", "find", "adopt")
ACCESS = ("addresses", "endpoints")
LIVE = ("provider", "topology", "sut", "rtt", "use", "keep", "pause_on_fail")
"""Options that are about a lab."""


@dataclass(frozen=True)
class LabOptions:
    """What the user asked for. ``rtt_ms`` and ``sut`` are None where the topology decides."""

    provider: str
    topology: str
    sut: str | None
    rtt_ms: float | None
    run_dir: Path
    strict: bool
    budgets_ms: Mapping[str, float] = field(default_factory=dict)
    """Limits of the ini file by metric; see ``plugin.limits``."""
    labs_dir: Path = Path(LABS_DIR)
    use: str | None = None
    keep: str = "never"
    attach: str = "failed"
    """When all evidence of a test goes into its Allure result."""
    pause: bool = False
    inventory: Path | None = None
    aws: Mapping[str, Any] = field(default_factory=dict)
    """What the provider aws is given."""
    places: int | None = None
    """How many workers of a session can have hosts at the same time; None where each builds its own here."""
    repair: str = "off"
    """After a failing test of a tunnel: off (say the cause), dry-run (and what would mend it), apply (mend)."""
    tunnel_topology: str = TUNNEL_TOPOLOGY
    """Of tests with the fixture ``tunnel``: what ``--lab-topology`` says, where it says something."""
    replay: StoredRun | None = None
    """The run that is judged again instead of a lab's; ``topology``, ``sut`` and ``rtt_ms`` are then its own."""


#: Addresses of an account are five unless it has asked for more, and a chain needs four.
MOST_CHAINS = 16


def add(parser: pytest.Parser) -> None:
    group = parser.getgroup("hopscope", "Hopscope: labs, captures and verdicts")
    for name, metavar, text in (
        ("provider", "NAME", "how to get hosts: " + ", ".join(sorted(PROVIDERS)) + " (default: netns)"),
        (
            "topology",
            "FILE",
            f"topology of tests that name none (default: {TOPOLOGY}, of tunnels {TUNNEL_TOPOLOGY})",
        ),
        ("inventory", "FILE", "hosts that are there already, for --lab-provider inventory"),
        (
            "source",
            "|".join(SOURCES),
            "of --lab-provider aws: build a stack, find ours by its tags, adopt another's",
        ),
        ("aws-run", "NAME", "the stack to find, or the id of the VPC to adopt"),
        (
            "aws-access",
            "|".join(ACCESS),
            "how hosts of a stack that is built reach Systems Manager (default: addresses)",
        ),
        ("aws-max-usd", "USD", "what a stack that is built may cost until it ends by itself (default: 2)"),
        ("aws-chains", "N", "how many stacks workers of pytest-xdist may have at once, for that sum (default: 1)"),
        ("sut", "NAME[,HOST=NAME…]", "system under test, or a mix: stamp,servernic=mine (default: the topology's)"),
        ("rtt", "MS", "round trip that the WAN leg adds, instead of the topology's"),
        ("run-dir", "DIR", f"where runs are written (default: {RUN_DIR})"),
        ("use", "NAME", "test on this lab, which is up (hopscope lab up) and stays so"),
        ("repair", "|".join(REPAIR), "when a test of a tunnel fails: the cause alone, what would mend it, or mend it"),
        ("keep", "|".join(KEEP), "keep the session's lab at the end, and print the command that walks in"),
        (
            "attach",
            "|".join(ATTACH),
            "which tests' captures, logs and settings go into Allure results (default: failed)",
        ),
        ("replay", "RUN", "judge this stored run again, by name or directory; no lab, no traffic, no root"),
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
    group.addoption(
        "--lab-aws-doubles",
        dest="lab_aws_doubles",
        action="store_true",
        help="of --lab-provider aws: no cloud, but moto, a double of Systems Manager, and a lab on this machine",
    )
    group.addoption(
        "--lab-pause-on-fail",
        dest="lab_pause_on_fail",
        action="store_true",
        default=None,
        help="wait for Enter where a test failed, with its lab still as it was, and print the command that walks in",
    )
    parser.addini("lab_pause_on_fail", "like --lab-pause-on-fail", type="bool", default=False)
    limits.add(parser)


def resolve(config: pytest.Config) -> LabOptions:
    """The options, or pytest.UsageError naming the option and the remedy."""
    run_dir = config.rootpath / (_value(config, "lab_run_dir") or RUN_DIR)
    stored = _stored(config, run_dir)
    provider = _value(config, "lab_provider") or "netns"
    if provider not in PROVIDERS and config.hook.pytest_hopscope_provider(config=config, name=provider) is None:
        raise pytest.UsageError(
            f"--lab-provider {provider}: no such provider; there are: {', '.join(sorted(PROVIDERS))}"
        )
    inventory = _value(config, "lab_inventory")
    if (provider == "inventory") != (inventory is not None):
        raise pytest.UsageError("--lab-provider inventory and --lab-inventory FILE go together")
    if inventory is not None and (_value(config, "lab_keep") or "never") != "never":
        raise pytest.UsageError("--lab-keep is for labs that are built: hosts of an inventory stay in any case")
    aws = _aws(config, provider)
    chains = _chains(_value(config, "lab_aws_chains"), provider, aws)
    repair = _value(config, "lab_repair") or "off"
    if repair not in REPAIR:
        raise pytest.UsageError(f"--lab-repair {repair}: must be one of {', '.join(REPAIR)}")
    strict = config.getoption("lab_strict")
    chosen = LabOptions(
        provider=provider,
        topology=_value(config, "lab_topology") or TOPOLOGY,
        tunnel_topology=_value(config, "lab_topology") or TUNNEL_TOPOLOGY,
        sut=_sut(_value(config, "lab_sut")),
        rtt_ms=_milliseconds(_value(config, "lab_rtt")),
        run_dir=run_dir,
        strict=bool(config.getini("lab_strict") if strict is None else strict),
        budgets_ms=limits.resolve(config),
        labs_dir=config.rootpath / LABS_DIR,
        inventory=None if inventory is None else config.invocation_params.dir / inventory,
        aws=aws,
        places=chains if provider == "aws" else 1 if inventory is not None else None,
        repair=repair,
        attach=_attach(config),
        **({} if stored is not None else _staying(config)),
    )
    return chosen if stored is None else replace(chosen, replay=stored, **stored.options)


def _stored(config: pytest.Config, run_dir: Path) -> StoredRun | None:
    """The run of ``--lab-replay``: a directory, or a name below ``run_dir``."""
    text = _value(config, "lab_replay")
    if text is None:
        return None
    clashing = [name for name in LIVE if config.getoption(f"lab_{name}")]
    if clashing:
        option = clashing[0].replace("_", "-")
        raise pytest.UsageError(f"--lab-{option} does nothing to a stored run: leave it out with --lab-replay")
    here = config.invocation_params.dir
    path = Path(os.path.abspath(here / text))
    if path.is_dir() and not path.is_relative_to(here) and text in config.invocation_params.args:
        # Before it knows of this option pytest has looked for its root and its ini file there.
        raise pytest.UsageError(
            f"--lab-replay {text}: pytest takes this for a place of tests; write --lab-replay={text}"
        )
    try:
        stored = StoredRun(path if path.is_dir() else run_dir / text)
    except UsageError as error:
        raise pytest.UsageError(f"--lab-replay {text}: {error.message}") from None
    config.option.lab_replay = str(stored.directory)  # for workers: `latest` may be another one when they begin
    return stored


def _aws(config: pytest.Config, provider: str) -> dict[str, Any]:
    """What the provider aws is given. Its doubles are an option and no ini key: nobody gets them by accident."""
    given = {
        "doubles": config.getoption("lab_aws_doubles") or None,
        "source": _value(config, "lab_source"),
        "run": _value(config, "lab_aws_run"),
        "access": _value(config, "lab_aws_access"),
        "max_usd": _usd(_value(config, "lab_aws_max_usd")),
    }
    given = {name: value for name, value in given.items() if value is not None}
    if provider != "aws" and given:
        first = next(iter(given))
        option = first if first == "source" else f"aws-{first.replace('_', '-')}"
        raise pytest.UsageError(f"--lab-{option} is for --lab-provider aws")
    if given.get("source", "build") not in SOURCES:
        raise pytest.UsageError(f"--lab-source {given['source']}: must be one of {', '.join(SOURCES)}")
    if given.get("access", ACCESS[0]) not in ACCESS:
        raise pytest.UsageError(f"--lab-aws-access {given['access']}: must be one of {', '.join(ACCESS)}")
    if provider == "aws" and (_value(config, "lab_keep") or "never") != "never":
        raise pytest.UsageError("--lab-keep is for labs of this machine: hopscope aws provision makes what stays")
    return given


def _chains(text: str | None, provider: str, aws: dict[str, Any]) -> int:
    """How many stacks at once. What all of them may cost is shared out: ``max_usd`` becomes that of each."""
    if text is None:
        return 1
    if provider != "aws" or aws.get("source", "build") != "build":
        raise pytest.UsageError("--lab-aws-chains is for --lab-provider aws, and for stacks that are built")
    if not text.isdecimal() or not 1 <= int(text) <= MOST_CHAINS:
        raise pytest.UsageError(f"--lab-aws-chains {text}: must be a number from 1 to {MOST_CHAINS}")
    from hopscope.aws.guards import MAX_USD

    aws["max_usd"] = aws.get("max_usd", MAX_USD) / int(text)
    return int(text)


def _usd(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 10_000:
        raise pytest.UsageError(f"--lab-aws-max-usd {text}: must be a number of US dollars")
    return value


def _attach(config: pytest.Config) -> str:
    attach = _value(config, "lab_attach") or ATTACH[0]
    if attach not in ATTACH:
        raise pytest.UsageError(f"--lab-attach {attach}: must be one of {', '.join(ATTACH)}")
    return attach


def _staying(config: pytest.Config) -> dict[str, Any]:
    """The options about labs that outlive a session, or one of its tests."""
    use, keep = _value(config, "lab_use"), _value(config, "lab_keep") or "never"
    asked = config.getoption("lab_pause_on_fail")
    pause = bool(config.getini("lab_pause_on_fail") if asked is None else asked)
    if keep not in KEEP:
        raise pytest.UsageError(f"--lab-keep {keep}: must be one of {', '.join(KEEP)}")
    if use is not None:
        clashing = [name for name in ("topology", "rtt") if config.getoption(f"lab_{name}")]
        if clashing:
            raise pytest.UsageError(
                f"--lab-{clashing[0]} does nothing to a lab that is up: leave it out with --lab-use"
            )
    if under_xdist(config):
        for given, name in ((use, "--lab-use"), (pause, "--lab-pause-on-fail")):
            if given:
                raise pytest.UsageError(f"{name} is for one process: a lab cannot serve several workers; leave out -n")
    elif pause and not _has_terminal():
        raise pytest.UsageError("--lab-pause-on-fail needs a terminal to wait at, and there is none")
    return {"use": use, "keep": keep, "pause": pause}


def under_xdist(config: pytest.Config) -> bool:
    """This is a worker of pytest-xdist, or the controller of workers."""
    return hasattr(config, "workerinput") or bool(config.getoption("numprocesses", None))


def _has_terminal() -> bool:
    try:
        with open("/dev/tty"):
            return True
    except OSError:
        return False


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
