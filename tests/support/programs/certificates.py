"""Keys and certificates for tests of TLS, made with trustme; DCMTK and OpenSSL read their PEM files."""

from __future__ import annotations

import datetime
import ssl
import subprocess
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPrivateNumbers
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from support.programs.receivers import system_program


class Pair(NamedTuple):
    """Files of a private key and its certificate."""

    key: Path
    certificate: Path


class Certificates:
    """A certification authority that receiver and senders trust, another one, and their certificates.

    RSA keys: the default profiles have no TLS 1.2 suite for other keys.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._authority = trustme.CA(key_type=trustme.KeyType.RSA)
        self._stranger = trustme.CA(key_type=trustme.KeyType.RSA)
        self.authority = directory / "authority.pem"
        self._authority.cert_pem.write_to_path(self.authority)
        self.server = self._issue(self._authority, "server", "localhost", "127.0.0.1")
        self.client = self._issue(self._authority, "client", "ct1.example")
        self.unknown = self._issue(self._stranger, "unknown", "ct1.example")
        past = datetime.datetime(2001, 1, 1, tzinfo=datetime.UTC)
        self.expired = self._issue(self._authority, "expired", "ct1.example", not_after=past)

    @cached_property
    def named(self) -> Pair:
        """Of a server: its certificate has the name of this machine, and not the address."""
        return self._issue(self._authority, "named", "localhost")

    def server_context(self) -> ssl.SSLContext:
        """Of a server that demands a client's certificate; it shows that of `named`."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.authority)
        context.load_cert_chain(self.named.certificate, self.named.key)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def other(self, name: str, **validity: datetime.datetime) -> Pair:
        """Another pair, for a receiver or a sender, valid from `not_before` until `not_after`."""
        return self._issue(self._authority, name, "localhost", "127.0.0.1", **validity)

    def self_signed(self) -> Pair:
        """A pair with a self-signed certificate."""
        pair = Pair(self.directory / "self.key", self.directory / "self.pem")
        new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=self", "-days", 30]
        openssl(*new, "-keyout", pair.key, "-out", pair.certificate)
        return pair

    def stolen(self) -> Pair:
        """The client's certificate with another private key that claims to belong to it.

        Its public half is the certificate's, because OpenSSL compares only that when it loads a pair.
        """
        key = load_pem_private_key(self.client.key.read_bytes(), None)
        if not isinstance(key, RSAPrivateKey):
            raise TypeError(type(key))
        own = key.private_numbers()
        wrong = RSAPrivateNumbers(
            own.p, own.q, own.d - 2, own.dmp1 - 2, own.dmq1 - 2, own.iqmp, own.public_numbers
        ).private_key(unsafe_skip_rsa_key_validation=True)
        pair = Pair(self.directory / "stolen.key", self.client.certificate)
        pair.key.write_bytes(wrong.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
        return pair

    def _issue(self, authority: trustme.CA, name: str, *hosts: str, **validity: datetime.datetime) -> Pair:
        issued = authority.issue_cert(
            *hosts, common_name=name, organization_name="Test", key_type=trustme.KeyType.RSA, **validity
        )
        pair = Pair(self.directory / f"{name}.key", self.directory / f"{name}.pem")
        issued.private_key_pem.write_to_path(pair.key)
        issued.cert_chain_pems[0].write_to_path(pair.certificate)
        return pair

    def revocation_list(self, *revoked: Pair) -> Path:
        """A CRL of the authority that names `revoked`."""
        home = self.directory / "ca"
        home.mkdir(exist_ok=True)
        key = home / "ca.key"
        self._authority.private_key_pem.write_to_path(key)
        (home / "index.txt").write_text("")
        (home / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={home}/index.txt\ncertificate={self.authority}\n"
            f"private_key={key}\ndefault_md=sha256\ndefault_crl_days=30\n"
        )
        ca = ["ca", "-config", home / "ca.cnf"]
        for pair in revoked:
            openssl(*ca, "-revoke", pair.certificate)
        out = self.directory / "crl.pem"
        openssl(*ca, "-gencrl", "-out", out)
        return out


def openssl(*arguments: object) -> None:
    command = [system_program("openssl"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=100, check=False)
    if done.returncode:
        raise AssertionError(f"openssl {arguments[0]}: {done.stderr.decode()}")
