"""A file that was stored: found again by its location, contained in the output directory as when it was stored; its
elements, and whether it is still what was stored."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, BinaryIO

from dcmrecv_core.api.errors import DataSetError, HookFailure
from dcmrecv_core.api.model import RawElement
from dcmrecv_core.api.names import check_filename, split_directory
from dcmrecv_core.dataset.digest import Digest
from dcmrecv_core.dataset.elements import DataSetIndex
from dcmrecv_core.dataset.encodings import IMPLICIT_LITTLE, Encoding, encoding_of
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.dataset.sources import FileSource
from dcmrecv_core.dataset.values import get_raw, read_only_header
from dcmrecv_core.storage.directories import DIRECTORY_FLAGS, open_directory
from dcmrecv_core.storage.file_meta import LIMIT, find_file_meta, meta_values, title_in

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_CHUNK = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def stored_place(location: str, root: str, start: str = "") -> Iterator[tuple[int, str] | None]:
    """The descriptor of the directory that `location` is in, open within the block, and the name in there.

    `location` is a path as `Instance.save` returns it, `root` the output directory, relative to `start`. None for any
    other path and for URIs. Raises OSError: FileNotFoundError if the directory is gone, PermissionError if another
    user's link is in the way.
    """
    place = _split(location, root, start)
    if place is None:
        yield None
        return
    parts, name = place
    directory = _enter(os.path.join(start, root), parts, location)
    try:
        yield directory, name
    finally:
        os.close(directory)


def open_stored(location: str, root: str, start: str = "") -> BinaryIO | None:
    """Open the file at `location`, a path as `Instance.save` returns it, for reading.

    `root` is the output directory, relative to `start`. Returns None for any other path and for URIs. Raises OSError:
    FileNotFoundError if the file is gone, PermissionError if another user's link is in the way.
    """
    with stored_place(location, root, start) as place:
        if place is None:
            return None
        directory, name = place
        fd = os.open(name, _FLAGS, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "Not a regular file", location)
    return os.fdopen(fd, "rb")


def read_elements(file: BinaryIO, tags: Iterable[int], limit: int) -> dict[int, RawElement]:
    """The top-level elements with these tags that a DICOM file has, by tag, as `Instance.raw` gives them: as received,
    at most `limit` bytes of each value.

    The data set is read in the same way as when it was received: if it cannot be understood to its end, as far as it
    can, up to the pixel data; one in an unknown encoding as implicit VR. A `file` that is not one of the file system is
    copied into an unnamed one. Raises ValueError if it is not a DICOM file, or ends in its File Meta Information;
    OSError.
    """
    found = {}
    with _indexed(file) as (index, encoding):
        for tag in tags:
            with suppress(DataSetError):  # deflated data break off within this value
                found[tag] = get_raw(index, encoding, tag, limit)
    return {tag: element for tag, element in found.items() if element is not None}


def read_header(file: BinaryIO) -> Dataset:
    """What a DICOM file has before its pixel data, as `Instance.header` gives it: a pydicom Dataset of all top-level
    elements, values above 64 KiB left out, that cannot be changed, and of which no value raises.

    The file is read, and exceptions are, as in `read_elements`.
    """
    with _indexed(file) as (index, encoding):
        return read_only_header(index, encoding)


@contextmanager
def _indexed(file: BinaryIO) -> Iterator[tuple[DataSetIndex, Encoding]]:
    """Where the elements are, within the block, and the encoding in which they are."""
    with _of_system(file) as fd:
        meta = find_file_meta(fd)
        encoding = encoding_of(meta.transfer_syntax_uid) or IMPLICIT_LITTLE
        source = FileSource(fd, meta.offset, max(0, os.fstat(fd).st_size - meta.offset))
        try:
            index = scan(source, encoding, whole=True)
        except DataSetError:
            index = scan(source, encoding, whole=False)
        yield index, encoding


@contextmanager
def _of_system(file: BinaryIO) -> Iterator[int]:
    """The descriptor of a regular file, within the block: `file` itself, or a copy of what comes from elsewhere."""
    if _is_regular(file):
        yield file.fileno()
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy, _CHUNK)
        copy.flush()
        yield copy.fileno()


def _is_regular(file: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # io.UnsupportedOperation: it has no descriptor
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """What a stored file has: the UIDs of its File Meta Information, length and digest of its data set."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    source_ae_title: str | None
    """Of the sender: only files of `--bit-preserving` have it."""
    size: int
    digest: str
    """As in `StoredEvent.digest`: while the file is what was stored, they are equal."""


def examine_stored(file: BinaryIO) -> StoredFile:
    """Read a whole stored file, from its beginning, to compare it with what is known of its instance.

    Raises ValueError, with the reason, if what precedes the data set is not as dcmrecv writes it; OSError; ImportError
    if the package xxhash is missing (`dcmrecv[digest]`).
    """
    head = file.read(LIMIT)
    values, offset = meta_values(head)
    sop_class, sop_instance, syntax = (
        values.get(number, b"").removesuffix(b"\0").decode("latin-1") for number in (0x02, 0x03, 0x10)
    )
    title = title_in(head[:offset], (sop_class, sop_instance, syntax))
    digest = Digest()
    size = 0
    piece: bytes | memoryview = memoryview(head)[offset:]
    while piece:
        digest.update(piece)
        size += len(piece)
        piece = file.read(_CHUNK)
    return StoredFile(
        sop_class_uid=sop_class,
        sop_instance_uid=sop_instance,
        transfer_syntax_uid=syntax,
        source_ae_title=title,
        size=size,
        digest=digest.text(),
    )


def remove_stored(location: str, root: str, start: str = "") -> bool | None:
    """Remove the file at `location`; true when it is gone, also if it was before. None and OSError as `open_stored`."""
    try:
        with stored_place(location, root, start) as place:
            if place is None:
                return None
            directory, name = place
            os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    return True


def _split(location: str, root: str, start: str) -> tuple[tuple[str, ...], str] | None:
    wholes = (location,) if "://" in location else (location, os.path.join(start, location))
    joined = os.path.join(start, root)
    for whole, above in product(wholes, (root, joined, os.path.normpath(joined))):
        if whole.startswith(f"{above}/"):
            subdir, name = os.path.split(whole.removeprefix(f"{above}/"))
            try:
                check_filename(name)
                return split_directory(subdir), name
            except ValueError:
                return None
    return None


def _enter(directory: str, parts: tuple[str, ...], location: str) -> int:
    """The descriptor of the directory, opened part by part without following other users' links."""
    fd = os.open(directory, DIRECTORY_FLAGS)
    for part in parts:
        try:
            below = open_directory(fd, part)
        except HookFailure as error:
            raise PermissionError(errno.EACCES, error.comment, location) from error
        finally:
            os.close(fd)
        fd = below
    return fd
