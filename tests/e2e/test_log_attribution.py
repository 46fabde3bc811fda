"""The log as an administrator reads it: who was refused, why, and what to do; whose image a line is about."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import identification, instance_of, pixel_data
from support.programs.certificates import Certificates
from support.programs.receivers import Receiver, Start
from support.programs.tls_clients import client_context, tls
from support.protocol.pdus import ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, associate_rq, status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, JPEG, MR, VERIFICATION

CONTEXTS = [(CT, [EXPLICIT_LE]), (VERIFICATION, [IMPLICIT_LE])]
WHO = "CT1 (127.0.0.1) to ARCHIVE"
TITLES = {"calling": "CT1", "called": "ARCHIVE"}
OTHER = identification(CT, "1.2.3") + pixel_data(2000)
"""The instance with another content than `instance_of` makes."""

REJECTING = """\
from dcmrecv_core import Reject, RejectReason, hookimpl

@hookimpl
def negotiate(association):
    if association.calling_ae_title == "CT1":
        return Reject(RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED)
"""


def log_of(receiver: Receiver) -> str:
    """The lines that stand when a later association has been served."""
    with RawAssociation(receiver.port, [(VERIFICATION, [IMPLICIT_LE])], calling="LATER") as association:
        association.echo()
        association.release()
    receiver.wait_until_over(association.local_port)
    return receiver.log


def only_line(receiver: Receiver) -> str:
    """The one line at the default level."""
    [line] = until(lambda: receiver.log.splitlines(), "a line in the log")
    return str(line)


def rejected(receiver: Receiver, request: bytes) -> None:
    with RawAssociation(receiver.port) as association:
        association.send(request)
        assert association.read_pdu()[0] == ASSOCIATE_RJ


def refused(receiver: Receiver, data: bytes, uid: str = "1.2.3") -> int | None:
    with RawAssociation(receiver.port, CONTEXTS, **TITLES) as association:
        status = association.store(CT, uid, data)
        association.release()
    receiver.wait_until_over(association.local_port)
    return status


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "full"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], timeout=10, check=True)
    yield place
    subprocess.run(["umount", "-l", place], timeout=10, check=True)


# One line explains each refusal


def test_fault_21_a_wrong_title_is_explained(ours: Start) -> None:
    receiver = ours("-pm", "--plugin", "./rejecting.py", files={"rejecting.py": REJECTING})
    rejected(receiver, associate_rq(CONTEXTS, **TITLES))
    assert only_line(receiver) == (
        f"W: Association from {WHO}: rejected (1/1/3), calling AE title not recognized, by plugin rejecting: see its "
        "options"
    )


def test_fault_21_a_wrong_class_is_explained(ours: Start, config: Path) -> None:
    receiver = ours("-xf", config, "default")
    rejected(receiver, associate_rq([(MR, [JPEG])], **TITLES))
    assert only_line(receiver) == (
        f"W: Association from {WHO}: rejected (1/1/1), none of its presentation contexts is accepted: "
        "MRImageStorage (JPEGBaseline); see -xf, -pm or [[contexts]] in --settings"
    )


@pytest.mark.parametrize("asks", [False, True], ids=["nothing", "C-ECHO"])
def test_fault_21_a_sender_that_can_send_nothing_is_explained(ours: Start, config: Path, asks: bool) -> None:
    """As storescu, it proposes more classes than it needs, and only that one is refused. A C-ECHO is no failure."""
    receiver = ours("-xf", config, "default")
    with RawAssociation(receiver.port, [(MR, [JPEG]), (VERIFICATION, [IMPLICIT_LE])], **TITLES) as association:
        if asks:
            assert association.echo(3) == 0
        association.release()
    assert receiver.stop() == 0
    expected = (
        f"W: Association from {WHO}: nothing was sent; of its presentation contexts these are refused: "
        "MRImageStorage (JPEGBaseline); see -xf, -pm or [[contexts]] in --settings"
    )
    assert receiver.log.splitlines() == ([] if asks else [expected])


def test_fault_21_a_sender_without_certificate_is_explained(ours: Start, certificates: Certificates) -> None:
    arguments = [argument for argument in tls(certificates) if argument != "-v"]
    receiver = ours(*arguments)
    with suppress(OSError), RawAssociation(receiver.port, CONTEXTS, tls=client_context(certificates, None)):
        pass
    receiver.wait_for_log("to serve it without")
    assert receiver.log.splitlines() == [
        "E: Could not receive association request: TLS error: peer did not return a certificate",
        "E:   from 127.0.0.1: the sender shows no certificate; give it one that +cf or +cd trusts, or use -vc to "
        "serve it without",
    ]


def test_fault_21_a_full_disk_is_explained(ours: Start, full_disk: Path) -> None:
    receiver = ours("-pm", "-od", full_disk)
    assert refused(receiver, identification(CT, "1.2.3") + pixel_data(1 << 17)) == 0xA700
    theirs, own = receiver.log.splitlines()
    assert theirs == f"E: cannot store received object: {full_disk}/CT.1.2.3: No space left on device"
    assert own == (
        f"E: C-STORE 1.2.3 from {WHO}: refused with status A700: Cannot store file: No space left on device "
        f"(file {full_disk}/CT.1.2.3; the file system is full; --min-free rejects associations before that)"
    )


def test_fault_21_a_duplicate_is_explained(ours: Start) -> None:
    receiver = ours("-pm", "--on-duplicate", "refuse")
    assert refused(receiver, instance_of(CT, "1.2.3")) == 0
    assert receiver.log == ""
    assert refused(receiver, OTHER) == 0x0111
    assert only_line(receiver) == (
        f"W: C-STORE 1.2.3 from {WHO}: refused with status 0111: File exists already (file out/CT.1.2.3; see "
        "--on-duplicate, or on_exists of the plugin that chose the name)"
    )


def test_fault_21_a_broken_data_set_is_explained(ours: Start) -> None:
    receiver = ours("-pm")
    assert refused(receiver, instance_of(CT, "1.2.3")[:-4]) == 0xC000
    own = receiver.log.splitlines()[0]
    assert own.startswith(f"E: C-STORE 1.2.3 from {WHO}: refused with status C000: (7FE0,0010) at ")
    assert own.endswith("; the sender's data set is broken; --bit-preserving stores it unchecked)")


def test_fault_21_too_little_space_is_explained(ours: Start) -> None:
    receiver = ours("-pm", "--min-free", "4000000G")
    rejected(receiver, associate_rq(CONTEXTS, **TITLES))
    line = only_line(receiver)
    assert line.startswith(f"W: Association from {WHO}: rejected (2/3/1), {receiver.output} has ")
    assert line.endswith(" bytes free, less than --min-free")


def test_fault_21_a_limit_is_explained(ours: Start) -> None:
    receiver = ours("-pm", "--max-per-peer", "1")
    with RawAssociation(receiver.port, CONTEXTS):
        rejected(receiver, associate_rq(CONTEXTS, **TITLES))
    assert only_line(receiver) == (
        f"W: Refusing Association from {WHO} (local limit exceeded): see --max-per-peer; this address has 1 of 1 "
        "associations; --dimse-timeout ends associations that peers leave open"
    )


def test_fault_21_a_message_on_a_refused_context_is_explained(ours: Start, config: Path) -> None:
    receiver = ours("-xf", config, "default")
    with RawAssociation(receiver.port, [*CONTEXTS, (MR, [JPEG])], **TITLES) as association:
        association.request(store_rq(MR, "1.2.3"), b"", context_id=5)
        assert association.read_pdu()[0] == ABORT
    assert only_line(receiver) == (
        f"E: protocol error by {WHO}: presentation context 5 was not accepted: MRImageStorage (JPEGBaseline)"
    )


def test_fault_21_what_keep_drops_is_not_called_stored(ours: Start) -> None:
    receiver = ours("-v", "-pm", "--on-duplicate", "keep")
    assert refused(receiver, instance_of(CT, "1.2.3")) == 0
    before = len(receiver.log)
    assert refused(receiver, OTHER) == 0
    later = receiver.log[before:]
    assert "Stored" not in later
    assert f"I: C-STORE 1.2.3 from {WHO}: not stored, as another content of it is kept in out/CT.1.2.3, " in later
    assert f"I: Association from {WHO}: released after " in later and "; 0 stored, 0 refused, 1 discarded, " in later


# Whose image it is


def test_fault_21_with_eight_senders_each_image_has_its_sender(ours: Start) -> None:
    receiver = ours("-v", "-pm", "--no-fsync", "+fd", "-fe", ".dcm")
    uids = {f"CT{sender}": [f"1.2.{sender}.{number}" for number in range(20)] for sender in range(1, 9)}

    def send(title: str, association: RawAssociation) -> None:
        for uid in uids[title]:
            assert association.store(CT, uid, instance_of(CT, uid)) == 0
        association.release()

    with ExitStack() as stack:
        # one after the other: eight at once may be too many for what a busy machine can fork in time
        associations = {
            title: stack.enter_context(RawAssociation(receiver.port, CONTEXTS, calling=title, called="ARCHIVE"))
            for title in uids
        }
        threads = [threading.Thread(target=send, args=each) for each in associations.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    pattern = re.compile(r"I: C-STORE (\S+) from (\S+) \(127\.0\.0\.1\) to ARCHIVE: stored in out/\S+, \d+ bytes")
    ends = re.compile(r"I: Association from (\S+) \(127\.0\.0\.1\) to ARCHIVE: released after \S+ s; 20 stored, ")
    log = until(lambda: receiver.log if len(ends.findall(receiver.log)) == 8 else "", "all associations ended")
    assert sorted(pattern.findall(log)) == sorted((uid, title) for title in uids for uid in uids[title])
    assert sorted(ends.findall(log)) == sorted(uids)


def test_fault_21_json_and_patterns_name_the_sender(ours: Start) -> None:
    plugin = (
        "import logging\nfrom dcmrecv_core import hookimpl\nlog = logging.getLogger('mysite')\n"
        "@hookimpl\ndef receive(instance):\n    log.warning('seen\\x1b', extra={'association': 7})\n"
    )
    receiver = ours("-v", "-pm", "--log-format", "json", "--plugin", "./seen.py", files={"seen.py": plugin})
    assert refused(receiver, instance_of(CT, "1.2.3")) == 0
    entries = [json.loads(line) for line in receiver.log.splitlines()]
    [seen] = [entry for entry in entries if entry["logger"] == "mysite"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", seen.pop("time"))
    association = seen.pop("association")
    assert re.fullmatch("[0-9a-f]{16}", association)
    assert seen.pop("process") in receiver.workers()
    assert seen == {
        "level": "WARN",
        "logger": "mysite",
        "message": "seen\\x1b",
        "peer": "127.0.0.1",
        "calling": "CT1",
        "called": "ARCHIVE",
        "instance": "1.2.3",
    }
    for beginning in ("C-STORE ", "Received C-STORE ", "Sending C-STORE "):
        own = [entry for entry in entries if entry["message"].startswith(beginning)]
        assert [(entry["instance"], entry["association"]) for entry in own] == [("1.2.3", association)]

    config = (
        "log4cplus.rootLogger = INFO, c\nlog4cplus.appender.c = log4cplus::ConsoleAppender\n"
        "log4cplus.appender.c.logToStdErr = true\nlog4cplus.appender.c.layout = log4cplus::PatternLayout\n"
        "log4cplus.appender.c.layout.ConversionPattern = %X{calling}|%X{called}|%X{peer}|%X{instance}|%m%n\n"
    )
    receiver = ours("-pm", "-lc", "log.cfg", files={"log.cfg": config})
    assert refused(receiver, instance_of(CT, "1.2.3")) == 0
    assert "\nCT1|ARCHIVE|127.0.0.1|1.2.3|Sending C-STORE Response (Success)\n" in receiver.log


ENDED = """\
import logging
from dcmrecv_core import hookimpl
log = logging.getLogger("mysite")

@hookimpl
def association_ended(association, summary):
    log.warning("%s", summary.ended.name)

@hookimpl
def worker_stopping():
    log.warning("STOPPING")
"""


def test_fault_21_a_record_names_no_other_sender(ours: Start) -> None:
    """An association that was lost with its worker is told by another one; a worker without one has no sender."""
    receiver = ours("-pm", "--log-format", "json", "--plugin", "./ended.py", files={"ended.py": ENDED})

    def said(message: str) -> list[dict[str, str]]:
        entries = map(json.loads, receiver.log.splitlines())
        return [entry for entry in entries if (entry["logger"], entry["message"]) == ("mysite", message)]

    with RawAssociation(receiver.port, CONTEXTS, **TITLES) as association:
        os.kill(receiver.worker_serving(association.local_port), signal.SIGKILL)
        [lost] = until(lambda: said("LOST"), "the lost association")
    with RawAssociation(receiver.port, CONTEXTS, calling="CT2") as association:
        association.release()
    [released] = until(lambda: said("RELEASED"), "the other one")
    receiver.stop()
    assert (lost["calling"], lost["called"], lost["peer"]) == ("CT1", "ARCHIVE", "127.0.0.1")
    assert (released["calling"], released["called"]) == ("CT2", "ANY")
    assert lost["association"] != released["association"]
    assert said("STOPPING")
    assert not any(entry.keys() & {"peer", "calling", "association"} for entry in said("STOPPING"))


# Connections that bring no association


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("ending", [socket.socket.close, reset], ids=["closed", "reset"])
def test_fault_20_a_connection_without_a_byte_makes_no_line(ours: Start, ending: object) -> None:
    assert callable(ending)
    receiver = ours("-v", "-pm")
    before = len(receiver.log)
    for _ in range(3):
        ending(socket.create_connection(("127.0.0.1", receiver.port), timeout=10))
    later = log_of(receiver)[before:]
    assert later.startswith("I: Association Received localhost: LATER -> ANY\n"), later


@pytest.mark.parametrize("ending", [socket.socket.close, reset], ids=["closed", "reset"])
def test_fault_20_nor_on_a_port_with_tls(ours: Start, certificates: Certificates, ending: object) -> None:
    assert callable(ending)
    receiver = ours(*tls(certificates, "-ic"))
    before = len(receiver.log)
    ending(socket.create_connection(("127.0.0.1", receiver.port), timeout=10))
    context = client_context(certificates, None)
    secured = context.wrap_socket(
        socket.create_connection(("127.0.0.1", receiver.port), timeout=10), server_hostname="localhost"
    )
    ending(secured)
    with RawAssociation(receiver.port, CONTEXTS, tls=context, calling="LATER") as association:
        association.release()
    receiver.wait_for_log(" LATER (127.0.0.1) to ANY: released after ")
    assert receiver.log[before:].startswith("I: Association Received localhost: LATER -> ANY\n"), receiver.log


OTHERS = {
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP", "a health check connects without sending"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP", "this port speaks DICOM only"),
    "PROXY 1": (
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        "the PROXY protocol, version 1",
        "use --proxy-from",
    ),
    "PROXY 2": (
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
        "the PROXY protocol, version 2",
        "use --proxy-from",
    ),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH", "this port speaks DICOM only"),
    "HL7": (b"\x0bMSH|^~\\&|A|B|C|D\r\x1c\r", "HL7 (MLLP)", "another port"),
    "TLS": (b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03", "TLS", "--enable-tls"),
}


@pytest.mark.parametrize(("said", "name", "to_do"), OTHERS.values(), ids=OTHERS)
def test_fault_20_another_protocol_is_named_once(ours: Start, said: bytes, name: str, to_do: str) -> None:
    receiver = ours("-pm")
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as peer:
        peer.sendall(said)
        peer.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while peer.recv(100):
                pass
    line = only_line(receiver)
    assert line.startswith(f"W: connection from 127.0.0.1 refused: {name} instead of DICOM; ")
    assert to_do in line


def test_fault_20_dicom_on_the_tls_port_is_named(ours: Start, certificates: Certificates) -> None:
    arguments = [argument for argument in tls(certificates) if argument != "-v"]
    receiver = ours(*arguments)
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as peer:
        peer.sendall(associate_rq(CONTEXTS, **TITLES))
        assert peer.recv(1) == b""
    assert only_line(receiver) == (
        f"W: connection from {WHO} refused: DICOM without TLS on a port with TLS (--enable-tls); use TLS in the "
        "sender, or a port without it"
    )


@pytest.mark.parametrize(
    ("cipher", "hint"),
    [
        ("AES128-SHA", "it would be served with +px (BCP 195 TLS Profile)"),
        ("ECDHE-RSA-CHACHA20-POLY1305", "profile in use, nor of any other"),
    ],
)
def test_fault_20_no_shared_cipher_says_what_would_serve(
    ours: Start, certificates: Certificates, cipher: str, hint: str
) -> None:
    receiver = ours(*tls(certificates, "-ic"))
    context = client_context(certificates, None)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    for _ in range(2):  # the second one is judged by the profile in use again
        with pytest.raises(OSError), RawAssociation(receiver.port, CONTEXTS, tls=context):
            pass
    receiver.wait_for_log(hint)
    text = "E: Could not receive association request: TLS error: no shared cipher\nE:   from 127.0.0.1: the sender "
    until(lambda: receiver.log.count(text) == 2, "both lines")
    assert receiver.log.count(hint) == 2


# How associations end


def test_fault_22_a_closed_and_a_reset_connection_are_told_apart(ours: Start) -> None:
    receiver = ours("-v", "-pm")
    with RawAssociation(receiver.port, CONTEXTS, **TITLES):
        pass
    receiver.wait_for_log(f"I: Association from {WHO}: connection closed by the peer after ")
    with RawAssociation(receiver.port, CONTEXTS, **TITLES) as association:
        association.request(store_rq(CT, "1.2.3"), bytes(100), last=False)
        reset(association.socket)
    receiver.wait_for_log(f"I: Association from {WHO}: connection lost within a message (Connection reset by peer) ")
    assert receiver.log.count("I: Received Association Abort Request\n") == 2
    assert f"E: C-STORE 1.2.3 from {WHO}: not received, connection lost within a message " in receiver.log
    with RawAssociation(receiver.port, CONTEXTS, **TITLES) as association:
        association.abort()
    receiver.wait_for_log(f"I: Association from {WHO}: aborted by the peer (source 0, reason 0) after ")


def test_fault_22_a_second_request_is_aborted_with_a_line(ours: Start, config: Path) -> None:
    receiver = ours("-xf", config, "default")
    request = associate_rq(CONTEXTS, **TITLES)
    with RawAssociation(receiver.port) as association:
        association.send(request)
        assert association.read_pdu()[0] == ASSOCIATE_AC
        association.send(request)
        assert association.read_pdu()[0] == ABORT
    assert only_line(receiver) == f"E: protocol error by {WHO}: unexpected A-ASSOCIATE-RQ"


def test_fault_22_a_request_after_a_rejection_is_aborted_with_a_line(ours: Start, config: Path) -> None:
    receiver = ours("-xf", config, "default")
    request = associate_rq([(MR, [JPEG])], **TITLES)
    with RawAssociation(receiver.port) as association:
        association.send(request + request)
        assert association.read_pdu()[0] == ASSOCIATE_RJ
        assert association.read_pdu()[0] == ABORT
    _, line = until(lambda: receiver.log.splitlines()[1:] and receiver.log.splitlines(), "the second line")
    assert line == (
        f"W: Association from {WHO}: another A-ASSOCIATE-RQ or an invalid PDU after its end, answered with A-ABORT"
    )


def test_fault_21_the_status_of_a_refusal_is_not_lost(ours: Start) -> None:
    """A plugin that fails: one line of the guard has all of it, and none repeats it."""
    failing = "from dcmrecv_core import hookimpl\n@hookimpl\ndef receive(instance):\n    raise ValueError('broken')\n"
    receiver = ours("-pm", "--plugin", "./failing.py", files={"failing.py": failing})
    with RawAssociation(receiver.port, CONTEXTS, **TITLES) as association:
        association.request(store_rq(CT, "1.2.3"), instance_of(CT, "1.2.3"))
        assert status_of(association.response()) == 0x0110
        association.release()
    first, *rest = receiver.log.splitlines()
    assert "plugin failing: receive: ValueError('broken')" in first
    assert "(CT1@127.0.0.1, SOP instance 1.2.3)" in first
    assert all(line.startswith(("E: Traceback", "E:   ", "E: ValueError")) for line in rest)
