"""Guards of the integration tests: whatever they do, the host is as before."""

from __future__ import annotations

import json
import subprocess

import pytest


def host_state() -> dict[str, list[str]]:
    """Names of what a lab could leave behind outside its namespaces."""
    links = json.loads(subprocess.run(["ip", "-j", "link"], check=True, capture_output=True, timeout=10).stdout)
    netns = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True, timeout=10).stdout
    return {"links": sorted(link["ifname"] for link in links), "netns": sorted(netns.splitlines())}


@pytest.fixture(scope="session", autouse=True)
def host_is_untouched():
    before = host_state()
    yield
    assert host_state() == before
