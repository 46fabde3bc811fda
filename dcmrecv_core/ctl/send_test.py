"""`dcmrecvctl send-test PORT`: stores a made-up image as a modality would, and looks for its file.

The sender is pynetdicom, so what the receiver does is judged by another program.
"""

from __future__ import annotations

import argparse
import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcmrecv_core.config.configuration import Configuration
from dcmrecv_core.ctl.checking.surroundings import output_directory_of
from dcmrecv_core.ctl.receiver import CommandError, Write
from dcmrecv_core.net.tls.context import reason_of
from dcmrecv_core.settings.uids import name_of
from dcmrecv_core.storage.file_meta import find_file_meta

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pynetdicom.association import Association

SECONDS = 30.0
"""For the connection, and for each answer."""

LOOK_SECONDS = 30.0
"""For the search below the output directory."""

PATIENT = "DCMRECV-TEST"
"""Patient ID and name of the image, by which people recognise it later."""

_SLACK = 2.0  # file systems have coarse time stamps
_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
    "1.2.840.10008.5.1.4.1.1.2",  # CT
    "1.2.840.10008.5.1.4.1.1.4",  # MR
    "1.2.840.10008.5.1.4.1.1.1",  # CR
)
"""The first one that the receiver accepts is sent."""

_SYNTAXES = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
_REJECTED = {
    (1, 1, 1): "the receiver accepts none of the images that a test can send: see -xf, -pm and its plugins",
    (1, 1, 2): "it does not know the application context",
    (1, 1, 3): "it does not accept the calling title: give another one with --calling",
    (1, 1, 7): "it does not accept the called title: give its own with --called",
    (2, 3, 1): "it has too little disk or memory now: 'dcmrecvctl status' and its log say more",
    (2, 3, 2): "all its places are taken now",
}
"""Result, source and reason (PS3.8 section 9.3.4)."""


def add_commands(commands: Any, which: argparse.ArgumentParser) -> None:
    """Declare `send-test`; `which` has the options that all commands have."""
    text = "store a made-up image, and look for its file"
    added = commands.add_parser("send-test", parents=[which], help=text, description=f"{text.capitalize()}.")
    added.add_argument("port", metavar="PORT", type=int, help="of the receiver")
    added.add_argument("--host", metavar="HOST", default="localhost", help="of the receiver (default: localhost)")
    added.add_argument("--called", metavar="TITLE", default="ANY-SCP", help="its AE title (default: ANY-SCP)")
    added.add_argument("--calling", metavar="TITLE", default="SEND-TEST", help="ours (default: SEND-TEST)")
    added.add_argument("--tls", metavar="FILE", help="use TLS, and trust this certificate (PEM)")
    added.add_argument(
        "--tls-key", nargs=2, metavar=("KEY", "CERTIFICATE"), help="our own with TLS, if the receiver wants one (PEM)"
    )
    added.set_defaults(run_alone=run)


def run(arguments: argparse.Namespace, write: Write) -> int:
    """Raises CommandError if the image is not stored, or not found where it should be; StartError."""
    directory = _directory(arguments)
    context = _tls_context(arguments)
    begun = time.time()
    association = _associate(arguments, context)
    try:
        dataset = _store(association, write)
    finally:
        association.release()
    if directory is None:
        write("not looked for: --settings FILE or --state-dir DIR says where the receiver stores\n")
        return 0
    found = next(_files_of(directory, str(dataset.SOPInstanceUID), begun - _SLACK), None)
    if found is None:
        raise CommandError(
            f"it is not below {directory}: the receiver stores elsewhere, a plugin does, or it has --ignore"
        )
    write(f"found: {found}\n")
    return 0


def _directory(arguments: argparse.Namespace) -> Path | None:
    """The output directory of the receiver, None if nothing says where it is."""
    if "settings" in arguments:
        line = Configuration("dcmrecv", ["--settings", arguments.settings], port_optional=True).line
        return output_directory_of(line.settings)
    if "state_dir" in arguments and Path(arguments.state_dir).name == ".dcmrecv":
        return Path(arguments.state_dir).absolute().parent
    return None


def _tls_context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if arguments.tls is None:
        if arguments.tls_key:
            raise CommandError("--tls-key needs --tls, the certificate to trust")
        return None
    try:
        context = ssl.create_default_context(cafile=arguments.tls)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate may be the receiver's own
        if arguments.tls_key:
            key, certificate = arguments.tls_key
            context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise CommandError(f"keys or certificates cannot be read: {reason_of(error)}") from error
    context.check_hostname = False  # as DICOM senders do: the certificate is trusted, not the name
    return context


def _associate(arguments: argparse.Namespace, context: ssl.SSLContext | None) -> Association:
    from pynetdicom import AE, evt

    entity = AE(ae_title=arguments.calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = SECONDS
    for sop_class in _CLASSES:
        entity.add_requested_context(sop_class, _SYNTAXES)
    where = f"{arguments.host} port {arguments.port}"
    heard: list[bytes] = []
    association = entity.associate(
        arguments.host,
        arguments.port,
        ae_title=arguments.called,
        tls_args=(context, arguments.host) if context is not None else None,
        evt_handlers=[(evt.EVT_DATA_RECV, lambda event: heard.append(event.data))],
    )
    if association.is_established:
        return association
    if heard and heard[0][0] == 3:  # A-ASSOCIATE-RJ, PS3.8 section 9.3.4
        result, source, reason = heard[0][7:10]
        why = _REJECTED.get((result, source, reason), f"result/source/reason {result}/{source}/{reason}")
        raise CommandError(f"{where} rejects the association: {why}")
    if heard:
        raise CommandError(f"{where} ends the association: its log says why")
    raise CommandError(f"{where} cannot be reached: {_why_not(arguments, context)}")


def _why_not(arguments: argparse.Namespace, context: ssl.SSLContext | None) -> str:
    """pynetdicom does not say it."""
    try:
        with socket.create_connection((arguments.host, arguments.port), timeout=SECONDS) as connection:
            if context is not None:
                context.wrap_socket(connection, server_hostname=arguments.host).close()
    except OSError as error:
        return reason_of(error)
    return "it takes the connection and gives no answer; does it want TLS?" if context is None else "it gives no answer"


def _store(association: Association, write: Write) -> Dataset:
    accepted = {str(context.abstract_syntax): context for context in association.accepted_contexts}
    sop_class = next((each for each in _CLASSES if each in accepted), None)
    if sop_class is None:
        raise CommandError(_REJECTED[1, 1, 1])
    dataset = _image(sop_class, str(accepted[sop_class].transfer_syntax[0]))
    answer = association.send_c_store(dataset)
    if "Status" not in answer:
        raise CommandError("the image got no answer: the connection was lost, or it took too long")
    status, comment = int(answer.Status), str(answer.get("ErrorComment", "") or "")
    what = f"{name_of(sop_class)} {dataset.SOPInstanceUID}"
    if status and status >> 12 != 0xB:  # success and warnings (PS3.7 annex C)
        raise CommandError(f"{what} is refused: status {status:04X}" + f", {comment}" * bool(comment))
    write(f"stored: {what}, status {status:04X}" + f", {comment}" * bool(comment) + "\n")
    return dataset


def _image(sop_class: str, transfer_syntax: str) -> Dataset:
    """A grey square of 8 by 8 pixels."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = generate_uid(None)
    dataset.StudyInstanceUID = generate_uid(None)
    dataset.SeriesInstanceUID = generate_uid(None)
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = time.strftime("%Y%m%d")
    dataset.StudyTime = dataset.ContentTime = time.strftime("%H%M%S")
    dataset.PatientID = dataset.PatientName = PATIENT
    dataset.PatientBirthDate = dataset.PatientSex = dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.StudyID, dataset.Modality, dataset.ConversionType = "TEST", "OT", "SYN"
    dataset.StudyDescription = "Test of dcmrecvctl send-test"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = bytes([128]) * 64
    return dataset


def _files_of(directory: Path, uid: str, since: float) -> Iterator[str]:
    """Files below the directory that were written since then, and have this SOP Instance UID. Raises CommandError if
    the search takes too long."""
    end = time.monotonic() + LOOK_SECONDS
    for parent, subdirectories, names in os.walk(directory):
        subdirectories[:] = [name for name in subdirectories if name != ".dcmrecv"]
        if time.monotonic() > end:
            raise CommandError(f"it is stored, but there are too many files below {directory} to look for it")
        for name in names:
            path = os.path.join(parent, name)
            if _is_of(path, uid, since):
                yield path


def _is_of(path: str, uid: str, since: float) -> bool:
    try:
        if os.lstat(path).st_mtime < since:
            return False
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return find_file_meta(fd).sop_instance_uid == uid
    except (OSError, ValueError):
        return False
    finally:
        os.close(fd)
