"""Keys and certificates of one run: made when a tunnel starts, put into its hosts' own directories, gone with the lab.

TLS, below ``tls/``: a CA (``ca.crt``; its key is never written), and ``own.crt`` and ``own.key`` of each end, named
``server`` and ``client``. SSH, below ``ssh/``: on the server ``host_key`` and ``authorized_keys``, on the client ``id``
and ``known_hosts``, in which the server has the name of its host. Private files have mode 0600.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopscope.errors import ToolMissing
from hopscope.hosts.executor import Executor

if TYPE_CHECKING:
    from cryptography import x509

#: A lab may stay for days; clocks of hosts may be behind ours.
VALID, EARLIER = timedelta(days=7), timedelta(hours=1)

Files = Mapping[str, bytes]
"""Contents by path below the host's directory."""


def install(kind: str, server: Executor, client: Executor, *, valid: timedelta = VALID) -> None:
    """Make what ``kind`` ("none", "tls" or "ssh") asks for, certificates ``valid`` from now, and put it on both hosts.

    Raises ToolMissing where the Python package ``cryptography`` is not there.
    """
    if kind == "none":
        return
    try:
        both = tls(valid) if kind == "tls" else ssh(server.name)
    except ImportError as error:
        raise ToolMissing(
            f"keys and certificates are made with the Python package cryptography, which is not there ({error}): "
            "pip install 'hopscope[tunnel]'"
        ) from error
    for host, files in zip((server, client), both, strict=True):
        for name, content in files.items():
            _put(host, name, content)


def tls(valid: timedelta = VALID) -> tuple[Files, Files]:
    """What server and client need of a CA of their own."""
    authority = Authority(valid)
    return authority.files("server"), authority.files("client")


class Authority:
    """A CA that lives as long as this object."""

    def __init__(self, valid: timedelta = VALID) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self._valid = valid

        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._certificate("hopscope", self._key.public_key(), None)

    def files(self, name: str) -> Files:
        """``name`` is "server" or "client": it is the subject, and what the certificate may be used for."""
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        return {
            "tls/ca.crt": _pem(self.certificate),
            "tls/own.crt": _pem(self._certificate(name, key.public_key(), name)),
            "tls/own.key": _private(key, openssh=False),
        }

    def _certificate(self, subject: str, public: Any, use: str | None) -> x509.Certificate:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(named("hopscope"), named(subject), public, x509.random_serial_number())
            .not_valid_before(now - EARLIER)
            .not_valid_after(now + self._valid)
            .add_extension(x509.BasicConstraints(ca=use is None, path_length=None), critical=True)
        )
        if use is not None:
            usage = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}[use]
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(use)]), critical=False)
            # openvpn's --remote-cert-tls asks for the key usage as well.
            builder = builder.add_extension(
                x509.KeyUsage(True, False, False, False, True, False, False, False, False), critical=True
            )
        return builder.sign(self._key, hashes.SHA256())


def ssh(server: str) -> tuple[Files, Files]:
    """A host key and a user's key, each with its public half on the other side."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    host, user = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    return (
        {"ssh/host_key": _private(host, openssh=True), "ssh/authorized_keys": _public(user) + b"\n"},
        {"ssh/id": _private(user, openssh=True), "ssh/known_hosts": server.encode() + b" " + _public(host) + b"\n"},
    )


def _private(key: Any, *, openssh: bool) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    form = PrivateFormat.OpenSSH if openssh else PrivateFormat.PKCS8
    text: bytes = key.private_bytes(Encoding.PEM, form, NoEncryption())
    return text


def _public(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    text: bytes = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return text


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _put(host: Executor, name: str, content: bytes) -> None:
    """Through a file that nobody else can read; an executor may keep its mode or not, so it is set again."""
    with tempfile.TemporaryDirectory(prefix="hopscope-keys-") as scratch:
        local = Path(scratch) / "file"
        descriptor = os.open(local, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        target = str(host.directory / name)
        host.run(["install", "-d", "-m", "700", str(host.directory / Path(name).parent)])
        host.run(["install", "-m", "600", "/dev/null", target])
        host.put(local, name)
        host.run(["chmod", "600", target])
