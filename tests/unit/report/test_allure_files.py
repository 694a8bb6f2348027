"""What a results folder has once."""

from __future__ import annotations

import json

import pytest

from hopscope.report.allure_files import environment, executor, write


def test_the_environment_says_what_was_asked_for_and_what_there_was():
    manifest = {
        "hopscope": "0.1.0", "kernel": "6.18", "arguments": ["--secret"],
        "labs": [{"topology": {"name": "chain"}, "provider": "netns", "mechanism": {"a--b": "netem"}}, {}],
    }  # fmt: skip
    assert environment([manifest], {"SUT": "stamp", "use": None}) == {
        "SUT": "stamp", "hopscope": "0.1.0", "kernel": "6.18", "lab chain": "netns: a--b netem",
    }  # fmt: skip


def test_properties_survive_their_own_syntax(tmp_path):
    write(tmp_path / "results", [tmp_path / "no such run"], {}, {"a b:c": "x=y\nz\\"})
    assert (tmp_path / "results/environment.properties").read_text() == "a\\ b\\:c=x=y\\nz\\\\\n"
    assert json.loads((tmp_path / "results/executor.json").read_text())["buildName"] == "no lab"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, {"name": "this machine", "type": "hopscope", "buildName": "run-1"}),
        (
            {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://x", "GITHUB_REPOSITORY": "a/b",
             "GITHUB_RUN_ID": "7", "GITHUB_RUN_NUMBER": "3"},
            {"name": "GitHub Actions", "type": "github", "buildName": "run 3", "buildUrl": "https://x/a/b/actions/runs/7"},
        ),
        (
            {"GITLAB_CI": "1", "CI_JOB_NAME": "test", "CI_JOB_URL": "https://x/9"},
            {"name": "GitLab CI", "type": "gitlab", "buildName": "test", "buildUrl": "https://x/9"},
        ),
    ],
)  # fmt: skip
def test_the_executor_is_who_names_itself(variables, says):
    assert executor(variables, "run-1") == says
