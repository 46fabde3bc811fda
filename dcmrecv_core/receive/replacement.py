"""The bytes with which `replace_header` and `replace` replace received ones."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dcmrecv_core.dataset.elements import PIXEL_DATA_TAGS
from dcmrecv_core.dataset.raw_values import split_header
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.dataset.sources import MemorySource
from dcmrecv_core.storage.content import FileRange, Piece, piece_length

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dcmrecv_core.dataset.elements import DataSetIndex
    from dcmrecv_core.dataset.encodings import Encoding
    from dcmrecv_core.dataset.sources import ByteSource

_WINDOW = 256 * 1024
_FIRST_PIXEL_DATA_TAG = min(PIXEL_DATA_TAGS)


class Received(NamedTuple):
    """A range of the received data set that stays unchanged; offsets as in the index."""

    start: int
    end: int


def encode(dataset: Dataset, encoding: Encoding) -> bytes:
    """`dataset` in the encoding, not deflated; raises what pydicom raises for values it cannot write."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    stream = DicomBytesIO()
    stream.is_implicit_VR = not encoding.explicit
    stream.is_little_endian = encoding.little
    write_dataset(stream, dataset)
    return stream.getvalue()


def whole(dataset: Dataset, encoding: Encoding) -> list[Piece]:
    """`dataset` as the new data set."""
    if encoding.encapsulated and "PixelData" in dataset:
        dataset["PixelData"].is_undefined_length = True
    data = encode(dataset, encoding)
    return [_deflate([data])] if encoding.deflated else [data]


def with_new_header(dataset: Dataset, index: DataSetIndex, encoding: Encoding, pieces: Sequence[Piece]) -> list[Piece]:
    """The new header, then everything from the pixel data on, byte for byte as received. Stray delimiters before the
    pixel data are not part of a header and are dropped with the old one.

    Elements that `Instance.header` leaves out for their size stay as well, unless `dataset` has them. A deflated data
    set is inflated and deflated again in windows: its inflated bytes are the same. Raises ValueError if the index does
    not have everything that must be kept.
    """
    if index.obstacle:
        raise ValueError(f"the header cannot be replaced: {index.obstacle}")
    parts = list(_header_parts(dataset, index, encoding))
    if not encoding.deflated:
        return [piece for part in parts for piece in (_cut(pieces, part) if isinstance(part, Received) else (part,))]
    return [_deflate(_flatten(parts, index.source))]


def _header_parts(dataset: Dataset, index: DataSetIndex, encoding: Encoding) -> Iterator[bytes | Received]:
    if index.has_pixel_data:
        dataset = _before_pixel_data(dataset, index)
    # All at once, because character set and pixel representation decide how other elements are written.
    header = encode(dataset, encoding)
    kept = sorted(element for element in split_header(index)[1] if element.tag not in dataset)
    start = 0
    if kept:
        source = MemorySource(memoryview(header))
        written = sorted(scan(source, encoding._replace(deflated=False), whole=True).elements.values())
    for element in kept:
        following = bisect_left(written, (element.tag,))
        cut = written[following][2] if following < len(written) else len(header)
        yield header[start:cut]
        yield Received(element.offset, element.end)
        start = cut
    yield header[start:]
    if index.pixel_offset < index.source.size:  # pixel data and what follows them, or zeros after the last element
        yield Received(index.pixel_offset, index.source.size)


def _before_pixel_data(dataset: Dataset, index: DataSetIndex) -> Dataset:
    """The elements of `dataset` before the pixel data: lower tags, and others that stood there, out of order."""
    before = dataset[:]
    for tag in [tag for tag in dataset.keys() if tag >= _FIRST_PIXEL_DATA_TAG and not _stood_before(tag, index)]:  # noqa: SIM118
        del before[tag]
    return before


def _stood_before(tag: int, index: DataSetIndex) -> bool:
    element = index.get(tag)
    return element is not None and element.offset < index.pixel_offset


def _deflate(parts: Iterator[bytes] | list[bytes]) -> bytes:
    """PS3.5 A.5: a raw deflate stream, padded to even length."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data = b"".join([*(deflater.compress(part) for part in parts), deflater.flush()])
    return data + b"\0" if len(data) % 2 else data


def _flatten(parts: list[bytes | Received], source: ByteSource) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield part
            continue
        offset = part.start
        while offset < part.end:
            window = bytes(source.window(offset, 1)[: min(_WINDOW, part.end - offset)])
            if not window:
                break
            yield window
            offset += len(window)


def _cut(pieces: Sequence[Piece], part: Received) -> Iterator[Piece]:
    """A range of the received data set, as pieces."""
    start, left = part.start, part.end - part.start
    for piece in pieces:
        length = piece_length(piece)
        if start >= length:
            start -= length
            continue
        count = min(length - start, left)
        if not count:
            return
        if isinstance(piece, FileRange):
            yield FileRange(piece.fd, piece.offset + start, count)
        else:
            yield memoryview(piece)[start : start + count]
        start, left = 0, left - count
