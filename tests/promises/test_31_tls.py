"""Senders with every kind of bad certificate, an old version, no common suite, a handshake that stalls or is none, and
bytes that no session key made, each tries a C-STORE; after them a sender with a good certificate stores."""

from __future__ import annotations

import contextlib
import datetime
import random
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from dcmrecv_core.testing import until
from support.programs.certificates import Certificates, Pair
from support.programs.receivers import Receiver, Start
from support.programs.tls_clients import client_context, client_hello, tls
from support.promises.promises import promise
from support.protocol.pdus import store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(31)

SECONDS = 5
CONTEXTS = [(CT, [EXPLICIT_LE])]
DATA = bytes.fromhex("0800 6000 4353 0200") + b"CT"
LATE = "DUL network read timeout"

Attempt = Callable[[int], int | None]
"""What a sender does on a port; the status of its C-STORE, None if there was none."""


class Sender(NamedTuple):
    """A sender that must not store, and what the log says of it."""

    name: str
    attempt: Attempt
    reason: str


def store(port: int, context: ssl.SSLContext | None) -> int | None:
    with contextlib.suppress(OSError, AssertionError), RawAssociation(port, CONTEXTS, tls=context) as association:
        return association.store(CT, "1.2.3", DATA)
    return None


def with_context(context: ssl.SSLContext | None) -> Attempt:
    return lambda port: store(port, context)


def says(data: bytes) -> Attempt:
    """Says this in place of a handshake and waits for the end."""

    def attempt(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sock, contextlib.suppress(ConnectionError):
            sock.sendall(data)
            while sock.recv(65536):
                pass

    return attempt


def breaks_in(context: ssl.SSLContext) -> Attempt:
    """After a good handshake and a request, a C-STORE whose last bytes come from somebody without the keys."""

    def attempt(port: int) -> int | None:
        with RawAssociation(port, CONTEXTS, tls=context) as association:
            association.request(store_rq(CT, "1.2.3"), DATA, last=False)
            with socket.socket(fileno=association.socket.detach()) as below:
                below.sendall(b"\x17\x03\x03\0\x40" + random.Random(1).randbytes(64))
                below.settimeout(10)
                with contextlib.suppress(ConnectionError):
                    while below.recv(65536):
                        pass
        return None

    return attempt


def old_version(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.deprecated_call():
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def other_suite(context: ssl.SSLContext) -> ssl.SSLContext:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-SHA256")
    return context


def senders(certificates: Certificates, revoked: Pair) -> Iterator[Sender]:
    def client(pair: Pair | None = certificates.client) -> ssl.SSLContext:
        return client_context(certificates, pair)

    def shows(pair: Pair | None) -> Attempt:
        return with_context(client(pair))

    begin, end = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (2100, 2101))
    early = certificates.other("early", not_before=begin, not_after=end)
    yield Sender("no certificate", shows(None), "TLS error: peer did not return a certificate")
    yield Sender(
        "a certificate of another authority", shows(certificates.unknown), "unable to get local issuer certificate"
    )
    yield Sender("an expired one", shows(certificates.expired), "certificate has expired")
    yield Sender("one not yet valid", shows(early), "certificate is not yet valid")
    yield Sender("a revoked one", shows(revoked), "certificate revoked")
    yield Sender("a self-signed one", shows(certificates.self_signed()), "signed certificate")
    yield Sender("somebody else's", shows(certificates.stolen()), "TLS error: bad signature")
    yield Sender("TLS 1.1", with_context(old_version(client())), "TLS error: unsupported protocol")
    yield Sender("no common suite", with_context(other_suite(client())), "TLS error: no shared cipher")
    yield Sender("no TLS", with_context(None), "DICOM without TLS on a port with TLS")
    hello = client_hello()
    yield Sender("silent after its ClientHello", says(hello), LATE)
    yield Sender("half a ClientHello", says(hello[: len(hello) // 2]), LATE)
    yield Sender("garbage for a ClientHello", says(hello[:5] + random.Random(1).randbytes(len(hello) - 5)), "TLS error")
    yield Sender("garbage after the handshake", breaks_in(client()), "Unable to receive C-STORE dataset")


def test_only_the_good_one_stores(
    ours: Start, certificates: Certificates, figure: Callable[[str], None], count: Callable[[int, int], int]
) -> None:
    revoked = certificates.other("revoked")
    receiver = ours(*tls(certificates, "-ta", SECONDS, "+crl", certificates.revocation_list(revoked)))
    bad = list(senders(certificates, revoked))
    assert len(bad) >= 12
    for number in range(count(1, 5)):
        for sender in bad:
            assert is_refused(receiver, sender), sender.name
        good = client_context(certificates, certificates.client)
        with RawAssociation(receiver.port, CONTEXTS, tls=good) as association:
            assert association.store(CT, f"1.2.{number}", DATA) == 0
            association.release()
        assert len(receiver.files()) == number + 1
    figure(f"{len(bad)} kinds of bad senders: 0 stored")


def is_refused(receiver: Receiver, sender: Sender) -> bool:
    """The sender stored nothing, for the reason that is expected."""
    said, stored = len(receiver.log), receiver.files()
    if sender.attempt(receiver.port) is not None:
        return False
    until(lambda: sender.reason in receiver.log[said:], f"{sender.name}: {sender.reason}", log=lambda: receiver.log)
    return receiver.files() == stored
