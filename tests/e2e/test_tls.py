"""TLS end to end: which peers may store, with DCMTK's storescu and OpenSSL's s_client."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.testing import until
from support.data.samples import pydicom_files
from support.programs.certificates import Certificates, Pair
from support.programs.receivers import Receiver, Start, dcmtk, system_program
from support.programs.tls_clients import client_context, client_hello, tls
from support.promises.crowds import seconds_until_served
from support.protocol.pdus import ABORT, ASSOCIATE_AC, associate_rq, release_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION

pytestmark = pytest.mark.dcmtk

NOTHING = "Could not receive association request: "


def storescu(receiver: Receiver, *arguments: object) -> int:
    [file] = (path for path in pydicom_files() if path.name == "CT_small.dcm")
    return dcmtk("storescu", "-nh", *arguments, "localhost", receiver.port, file).returncode


def s_client(receiver: Receiver, *arguments: object) -> str:
    """The output of OpenSSL's client about a handshake and the end of the connection."""
    command = [system_program("openssl"), "s_client", "-connect", f"localhost:{receiver.port}", *arguments]
    words = [str(word) for word in command]
    done = subprocess.run(words, input="", capture_output=True, text=True, timeout=100, check=False)
    return done.stdout + done.stderr


def wait_for_failure(receiver: Receiver, reason: str) -> None:
    receiver.wait_for_log(f"E: {NOTHING}{reason}\n")


def test_storescu_with_a_client_certificate_stores(ours: Start, certificates: Certificates) -> None:
    receiver = ours(*tls(certificates))
    assert storescu(receiver, "+tls", *certificates.client, "+cf", certificates.authority) == 0
    assert len(receiver.files()) == 1


@pytest.mark.parametrize(("version", "suite"), [("-tls1_3", "TLS_"), ("-tls1_2", "ECDHE-RSA-AES256-GCM-SHA384")])
def test_versions(ours: Start, certificates: Certificates, version: str, suite: str) -> None:
    receiver = ours(*tls(certificates))
    pair = certificates.client
    said = s_client(receiver, version, "-CAfile", certificates.authority, "-cert", pair.certificate, "-key", pair.key)
    assert f"Cipher is {suite}" in said
    assert "Verify return code: 0 (ok)" in said


@pytest.mark.parametrize("kind", ["expired", "unknown"])
@pytest.mark.parametrize("option", ["-rc", "-vc"])
def test_bad_certificates_are_refused(ours: Start, certificates: Certificates, option: str, kind: str) -> None:
    receiver = ours(*tls(certificates, option))
    assert storescu(receiver, "+tls", *getattr(certificates, kind), "+cf", certificates.authority) != 0
    wait_for_failure(receiver, "TLS error: certificate verify failed")
    assert receiver.files() == []


@pytest.mark.parametrize(("option", "code"), [("-rc", 1), ("-vc", 0), ("-ic", 0)])
def test_no_certificate(ours: Start, certificates: Certificates, option: str, code: int) -> None:
    receiver = ours(*tls(certificates, option))
    assert bool(storescu(receiver, "+tla", "+cf", certificates.authority)) == bool(code)
    assert len(receiver.files()) == 1 - code
    if code:
        wait_for_failure(receiver, "TLS error: peer did not return a certificate")


def test_ignored_certificates(ours: Start, certificates: Certificates) -> None:
    receiver = ours(*tls(certificates, "-ic"))
    assert storescu(receiver, "+tls", *certificates.unknown, "+cf", certificates.authority) == 0


@pytest.mark.parametrize("option", ["+crv", "+cra", "+crl"])
def test_revoked_certificates_are_refused(ours: Start, certificates: Certificates, option: str) -> None:
    revoked = certificates.other("revoked")
    options = ["+crl", certificates.revocation_list(revoked), *([] if option == "+crl" else [option])]
    receiver = ours(*tls(certificates, *options))
    assert storescu(receiver, "+tls", *certificates.client, "+cf", certificates.authority) == 0
    assert storescu(receiver, "+tls", *revoked, "+cf", certificates.authority) != 0
    wait_for_failure(receiver, "TLS error: certificate verify failed")


def test_old_versions_are_refused_unless_asked_for(ours: Start, certificates: Certificates) -> None:
    old = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]
    receiver = ours(*tls(certificates, "-ic"))
    assert "alert protocol version" in s_client(receiver, *old)
    wait_for_failure(receiver, "TLS error: unsupported protocol")
    assert "Cipher is AES128-SHA" in s_client(ours(*tls(certificates, "-ic", "+px")), *old)


def test_plain_sender_on_the_tls_port(ours: Start, certificates: Certificates) -> None:
    receiver = ours(*tls(certificates))
    assert storescu(receiver) != 0
    receiver.wait_for_log("W: connection from STORESCU (127.0.0.1) to ANY-SCP refused: DICOM without TLS on a port")
    with socket.create_connection(("localhost", receiver.port), timeout=10) as peer:
        peer.sendall(associate_rq([(VERIFICATION, [IMPLICIT_LE])]))
        assert peer.recv(1) == b"", "no reset, and only DICOM"


def test_tls_sender_on_the_plain_port(ours: Start, certificates: Certificates) -> None:
    receiver = ours("-pm")
    assert storescu(receiver, "+tls", *certificates.client, "+cf", certificates.authority) != 0
    receiver.wait_for_log("W: connection from 127.0.0.1 refused: TLS instead of DICOM; use --enable-tls here")
    assert storescu(receiver) == 0


def test_the_subject_of_the_peer_is_known_to_plugins(ours: Start, certificates: Certificates) -> None:
    plugin = "from dcmrecv_core import hookimpl\n@hookimpl\ndef negotiate(association):\n    print(association.tls)\n"
    receiver = ours(*tls(certificates, "--plugin", "./who.py"), files={"who.py": plugin}, env={"PYTHONUNBUFFERED": "1"})
    assert storescu(receiver, "+tls", *certificates.client, "+cf", certificates.authority) == 0
    receiver.wait_for_log("CN=client,")


def test_a_large_instance_arrives_whole(ours: Start, certificates: Certificates) -> None:
    receiver = ours(*tls(certificates, "+B"))
    data = bytes(range(256)) * (1 << 14)
    context = client_context(certificates, certificates.client)
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])], tls=context) as association:
        assert association.store(CT, "1.2.3", data) == 0
        association.release()
    assert receiver.only_file().read_bytes().endswith(data)


def test_silent_and_slow_clients_cost_no_worker(ours: Start, certificates: Certificates) -> None:
    receiver = ours(*tls(certificates, "--max-associations", "1", "-ta", "3"))
    hello = struct.pack(">BHH", 22, 0x0301, 200) + bytes(100)
    with (
        socket.create_connection(("localhost", receiver.port), timeout=10) as silent,
        socket.create_connection(("localhost", receiver.port), timeout=10) as slow,
    ):
        for byte in hello[:20]:
            slow.sendall(bytes([byte]))
        assert storescu(receiver, "+tls", *certificates.client, "+cf", certificates.authority) == 0
        assert silent.recv(1) == b""
        assert slow.recv(1) == b"", "no reset, although its bytes were left unread"
    wait_for_failure(receiver, "DUL network read timeout")


def test_a_client_that_ends_inside_its_first_record_is_disconnected(ours: Start, certificates: Certificates) -> None:
    receiver = ours(*tls(certificates))
    with socket.create_connection(("localhost", receiver.port), timeout=10) as peer:
        peer.sendall(client_hello()[:50])
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b"", "no reset"
    wait_for_failure(receiver, "TLS error: unexpected eof while reading")


def test_a_client_that_stops_in_the_handshake_is_disconnected(ours: Start, certificates: Certificates) -> None:
    receiver = ours(*tls(certificates, "--max-associations", "2", "-ta", "2"))
    began = time.monotonic()
    with socket.create_connection(("localhost", receiver.port), timeout=20) as stopped:
        stopped.sendall(client_hello())
        while stopped.recv(65536):
            pass
    assert time.monotonic() - began > 1.5
    wait_for_failure(receiver, "DUL network read timeout")
    assert storescu(receiver, "+tls", *certificates.client, "+cf", certificates.authority) == 0


def test_handshakes_leave_half_of_the_pool(ours: Start, certificates: Certificates) -> None:
    """Three of six places, of which one address may have two."""
    receiver = ours(*tls(certificates, "--max-associations", "6", "-ta", "20"))
    context = client_context(certificates, certificates.client)
    with RawAssociation(receiver.port, [(VERIFICATION, [IMPLICIT_LE])], tls=context) as association:
        stopped = [socket.create_connection(("localhost", receiver.port), timeout=10) for _ in range(3)]
        for peer in stopped:
            peer.sendall(client_hello())
        receiver.wait_for_log("(local limit exceeded)")
        answers = sorted(peer.recv(1)[0] for peer in stopped)
        assert answers == [21, 22, 22], "two handshakes, and an alert for the third"
        assert association.echo() == 0
        association.release()
        for peer in stopped:
            peer.close()


def test_a_reload_takes_new_certificates_and_refuses_bad_ones(
    ours: Start, certificates: Certificates, directory: Path
) -> None:
    other = certificates.other("other")
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    install(certificates.server, key, certificate)
    receiver = ours(*tls(certificates, "-ic", pair=Pair(key, certificate)))
    assert "CN = server" in s_client(receiver)
    key.write_bytes(other.key.read_bytes())
    receiver.process.send_signal(1)
    receiver.wait_for_log("settings not reloaded, nothing has changed: 000b:0006 Private key")
    assert "CN = server" in s_client(receiver)
    install(other, key, certificate)
    receiver.process.send_signal(1)
    receiver.wait_for_log("settings reloaded")
    until(lambda: "CN = other" in s_client(receiver), "the new certificate")


def install(pair: Pair, key: Path, certificate: Path) -> None:
    key.write_bytes(pair.key.read_bytes())
    certificate.write_bytes(pair.certificate.read_bytes())


def test_fault_14_half_a_record_keeps_no_place(ours: Start, certificates: Certificates) -> None:
    """It counts as silence between two messages."""
    receiver = ours(*tls(certificates, "--max-associations", "1", "--idle-eviction", "1"))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = client_context(certificates, certificates.client)
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("localhost", receiver.port), timeout=10) as peer:

        def converse(action: Callable[[], Any]) -> Any:
            """Send and receive until `action` needs no more."""
            while True:
                try:
                    return action()
                except ssl.SSLWantReadError:
                    peer.sendall(outgoing.read())
                    incoming.write(peer.recv(65536))

        converse(client.do_handshake)
        client.write(associate_rq([(VERIFICATION, [IMPLICIT_LE])]))
        assert converse(lambda: client.read(65536))[0] == ASSOCIATE_AC
        client.write(release_rq())
        peer.sendall(outgoing.read()[:-1])
        seconds_until_served(receiver.port, "127.0.0.2", 60, context)
        assert converse(lambda: client.read(65536))[0] == ABORT
    receiver.wait_for_log("127.0.0.2 needs its place (--idle-eviction)")


def test_a_stop_does_not_wait_for_a_handshake(ours: Start, certificates: Certificates) -> None:
    receiver = ours(*tls(certificates))
    with socket.create_connection(("localhost", receiver.port), timeout=10) as stopped:
        stopped.sendall(client_hello())
        assert stopped.recv(5)
        began = time.monotonic()
        assert receiver.stop() == 0
        assert time.monotonic() - began < 7, "the time that an instance under way would have"
