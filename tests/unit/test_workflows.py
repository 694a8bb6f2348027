"""The workflows, without GitHub: keys that it knows, pinned actions, rights, time limits, and lines that exist here."""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import yaml

from hopscope.hosts.wait import wait_until

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

WORKFLOW = {"name", "on", "permissions", "concurrency", "env", "jobs"}
JOB = {"name", "if", "needs", "runs-on", "timeout-minutes", "strategy", "env", "steps", "outputs", "permissions",
       "concurrency", "environment"}  # fmt: skip
STEP = {"name", "id", "if", "uses", "with", "run", "env"}
RIGHTS = {"contents": "read", "id-token": "write", "pages": "write", "issues": "write"}
"""The most that a job may have."""
CONTEXTS = {"github", "needs", "matrix", "vars", "steps"}


def module(path: Path) -> types.ModuleType:
    specification = spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    found = module_from_spec(specification)
    sys.modules[path.stem] = found  # dataclasses look their module up
    specification.loader.exec_module(found)
    return found


leg = module(ROOT / "scripts" / "leg.py")
LEGS = leg.legs()


def load(path: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # text alone: `on` is no truth value then
    found = yaml.load(path.read_text(), Loader=loader)
    assert isinstance(found, dict)
    return found


JOBS = [pytest.param(path, name, id=f"{path.stem}-{name}") for path in FILES for name in load(path)["jobs"]]


def job_of(path: Path, name: str) -> dict[str, Any]:
    found = load(path)["jobs"][name]
    assert isinstance(found, dict)
    return found


def problems(path: Path, name: str, job: dict[str, Any], jobs: set[str]) -> Iterator[str]:
    """What is wrong with a job."""
    yield from (f"no such key {key}" for key in set(job) - JOB)
    if "timeout-minutes" not in job:
        yield "no timeout-minutes"
    if "latest" in job["runs-on"]:
        yield f"an image that changes by itself: {job['runs-on']}"
    yield from (f"needs {each}" for each in _listed(job.get("needs", [])) if each not in jobs)
    yield from (f"more rights than wanted: {key}" for key, value in job.get("permissions", {}).items()
                if RIGHTS.get(key) != value)  # fmt: skip
    for step in job["steps"]:
        yield from (f"no such key {key} in a step" for key in set(step) - STEP)
        if ("uses" in step) == ("run" in step):
            yield "a step that uses nothing and runs nothing, or both"
        if "uses" in step and not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]):
            yield f"not pinned: {step['uses']}"
        if "checkout" in step.get("uses", "") and step.get("with", {}).get("persist-credentials") != "false":
            yield "a checkout that keeps its credentials"
        if "upload-" in step.get("uses", "") and "retention-days" not in step["with"]:
            yield "an artifact that is kept for as long as somebody else says"
        if "run" in step:
            yield from _line(step["run"])
    for context in re.findall(r"\$\{\{\s*(\w+)", json.dumps(job)):
        if context not in CONTEXTS and context not in ("fromJSON",):
            yield f"no such context {context}"


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _line(line: str) -> Iterator[str]:
    if "${{" in line:
        yield f"an expression that a shell would run: {line}"
    words = re.sub(r'^sudo (-E )?env "PATH=\$PATH" ', "", line).split()
    match words:
        case ["make", target, *_]:
            if target not in TARGETS:
                yield f"no target {target}"
        case ["python" | "python3", script, *_]:
            if not (ROOT / script).is_file():
                yield f"no program {script}"
            if (
                script == "scripts/leg.py"
                and words[2] == "run"
                and words[3] not in {'"$LEG"', *(one.name for one in LEGS)}
            ):
                yield f"no leg {words[3]}"
            if script == "scripts/leg.py" and words[2] == "list":
                groups = words[3 : words.index(">>")]
                yield from (f"no group {group}" for group in groups if group not in {one.group for one in LEGS})
        case [".venv/bin/hopscope" | "gh" | "sudo", *_]:
            pass
        case _:
            yield f"a line that nobody here can check: {line}"


@pytest.mark.parametrize(("path", "name"), JOBS)
def test_a_job_is_sound(path, name):
    assert not list(problems(path, name, job_of(path, name), set(load(path)["jobs"])))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"timeout": "5"}, "no such key timeout"),
        ({"runs-on": "ubuntu-latest"}, "an image that changes by itself"),
        ({"needs": "nobody"}, "needs nobody"),
        ({"permissions": {"contents": "write"}}, "more rights than wanted: contents"),
        ({"steps": [{"uses": "actions/checkout@v6"}]}, "not pinned: actions/checkout@v6"),
        ({"steps": [{"uses": "actions/checkout@" + "0" * 40}]}, "a checkout that keeps its credentials"),
        ({"steps": [{"uses": "a/upload-b@" + "0" * 40, "with": {}}]}, "kept for as long as somebody else says"),
        ({"steps": [{"run": "make tset"}]}, "no target tset"),
        ({"steps": [{"run": "python scripts/gone.py"}]}, "no program scripts/gone.py"),
        ({"steps": [{"run": "python scripts/leg.py run nowhere"}]}, "no leg nowhere"),
        ({"steps": [{"run": "python scripts/leg.py list weekly >> f"}]}, "no group weekly"),
        ({"steps": [{"run": "echo ${{ github.head_ref }}"}]}, "an expression that a shell would run"),
        ({"steps": [{"run": "curl x | sh"}]}, "a line that nobody here can check"),
        ({"steps": [{"shel": "bash", "run": "make test"}]}, "no such key shel in a step"),
        ({"steps": [{"id": "x"}]}, "uses nothing and runs nothing"),
        ({"if": "${{ secret.x }}"}, "no such context secret"),
    ],
)
def test_what_is_wrong_is_found(change, says):
    path = FILES[0]
    job = job_of(path, "legs") | change
    assert any(says in problem for problem in problems(path, "legs", job, {"legs"}))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_workflow_has_known_keys_few_rights_and_one_run_at_a_time(path):
    workflow = load(path)
    assert set(workflow) <= WORKFLOW
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    assert "pull_request_target" not in workflow["on"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_pin_says_its_version_and_is_the_same_everywhere(path):
    pins = re.findall(r"uses: (\S+)@(\S+)(.*)", path.read_text())
    assert pins
    assert all(re.fullmatch(r" # v\d+\.\d+\.\d+", comment) for _, _, comment in pins)
    everywhere = {tuple(pin) for file in FILES for pin in re.findall(r"uses: (\S+)@(\S+)", file.read_text())}
    assert len(everywhere) == len({action for action, _ in everywhere})


def test_legs_are_the_product_of_their_lists_by_names_of_their_own():
    nightly = leg.legs(["nightly"])
    assert len(nightly) == 2 * 2 * 2 * 2
    assert {(one.datapath, one.placement) for one in nightly} == {
        ("afpacket", "stamp"), ("afpacket", "hold"), ("bpf", "stamp"), ("bpf", "hold"),
    }  # fmt: skip
    assert len({one.name for one in LEGS}) == len(LEGS)
    assert all(re.fullmatch(r"[a-z0-9-]+", one.name) for one in LEGS)  # Allure's environments, artifacts, nox


@pytest.mark.parametrize("one", LEGS, ids=lambda one: one.name)
def test_a_leg_runs_what_there_is_on_an_image_that_has_a_version(one):
    program, *words = one.run
    assert (program == "make" and set(words) <= TARGETS) or (ROOT / program).is_file()
    assert re.fullmatch(r"ubuntu-\d\d\.04", one.runner)
    assert tuple(map(int, one.python.split("."))) >= (3, 11)
    assert 0 < one.minutes <= 360
    paths = [word for word in one.arguments.split() if word.startswith("tests/")]
    assert all((ROOT / path).exists() for path in paths)


ONE = next(one for one in LEGS if one.name == "nightly-ubuntu-2404-py311-bpf-stamp")


def test_a_leg_tells_its_command_by_variables():
    assert ONE.run == ("make", "nightly")
    assert ONE.environment() == {
        "HOPSCOPE_DATAPATH": "bpf",
        "PYTEST_ARGS": "tests/integration --lab-strict "
        '--alluredir=.hopscope/allure-results --clean-alluredir -k "not hold"',
    }


def test_a_leg_of_some_of_its_tests_is_the_same_leg():
    one = ONE.of(["tests/integration/test_ordering.py"])
    assert one.name == ONE.name
    assert one.environment()["PYTEST_ARGS"].startswith("tests/integration/test_ordering.py --lab-strict --alluredir")
    assert ONE.of([]) == ONE


@pytest.mark.parametrize("name", ["pull-request-ubuntu-2404-py311", ONE.name])
def test_tests_that_a_leg_has_not_are_wrong_usage(name, capsys):
    assert leg.main(["run", name, "tests/unit"]) == 64
    assert "and not tests/unit alone" in capsys.readouterr().err


def test_the_exit_code_of_a_leg_is_its_commands():
    program = "import os, sys; sys.exit(3 if os.environ['HOPSCOPE_DATAPATH'] == 'bpf' else 4)"
    assert leg.run(replace(ONE, run=(sys.executable, "-S", "-c", program))) == 3


def test_a_leg_that_takes_too_long_is_ended_with_all_that_it_started(capfd):
    assert leg.run(replace(ONE, run=("sh", "-c", "sleep 31 & echo child $!; wait"), minutes=0.005)) == 1
    told = capfd.readouterr()
    assert "did not end in" in told.err
    child = int(re.findall(r"child (\d+)", told.out)[0])
    wait_until(lambda: not _runs(child), timeout=5, what="its child has ended")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_leg_of_all_datapaths_and_placements_says_nothing_of_them():
    (one, *_) = leg.legs(["pull-request"])
    assert one.environment() == {}


@pytest.mark.parametrize("argv", [["run", "nowhere"], ["list", "weekly"], [], ["run"]])
def test_a_leg_that_there_is_not_is_wrong_usage(argv, capsys):
    assert leg.main(argv) == 64
    assert capsys.readouterr().err


def test_the_list_is_what_a_workflow_reads(capsys):
    assert leg.main(["list", "nightly", "nightly-unit"]) == 0
    name, _, value = capsys.readouterr().out.partition("=")
    assert name == "legs"
    assert "\n" not in value.rstrip("\n")
    wanted = set(re.findall(r"matrix\.(\w+)", "".join(path.read_text() for path in FILES)))
    assert all(wanted <= set(each) for each in json.loads(value))


def test_nox_has_a_session_for_each_leg_but_for_its_image(monkeypatch):
    """nox is not in the lock, so this stands for what noxfile.py uses of it."""
    offered: dict[str, list[str]] = {}

    def session(function: Any = None, *, name: str | None = None) -> Any:
        return function if function is not None else lambda inner: inner

    def parametrize(argument: str, values: list[Any], *, ids: list[str]) -> Any:
        def keep(function: Any) -> Any:
            offered[function.__name__] = ids
            return function

        return keep

    nox = types.ModuleType("nox")
    vars(nox).update(session=session, parametrize=parametrize, options=types.SimpleNamespace())
    monkeypatch.setitem(sys.modules, "nox", nox)
    monkeypatch.setattr(sys, "path", [*sys.path])
    module(ROOT / "noxfile.py")
    assert offered["pull_request"] == [one.name for one in leg.legs(["pull-request"])]
    nights = [one.name for one in leg.legs(["nightly", "nightly-unit"])]
    assert offered["nightly"] == [name for name in nights if "ubuntu-2404" in name]
    assert len(offered["nightly"]) == 8 + 3


def test_a_leg_has_the_rewriters_by_its_datapath(monkeypatch, pytestconfig):
    ask = pytestconfig.hook.pytest_hopscope_sut
    given = {"config": pytestconfig, "topology": None}
    monkeypatch.delenv("HOPSCOPE_DATAPATH", raising=False)
    assert ask(name="stamp", **given) is None
    monkeypatch.setenv("HOPSCOPE_DATAPATH", "bpf")
    assert {box.argv[-2:] for box in ask(name="stamp", **given).boxes.values()} == {("--datapath", "bpf")}
    assert ask(name="stamp-afpacket", **given) is None


def test_the_container_is_a_release_by_name_and_the_devcontainer_is_built_from_it():
    container = (ROOT / "Containerfile").read_text()
    assert re.search(r"^FROM \S+:\d+-slim$", container, re.MULTILINE)
    assert {target for line in re.findall(r"^RUN make (\w+)$", container, re.MULTILINE) for target in [line]} <= TARGETS
    folder = ROOT / ".devcontainer"
    written = json.loads((folder / "devcontainer.json").read_text())
    assert (folder / written["build"]["dockerfile"]).resolve() == ROOT / "Containerfile"
    assert written["postCreateCommand"].split()[1] in TARGETS
