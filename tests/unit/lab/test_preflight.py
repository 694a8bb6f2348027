from __future__ import annotations

from pathlib import Path

import pytest

from hopscope.errors import CommandFailed, HopscopeError, LabFailed
from hopscope.hosts.executor import Executor
from hopscope.hosts.netns import NetnsExecutor
from hopscope.lab import preflight
from hopscope.lab.preflight import CHECKS, Check
from support.fakehost import FakeHost


def attempt(tmp_path: Path, probe: preflight.Probe) -> preflight.Capability:
    check = Check("thing", "much", "install it", probe, required=True)
    return preflight._try(check, NetnsExecutor("thing", tmp_path, 1, 3))


def test_a_probe_that_ends_well_is_a_capability(tmp_path: Path) -> None:
    found = attempt(tmp_path, lambda host: None)
    assert found == preflight.Capability("thing", True, "much", "install it", True, "")


def test_a_probe_that_raises_says_why(tmp_path: Path) -> None:
    def fails(host: Executor) -> None:
        raise CommandFailed("`thing` ended with 2", host=host.name)

    found = attempt(tmp_path, fails)
    assert not found.present
    assert found.detail == "thing: `thing` ended with 2"


def test_without_namespaces_nothing_is_tried_and_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(log: Path) -> None:
        raise LabFailed("unshare: Operation not permitted")

    monkeypatch.setattr(preflight, "Lifeline", refuses)
    first, *rest = preflight.preflight()
    assert (first.name, first.present, first.required) == ("namespaces", False, True)
    assert "Operation not permitted" in first.detail
    assert [each.name for each in rest] == [check.name for check in CHECKS]
    assert not any(each.present for each in rest)


def test_every_check_says_what_is_lost_and_how_to_mend_it() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert check.lost_without
        assert check.remedy


def test_a_full_disk_is_told_with_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 5 << 20})())
    found = preflight._disk(tmp_path)
    assert not found.present
    assert found.detail == "5 MiB are free"


def test_few_open_files_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda which: (256, 512))
    assert preflight._open_files().detail == "limits are 256 and 512"


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("#define WITH_TUN 1\n#define WITH_OPENSSL 1\n", ""),
        ("#define WITH_TUN 1\n#undef WITH_OPENSSL\n", "without OPENSSL"),
    ],
)
def test_a_socat_that_cannot_do_it_is_none(tmp_path: Path, said: str, problem: str) -> None:
    host = FakeHost("probe", tmp_path, answers={"socat": said.encode()})
    if not problem:
        preflight._socat(host)
        return
    with pytest.raises(HopscopeError, match=problem):
        preflight._socat(host)


@pytest.mark.parametrize("name", ["tun", "openvpn", "socat", "ssh", "sshd"])
def test_what_tunnels_need_is_tried_and_has_a_remedy(name: str) -> None:
    (check,) = [check for check in CHECKS if check.name == name]
    assert check.remedy.startswith(("apt-get install", "modprobe tun"))
    assert not check.required
