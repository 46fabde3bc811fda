"""Item and sequence delimiters that end nothing: skipped with a warning; what follows them is checked, seen and
replaced as if they were not there. And what else pydicom would misread in sequences."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dcmrecv_core import Instance
from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset import raw_values, values, walker
from dcmrecv_core.dataset.encodings import (
    DEFLATED_LITTLE,
    ENCAPSULATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNDEFINED_LENGTH,
    Encoding,
)
from dcmrecv_core.dataset.mended_values import mended_value
from dcmrecv_core.dataset.scan import DataSetIndex, scan
from dcmrecv_core.dataset.sources import FileSource, MemorySource
from support.data.datasets import ENCODINGS, ITEM, ITEM_END, SEQUENCE_END, Node, deflate, encode, header, item
from support.data.generated_nodes import nodes, spoil
from support.data.sources import TinySource, unnamed_file
from support.receiving import INSTANCE, in_receive, read, receiver, send, stored_data
from support.uids import BIG_ENDIAN, CT, DEFLATED, EXPLICIT_LE, IMPLICIT_LE, JPEG

END_OF_ITEM, END_OF_SEQUENCE = (item(tag, 0, EXPLICIT_LITTLE) for tag in (ITEM_END, SEQUENCE_END))
BOTH_ENDS = pytest.mark.parametrize("end", [ITEM_END, SEQUENCE_END], ids=["item", "sequence"])
ALL_ENCODINGS = pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
SYNTAXES = pytest.mark.parametrize("syntax", [EXPLICIT_LE, IMPLICIT_LE, BIG_ENDIAN, DEFLATED])
IMAGES, REQUESTS = 0x00081140, 0x00400275

SOP = [Node(0x00080016, "UI", CT.encode() + b"\0"), Node(0x00080018, "UI", INSTANCE.encode() + b"\0")]
REFERENCE = Node(0x00081155, "UI", b"1.2.3.4\0")
PATIENT = [Node(0x00100010, "PN", b"Doe^Jane"), Node(0x00100020, "LO", b"P1")]
PIXEL_DATA = Node(0x7FE00010, "OW", bytes(range(256)) * 8)
FRAGMENTS = Node(0x7FE00010, "OB", (b"", b"\xff\xd8" * 1000, b"\xff\xd9"))


def walk(data: bytes, encoding: Encoding = EXPLICIT_LITTLE, *, whole: bool = True) -> DataSetIndex:
    return scan(MemorySource(memoryview(data)), encoding, whole=whole)


def with_stray(
    encoding: Encoding = EXPLICIT_LITTLE, end: int = SEQUENCE_END, pixel_data: Node | None = PIXEL_DATA
) -> bytes:
    """A sequence with lengths, then a delimiter all the same, then the patient."""
    before = encode([*SOP, Node(IMAGES, "SQ", [[REFERENCE]])], encoding)
    after = encode([*PATIENT, *([pixel_data] if pixel_data else [])], encoding)
    return before + item(end, 0, encoding) + after


@BOTH_ENDS
@ALL_ENCODINGS
def test_fault_3_elements_after_a_stray_delimiter_are_seen(encoding: Encoding, end: int) -> None:
    data = with_stray(encoding, end)
    place = data.index(item(end, 0, encoding))
    index = walk(data, encoding)
    assert [element.tag for element in index.elements.values()] == [
        *(0x00080016, 0x00080018, IMAGES, 0x00100010, 0x00100020, 0x7FE00010)
    ]
    assert index.pixel_offset == data.index(encode([PIXEL_DATA], encoding))
    assert index.has_pixel_data and not index.obstacle
    assert index.warnings == [f"Stray delimiter (FFFE,{end & 0xFFFF:04X}) at {place}"]
    assert index.offending == (end,)
    assert values.get_value(index, encoding, "PatientID") == "P1"
    assert values.read_header(index, encoding).PatientName == "Doe^Jane"


@BOTH_ENDS
def test_without_pixel_data_there_are_none(end: int) -> None:
    index = walk(with_stray(end=end, pixel_data=None))
    assert not index.has_pixel_data
    assert index.pixel_offset == index.source.size


def test_the_head_alone_goes_on_as_well() -> None:
    index = walk(with_stray(), whole=False)
    assert [*index.elements][-2:] == [0x00100010, 0x00100020]
    assert index.has_pixel_data and index.pixel_offset == index.source.size - 12 - 2048


@BOTH_ENDS
@pytest.mark.parametrize("cut", [1, 1000])
def test_fault_3_pixel_data_that_are_cut_off_after_it(cut: int, end: int) -> None:
    with pytest.raises(DataSetError, match=r"\(7FE0,0010\) at \d+: Value runs past the end"):
        walk(with_stray(end=end)[:-cut])


@BOTH_ENDS
@ALL_ENCODINGS
def test_rubbish_after_it(encoding: Encoding, end: int) -> None:
    with pytest.raises(DataSetError):
        walk(with_stray(encoding, end, pixel_data=None) + b"\xb5\x11\x9f\x02" * 10, encoding)


def test_fragments_that_end_too_early_after_it() -> None:
    data = with_stray(pixel_data=FRAGMENTS)
    assert walk(data, ENCAPSULATED_LITTLE).get(0x7FE00010)
    with pytest.raises(DataSetError, match="Fragments without delimiter"):
        walk(data[:-8], ENCAPSULATED_LITTLE)


def test_it_may_come_after_the_pixel_data_or_twice() -> None:
    trailer = Node(0xFFFCFFFC, "OB", b"ab")
    data = encode([PIXEL_DATA], EXPLICIT_LITTLE) + 2 * END_OF_SEQUENCE + encode([trailer], EXPLICIT_LITTLE)
    assert list(walk(data).elements) == [0x7FE00010, 0xFFFCFFFC]
    data = encode([FRAGMENTS], ENCAPSULATED_LITTLE) + END_OF_SEQUENCE
    assert walk(data, ENCAPSULATED_LITTLE).warnings == [f"Stray delimiter (FFFE,E0DD) at {len(data) - 8}"]


@BOTH_ENDS
@ALL_ENCODINGS
def test_it_may_come_first(encoding: Encoding, end: int) -> None:
    """It has no VR; that says nothing about the elements after it."""
    index = walk(item(end, 0, encoding) + encode(PATIENT, encoding), encoding)
    assert list(index.elements) == [0x00100010, 0x00100020]
    assert [warning.partition(" at ")[0] for warning in index.warnings] == [
        f"Stray delimiter (FFFE,{end & 0xFFFF:04X})"
    ]


@pytest.mark.parametrize("more", [b"", bytes(16)], ids=["alone", "and zeros"])
def test_delimiters_are_no_data_set(more: bytes) -> None:
    with pytest.raises(DataSetError):
        walk(END_OF_ITEM + END_OF_SEQUENCE + more)
    with pytest.raises(DataSetError):
        walk(deflate(END_OF_ITEM + END_OF_SEQUENCE + more), DEFLATED_LITTLE)


def test_it_has_no_value_whatever_its_length_says() -> None:
    start, rest = encode(SOP, EXPLICIT_LITTLE), encode(PATIENT, EXPLICIT_LITTLE)
    for length in (len(rest), 4, UNDEFINED_LENGTH):
        index = walk(start + item(SEQUENCE_END, length, EXPLICIT_LITTLE) + rest)
        assert list(index.elements) == [0x00080016, 0x00080018, 0x00100010, 0x00100020]
    with pytest.raises(DataSetError):
        walk(start + item(SEQUENCE_END, 8, EXPLICIT_LITTLE) + b"no value" + rest)


@pytest.mark.parametrize("length", [0, 10, UNDEFINED_LENGTH])
def test_an_item_outside_of_sequences_is_refused(length: int) -> None:
    """The header of its sequence is missing: it is not told where the item's elements end and others begin."""
    data = encode(SOP, EXPLICIT_LITTLE) + item(ITEM, length, EXPLICIT_LITTLE) + encode(PATIENT, EXPLICIT_LITTLE)
    with pytest.raises(DataSetError, match=r"\(FFFE,E000\) instead of an element"):
        walk(data)


def test_many_of_them_are_told_once() -> None:
    data = 1000 * END_OF_ITEM + encode(PATIENT, EXPLICIT_LITTLE) + 1000 * END_OF_SEQUENCE
    assert walk(data).warnings == ["Stray delimiter (FFFE,E00D) at 0", "Stray delimiter (FFFE,E0DD) at 8026"]


@pytest.mark.parametrize("end", [END_OF_ITEM, END_OF_SEQUENCE])
def test_what_a_few_deflated_bytes_make_us_do_is_bounded(end: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = encode(PATIENT, EXPLICIT_LITTLE)
    walk(deflate(patient + 100 * end), DEFLATED_LITTLE)
    monkeypatch.setattr(walker, "MAX_INFLATED_STEPS", 99)
    for data in (patient + 100 * end, 100 * end + patient):
        with pytest.raises(DataSetError, match="More than 99 steps"):
            walk(deflate(data), DEFLATED_LITTLE)


# In items


def in_items(content: bytes, encoding: Encoding, *, undefined: bool) -> bytes:
    """An element, a sequence with one item of this content, an element."""
    before, after = (encode(nodes, encoding) for nodes in (SOP, [Node(0x00400300, "US", b"\1\0"), PIXEL_DATA]))
    if undefined:
        value = item(ITEM, UNDEFINED_LENGTH, encoding) + content + item(ITEM_END, 0, encoding)
        sequence = header(REQUESTS, "SQ", UNDEFINED_LENGTH, encoding) + value + item(SEQUENCE_END, 0, encoding)
    else:
        value = item(ITEM, len(content), encoding) + content
        sequence = header(REQUESTS, "SQ", len(value), encoding) + value
    return before + sequence + after


@ALL_ENCODINGS
@pytest.mark.parametrize("undefined", [True, False], ids=["undefined length", "with lengths"])
def test_after_an_empty_sequence_in_an_item(encoding: Encoding, undefined: bool) -> None:
    empty, text = Node(IMAGES, "SQ", []), Node(0x00400007, "LO", b"ab")
    content = encode([empty], encoding) + item(SEQUENCE_END, 0, encoding) + encode([text], encoding)
    index = walk(in_items(content, encoding, undefined=undefined), encoding)
    assert list(index.elements) == [0x00080016, 0x00080018, REQUESTS, 0x00400300, 0x7FE00010]
    assert [warning.partition(": ")[2] for warning in index.warnings] == ["Stray delimiter (FFFE,E0DD)"]
    for sequence in (values.get_value(index, encoding, REQUESTS), values.read_header(index, encoding)[REQUESTS].value):
        [only] = sequence
        assert [(element.tag, element.value) for element in only] == [(IMAGES, []), (0x00400007, "ab")]


def test_an_item_delimiter_in_an_item_of_undefined_length_ends_it() -> None:
    """Were it stray, what follows would show that an item is not due there."""
    text = encode([Node(0x00400007, "LO", b"ab")], EXPLICIT_LITTLE)
    with pytest.raises(DataSetError, match="instead of an item"):
        walk(in_items(text + END_OF_ITEM + text, EXPLICIT_LITTLE, undefined=True))


def test_an_item_without_its_delimiter_is_not_taken_for_a_stray_one() -> None:
    inner = header(IMAGES, "SQ", UNDEFINED_LENGTH, EXPLICIT_LITTLE) + item(ITEM, UNDEFINED_LENGTH, EXPLICIT_LITTLE)
    unended = inner + encode([REFERENCE], EXPLICIT_LITTLE) + END_OF_SEQUENCE
    for data in (
        encode(SOP, EXPLICIT_LITTLE) + unended + encode([*PATIENT, PIXEL_DATA], EXPLICIT_LITTLE),
        in_items(unended, EXPLICIT_LITTLE, undefined=True),
        in_items(unended, EXPLICIT_LITTLE, undefined=False),
    ):
        with pytest.raises(DataSetError, match="Sequence without delimiter"):
            walk(data)


def told(value: object) -> object:
    """A value to compare, its items as they were read: not all values in them convert."""
    if not isinstance(value, Sequence):
        return repr(value)
    return [[(tag, told_element(part.get_item(tag))) for tag in sorted(part.keys())] for part in value]


def told_element(element: RawDataElement | DataElement) -> object:
    return (element.VR, element.value) if isinstance(element, RawDataElement) else told(element.value)


@settings(deadline=None, max_examples=150)
@given(
    made=nodes(),
    chance=st.randoms(use_true_random=False),
    encoding=st.sampled_from([EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG]),
)
def test_every_element_is_had_as_if_there_were_none(made: list[Node], chance: Random, encoding: Encoding) -> None:
    spoilt = spoil(made, encoding, chance)
    index, sound = walk(spoilt.data, encoding), walk(spoilt.sound, encoding)
    assert list(index.elements) == list(sound.elements)
    assert bool(index.warnings) == bool(spoilt.strays)
    assert not index.obstacle
    for tag, element in index.elements.items():
        assert mended_value(index, encoding, element) == raw_values.raw_value(sound, sound.elements[tag])
        got, expected = (values.get_value(each, encoding, tag) for each in (index, sound))
        assert told(got) == told(expected)
    outcomes = [index.elements]
    fd = unnamed_file(spoilt.data)
    try:
        outcomes += [
            scan(source, encoding, whole=True).elements
            for source in (TinySource(spoilt.data), FileSource(fd, 0, len(spoilt.data)))
        ]
    finally:
        os.close(fd)
    if encoding is EXPLICIT_LITTLE:
        outcomes.append(walk(deflate(spoilt.data), DEFLATED_LITTLE).elements)
    assert all(outcome == outcomes[0] for outcome in outcomes)


# What else pydicom misreads in items


@ALL_ENCODINGS
@pytest.mark.parametrize(
    "length", [4, UNDEFINED_LENGTH, 0x0000_4E55, 0x554E_0000], ids=["4", "undefined", "UN", "UN in big endian"]
)
@BOTH_ENDS
def test_fault_18_a_delimiter_in_its_place_with_a_length(encoding: Encoding, end: int, length: int) -> None:
    """It has no value all the same; pydicom takes the length for a VR, and may read on in another place."""
    text = Node(0x00400007, "LO", b"ab")
    data = in_items(encode([text], encoding), encoding, undefined=True)
    index = walk(data.replace(item(end, 0, encoding), item(end, length, encoding)), encoding)
    assert list(index.elements) == [0x00080016, 0x00080018, REQUESTS, 0x00400300, 0x7FE00010]
    assert [warning.partition(": ")[2] for warning in index.warnings] == [
        f"Delimiter (FFFE,{end & 0xFFFF:04X}) with a length"
    ]
    for sequence in (values.get_value(index, encoding, REQUESTS), values.read_header(index, encoding)[REQUESTS].value):
        [only] = sequence
        assert only[text.tag].value == "ab"


@pytest.mark.parametrize("vr", ["UN", "SQ", "OB", "OW", "ox"])
def test_fault_18_encapsulated_pixel_data_of_any_vr_in_an_item(vr: str) -> None:
    """As of an icon."""
    after = Node(0x7FE00011, "LO", b"ab")
    icon = encode([FRAGMENTS], EXPLICIT_LITTLE)
    content = icon[:4] + vr.encode() + icon[6:] + encode([after], EXPLICIT_LITTLE)
    index = walk(in_items(content, EXPLICIT_LITTLE, undefined=False))
    for sequence in (
        values.get_value(index, EXPLICIT_LITTLE, REQUESTS),
        values.read_header(index, EXPLICIT_LITTLE)[REQUESTS].value,
    ):
        [only] = sequence
        assert only[after.tag].value == "ab"
        assert only[0x7FE00010].value == icon[12:-8]


@ALL_ENCODINGS
@pytest.mark.parametrize("vr", ["PN", "UN", "US", "OB", "DS"])
def test_fault_18_a_character_set_of_another_vr_in_an_item(encoding: Encoding, vr: str) -> None:
    """pydicom would read nothing of the item."""
    content = encode([Node(0x00080005, vr, b"ISO_IR 192"), Node(0x00400007, "LO", "\u00fc".encode())], encoding)
    index = walk(in_items(content, encoding, undefined=True), encoding)
    for sequence in (values.get_value(index, encoding, REQUESTS), values.read_header(index, encoding)[REQUESTS].value):
        [only] = sequence
        assert [(element.tag, element.value) for element in only] == [
            (0x00080005, "ISO_IR 192"),
            (0x00400007, "\u00fc"),
        ]


def test_a_group_length_of_vr_un_is_bytes_in_both() -> None:
    index = walk(encode([Node(0x00100000, "UN", b"abcdefgh"), *PATIENT], EXPLICIT_LITTLE))
    assert values.get_value(index, EXPLICIT_LITTLE, 0x00100000) == b"abcdefgh"
    assert values.read_header(index, EXPLICIT_LITTLE)[0x00100000].value == b"abcdefgh"


# Through the receiver


def in_syntax(syntax: str, data: Callable[[Encoding], bytes]) -> bytes:
    encoded = data({IMPLICIT_LE: IMPLICIT_LITTLE, BIG_ENDIAN: EXPLICIT_BIG}.get(syntax, EXPLICIT_LITTLE))
    return deflate(encoded) if syntax == DEFLATED else encoded


def anonymise(instance: Instance) -> None:
    changed = instance.copy_header()
    changed.PatientName = "Nobody"
    changed.PatientID = "17"
    instance.replace_header(changed)


@pytest.mark.parametrize("memory", [None, 500, 16], ids=["in memory", "spooled", "spooled at once"])
@BOTH_ENDS
@SYNTAXES
def test_fault_3_a_new_header_has_nothing_of_the_old_one(
    tmp_path: Path, syntax: str, end: int, memory: int | None
) -> None:
    data = in_syntax(syntax, lambda encoding: with_stray(encoding, end))
    _, outcome = in_receive(receiver(tmp_path, memory=memory), data, anonymise, syntax=syntax)
    assert outcome.status == 0xB000
    stored = stored_data(outcome.location)
    content = zlib.decompress(stored, wbits=-15) if syntax == DEFLATED else stored
    assert b"Doe^Jane" not in content and b"P1" not in content
    encoding = EXPLICIT_BIG if syntax == BIG_ENDIAN else EXPLICIT_LITTLE
    assert item(end, 0, encoding) not in content, "a header is made of elements"
    dataset = read(outcome.location)
    assert (dataset.PatientName, dataset.PatientID) == ("Nobody", "17")
    assert dataset.PixelData == PIXEL_DATA.value
    assert dataset.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"


def test_a_new_header_before_encapsulated_pixel_data(tmp_path: Path) -> None:
    data = with_stray(pixel_data=FRAGMENTS)
    _, outcome = in_receive(receiver(tmp_path), data, anonymise, syntax=JPEG)
    stored = stored_data(outcome.location)
    assert b"Doe^Jane" not in stored
    assert stored.endswith(encode([FRAGMENTS], EXPLICIT_LITTLE))


def test_items_of_a_new_header_have_none_either(tmp_path: Path) -> None:
    """What a plugin changes in an item, and what it does not look at."""
    text = Node(0x00400007, "LO", b"Doe's knee")
    content = END_OF_ITEM + encode([text], EXPLICIT_LITTLE) + END_OF_ITEM + encode([REFERENCE], EXPLICIT_LITTLE)

    def change(instance: Instance) -> None:
        changed = instance.copy_header()
        for element in changed[REQUESTS].value[0]:
            if element.tag == text.tag:
                element.value = "knee"
        instance.replace_header(changed)

    for number, function in enumerate((change, lambda instance: instance.replace_header(instance.copy_header()))):
        data = in_items(content, EXPLICIT_LITTLE, undefined=False)
        root = tmp_path / str(number)
        root.mkdir()
        _, outcome = in_receive(receiver(root), data, function)
        stored = stored_data(outcome.location)
        assert [warning for warning in walk(stored).warnings if "Out of order" not in warning] == []
        [only] = read(outcome.location)[REQUESTS].value
        assert only.ReferencedSOPInstanceUID == "1.2.3.4"
        assert (b"Doe" in stored) == (function is not change)


def test_only_pixel_data_that_are_there_are_missed(tmp_path: Path) -> None:
    def replace(instance: Instance) -> None:
        instance.replace(Dataset())

    with pytest.raises(ValueError, match="drop_pixel_data"):
        in_receive(receiver(tmp_path), with_stray(), replace)

    def replace_all(instance: Instance) -> None:
        dataset = Dataset()
        dataset.PatientID = "17"
        instance.replace(dataset)

    _, outcome = in_receive(receiver(tmp_path), with_stray(pixel_data=None), replace_all)
    assert outcome.status == 0xB000


@SYNTAXES
def test_a_layout_sees_the_patient(tmp_path: Path, syntax: str, caplog: pytest.LogCaptureFixture) -> None:
    place = receiver(tmp_path, layout="{PatientID}/{SOPInstanceUID}.dcm")
    data = in_syntax(syntax, with_stray)
    outcome = send(place, data, syntax=syntax)
    assert (outcome.status, outcome.location) == (0, f"{tmp_path}/P1/{INSTANCE}.dcm")
    assert stored_data(outcome.location) == data, "stored as it was sent"
    assert "Stray delimiter (FFFE,E0DD)" in caplog.text


def test_it_is_refused_if_the_standard_is_insisted_on(tmp_path: Path) -> None:
    outcome = send(receiver(tmp_path, strict=True), with_stray())
    assert (outcome.status, outcome.location) == (0xA900, None)
