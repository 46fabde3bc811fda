"""Values of single elements, and the header, of a data set that was walked.

`raw_values` reads bytes and UIDs. All other values are decoded by pydicom, which is loaded when it is first needed: a
receiver that files by UIDs and dates never spends these 0.15 s. `encoding` is always the one that `index` was scanned
in. All functions raise OSError if the source cannot be read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcmrecv_core.api.model import RawElement, TagLike
from dcmrecv_core.dataset.elements import DataSetIndex
from dcmrecv_core.dataset.encodings import Encoding
from dcmrecv_core.dataset.raw_values import raw_value

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileMetaDataset


def get_value(index: DataSetIndex, encoding: Encoding, element: TagLike, default: Any = None) -> Any:
    """The value of one top-level element as pydicom converts it, or `default` if it is absent or empty.

    A value that breaks the rules of its VR is returned all the same, as bytes if nothing else can be made of it.
    Raises KeyError for an unknown keyword.
    """
    from dcmrecv_core.dataset import decoding

    return decoding.get_value(index, encoding, element, default)


def get_raw(index: DataSetIndex, encoding: Encoding, element: TagLike, limit: int | None = None) -> RawElement | None:
    """One top-level element as received, its delimiter not counted, at most `limit` bytes of its value; None if it is
    absent. Raises KeyError for an unknown keyword."""
    tag = element
    if not isinstance(tag, int):
        from dcmrecv_core.dataset import decoding

        tag = decoding.tag_of(index, encoding, element)
    found = index.get(tag)
    return None if found is None else RawElement(found.vr, raw_value(index, found, limit))


def read_header(index: DataSetIndex, encoding: Encoding) -> Dataset:
    """All top-level elements before the pixel data but those that are left out for their size."""
    from dcmrecv_core.dataset import decoding

    return decoding.read_header(index, encoding)


def read_only_header(index: DataSetIndex, encoding: Encoding) -> Dataset:
    """As `read_header`, but each change raises TypeError."""
    from dcmrecv_core.dataset import decoding, read_only

    return read_only.read_only(decoding.read_header(index, encoding))


def decode_text(value: bytes, specific_character_set: str | bytes = "", *, vr: str = "LO") -> str:
    """The text of a value under this Specific Character Set (0008,0005), as `Instance.get` reads it; backslashes and
    padding stay.

    A byte that the character set does not have becomes the character U+EF00 plus its number, so different values stay
    different. `vr` matters for code extensions: in a person name (PN) they end at `^`. Raises nothing.
    """
    from dcmrecv_core.dataset import decoding

    return decoding.decode_text(value, specific_character_set, vr)


def read_file_meta(data: bytes) -> FileMetaDataset:
    """File Meta Information (PS3.10 section 7.1), from its first element on."""
    from dcmrecv_core.dataset import decoding

    return decoding.read_file_meta(data)
