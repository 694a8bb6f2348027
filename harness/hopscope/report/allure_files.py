"""Files that an Allure results folder has once: environment, executor, and categories for Allure 2.

Allure 3 reads the same categories through ``fixtures/allure/allurerc.mjs``. They go by the first word of a message,
which is the ``kind`` of the fault's class.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hopscope import data
from hopscope.run.rundir import read_manifest

CATEGORIES = "allure/categories.json"


def write(results: Path, runs: Iterable[Path], variables: Mapping[str, str], chosen: Mapping[str, object]) -> None:
    """Write all three. ``runs`` are the run directories of the session, ``variables`` the environment's (a CI system
    names itself there), ``chosen`` what the session was asked for."""
    results.mkdir(parents=True, exist_ok=True)
    known = [(run, manifest) for run in runs if (manifest := read_manifest(run)) is not None]
    shutil.copyfile(data.path(CATEGORIES), results / "categories.json")
    facts = environment([manifest for _, manifest in known], chosen)
    (results / "environment.properties").write_text("".join(f"{_key(k)}={_value(v)}\n" for k, v in facts.items()))
    told = executor(variables, known[-1][0].name if known else "no lab")
    (results / "executor.json").write_text(json.dumps(told, indent=1) + "\n")


def environment(manifests: Iterable[Mapping[str, Any]], chosen: Mapping[str, object]) -> dict[str, str]:
    """What the tests ran on, in the order in which it is to be read."""
    facts = {name: str(value) for name, value in chosen.items() if value is not None}
    for manifest in manifests:
        for name in ("hopscope", "python", "kernel", "machine", "cpus", "root"):
            if name in manifest:
                facts[name] = str(manifest[name])
        for lab in manifest.get("labs", []):
            topology = lab.get("topology", {}).get("name")
            links = ", ".join(f"{link} {made}" for link, made in lab.get("mechanism", {}).items())
            if topology:
                facts[f"lab {topology}"] = f"{lab.get('provider')}: {links}"
    return facts


def executor(variables: Mapping[str, str], run: str) -> dict[str, str]:
    """Who ran the tests: a CI system that names itself, or this machine."""
    if variables.get("GITHUB_ACTIONS") == "true":
        base = f"{variables.get('GITHUB_SERVER_URL', '')}/{variables.get('GITHUB_REPOSITORY', '')}"
        number = variables.get("GITHUB_RUN_NUMBER", "")
        url = f"{base}/actions/runs/{variables.get('GITHUB_RUN_ID', '')}"
        return {"name": "GitHub Actions", "type": "github", "buildName": f"run {number}", "buildUrl": url}
    if variables.get("GITLAB_CI"):
        name, url = variables.get("CI_JOB_NAME", ""), variables.get("CI_JOB_URL", "")
        return {"name": "GitLab CI", "type": "gitlab", "buildName": name, "buildUrl": url}
    return {"name": "this machine", "type": "hopscope", "buildName": run}


def _key(text: str) -> str:
    return "".join(f"\\{each}" if each in " :=\\#!" else each for each in text)


def _value(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
