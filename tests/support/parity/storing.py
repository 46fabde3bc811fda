"""C-STOREs of single data sets to a running receiver, and their outcomes."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from support.data.samples import Sample
from support.data.stored_files import StoredFile, stored_file
from support.programs.receivers import Receiver
from support.protocol.raw_sender import RawAssociation
from support.uids import BIG_ENDIAN, CT, EXPLICIT_LE, IMPLICIT_LE, MR, PRIVATE_CLASS, SECONDARY_CAPTURE, VERIFICATION

PLAIN = (EXPLICIT_LE, IMPLICIT_LE, BIG_ENDIAN)
CLASSES = (VERIFICATION, CT, MR, SECONDARY_CAPTURE, PRIVATE_CLASS)

IMPLEMENTATION = (0x00020000, 0x00020012, 0x00020013)
"""What identifies an implementation in the File Meta Information, and its length: these must differ."""


class Stored(NamedTuple):
    """The outcome of one C-STORE: its status, None if the association ended instead; the files by name."""

    status: int | None
    files: dict[str, StoredFile]

    @property
    def data(self) -> bytes | None:
        """The stored data set; None if there is no file."""
        return next(iter(self.files.values())).data if self.files else None


def store(receiver: Receiver, sample: Sample, *, context: str = "", **request: str) -> Stored:
    """Send the sample on an association of its own, whose presentation context is of the class `context`, else of the
    sample's; the stored files are removed.

    An aborted association is closed at once, because DCMTK dcmrecv serves one association at a time.
    """
    contexts = [(context or sample.sop_class, [sample.transfer_syntax])]
    with RawAssociation(receiver.port, contexts, **request) as association:
        assert association.accepted == {1: (0, sample.transfer_syntax)}
        status = association.store(sample.sop_class, sample.sop_instance, sample.data)
        if status is not None:
            association.release()
    return Stored(status, taken_files(receiver))


def taken_files(receiver: Receiver) -> dict[str, StoredFile]:
    """The stored files by name; they and their directories are removed."""
    files = {name: stored_file(receiver.output / name) for name in receiver.files()}
    for path in receiver.output.iterdir():
        if not path.is_dir():
            path.unlink()
        elif path.name != ".dcmrecv":
            shutil.rmtree(path)
    return files


def association_profile(
    directory: Path, classes: Iterable[str] = CLASSES, transfer_syntaxes: Iterable[str] = PLAIN
) -> Path:
    """An association configuration file: its profile `default` accepts each class in each transfer syntax."""
    syntaxes = "".join(f"TransferSyntax{number} = {uid}\n" for number, uid in enumerate(transfer_syntaxes, 1))
    contexts = "".join(f"PresentationContext{number} = {uid}\\All\n" for number, uid in enumerate(classes, 1))
    path = directory / "association.cfg"
    path.write_text(
        f"[[TransferSyntaxes]]\n[All]\n{syntaxes}[[PresentationContexts]]\n[All]\n{contexts}"
        "[[Profiles]]\n[Default]\nPresentationContexts = All\n"
    )
    return path
