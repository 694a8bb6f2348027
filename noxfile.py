"""The legs of .github/legs.toml on this machine.

    nox -l                                                     # lists them
    nox -s "nightly(nightly-ubuntu-2404-py311-bpf-stamp)"      # one leg
    nox -s nightly report                                      # all of them, and one report
    nox -s nightly report -- tests/integration/test_ordering.py  # the same of one file of tests

nox is not in requirements.lock: `pip install nox`. A leg runs in `.venv`, as it does on a runner; a session makes no
environment of its own. Legs of other Pythons than nox's are skipped, and of legs that differ by their image alone there
is one: images are not to be had here.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "scripts"))
import leg as matrix  # noqa: E402

RESULTS, KEPT = ROOT / ".hopscope" / "allure-results", ROOT / ".hopscope" / "legs"


def _here(*groups: str) -> list[matrix.Leg]:
    """One leg of those that differ by their runner's image alone."""
    return list({(leg.group, leg.python, leg.datapath, leg.placement): leg for leg in matrix.legs(groups)}.values())


PULL_REQUEST, NIGHTLY = _here("pull-request"), _here("nightly", "nightly-unit")

nox.options.sessions = ["pull-request"]
nox.options.default_venv_backend = "none"


@nox.session(name="pull-request")
@nox.parametrize("leg", PULL_REQUEST, ids=[leg.name for leg in PULL_REQUEST])
def pull_request(session: nox.Session, leg: matrix.Leg) -> None:
    """What a pull request runs."""
    _run(session, leg)


@nox.session
@nox.parametrize("leg", NIGHTLY, ids=[leg.name for leg in NIGHTLY])
def nightly(session: nox.Session, leg: matrix.Leg) -> None:
    """What a night runs; the results are kept for the session `report`."""
    _run(session, leg)


@nox.session
def report(session: nox.Session) -> None:
    """One report of the legs that have been run, each an environment of it."""
    session.run(sys.executable, "scripts/report.py", *map(str, sorted(KEPT.glob("*"))))


def _run(session: nox.Session, leg: matrix.Leg) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if leg.python != here:
        session.skip(f"{leg.name} is for Python {leg.python}, and nox runs on {here}")
    try:
        session.run(sys.executable, "scripts/leg.py", "run", leg.name, *session.posargs)
    finally:
        if RESULTS.is_dir():
            shutil.rmtree(KEPT / leg.name, ignore_errors=True)
            shutil.copytree(RESULTS, KEPT / leg.name)
