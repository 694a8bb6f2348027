"""Keys of one run: what each side gets, that it fits together, and that nobody else can read it."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from hopscope.errors import ToolMissing
from hopscope.lab import credentials


class Host:
    """A host on this file system."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.directory = name, directory
        directory.mkdir()

    def run(self, argv: list[str], **_: Any) -> None:
        subprocess.run(argv, check=True, timeout=10)

    def put(self, local: Path, remote: str) -> None:
        subprocess.run(["cp", local, self.directory / remote], check=True, timeout=10)


@pytest.fixture
def hosts(tmp_path: Path) -> tuple[Any, Any]:
    return Host("right", tmp_path / "right"), Host("left", tmp_path / "left")


def names(host: Host) -> list[str]:
    return sorted(str(each.relative_to(host.directory)) for each in host.directory.rglob("*") if each.is_file())


@pytest.mark.parametrize(
    ("kind", "server", "client"),
    [
        ("none", [], []),
        ("tls", ["tls/ca.crt", "tls/own.crt", "tls/own.key"], ["tls/ca.crt", "tls/own.crt", "tls/own.key"]),
        ("ssh", ["ssh/authorized_keys", "ssh/host_key"], ["ssh/id", "ssh/known_hosts"]),
    ],
)
def test_each_side_gets_its_own_and_nobody_else_reads_it(hosts, kind, server, client) -> None:
    credentials.install(kind, *hosts)
    assert [names(host) for host in hosts] == [server, client]
    for file in (each for host in hosts for each in host.directory.rglob("*")):
        assert stat.S_IMODE(file.stat().st_mode) == (0o700 if file.is_dir() else 0o600)


def test_certificates_of_one_authority_are_for_one_use_each() -> None:
    server, client = credentials.tls()
    assert server["tls/ca.crt"] == client["tls/ca.crt"]
    usage = {"server": x509.oid.ExtendedKeyUsageOID.SERVER_AUTH, "client": x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH}
    for name, files in (("server", server), ("client", client)):
        certificate = x509.load_pem_x509_certificate(files["tls/own.crt"])
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(files["tls/ca.crt"]))
        assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [usage[name]]
        key = serialization.load_pem_private_key(files["tls/own.key"], None)
        assert key.public_key() == certificate.public_key()


def test_every_run_has_keys_of_its_own() -> None:
    one, other = credentials.tls()[0], credentials.tls()[0]
    assert not set(one.values()) & set(other.values())


def test_ssh_knows_the_server_by_its_host_and_lets_the_one_user_in() -> None:
    server, client = credentials.ssh("right")
    host = serialization.load_ssh_private_key(server["ssh/host_key"], None).public_key()
    user = serialization.load_ssh_private_key(client["ssh/id"], None).public_key()
    text = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert client["ssh/known_hosts"] == b"right " + host.public_bytes(*text) + b"\n"
    assert server["ssh/authorized_keys"] == user.public_bytes(*text) + b"\n"


def test_without_the_package_the_remedy_is_told(hosts, monkeypatch) -> None:
    def absent(valid: object) -> None:
        raise ImportError("No module named 'cryptography'")

    monkeypatch.setattr(credentials, "tls", absent)
    with pytest.raises(ToolMissing, match=r"pip install 'hopscope\[tunnel\]'"):
        credentials.install("tls", *hosts)
