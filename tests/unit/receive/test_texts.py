"""Texts of a new header: unchanged ones keep their bytes, changed ones are read again as the plugin wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import charset
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dcmrecv_core import Instance, codecs_of
from dcmrecv_core.dataset.elements import DataSetIndex
from dcmrecv_core.dataset.encodings import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.dataset.sources import MemorySource
from dcmrecv_core.dataset.values import get_raw, get_value, read_header
from dcmrecv_core.receive.replacement import encode as encode_dataset
from support.data.datasets import Node, encode
from support.plugins import hooks
from support.publishing import names
from support.receiving import data_set, read, receiver, send, stored_data

ID, NAME, STUDIES, ITEMS, TEXT = 0x00100020, 0x00100010, 0x00081030, 0x00081140, 0x0040A160
TERMS = sorted({*charset.python_encoding, "ISO_IR 203"})
SETS = [
    *TERMS,
    *(f"\\{term}" for term in TERMS if term.startswith("ISO 2022 IR")),
    *(f"{term}\\ISO 2022 IR 6\\ISO 2022 IR 100" for term in TERMS if term.startswith("ISO 2022 IR")),
    *("ISO 2022 IR 13\\ISO 2022 IR 87", "\\ISO 2022 IR 87\\ISO 2022 IR 159", "ISO 2022 IR 87\\ISO 2022 IR 159"),
    *("ISO_IR 192\\ISO 2022 IR 87", "UTF-8\\ISO 2022 IR 87", "ISO-IR 100", "no such set"),
]
VALUES = [
    b"Doe^John",
    b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3",  # katakana
    b'\xd4\xcf\xc0\xde " 1',
    b"\x1b$B-!\x1b(B",  # no character of JIS X 0208
    b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
    b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
    b"\x1b$B=U\x1b(B=\x1b$B8\\\x1b(B",  # second bytes of = and \
    b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
    b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab",
    b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab",
    b"\x1b$(D0!\x1b(B",
    b"\x1b-F\xe1\\\xe9^\x1b)I\xb1",
    "M\u00fcller^\u5c71\u7530".encode(),
    b"M\xfcller^^",
    b"\xee\xbf\xa9\x80",
    b"A\\B \\\xff",
    b"\xff\xfe=",
    b"\x1b\x1bx\xff",
]
ENCODINGS = [EXPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE]


def by_tag(node: Node) -> int:
    return node.tag


def even(value: bytes) -> bytes:
    return value + b" " * (len(value) % 2)


def texts_of(value: bytes) -> list[Node]:
    return [Node(STUDIES, "LO", value), Node(NAME, "PN", value), Node(ID, "LO", value), Node(TEXT, "UT", value)]


def nodes_of(character_set: str | None, value: bytes) -> list[Node]:
    """At the top and in two levels of items, one of them of its own character set."""
    value = even(value)
    named = [] if character_set is None else [Node(0x00080005, "CS", even(character_set.encode()))]
    other = [Node(0x00080005, "CS", b"ISO_IR 100"), *texts_of(value)]
    inner = sorted([*texts_of(value), Node(ITEMS, "SQ", [named + texts_of(value), other])], key=by_tag)
    return sorted([*named, *texts_of(value), Node(ITEMS, "SQ", [inner, []], undefined=True)], key=by_tag)


def walk(data: bytes, encoding: Encoding) -> DataSetIndex:
    return scan(MemorySource(memoryview(data)), encoding, whole=True)


def read_all(dataset: Dataset) -> None:
    for element in dataset:
        str(element)
        if isinstance(element.value, Sequence):
            for item in element.value:
                read_all(item)


def raw(index: DataSetIndex, tag: int, encoding: Encoding) -> bytes:
    found = get_raw(index, encoding, tag)
    assert found is not None
    return found.value


@pytest.mark.parametrize("character_set", [None, *SETS])
@pytest.mark.parametrize("encoding", ENCODINGS, ids=["explicit", "big", "implicit"])
def test_texts_that_are_only_read_keep_their_bytes(character_set: str | None, encoding: Encoding) -> None:
    for value in VALUES:
        data = encode(nodes_of(character_set, value), encoding)
        index = walk(data, encoding)
        header = read_header(index, encoding)
        read_all(header)
        written = encode_dataset(header, encoding, index)
        for tag in (STUDIES, NAME, ID, TEXT):
            assert raw(walk(written, encoding), tag, encoding) == even(value)
        assert written.count(even(value)) == data.count(even(value)), value


@pytest.mark.parametrize("character_set", ["ISO_IR 13", "ISO 2022 IR 87", "\\ISO 2022 IR 87", "GB18030", "ISO_IR 192"])
def test_other_texts_keep_their_bytes_if_one_changes(tmp_path: Path, character_set: str) -> None:
    """In the stored file; also in an item of which another element changes."""

    def change(instance: Instance) -> None:
        header = instance.copy_header()
        read_all(header)
        header.PatientID = "NOBODY"
        header[ITEMS].value[0].PatientID = "NOBODY"
        instance.replace_header(header)

    for number, value in enumerate(VALUES):
        root = tmp_path / str(number)
        root.mkdir()
        nodes = nodes_of(character_set, value)
        outcome = send(receiver(root, hooks(receive=change)), encode(nodes, EXPLICIT_LITTLE))
        assert outcome.status == 0xB000
        stored = stored_data(outcome.location)
        if len(value) > 10:
            assert stored.count(even(value)) == encode(nodes, EXPLICIT_LITTLE).count(even(value)) - 2
        assert stored.count(b"NOBODY") == 2


CHANGED = [
    ("ISO_IR 13", "\uff94\uff8f\uff80\uff9e 1"),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", "\uff94\uff8f^Tarou=\u5c71\u7530^\u592a\u90ce"),
    ("ISO 2022 IR 87", "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce"),
    ("ISO 2022 IR 87", "Yamada^^Dr=\u6625"),
    ("ISO 2022 IR 159", "\u4e02^A"),
    ("\\ISO 2022 IR 87", "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce"),
    ("\\ISO 2022 IR 149", "Hong^Gildong=\u6d2a^\u5409\u6d1e=\ud64d^\uae38\ub3d9"),
    ("ISO 2022 IR 149", "Hong=\u6d2a^\u5409\u6d1e"),
    ("ISO_IR 100\\ISO 2022 IR 126", "\u03b1^\u00e9"),
    ("GB18030", "Wang=\u738b^\u5c0f\u4e1c"),
    ("ISO_IR 192", "\u5c71\u7530=\uac00^\u00fc"),
    ("ISO_IR 166", "\u0e01"),
]


@pytest.mark.parametrize(("character_set", "text"), CHANGED)
def test_changed_texts_are_read_as_they_were_written(character_set: str, text: str) -> None:
    index = walk(encode(nodes_of(character_set, b"X "), EXPLICIT_LITTLE), EXPLICIT_LITTLE)
    header = read_header(index, EXPLICIT_LITTLE)
    header.PatientName = header.PatientID = header[ITEMS].value[0].PatientName = text
    again = walk(encode_dataset(header, EXPLICIT_LITTLE, index), EXPLICIT_LITTLE)
    assert get_value(again, EXPLICIT_LITTLE, NAME) == get_value(again, EXPLICIT_LITTLE, ID) == text
    assert get_value(again, EXPLICIT_LITTLE, ITEMS)[0].PatientName == text


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SETS),
    st.text(
        st.sampled_from("A1^=\\\n\u00e9\u03b1\uff71\u5c71\u6625\uac00\u4e02\u00a5\u20ac\uefff\x1b$B"),
        min_size=1,
        max_size=6,
    ),
)
def test_no_text_becomes_another_one(character_set: str, text: str) -> None:
    """It is written as it is or refused."""
    new = Dataset()
    new.SpecificCharacterSet = character_set.split("\\")
    new.UnformattedTextValue = new.PatientComments = text
    new.PatientName = name = text.replace("\\", "")
    try:
        written = walk(encode_dataset(new, EXPLICIT_LITTLE), EXPLICIT_LITTLE)
    except ValueError as error:
        assert "Specific Character Set (0008,0005)" in str(error)
        return
    assert get_value(written, EXPLICIT_LITTLE, "UnformattedTextValue") == text
    assert get_value(written, EXPLICIT_LITTLE, "PatientComments") == text
    assert str(get_value(written, EXPLICIT_LITTLE, "PatientName", "")) == name.rstrip("=")


def test_padding_does_not_become_part_of_a_character() -> None:
    new = Dataset()
    new.SpecificCharacterSet = "GB18030"
    new.PatientID = "A\uef81\uef30\uef81"
    assert get_value(walk(encode_dataset(new, EXPLICIT_LITTLE), EXPLICIT_LITTLE), EXPLICIT_LITTLE, ID) == new.PatientID
    new.PatientID = "\uef81\uef30\uef81"  # with a blank as the byte after the last one
    with pytest.raises(ValueError, match=r"\(0010,0020\) has characters"):
        encode_dataset(new, EXPLICIT_LITTLE)


def test_a_text_that_cannot_be_encoded_refuses_the_instance(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def change(instance: Instance) -> None:
        header = instance.copy_header()
        header[ITEMS].value[0][ITEMS].value[1].PatientName = "\u5c71"
        instance.replace_header(header)

    place = receiver(tmp_path, hooks(receive=change))
    assert send(place, encode(nodes_of("ISO_IR 192", b"X "), EXPLICIT_LITTLE)).status == 0x0110
    assert "(0008,1140)[0].(0008,1140)[1].(0010,0010) has characters that Specific Character Set" in caplog.text
    assert "\u5c71" not in caplog.text
    assert names(tmp_path) == []


@pytest.mark.parametrize("read_first", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS, ids=["explicit", "big", "implicit"])
def test_items_follow_another_character_set(encoding: Encoding, read_first: bool) -> None:
    index = walk(encode(nodes_of("ISO_IR 101", b"\xb1\xe6"), encoding), encoding)
    header = read_header(index, encoding)
    if read_first:
        read_all(header)
    header.SpecificCharacterSet = "ISO_IR 192"
    again = read_header(walk(encode_dataset(header, encoding, index), encoding), encoding)
    [item, _] = again[ITEMS].value
    assert again.PatientID == item.PatientID == item.PatientName == "\u0105\u0107"
    assert item[ITEMS].value[0].PatientID == "\u0105\u0107"  # has its own
    assert item[ITEMS].value[1].PatientID == "\u00b1\u00e6"


@pytest.mark.parametrize("character_set", [None, "", "ISO_IR 100"])
@pytest.mark.parametrize("change", [False, True])
@pytest.mark.parametrize("read_first", [False, True])
def test_a_sequence_without_items(tmp_path: Path, character_set: str | None, change: bool, read_first: bool) -> None:
    """Of defined length, with bytes that are no item, at the top and in an item."""

    def replace(instance: Instance) -> None:
        header = instance.copy_header()
        if read_first:
            read_all(header)
        if change:
            header.SpecificCharacterSet = "ISO_IR 192"
        header.PatientID = "NOBODY"
        instance.replace_header(header)

    odd = Node(0x00400275, "SQ", b"NONE")
    inner = [odd, Node(0x00400280, "ST", b"X ")]
    named = [] if character_set is None else [Node(0x00080005, "CS", character_set.encode())]
    nodes = sorted([*named, Node(ITEMS, "SQ", [inner]), odd, Node(ID, "LO", b"X ")], key=by_tag)
    place = receiver(tmp_path, hooks(receive=replace))
    outcome = send(place, encode(nodes, EXPLICIT_LITTLE))
    assert outcome.status == 0xB000
    assert stored_data(outcome.location).count(b"NONE") == 2
    assert read(outcome.location).PatientID == "NOBODY"


def test_what_is_not_read_keeps_its_bytes_without_a_character_set(tmp_path: Path) -> None:
    """Out of order as it is: nothing is encoded anew."""

    def replace(instance: Instance) -> None:
        header = instance.copy_header()
        header.PatientID = "NOBODY"
        instance.replace_header(header)

    odd = encode([Node(ITEMS, "SQ", [[Node(ID, "LO", b"X\0\0\0"), Node(NAME, "PN", b"Y^^^==")]])], EXPLICIT_LITTLE)
    outcome = send(receiver(tmp_path, hooks(receive=replace)), odd + data_set())
    assert odd in stored_data(outcome.location)


def test_the_sets_are_those_of_the_standard() -> None:
    assert {codecs_of(term)[0] for term in TERMS} >= {
        "shift_jis",
        "iso2022_jp",
        "euc_kr",
        "GB18030",
        "UTF8",
        "iso_ir_58",
    }
