"""What pydicom reads in a data set, compared with what `get` and the header of an instance say.

pydicom's own reader goes through the bytes; only the conversion of single values is that of the receiver. Where pydicom
is known to misread, its elements from there on do not count.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence

from dcmrecv_core.dataset.elements import DataSetIndex, Element
from dcmrecv_core.dataset.encodings import UNDEFINED_LENGTH, Encoding

_PLACE = re.compile(r" at (\d+)")
_MISREAD = ("Unknown VR", "elimiter (", "Encapsulated pixel data with VR", "After the last element")
"""Warnings about places that pydicom misreads: it takes another length for an unknown VR, or implicit VR; it ends at
some delimiters, takes others, and filler, for elements, and a delimiter's length for a VR; and pixel data of VR UN for
a sequence."""

_SPECIFIC_CHARACTER_SET = 0x00080005

_PIXEL_REPRESENTATION = 0x00280103
_SIGNED_OR_NOT = ("US or SS", "US or SS or OW")

_TEXTS = (None, "AE", "CS", "LO", "LT", "SH", "ST", "UC", "UN", "UT")
_DELIMITERS = 0xFFFE

_NOT_COMPARED = ("A whole DICOM file", "File Meta Information", "and more")
"""pydicom's reader of data sets expects no file; after many warnings, not all places are known."""


class Reading(NamedTuple):
    """What pydicom reads. `elements`: where each value begins, by tag. Values from `end` on, and those at the offsets
    in `spared`, do not count, because pydicom misreads them or does not see them."""

    dataset: Dataset
    elements: dict[int, int]
    first_odd: int
    end: int
    spared: set[int]


def pydicoms(index: DataSetIndex, data: bytes, encoding: Encoding) -> Reading | None:
    """None if it can read nothing. Raises what pydicom raises for data without an odd place."""
    if any(warning.startswith(_NOT_COMPARED) for warning in index.warnings):
        return None
    if not encoding.little and "Implicit VR, against the transfer syntax" in index.warnings:
        return None  # that is little endian, which pydicom does not think of
    ours = list(index.elements.values())
    places = [int(_PLACE.search(text)[1]) for text in index.warnings if any(word in text for word in _MISREAD)]  # type: ignore[index]
    if not encoding.little:  # whatever they are in, pydicom reads the items of a UN as those of the data set
        places += [each.offset for each in ours if each.vr == "UN" and each.length == UNDEFINED_LENGTH]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = read_dataset(io.BytesIO(data), not encoding.explicit, encoding.little)
    except Exception:
        if places:
            return None
        raise
    if places and not dataset:
        return None  # it fails, and keeps nothing of what it has read
    end, spared = _readable(ours, places)
    # without a VR, it takes items for a value of the VR that the dictionary says
    spared |= {each.value_offset for each in ours if not each.vr and each.length == UNDEFINED_LENGTH}
    elements = {int(tag): _offset(dataset.get_item(tag)) for tag in list(dataset.keys())}
    return Reading(dataset, elements, min([end, *places]), end, spared)


def disagreements(
    get: Callable[[int], Any], header: Dataset, index: DataSetIndex, data: bytes, encoding: Encoding
) -> list[str]:
    """What pydicom reads in another way in `data`, which are inflated."""
    try:
        reading = pydicoms(index, data, encoding)
    except Exception as error:
        return [f"pydicom raises {error!r}"]
    if reading is None:
        return []
    ours = {element.value_offset: element for element in index.elements.values()}
    comparable = not _is_repeated(_SPECIFIC_CHARACTER_SET, index)  # of these, the last one counts for pydicom
    said = []
    for tag, offset in reading.elements.items():
        if offset >= reading.end or tag >> 16 == _DELIMITERS:  # of many stray delimiters only the first ones are told
            continue
        if offset not in ours:
            if tag not in index:
                said.append(f"{tag:08X} at {offset}: only pydicom sees it")
            # else it is repeated: for pydicom the last one counts
        elif ours[offset].tag != tag:
            said.append(f"{tag:08X} at {offset}: {ours[offset]}")
        elif offset not in reading.spared and comparable:
            said += _differences(tag, reading.dataset, get(tag), header)
    unseen = index.elements.keys() - reading.elements.keys()
    said += [f"{tag:08X}: pydicom does not see it" for tag in unseen if index.elements[tag].offset < reading.first_odd]
    return said


def readable_texts(index: DataSetIndex, data: bytes, encoding: Encoding) -> dict[int, tuple[str, bytes]]:
    """VR and bytes of texts that pydicom reads well in data without repeated elements; nothing if it raises."""
    reading = None
    with suppress(Exception):
        reading = pydicoms(index, data, encoding)
    if reading is None or any(text.endswith("Repeated") for text in index.warnings):
        return {}
    found = {tag: reading.dataset.get_item(tag) for tag, offset in reading.elements.items() if offset < reading.end}
    raws = {tag: raw for tag, raw in found.items() if isinstance(raw, RawDataElement) and raw.value}
    return {tag: (raw.VR or "UN", raw.value) for tag, raw in raws.items() if raw.VR in _TEXTS}


def _offset(element: RawDataElement | DataElement) -> int:
    return element.value_tell if isinstance(element, RawDataElement) else element.file_tell


def _differences(tag: int, theirs: Dataset, got: Any, header: Dataset) -> list[str]:
    value = theirs[tag].value
    is_ambiguous = dictionary_has_tag(tag) and dictionary_VR(tag) in _SIGNED_OR_NOT
    if is_ambiguous and isinstance(value, bytes) and _PIXEL_REPRESENTATION not in theirs:
        return []  # pydicom leaves the bytes; ours are numbers without a sign
    said = []
    if told(got) != told(value) and (value or got is not None):
        said.append(f"{tag:08X}: get {told(got)}, pydicom {told(value)}")
    if tag in header and told(header[tag].value) != told(value):
        said.append(f"{tag:08X}: header {told(header[tag].value)}, pydicom {told(value)}")
    return said


def _is_repeated(tag: int, index: DataSetIndex) -> bool:
    name = f"({tag >> 16:04X},{tag & 0xFFFF:04X}) at "
    return any(text.startswith(name) and text.endswith("Repeated") for text in index.warnings)


def _readable(elements: list[Element], places: list[int]) -> tuple[int, set[int]]:
    """The offset from which pydicom misreads, and the values before it that it misreads, whose end it knows."""
    end, spared = 1 << 62, set()
    for place in places:
        [around] = [each for each in elements if each.offset <= place < each.end] or [None]
        if around is not None and around.length != UNDEFINED_LENGTH and place >= around.value_offset:
            spared.add(around.value_offset)
        else:
            end = min(end, place if around is None else around.offset)
    return end, spared


def told(value: object) -> object:
    """A value to compare, its items as they were read: not all values in them convert."""
    if not isinstance(value, Sequence):
        return repr(value)
    return [[(tag, told_element(part.get_item(tag))) for tag in sorted(part.keys())] for part in value]


def told_element(element: RawDataElement | DataElement) -> object:
    return (element.VR, element.value) if isinstance(element, RawDataElement) else told(element.value)
