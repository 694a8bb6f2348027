"""This repository's own tests: shared support on the path, hypothesis profiles, and a guard around the network."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path

import numpy  # noqa: F401  (before pytester, which forgets modules that came during its tests: NumPy loads only once)
import pytest
from hypothesis import HealthCheck, settings

from hopscope import data
from hopscope.model.sut import Sut

sys.path.insert(0, str(Path(__file__).parent / "tests"))

settings.register_profile("default", deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.hookimpl(optionalhook=True)
def pytest_hopscope_sut(name: str) -> Sut | None:
    """A leg of the matrix (.github/legs.toml) has the reference rewriters by the datapath that it names."""
    datapath = os.environ.get("HOPSCOPE_DATAPATH")
    if datapath is None or name not in ("stamp", "hold"):
        return None
    sut = data.sut(name)
    boxes = {
        host: box.model_copy(update={"argv": (*box.argv, "--datapath", datapath)})
        for host, box in sut.boxes.items()
        if box.argv is not None
    }
    return sut.model_copy(update={"boxes": boxes})


@pytest.fixture(autouse=True)
def _sessions_that_tests_start_need_no_hypothesis(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer to import than all the rest, and a hundred of them are started."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")


@pytest.fixture(autouse=True)
def _no_connection_leaves_the_machine(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests in this process talk to loopback or not at all; a lab's traffic comes from processes inside the lab.

    Hosts of an inventory are somebody's own, and asked for; so is a cloud where its doubles are not."""
    cloud = pytestconfig.getoption("lab_provider", None) == "aws" and not pytestconfig.getoption("lab_aws_doubles")
    if pytestconfig.getoption("lab_inventory", None) or cloud:
        return
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded(self: socket.socket, address: object) -> None:
        _refuse_outside(self, address)
        connect(self, address)  # type: ignore[arg-type]

    def guarded_ex(self: socket.socket, address: object) -> int:
        _refuse_outside(self, address)
        return connect_ex(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_ex)


def _refuse_outside(sock: socket.socket, address: object) -> None:
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple):
        return
    host = str(address[0])
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        pytest.fail(f"a test tried to connect to {host}: only loopback is allowed")
