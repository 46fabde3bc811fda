"""Places that are odd but clear: unknown VRs, VRs that are no text, sequences without items, filler after the last
element. All that can be seen is seen and replaced; what is not clear is refused, with its place."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import Instance
from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset import values
from dcmrecv_core.dataset.encodings import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNDEFINED_LENGTH,
    Encoding,
)
from dcmrecv_core.dataset.scan import DataSetIndex, scan
from dcmrecv_core.dataset.sources import FileSource, MemorySource
from support.data.datasets import (
    ENCODINGS,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    Node,
    deflate,
    encode,
    encode_item,
    header,
    item,
    tag_bytes,
)
from support.data.sources import TinySource, unnamed_file
from support.receiving import INSTANCE, in_receive, receiver, send, stored_data
from support.uids import BIG_ENDIAN, CT, DEFLATED, EXPLICIT_LE, IMPLICIT_LE, JPEG

SOP = [Node(0x00080016, "UI", CT.encode() + b"\0"), Node(0x00080018, "UI", INSTANCE.encode() + b"\0")]
ODD, REQUESTS = 0x00091001, 0x00400275
CREATOR = Node(0x00090010, "LO", b"ACME")
PATIENT = [Node(0x00100010, "PN", b"Doe^Jane"), Node(0x00100020, "LO", b"P1")]
PIXEL_DATA = Node(0x7FE00010, "OW", bytes(range(256)))
INSIDE = Node(0x00400007, "LO", b"Doe's knee")

EXPLICIT = {"explicit": EXPLICIT_LITTLE, "big-endian": EXPLICIT_BIG}
BOTH_ORDERS = pytest.mark.parametrize("encoding", EXPLICIT.values(), ids=EXPLICIT)
ALL_ENCODINGS = pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
PLACES = pytest.mark.parametrize("place", ["top", "item", "first in item"])
SYNTAXES = {EXPLICIT_LITTLE: EXPLICIT_LE, EXPLICIT_BIG: BIG_ENDIAN, IMPLICIT_LITTLE: IMPLICIT_LE}


def walk(data: bytes, encoding: Encoding = EXPLICIT_LITTLE) -> DataSetIndex:
    """From memory, in small pieces, from a file, and deflated: always the same."""
    index = scan(MemorySource(memoryview(data)), encoding, whole=True)
    fd = unnamed_file(data)
    try:
        others = [scan(source, encoding, whole=True) for source in (TinySource(data), FileSource(fd, 0, len(data)))]
    finally:
        os.close(fd)
    if encoding is EXPLICIT_LITTLE:
        others.append(scan(MemorySource(memoryview(deflate(data))), DEFLATED_LITTLE, whole=True))
    for other in others:
        assert (other.elements, other.warnings) == (index.elements, index.warnings)
    return index


def short(vr: bytes, value: bytes, encoding: Encoding, tag: int = ODD) -> bytes:
    """An element with a 16-bit length and any bytes as VR."""
    return tag_bytes(tag, encoding) + vr + len(value).to_bytes(2, "little" if encoding.little else "big") + value


def undefined(vr: bytes, value: bytes, encoding: Encoding, tag: int = ODD) -> bytes:
    """An element of undefined length and any bytes as VR; the value includes its delimiter."""
    return tag_bytes(tag, encoding) + vr + b"\0\0" + b"\xff" * 4 + value


def around(odd: bytes, encoding: Encoding, place: str) -> bytes:
    """A data set with this element, at top level or in an item."""
    if place == "top":
        return encode([*SOP, CREATOR], encoding) + odd + encode([*PATIENT, PIXEL_DATA], encoding)
    before = encode([CREATOR], encoding) if place == "item" else b""
    content = before + odd + encode([INSIDE], encoding)
    value = item(ITEM, len(content), encoding) + content
    sequence = header(REQUESTS, "SQ", len(value), encoding) + value
    return encode([*SOP, *PATIENT], encoding) + sequence + encode([PIXEL_DATA], encoding)


def value_seen(data: bytes, encoding: Encoding, place: str) -> Any:
    """The odd element's value; all other elements are checked."""
    index = walk(data, encoding)
    head = values.read_header(index, encoding)
    assert values.get_value(index, encoding, "PatientID") == head.PatientID == "P1"
    assert index.pixel_offset == len(data) - len(encode([PIXEL_DATA], encoding))
    assert not index.obstacle
    if place == "top":
        got, found = values.get_value(index, encoding, ODD), head[ODD].value
    else:
        [only], [same] = values.get_value(index, encoding, REQUESTS), head[REQUESTS].value
        assert only[INSIDE.tag].value == same[INSIDE.tag].value == "Doe's knee"
        got, found = only[ODD].value, same[ODD].value
    assert got == found
    return found


# Unknown VRs


@PLACES
@pytest.mark.parametrize("vr", [b"XX", b"sq", b"??"])
@pytest.mark.parametrize("inner", [EXPLICIT_LITTLE, IMPLICIT_LITTLE], ids=["explicit items", "implicit items"])
@pytest.mark.parametrize("ended", [True, False], ids=["delimited items", "items with lengths"])
def test_fault_18_an_unknown_vr_of_undefined_length(place: str, vr: bytes, inner: Encoding, ended: bool) -> None:
    """PS3.5 section 7.1.2: a VR of the future, with items in implicit VR as those of UN; or a misspelt SQ."""
    value = encode_item([INSIDE], inner, undefined=ended) + item(SEQUENCE_END, 0, inner)
    data = around(undefined(vr, value, EXPLICIT_LITTLE), EXPLICIT_LITTLE, place)
    [found] = value_seen(data, EXPLICIT_LITTLE, place)
    assert found[INSIDE.tag].value == "Doe's knee"
    warnings = walk(data).warnings
    assert warnings[0] == f"(0009,1001) at {data.index(vr) - 4}: Unknown VR, undefined length"
    assert len(warnings) == 1


@pytest.mark.parametrize("inner", [EXPLICIT_BIG, IMPLICIT_LITTLE], ids=["big endian items", "implicit items"])
def test_an_unknown_vr_of_undefined_length_in_big_endian(inner: Encoding) -> None:
    value = encode_item([INSIDE], inner, undefined=True) + item(SEQUENCE_END, 0, inner)
    data = around(undefined(b"XX", value, EXPLICIT_BIG), EXPLICIT_BIG, "top")
    [found] = value_seen(data, EXPLICIT_BIG, "top")
    assert found[INSIDE.tag].value == "Doe's knee"


@PLACES
@BOTH_ORDERS
def test_an_unknown_vr_of_undefined_length_with_other_bytes(encoding: Encoding, place: str) -> None:
    """Fragments, as of pixel data: what is in them is not looked at, but where they end is clear."""
    value = b"".join(item(ITEM, len(part), encoding) + part for part in (b"", b"\xff\xd8\xff\xd9"))
    data = around(undefined(b"ox", value + item(SEQUENCE_END, 0, encoding), encoding), encoding, place)
    assert value_seen(data, encoding, place) == value
    with pytest.raises(DataSetError, match=r"In \(0009,1001\) at \d+: "):
        walk(data.replace(item(SEQUENCE_END, 0, encoding), b""), encoding)


def test_an_empty_sequence_of_an_unknown_vr() -> None:
    data = around(undefined(b"XX", item(SEQUENCE_END, 0, EXPLICIT_LITTLE), EXPLICIT_LITTLE), EXPLICIT_LITTLE, "top")
    assert walk(data).elements[ODD].length == UNDEFINED_LENGTH


@pytest.mark.parametrize("syntax", [EXPLICIT_LE, JPEG, "1.2.840.10008.1.2.5"])
@pytest.mark.parametrize("vr", [b"ox", b"OX", b"pd"])
def test_fault_18_encapsulated_pixel_data_of_an_unknown_vr(tmp_path: Path, vr: bytes, syntax: str) -> None:
    fragments = b"".join(item(ITEM, len(part), EXPLICIT_LITTLE) + part for part in (b"", b"\xff\xd8", b"abcd"))
    pixels = undefined(vr, fragments + item(SEQUENCE_END, 0, EXPLICIT_LITTLE), EXPLICIT_LITTLE, 0x7FE00010)
    trailer = encode([Node(0xFFFCFFFC, "OB", b"\0\0")], EXPLICIT_LITTLE)
    data = encode([*SOP, *PATIENT], EXPLICIT_LITTLE) + pixels + trailer
    got, outcome = in_receive(receiver(tmp_path), data, lambda each: each.get("PixelData"), syntax=syntax)
    assert got == fragments
    assert outcome.status == 0 and stored_data(outcome.location) == data
    assert send(receiver(tmp_path), data[: -len(trailer) - 8], syntax=syntax).status == 0xC000


def test_an_empty_value_of_a_short_unknown_vr_before_much_data() -> None:
    """The next tag, read as a 32-bit length, is within the bounds, too."""
    data = short(b"sh", b"", EXPLICIT_LITTLE, 0x00080050) + encode(PATIENT, EXPLICIT_LITTLE)
    data += header(0x7FE00010, "OW", 4 << 20, EXPLICIT_LITTLE) + bytes(4 << 20)
    assert list(scan(MemorySource(memoryview(data)), EXPLICIT_LITTLE, whole=True).elements) == [
        *(0x00080050, 0x00100010, 0x00100020, 0x7FE00010)
    ]


# VRs that are no text


@PLACES
@BOTH_ORDERS
@pytest.mark.parametrize("vr", [b"\0\0", b"\x01\x02", b"\xff\xff", b"\0A"])
@pytest.mark.parametrize("value", [b"ABCD", b"", b"odd"])
def test_fault_18_a_vr_that_is_no_text(encoding: Encoding, place: str, vr: bytes, value: bytes) -> None:
    data = around(short(vr, value, encoding), encoding, place)
    assert (value_seen(data, encoding, place) or b"") == value
    text = (
        f"(0009,1001) at {data.index(short(vr, value, encoding))}: Unknown VR bytes {vr.hex()}, length taken as 16 bits"
    )
    assert [warning for warning in walk(data, encoding).warnings if "Odd length" not in warning] == [text]


@BOTH_ORDERS
@pytest.mark.parametrize("value", [b"", b"long" * 50, b"odd" * 51])
def test_fault_18_a_vr_that_is_no_text_at_the_end(encoding: Encoding, value: bytes) -> None:
    index = walk(encode([*SOP, CREATOR], encoding) + short(b"\0\0", value, encoding), encoding)
    assert (values.get_value(index, encoding, ODD) or b"") == value


@BOTH_ORDERS
def test_several_of_one_kind_before_the_end(encoding: Encoding) -> None:
    odd = b"".join(short(b"\0\0", b"ab", encoding, ODD + number) for number in range(5))
    index = walk(encode([*SOP, CREATOR], encoding) + odd, encoding)
    assert [values.get_value(index, encoding, ODD + number) for number in range(5)] == [b"ab"] * 5


@PLACES
@BOTH_ORDERS
@pytest.mark.parametrize(
    "odd",
    [tag_bytes(ODD, EXPLICIT_LITTLE) + b"\0\0\0\0\4\0\0\0ABCD", tag_bytes(ODD, EXPLICIT_LITTLE) + b"\1\2\3\0ABCD"],
    ids=["32 bits of length", "wrong length"],
)
def test_fault_18_no_element_after_a_vr_that_is_no_text(encoding: Encoding, place: str, odd: bytes) -> None:
    data = around(odd, encoding, "item" if place == "first in item" else place)
    with pytest.raises(DataSetError) as caught:
        walk(data, encoding)
    tag = ODD if encoding.little else 0x09000110
    place_of = data.index(odd)
    assert caught.value.comment.startswith(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) at {place_of}: invalid VR bytes ")
    assert caught.value.elements == (tag,)
    assert caught.value.hint


def test_an_item_in_implicit_vr_is_still_one() -> None:
    """Its first element has no VR, but 32 bits of length."""
    content = encode([CREATOR, Node(ODD, "", b""), INSIDE], IMPLICIT_LITTLE)
    value = item(ITEM, len(content), EXPLICIT_LITTLE) + content
    index = walk(encode(SOP, EXPLICIT_LITTLE) + header(REQUESTS, "SQ", len(value), EXPLICIT_LITTLE) + value)
    assert [warning.partition(": ")[2] for warning in index.warnings] == ["Item in implicit VR"]
    assert values.get_value(index, EXPLICIT_LITTLE, REQUESTS)[0][INSIDE.tag].value == "Doe's knee"


def test_a_first_element_without_vr_does_not_make_all_of_it_implicit() -> None:
    """Its 16-bit length, read as the upper half of 32 bits, is within the bounds of a large data set."""
    data = short(b"\0\0", b"ISO_IR 100", EXPLICIT_LITTLE, 0x00080005) + encode([*SOP, *PATIENT], EXPLICIT_LITTLE)
    data += header(0x7FE00010, "OW", 1 << 20, EXPLICIT_LITTLE) + bytes(1 << 20)
    index = scan(MemorySource(memoryview(data)), EXPLICIT_LITTLE, whole=True)
    assert [warning.partition(": ")[2] for warning in index.warnings] == [
        "Unknown VR bytes 0000, length taken as 16 bits"
    ]
    assert values.get_value(index, EXPLICIT_LITTLE, "SpecificCharacterSet") == "ISO_IR 100"


# Sequences without items


@PLACES
@ALL_ENCODINGS
@pytest.mark.parametrize("text", [b"NONE", b"Siemens Healthcare Header Anonymizer", b"ab"])
def test_fault_18_a_sequence_that_holds_no_items(encoding: Encoding, place: str, text: bytes) -> None:
    """As SQ, or in implicit VR as a sequence of the dictionary. Its end is clear, its value is not understood."""
    tag = 0x00081140
    odd = header(tag, "SQ", len(text), encoding) + text
    data = around(odd, encoding, place)
    index = walk(data, encoding)
    at = data.index(odd)
    assert f"(0008,1140) at {at}: Sequence without items, its value is not understood" in index.warnings
    head = values.read_header(index, encoding)
    where = head if place == "top" else head[REQUESTS].value[0]
    assert where[tag].value == text
    assert head.PatientID == "P1"


@BOTH_ORDERS
def test_items_in_the_other_byte_order_are_no_items(encoding: Encoding) -> None:
    other = EXPLICIT_LITTLE if encoding is EXPLICIT_BIG else EXPLICIT_BIG
    value = item(ITEM, 4, other) + b"ABCD"
    data = around(header(ODD, "SQ", len(value), encoding) + value, encoding, "top")
    assert value_seen(data, encoding, "top") == value


@ALL_ENCODINGS
def test_a_sequence_whose_items_break_off_is_refused(encoding: Encoding) -> None:
    """It has items; that their lengths are wrong may mean anything."""
    value = item(ITEM, 100, encoding) + b"ABCD"
    with pytest.raises(DataSetError, match=r"In \(0008,1140\) at \d+: Item runs past the end"):
        walk(encode(SOP, encoding) + header(0x00081140, "SQ", len(value), encoding) + value, encoding)


# Filler after the last element

FILLERS = {
    "FF": b"\xff" * 8,
    "one FF": b"\xff",
    "many FF": b"\xff" * 100_000,
    "zeros": bytes(8),
    "blanks": b" " * 12,
    "many blanks": b" " * 50_000,
    "two blanks": b"  ",
    "one blank": b" ",
    "line end": b"\r\n",
}


@ALL_ENCODINGS
@pytest.mark.parametrize("filler", FILLERS.values(), ids=FILLERS)
def test_fault_18_filler_after_the_last_element(encoding: Encoding, filler: bytes) -> None:
    last = Node(0x7FE00010, "OW", bytes(255 + (len(filler) + 1) % 2))
    elements = encode([*SOP, *PATIENT, last], encoding)
    index = walk(elements + filler, encoding)
    said = [warning for warning in index.warnings if "Odd length" not in warning]
    what = "1 byte that is no element" if len(filler) == 1 else f"{len(filler)} bytes that are no elements"
    assert said == [f"After the last element at {len(elements)}: {what}"]
    assert list(index.elements) == [0x00080016, 0x00080018, 0x00100010, 0x00100020, 0x7FE00010]


NO_FILLERS = {
    "mixed": b"\xff" * 8 + bytes(8),
    "text after blanks": b" " * 20 + b"end.",
    "two line ends": b"\r\n\r\n",
    "line end of another kind": b"\n\n",
    "letters": b"\xaa" * 16,
}


@ALL_ENCODINGS
@pytest.mark.parametrize("rest", NO_FILLERS.values(), ids=NO_FILLERS)
def test_anything_else_is_refused(encoding: Encoding, rest: bytes) -> None:
    with pytest.raises(DataSetError):
        walk(encode([*SOP, *PATIENT, PIXEL_DATA], encoding) + rest, encoding)


@ALL_ENCODINGS
@pytest.mark.parametrize("filler", FILLERS.values(), ids=FILLERS)
@pytest.mark.parametrize("ended", [True, False], ids=["undefined length", "with lengths"])
def test_filler_in_a_sequence_is_refused(encoding: Encoding, filler: bytes, ended: bool) -> None:
    content = encode([INSIDE], encoding) + filler
    if ended:
        value = item(ITEM, UNDEFINED_LENGTH, encoding) + content + item(ITEM_END, 0, encoding)
        sequence = header(REQUESTS, "SQ", UNDEFINED_LENGTH, encoding) + value + item(SEQUENCE_END, 0, encoding)
    else:
        value = item(ITEM, len(content), encoding) + content
        sequence = header(REQUESTS, "SQ", len(value), encoding) + value
    with pytest.raises(DataSetError):
        walk(encode(SOP, encoding) + sequence + encode([PIXEL_DATA], encoding), encoding)


@pytest.mark.parametrize("filler", FILLERS.values(), ids=FILLERS)
def test_filler_alone_is_no_data_set(filler: bytes) -> None:
    with pytest.raises(DataSetError):
        walk(filler)


@pytest.mark.parametrize(("encoding", "byte"), [(EXPLICIT_LITTLE, b" "), (EXPLICIT_BIG, b"\0")])
def test_one_byte_of_the_next_header_is_no_filler(encoding: Encoding, byte: bytes) -> None:
    """Group 0020H begins with a blank, in big endian any group with a zero: such a data set is cut off."""
    study = encode([*SOP, *PATIENT, Node(0x00200010, "SH", b"17")], encoding)
    with pytest.raises(DataSetError, match="Element header cut off"):
        walk(study[:-9], encoding)
    assert study[-10:-9] == byte


# Through the receiver


def anonymise(instance: Instance) -> None:
    changed = instance.copy_header()
    changed.PatientName = "Nobody"
    for element in changed.iterall():
        if element.tag == INSIDE.tag:
            element.value = "knee"
    instance.replace_header(changed)


ODDITIES = {
    "unknown VR with items": lambda encoding: undefined(
        b"XX", encode_item([INSIDE], IMPLICIT_LITTLE, undefined=True) + item(SEQUENCE_END, 0, IMPLICIT_LITTLE), encoding
    ),
    "no VR": lambda encoding: short(b"\0\0", b"ABCD", encoding),
    "no items": lambda encoding: header(ODD, "SQ", 4, encoding) + b"NONE",
}


@PLACES
@pytest.mark.parametrize("odd", ODDITIES.values(), ids=ODDITIES)
@pytest.mark.parametrize("syntax", [EXPLICIT_LE, BIG_ENDIAN, DEFLATED])
def test_fault_18_what_is_replaced_and_what_is_stored(tmp_path: Path, syntax: str, odd: Any, place: str) -> None:
    encoding = EXPLICIT_BIG if syntax == BIG_ENDIAN else EXPLICIT_LITTLE
    if syntax == BIG_ENDIAN and place != "top" and odd is ODDITIES["unknown VR with items"]:
        return  # pydicom reads the items of a UN in an item of big endian data as big endian
    plain = around(odd(encoding), encoding, place)
    data = deflate(plain) if syntax == DEFLATED else plain
    outcome = send(receiver(tmp_path, layout="{PatientID}/{SOPInstanceUID}.dcm"), data, syntax=syntax)
    assert (outcome.status, outcome.location) == (0, f"{tmp_path}/P1/{INSTANCE}.dcm")
    assert stored_data(outcome.location) == data

    _, outcome = in_receive(receiver(tmp_path), data, anonymise, syntax=syntax)
    assert outcome.status == 0xB000
    stored = stored_data(outcome.location)
    content = zlib.decompress(stored, wbits=-15) if syntax == DEFLATED else stored
    assert b"Doe" not in content
    index = scan(MemorySource(memoryview(content)), encoding, whole=True)
    assert content[index.pixel_offset :] == encode([PIXEL_DATA], encoding)
    assert not [warning for warning in index.warnings if "Unknown VR" in warning]


def test_fault_18_warnings_before_a_fault_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = around(short(b"\0\0", b"ABCD", EXPLICIT_LITTLE), EXPLICIT_LITTLE, "top")[:-10]
    assert send(receiver(tmp_path), data).status == 0xC000
    warning, error = caplog.messages
    at = data.index(encode([PIXEL_DATA], EXPLICIT_LITTLE)[:8])
    assert "Unknown VR bytes 0000" in warning
    assert f"(7FE0,0010) at {at}: Value runs past the end (its length is 256, but 246 bytes follow; " in error


@pytest.mark.parametrize("filler", FILLERS.values(), ids=FILLERS)
@pytest.mark.parametrize("pixel_data", [[PIXEL_DATA], []], ids=["pixel data", "no pixel data"])
def test_fault_18_a_new_header_before_filler(tmp_path: Path, filler: bytes, pixel_data: list[Node]) -> None:
    """Filler is nothing that a header could have shown. It stays, except for a single byte after an odd size."""
    odd = [Node(0x00100030, "DA", b"1970010")] if len(filler) % 2 else []  # a single byte may be cut off
    data = encode([*SOP, *PATIENT, *odd, *pixel_data], EXPLICIT_LITTLE) + filler
    _, outcome = in_receive(receiver(tmp_path), data, anonymise)
    assert outcome.status == 0xB000
    stored = stored_data(outcome.location)
    assert b"Doe" not in stored
    assert stored.endswith(encode(pixel_data, EXPLICIT_LITTLE) + (filler if len(filler) > 1 else b""))


@pytest.mark.parametrize("odd", ODDITIES.values(), ids=ODDITIES)
def test_with_strict_they_are_refused(tmp_path: Path, odd: Any) -> None:
    data = around(odd(EXPLICIT_LITTLE), EXPLICIT_LITTLE, "top")
    assert send(receiver(tmp_path, strict=True), data).status == 0xA900
