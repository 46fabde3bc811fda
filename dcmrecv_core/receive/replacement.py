"""The bytes with which `replace_header` and `replace` replace received ones."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, cast

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset.elements import PIXEL_DATA_TAGS, Element
from dcmrecv_core.dataset.encodings import UNDEFINED_LENGTH
from dcmrecv_core.dataset.raw_values import raw_value
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.dataset.values import read_header
from dcmrecv_core.receive.texts import with_encoded_texts
from dcmrecv_core.receive.unread import encode_unread
from dcmrecv_core.receive.unseen import Unseen, described
from dcmrecv_core.storage.content import FileRange, Piece, piece_length, source_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dcmrecv_core.dataset.elements import DataSetIndex
    from dcmrecv_core.dataset.encodings import Encoding
    from dcmrecv_core.dataset.sources import ByteSource

_WINDOW = 256 * 1024
_FIRST_PIXEL_DATA_TAG = min(PIXEL_DATA_TAGS)
_LAST_TAG = 0xFFFFFFFF
_LAST_OUTSIDE = 0x0002FFFF
"""The last tag that belongs to File Meta Information."""

_LARGE = 1 << 20
_BYTES_VRS = ("OB", "OD", "OF", "OL", "OV", "OW", "OB or OW", "UN")  # pydicom writes their values as they are
_EMPTY_ITEM = b"\xfe\xff\x00\xe0\0\0\0\0"
"""In little endian; encapsulated pixel data begin with an item (PS3.5 A.4)."""


class Received(NamedTuple):
    """A range of the received data set that stays unchanged; offsets as in the index."""

    start: int
    end: int


def encode(dataset: Dataset, encoding: Encoding, received: DataSetIndex | None = None) -> bytes:
    """`dataset` in the encoding, not deflated; texts that are those of `received` keep their bytes. Raises ValueError
    for a text that its character set does not have, and what pydicom raises for other values it cannot write."""
    unread = encode_unread(dataset, encoding)
    if unread is not None:
        return unread
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    stream = DicomBytesIO()
    stream.is_implicit_VR = not encoding.explicit
    stream.is_little_endian = encoding.little
    before = None if received is None else read_header(received, encoding)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Value '")  # of a character set that allows no code extensions, with some
        write_dataset(stream, with_encoded_texts(dataset, encoding, before))
    return stream.getvalue()


def whole(dataset: Dataset, encoding: Encoding, received: DataSetIndex | None = None) -> list[Piece]:
    """`dataset` as the new data set instead of `received`. Large values become pieces as they are: pydicom would copy
    them several times, and an instance has to fit into the memory of a worker."""
    if encoding.encapsulated and "PixelData" in dataset:
        dataset["PixelData"].is_undefined_length = True
    rest, values = _without_large_values(dataset, encoding)
    parts = list(_with_values(encode(rest, encoding, received), values, encoding))
    return [_deflate(parts)] if encoding.deflated else list(parts)


def _without_large_values(dataset: Dataset, encoding: Encoding) -> tuple[Dataset, dict[int, bytes]]:
    """A copy of `dataset` with a stand-in for each large value, and those values by their tags."""
    rest = dataset[:]
    values = {}
    for tag in list(rest.keys()):
        element = rest.get_item(tag)
        value = element.value
        if not isinstance(value, bytes) or len(value) < _LARGE:
            continue
        if element.VR not in _BYTES_VRS and tag not in PIXEL_DATA_TAGS:
            continue
        element = copy(rest[tag])
        if element.is_undefined_length:
            if not encoding.little or not value.startswith(_EMPTY_ITEM[:4]):
                continue  # not encapsulated: pydicom refuses it
            element.value = _EMPTY_ITEM
        else:
            element.value = bytes(8)
        values[int(tag)] = value
        rest[tag] = element
    return rest, values


def _with_values(encoded: bytes, values: dict[int, bytes], encoding: Encoding) -> Iterator[bytes]:
    """Put the values where their stand-ins are. All have 32 bits of length, right before the value."""
    position = 0
    index = understood([encoded], encoding._replace(deflated=False)) if values else None
    for tag, value in sorted(values.items()):
        element = index.get(tag) if index else None
        assert element is not None  # it has been encoded
        start = element.value_offset
        padding = bytes(len(value) % 2)
        if element.length == UNDEFINED_LENGTH:
            yield encoded[position:start]
            position = start + len(_EMPTY_ITEM)
        else:
            length = (len(value) + len(padding)).to_bytes(4, "little" if encoding.little else "big")
            yield encoded[position : start - 4] + length
            position = element.end
        yield value
        yield padding
    yield encoded[position:]


def understood(pieces: Sequence[Piece], encoding: Encoding) -> DataSetIndex:
    """Where the elements are in data that a plugin made; raises ValueError if that cannot be told."""
    try:
        return scan(source_of(pieces), encoding, whole=True)
    except DataSetError as error:  # not the sender's fault
        raise ValueError(f"the new data set cannot be understood: {error.comment}") from error


def with_new_header(
    dataset: Dataset,
    index: DataSetIndex,
    encoding: Encoding,
    pieces: Sequence[Piece],
    keep_unseen: bool | None,
    unseen: Unseen,
) -> list[Piece]:
    """The new header, then the pixel data and what follows them, byte for byte as received. Stray delimiters before the
    pixel data are not part of a header and are dropped with the old one.

    `keep_unseen` says what becomes of all that `Instance.copy_header` does not show: it stays, it goes, or (None) there
    must be none. An element of `dataset` replaces unseen ones with its tag. A deflated data set is inflated and
    deflated again in windows: its inflated bytes are the same. Raises ValueError where that is not possible.
    """
    unseen = unseen.without(dataset.keys())
    _check(unseen, index, encoding, keep_unseen)
    if keep_unseen:
        _check_creators(dataset, index, (*unseen.too_large, *unseen.repeated, *unseen.after))
    parts = list(_parts(dataset, index, encoding, unseen, keep_unseen))
    if not encoding.deflated:
        return [piece for part in parts for piece in (_cut(pieces, part) if isinstance(part, Received) else (part,))]
    return [_deflate(_flatten(parts, index.source))]


def _check(unseen: Unseen, index: DataSetIndex, encoding: Encoding, keep_unseen: bool | None) -> None:
    vrs = {each[1] for each in index.plain_elements() if each[0] > _LAST_OUTSIDE}
    if ("" in vrs) if encoding.explicit else (vrs - {""}):
        raise ValueError(f"the header cannot be replaced: {index.obstacle}")
    if keep_unseen is None and (texts := described(unseen, index)):
        raise ValueError(
            f"copy_header does not show everything: {'; '.join(texts)}. Say what becomes of that: keep_unseen=True "
            "keeps it, keep_unseen=False removes it (instance.raw and instance.get read it)"
        )
    if keep_unseen is False and unseen.gaps and not index.overflow:
        raise ValueError(f"this cannot be removed: {'; '.join(described(unseen, index))}")
    if keep_unseen and any(gap.start < index.pixel_offset for gap in unseen.gaps):
        raise ValueError(f"this cannot be kept: {'; '.join(described(Unseen([], [], [], unseen.gaps), index))}")


def _check_creators(dataset: Dataset, index: DataSetIndex, kept: Iterable[Element]) -> None:
    """Private elements belong to the creator of their block (PS3.5 section 7.8.1): one that stays must not get another
    one, or none. Raises ValueError."""
    for element in kept:
        block = element.tag & 0xFFFF0000 | element.tag >> 8 & 0xFF
        if not element.tag >> 16 & 1 or not block & 0xFF or (creator := index.get(block)) is None:
            continue
        received = raw_value(index, creator).strip(b" \0").decode("latin-1")
        new = str(dataset[block].value).strip() if block in dataset else ""
        if new != received:
            raise ValueError(
                f"({element.tag >> 16:04X},{element.tag & 0xFFFF:04X}) of private creator {received!r} cannot be kept: "
                f"its block is {f'that of {new!r}' if new else 'without a creator'} in the new header"
            )


def _parts(
    dataset: Dataset, index: DataSetIndex, encoding: Encoding, unseen: Unseen, keep_unseen: bool | None
) -> Iterator[bytes | Received]:
    dataset = _without_pixel_data(dataset)
    # All at once, because character set and pixel representation decide how other elements are written.
    encoded = encode(dataset, encoding, index)
    kept: list[Element] = []
    if keep_unseen:
        kept = [each for each in (*unseen.too_large, *unseen.repeated) if each.offset < index.pixel_offset]
        kept = [each for each in kept if each.tag not in dataset]
    tags = map(int, dataset.keys()) if index.has_pixel_data else ()  # comparing those of pydicom takes long
    later = {tag for tag in tags if tag >= _FIRST_PIXEL_DATA_TAG and _belongs_after(tag, index)}
    if not kept and not later:
        yield encoded
    else:
        written = understood([encoded], encoding._replace(deflated=False)).elements.values()
        ours = [(each.tag, encoded[each.offset : each.end]) for each in written]
        received = [(each.tag, Received(each.offset, each.end)) for each in sorted(kept)]
        yield from _in_order([part for part in ours if part[0] not in later], received)
    tail = _tail(dataset, index, unseen, keep_unseen, intact=not later)
    yield from _in_order(tail, [part for part in ours if part[0] in later] if later else [])


def _in_order(*parts: Sequence[tuple[int, bytes | Received]]) -> Iterator[bytes | Received]:
    """Elements of several origins, by their tags; those of one origin stay in their order."""
    merged = (part for _, part in merge(*parts, key=itemgetter(0)))
    for joined, group in groupby(merged, lambda part: isinstance(part, bytes)):
        if joined:
            yield b"".join(cast(Iterator[bytes], group))
        else:
            yield from group


def _tail(
    dataset: Dataset, index: DataSetIndex, unseen: Unseen, keep_unseen: bool | None, *, intact: bool
) -> list[tuple[int, Received]]:
    """What stays of the pixel data and of what follows them, with its tags. With `intact`, nothing will be put in
    between."""
    begin = index.pixel_offset
    elements = [Element._make(each) for each in (*index.plain_elements(), *unseen.repeated) if each[2] >= begin]
    end, last = index.source.size, max((element.end for element in elements), default=begin)
    if end == last + 1 and not unseen.gaps:
        end = last  # a single byte made an odd size even; after a new header it might not
    stays = [each for each in elements if each.tag in PIXEL_DATA_TAGS or (keep_unseen and each.tag not in dataset)]
    if keep_unseen is False:
        stays = [each for each in stays if each not in unseen.repeated]
    elif intact and len(stays) == len(elements) and begin < end:
        return [(_FIRST_PIXEL_DATA_TAG, Received(begin, end))]
    received = [(each.tag, Received(each.offset, each.end)) for each in stays]
    if keep_unseen:
        received += [(_LAST_TAG, Received(*gap)) for gap in unseen.gaps]
    return sorted(received, key=lambda part: part[1].start)


def _without_pixel_data(dataset: Dataset) -> Dataset:
    if not any(tag in dataset for tag in PIXEL_DATA_TAGS):
        return dataset
    without = dataset[:]
    for tag in PIXEL_DATA_TAGS:
        if tag in without:
            del without[tag]
    return without


def _belongs_after(tag: int, index: DataSetIndex) -> bool:
    """Whether an element of a new header whose tag is higher than that of pixel data has its place after them: no such
    element was received before them, out of order."""
    element = index.get(tag)
    return element is None or element.offset >= index.pixel_offset


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
