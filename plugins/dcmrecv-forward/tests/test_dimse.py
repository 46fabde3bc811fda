"""C-STORE to real peers, and to a strict one."""

from __future__ import annotations

import io
import ssl
import statistics
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from peers import Peers
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import StoragePresentationContexts
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from dcmrecv_core import Undeliverable
from dcmrecv_core.testing import fake_event, sample_dataset, until
from dcmrecv_forward.connection import Peer
from dcmrecv_forward.dimse import DimseSender
from dcmrecv_forward.errors import NotSent, Unreachable
from support.programs.certificates import Certificates
from support.programs.receivers import free_port

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
PLAIN = (CT, ExplicitVRLittleEndian)


def sender(port: int, *, idle_seconds: float = 60, **fields: Any) -> DimseSender:
    defaults = {"host": "127.0.0.1", "called": "JUDGE", "calling": "ROUTER", "timeout": 30}
    return DimseSender(Peer(port=port, **{**defaults, **fields}), idle_seconds)


class Located:
    """An event whose file is what `open` opens."""

    def __init__(self, open: Callable[[], BinaryIO]) -> None:
        self.open = open


class Interrupted(io.FileIO):
    """A file that is stopped, as by SIGTERM, when the data set is read."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > 100 and self.tell() > 200:
            raise SystemExit
        return super().read(size) or b""


def data_set_of(path: Path) -> bytes:
    """What follows the File Meta Information."""
    with path.open("rb") as file:
        meta = dcmread(file, specific_tags=[], stop_before_pixels=True).file_meta
        file.seek(144 + meta.FileMetaInformationGroupLength)
        return file.read()


def test_as_stored_in_one_association(peers: Peers, tmp_path: Path) -> None:
    judge = peers.judge(PLAIN)
    to = sender(judge.port)
    for number in range(5):
        event = fake_event(sample_dataset(SOPInstanceUID=f"1.2.3.{number}"), output_directory=tmp_path)
        to.send(event)
        request, context, data, dataset = judge.received[-1]
        assert data == data_set_of(Path(event.location))
        assert dataset.SOPInstanceUID == request.AffectedSOPInstanceUID == f"1.2.3.{number}"
        assert (request.AffectedSOPClassUID, context.transfer_syntax) == (CT, ExplicitVRLittleEndian)
    assert judge.associations == 1
    assert judge.last.requestor.ae_title == "ROUTER" and judge.last.acceptor.ae_title == "JUDGE"
    to.close()
    until(lambda: judge.over == ["released"], "the release")


@pytest.mark.parametrize("maximum", [0, 128, 4096, 16382, 131072, 1 << 24])
def test_any_length_of_pdus(peers: Peers, tmp_path: Path, maximum: int) -> None:
    judge = peers.judge(PLAIN, maximum=maximum)
    dataset = sample_dataset()
    dataset.PixelData = bytes(range(256)) * 1001
    event = fake_event(dataset, output_directory=tmp_path)
    to = sender(judge.port)
    to.send(event)
    to.close()
    assert judge.received[0][2] == data_set_of(Path(event.location))


def test_new_kinds_of_instances_get_a_new_association_with_all_kinds(peers: Peers) -> None:
    judge = peers.judge(PLAIN, (MR, ExplicitVRLittleEndian))
    to = sender(judge.port)
    for sop_class in (CT, MR, CT, MR, CT):
        to.send(fake_event(sample_dataset(SOPClassUID=sop_class)))
    to.close()
    assert judge.associations == 2
    assert [str(request.AffectedSOPClassUID) for request, *_ in judge.received] == [CT, MR, CT, MR, CT]


def test_more_kinds_than_contexts(peers: Peers) -> None:
    names = [str(context.abstract_syntax) for context in StoragePresentationContexts]
    classes = [name for name in names if uid_to_service_class(name) is StorageServiceClass][:70]
    judge = peers.judge(*((each, ExplicitVRLittleEndian) for each in classes))
    to = sender(judge.port)
    for each in classes:
        to.send(fake_event(sample_dataset(SOPClassUID=each)))
    to.close()
    assert [str(request.AffectedSOPClassUID) for request, *_ in judge.received] == classes


@pytest.mark.parametrize(
    ("stored", "accepted"),
    [(ExplicitVRLittleEndian, ImplicitVRLittleEndian), (ImplicitVRLittleEndian, ExplicitVRLittleEndian)],
)
def test_reencoded_only_if_nothing_else_is_accepted(peers: Peers, stored: str, accepted: str) -> None:
    judge = peers.judge((CT, accepted))
    dataset = sample_dataset(transfer_syntax_uid=stored)
    to = sender(judge.port)
    to.send(fake_event(dataset))
    to.close()
    [(_, context, _, received)] = judge.received
    assert context.transfer_syntax == accepted
    assert received.pop("PixelData").value == dataset.pop("PixelData").value  # OW in implicit VR (PS3.5 annex A.1)
    assert received == dataset


def test_what_is_not_accepted_is_put_aside_and_the_association_goes_on(peers: Peers) -> None:
    judge = peers.judge(PLAIN)
    to = sender(judge.port)
    compressed = sample_dataset(transfer_syntax_uid=JPEG2000)
    compressed.PixelData = encapsulate([b"none"])
    with pytest.raises(Undeliverable, match=r"CTImageStorage in JPEG2000: transfer syntaxes not supported"):
        to.send(fake_event(compressed, transfer_syntax_uid=JPEG2000))
    with pytest.raises(Undeliverable, match=r"MRImageStorage in LittleEndianExplicit: abstract syntax not supported"):
        to.send(fake_event(sample_dataset(SOPClassUID=MR)))
    to.send(fake_event())
    to.close()
    assert judge.associations == 3  # each for a new kind


PROFILE = """
[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianExplicit
[[PresentationContexts]]
[Some]
PresentationContext1 = VerificationSOPClass\\Plain
PresentationContext2 = CTImageStorage\\Plain
[[Profiles]]
[Default]
PresentationContexts = Some
"""


def test_a_peer_that_rejects_associations_without_an_accepted_context(peers: Peers, tmp_path: Path) -> None:
    """One instance that it does not take must not look as if the peer were down."""
    (tmp_path / "profile.cfg").write_text(PROFILE)
    peer = peers.dcmrecv(profile=(tmp_path / "profile.cfg", "Default"))
    to = sender(peer.port)
    with pytest.raises(Undeliverable, match="the peer does not accept MRImageStorage in LittleEndianExplicit: "):
        to.send(fake_event(sample_dataset(SOPClassUID=MR)))
    to.send(fake_event())
    to.close()


def answer(status: int, comment: str = "") -> Dataset:
    dataset = Dataset()
    dataset.Status = status
    if comment:
        dataset.ErrorComment = comment
    return dataset


@pytest.mark.parametrize("status", [0x0000, 0x0001, 0x0107, 0x0116, 0xB000, 0xB006, 0xB007, 0xBFFF])
def test_stored(peers: Peers, status: int) -> None:
    judge = peers.judge(PLAIN)
    judge.status = answer(status, "coerced")
    to = sender(judge.port)
    assert to.send(fake_event()) == (f"status {status:04X} (coerced)" if status else "")
    to.close()


@pytest.mark.parametrize("status", [0xA900, 0xA9FF, 0xC000, 0xCFFF, 0x0111, 0x0117, 0x0122])
def test_refused_for_good(peers: Peers, status: int) -> None:
    judge = peers.judge(PLAIN)
    judge.status = answer(status, "not\x07 this")
    to = sender(judge.port)
    with pytest.raises(Undeliverable, match=rf"the peer refused it: status {status:04X} \(not\? this\)"):
        to.send(fake_event())
    judge.status = 0
    to.send(fake_event())
    to.close()
    assert judge.associations == 1


@pytest.mark.parametrize("status", [0xA700, 0xA702, 0x0110, 0x0124, 0x0213, 0xFE00])
def test_to_be_tried_again(peers: Peers, status: int) -> None:
    judge = peers.judge(PLAIN)
    judge.status = answer(status, "full")
    to = sender(judge.port)
    with pytest.raises(NotSent, match=rf"status {status:04X} \(full\)"):
        to.send(fake_event())
    to.close()


def test_an_idle_association_is_released(peers: Peers) -> None:
    judge = peers.judge(PLAIN)
    to = sender(judge.port, idle_seconds=0.05)
    for number in range(1, 3):
        to.send(fake_event())
        until(lambda number=number: len(judge.over) == number, "the release")  # type: ignore[misc]
    assert judge.over == ["released"] * 2
    assert judge.associations == 2


def test_one_that_the_peer_has_ended_is_opened_anew(peers: Peers) -> None:
    judge = peers.judge(PLAIN)
    to = sender(judge.port)
    to.send(fake_event())
    judge.last.abort()
    until(lambda: judge.over == ["aborted"], "the abort")
    to.send(fake_event())
    to.close()
    assert judge.associations == 2


def test_whatever_interrupts_a_call_ends_the_association(peers: Peers, tmp_path: Path) -> None:
    """Else the rest of one instance would be taken for the next."""
    judge = peers.judge(PLAIN)
    to = sender(judge.port)
    to.send(fake_event())

    event = fake_event(output_directory=tmp_path)
    with pytest.raises(SystemExit):
        to.send(Located(lambda: Interrupted(event.location, "rb")))  # type: ignore[arg-type]
    to.send(event)
    to.close()
    assert judge.associations == 2 and len(judge.received) == 2


def test_tls(peers: Peers, certificates: Certificates) -> None:
    judge = peers.judge(PLAIN, tls=certificates.server_context())
    trusting = ssl.create_default_context(cafile=certificates.authority)
    key, certificate = certificates.client
    with_certificate = ssl.create_default_context(cafile=certificates.authority)
    with_certificate.load_cert_chain(certificate, key)

    to = sender(judge.port, tls=with_certificate, tls_name="localhost")
    for _ in range(3):
        to.send(fake_event())
    to.close()
    assert judge.associations == 1 and len(judge.received) == 3

    with pytest.raises(Unreachable, match=r"no TLS with 127.0.0.1 port .*: IP address mismatch"):
        sender(judge.port, tls=with_certificate).send(fake_event())
    with pytest.raises(Unreachable, match=r"no TLS with .*: .*certificate"):
        sender(judge.port, tls=ssl.create_default_context(), tls_name="localhost").send(fake_event())
    with pytest.raises(Unreachable, match=r"alert certificate required|connection"):
        sender(judge.port, tls=trusting, tls_name="localhost").send(fake_event())
    with pytest.raises(Unreachable, match=r"it closed the connection|reset|broke"):
        sender(judge.port).send(fake_event())
    assert len(judge.received) == 3


def test_dcmtk_with_tls(peers: Peers, certificates: Certificates) -> None:
    key, certificate = certificates.named
    peer = peers.storescp("+tls", key, certificate, "+cf", certificates.authority)
    context = ssl.create_default_context(cafile=certificates.authority)
    key, certificate = certificates.client
    context.load_cert_chain(certificate, key)
    to = sender(peer.port, tls=context, tls_name="localhost")
    to.send(fake_event())
    to.close()
    assert len(peer.files()) == 1, peer.log


def test_nobody_there() -> None:
    with pytest.raises(Unreachable, match=r"no connection to 127.0.0.1 port .*: Connection refused"):
        sender(free_port()).send(fake_event())
    with pytest.raises(Unreachable, match=r"no connection to no\.such\.invalid port 104"):
        sender(104, host="no.such.invalid").send(fake_event())
    with pytest.raises(Unreachable, match="no connection to"):
        sender(104, host="x" * 70 + ".invalid").send(fake_event())


def test_orthanc_and_dcmtk_take_compressed_and_plain_images(peers: Peers) -> None:
    orthanc, dcmrecv = peers.orthanc(), peers.dcmrecv("--bit-preserving", "--unique-filenames")
    names = ("CT_small.dcm", "JPEG2000.dcm", "MR_small_RLE.dcm", "MR_small_implicit.dcm", "JPGExtended.dcm")
    paths = [Path(str(get_testdata_file(name))) for name in names]
    for port, called in ((orthanc.port, "ORTHANC"), (dcmrecv.port, "ANY")):
        to = sender(port, called=called)
        for path in paths:
            to.send(Located(partial(path.open, "rb")))  # type: ignore[arg-type]
        to.close()
    assert orthanc.instances() == {str(dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths}
    assert {data_set_of(path) for path in dcmrecv.files()} == {data_set_of(path) for path in paths}


def test_a_large_instance_is_not_in_memory(peers: Peers, tmp_path: Path) -> None:
    peer = peers.storescp("--ignore")
    dataset = sample_dataset()
    event = fake_event(dataset, output_directory=tmp_path)
    path = Path(event.location)
    with path.open("r+b") as file:
        file.seek(-16 - 12, 2)
        header = file.read(8)
        assert header[4:6] == b"OB"
        size = 200_000_000
        file.write(size.to_bytes(4, "little"))
        file.truncate(file.tell() + size)
    to = sender(peer.port, timeout=60)
    tracemalloc.start()
    try:
        to.send(event)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    to.close()


def test_a_peer_that_sends_responses_in_pieces_is_not_slow(peers: Peers) -> None:
    """DCMTK without TCP_NODELAY waits for our acknowledgement within each response, which takes 40 ms by default."""
    peer = peers.storescp("--ignore")
    to = sender(peer.port)
    event = fake_event()
    times = []
    for _ in range(100):
        started = time.monotonic()
        to.send(event)
        times.append(time.monotonic() - started)
    assert statistics.median(times) < 0.04 / 2
    to.close()
