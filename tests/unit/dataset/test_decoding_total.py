"""Whatever a sender says about its character set, and whatever its values are: they are read, without a word."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import charset, values
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from dcmrecv_builtin.layout.pattern import Layout
from dcmrecv_core import Instance, decode_text, escape
from dcmrecv_core.dataset import decoding
from dcmrecv_core.dataset.encodings import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from dcmrecv_core.dataset.scan import DataSetIndex, scan
from dcmrecv_core.dataset.sources import MemorySource
from dcmrecv_core.dataset.values import get_raw, get_value, read_header
from dcmrecv_core.receive.pipeline import Outcome
from dcmrecv_core.receive.replacement import encode as encode_dataset
from dcmrecv_core.testing import fake_instance, sample_dataset
from support.data.datasets import Node, encode
from support.plugins import FakeInstance, hooks
from support.receiving import receiver, send, stored_data

NO_CHARACTER_SETS = [
    *(
        b"hex",
        b"base64",
        b"idna",
        b"rot13",
        b"zlib",
        b"bz2",
        b"UNDEFINED",
        b"undefined",
        b"punycode",
        b"unicode_escape",
    ),
    *(b"utf-16", b"mbcs", b"NO SUCH SET", b"I\0O_IR 100", b"\xff\xfe", b"hex\\idna", b"ISO_IR 100\\hex", b"a" * 1030),
    b"\\".join([b"hex"] * 200),
]
STATION, ITEMS = 0x00081010, 0x00081140
VALUES = {
    0x00080018: "UI",
    0x00080020: "DA",
    0x00080030: "TM",
    0x0008002A: "DT",
    STATION: "SH",
    0x00081030: "LO",
    0x00100010: "PN",
    0x00100020: "LO",
    0x00101010: "AS",
    0x00180050: "DS",
    0x00200013: "IS",
    0x00204000: "LT",
    0x00280010: "US",
    0x00280106: "SS",  # US or SS in the dictionary
    0x00283006: "US",  # US or OW
    0x00480001: "FL",
    0x00091001: "UN",
    0x00101234: "UN",
}
PIECES = [
    b"\x1b$B",
    b"\x1b(J",
    b"\x1b$)C",
    b"\x1b-A",
    b"\x1b",
    b"^",
    b"=",
    b"\\",
    b"\0",
    b"\xff",
    b"\xb0\xa1",
    b"1.5e9",
]
ANY_VALUE = st.one_of(st.binary(max_size=24), st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
ANY_SET = st.one_of(st.sampled_from(NO_CHARACTER_SETS), st.binary(max_size=24))
LAYOUT = Layout(
    "{PatientName}/{StationName:upper}/{StudyDate:%Y}{AcquisitionDateTime:%H}/{InstanceNumber:05d}{SliceThickness:.2f}/"
    "{ReferencedImageSequence.PatientName:hash}{ReferencedImageSequence.PatientID:uid}{PatientID:urlencoded}x"
)


def by_tag(node: Node) -> int:
    return node.tag


def nodes_of(character_set: bytes, value: bytes) -> list[Node]:
    even = character_set + b" " * (len(character_set) % 2)
    nodes = [Node(0x00080005, "CS", even), *(Node(tag, vr, value) for tag, vr in VALUES.items())]
    nodes.sort(key=by_tag)
    return sorted([*nodes, Node(ITEMS, "SQ", [nodes], undefined=True)], key=by_tag)


def walk(nodes: list[Node], encoding: Encoding) -> DataSetIndex:
    return scan(MemorySource(memoryview(encode(nodes, encoding))), encoding, whole=True)


def walk_bytes(data: bytes) -> DataSetIndex:
    return scan(MemorySource(memoryview(data)), EXPLICIT_LITTLE, whole=True)


def raw_value(index: DataSetIndex, tag: int) -> bytes:
    found = get_raw(index, EXPLICIT_LITTLE, tag)
    assert found is not None
    return found.value


def read_all(dataset: Dataset) -> None:
    for element in dataset:
        str(element)
        if element.VR == "SQ":
            for inner in element.value:
                read_all(inner)


class Read(FakeInstance):
    """An instance of which a layout reads values."""

    def __init__(self, index: DataSetIndex, encoding: Encoding) -> None:
        super().__init__()
        self.get = lambda element, default=None: get_value(index, encoding, element, default)  # type: ignore[method-assign]
        self.raw = lambda element, limit=None: get_raw(index, encoding, element, limit)  # type: ignore[method-assign]


@settings(max_examples=250, deadline=None)
@given(ANY_SET, ANY_VALUE, st.sampled_from([EXPLICIT_LITTLE, EXPLICIT_BIG, IMPLICIT_LITTLE]))
def test_fault_7_all_values_can_be_read(character_set: bytes, value: bytes, encoding: Encoding) -> None:
    """By `get`, in the header and its items, and by a layout. pytest makes an error of each warning."""
    index = walk(nodes_of(character_set, value), encoding)
    for element in index.elements:
        str(get_value(index, encoding, element))
    read_all(read_header(index, encoding))
    LAYOUT.path(Read(index, encoding))


@pytest.mark.parametrize("character_set", NO_CHARACTER_SETS, ids=lambda value: repr(value[:20]))
@pytest.mark.parametrize("value", [b"Doe^J\xfcrg", b"\xfc", b"Doe\x1b$B;3ED"])
def test_no_value_is_lost(character_set: bytes, value: bytes) -> None:
    """The default repertoire is meant; bytes that it does not have stay apart."""
    index = walk(nodes_of(character_set, value), EXPLICIT_LITTLE)
    expected = value.decode("latin-1")
    assert str(get_value(index, EXPLICIT_LITTLE, "PatientName")) == expected
    assert get_value(index, EXPLICIT_LITTLE, "PatientID") == expected
    header = read_header(index, EXPLICIT_LITTLE)
    assert str(header.PatientName) == str(header.ReferencedImageSequence[0].PatientName) == expected


@pytest.mark.parametrize("character_set", NO_CHARACTER_SETS, ids=lambda value: repr(value[:20]))
def test_the_header_can_be_replaced(character_set: bytes, tmp_path: Any) -> None:
    def hide_id(instance: Instance) -> None:
        header = instance.copy_header()
        header.PatientID = "NOBODY"
        assert str(header.PatientName) == "J\u00f6rg"
        instance.replace_header(header)

    place = receiver(tmp_path, hooks(receive=hide_id))
    outcome = send(place, encode(nodes_of(character_set, b"J\xf6rg"), EXPLICIT_LITTLE))
    assert outcome == Outcome(0xB000, "Data elements were coerced", location=outcome.location)
    assert b"J\xf6rg" in stored_data(outcome.location)


def test_an_item_that_names_a_set_a_thousand_times() -> None:
    """pydicom tries each of them for each change of the character set within a name."""
    sets = b"\\".join([b"ISO 2022 IR 100", b"ISO 2022 IR 126"] * 2000)
    name = b"\x1b-A\xe9\x1b-F\xe1" * 2000
    inner = [Node(0x00080005, "CS", sets), Node(0x00100010, "PN", name)]
    index = walk([Node(ITEMS, "SQ", [inner], undefined=True)], IMPLICIT_LITTLE)
    items = get_value(index, IMPLICIT_LITTLE, ITEMS)
    tried: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "decode", lambda value, encodings, delimiters: tried.append(encodings) or "A")
        assert items[0].PatientName == "A"
    assert tried == [["latin_1", "iso_ir_126"]]


@pytest.mark.parametrize("part", [b"\x1b", b"\x1bx", b"\x1b$B\xff", b"\x1b-F\xff", b"\x1b-A", b"\xff"])
@pytest.mark.parametrize("character_set", [b"\\ISO 2022 IR 87\\ISO 2022 IR 126 ", b"ISO 2022 IR 87", b"ISO_IR 192"])
@pytest.mark.parametrize("vr", ["LO", "PN"])
def test_many_undecodable_parts(part: bytes, character_set: bytes, vr: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """pydicom warns of each, and needs twenty seconds for a million: it is asked once."""
    lengths: list[int] = []
    decode_bytes = charset.decode_bytes

    def count(value: bytes, encodings: list[str], delimiters: set[int]) -> str:
        lengths.append(len(value))
        return decode_bytes(value, encodings, delimiters)

    monkeypatch.setattr(charset, "decode_bytes", count)
    monkeypatch.setattr(values, "decode_bytes", count)
    value = part * 3000 + b"\x1b\xff"
    tag = {"LO": 0x00100020, "PN": 0x00100010}[vr]
    index = walk([Node(0x00080005, "CS", character_set), Node(tag, vr, value)], EXPLICIT_LITTLE)
    assert str(get_value(index, EXPLICIT_LITTLE, tag)).count(decode_text(part, character_set)) >= 3000
    assert sum(lengths) <= len(value) + len(part)


@pytest.mark.parametrize("character_set", ["hex", "idna", ["", "hex"], "ISO-IR 100"])
def test_the_kit_makes_such_instances(character_set: str | list[str]) -> None:
    instance = fake_instance(sample_dataset(SpecificCharacterSet=character_set, PatientName="M\u00fcller"))
    assert str(instance.get("PatientName")) == str(instance.header.PatientName) == "M\u00fcller"


JAPANESE_FIRST = (b"ISO 2022 IR 87", b"ISO 2022 IR 159 ", b"ISO 2022 IR 87\\ISO 2022 IR 159 ")
UNDECODABLE = [
    (b"ISO_IR 192", [b"M\xfcller", b"M\xf6ller", b"M\xfdller", "M\u00fcller".encode(), "M\ufffdller".encode()]),
    (b"ISO_IR 192", [b"\xfc", "\ueffc".encode(), b"\xee\xbf"]),
    (b"ISO_IR 192", [b"\xe9\x80", "\uefe9".encode() + b"\x80", "\uefe9\uef80".encode()]),
    (b"ISO_IR 109", [b"a\xa5", b"a\xae", b"a\xbe"]),
    (b"GB18030 ", [b"\x81 x", b"\x80 x", b"\xff x"]),
    (b"ISO_IR 13", [b"A\xa0", b"A\xfd", b"A\xfe"]),
    (b"\\ISO 2022 IR 87", [b"Y\x1b$B\x7f\x7f", b"Y\x1b$B\x7e\x7f", b"Y\x1b$B\x21", b"Y\x1b$B\x22"]),
    (b"\\ISO 2022 IR 149", [b"K\x1b$)C\xff\xfe", b"K\x1b$)C\xff\xfd"]),
    # not to come first by the standard
    *((term, [b"\x1b$B)!\x1b(B", b'\x1b$B)"\x1b(B', b"\x1b$B-!\x1b(B", b'\x1b$B-"\x1b(B']) for term in JAPANESE_FIRST),
    *((term, [b"Y\xff", b"Y\xfe", b"\x1b\xff", b"\x1b", b"\x1bx"]) for term in JAPANESE_FIRST),
    # one bad byte beside characters that look like stand-ins
    (b"ISO_IR 192", [b"\xe9\x80", b"\xee\xbf\xa9\x80", b"\xee\xbe\x80\xee\xbf\xa9\x80"]),
    (b"GB18030 ", [b"\xff\x80", "\ueffc\uef00".encode("gb18030") + b"\x80", "\uef00".encode("gb18030") + b"\x80"]),
]


@pytest.mark.parametrize(("character_set", "values"), UNDECODABLE)
@pytest.mark.parametrize("vr", ["LO", "PN", "SH"])
def test_fault_10_bytes_without_a_character_keep_values_apart(
    character_set: bytes, values: list[bytes], vr: str
) -> None:
    tag = {"LO": 0x00100020, "PN": 0x00100010, "SH": STATION}[vr]
    keyword = {"LO": "PatientID", "PN": "PatientName", "SH": "StationName"}[vr]
    patterns = (f"{{{keyword}}}", f"{{{keyword}:hash}}", f"{{{keyword}:uid}}", f"{{{keyword}:urlencoded}}")
    texts, names, paths = set(), set(), {pattern: set() for pattern in patterns}
    for value in values:
        inner = [Node(0x00080005, "CS", character_set), Node(tag, vr, value)]
        index = walk(sorted([*inner, Node(ITEMS, "SQ", [inner])], key=by_tag), EXPLICIT_LITTLE)
        text, header = str(get_value(index, EXPLICIT_LITTLE, tag)), read_header(index, EXPLICIT_LITTLE)
        assert str(header[tag].value) == str(header[ITEMS].value[0][tag].value) == text
        assert decode_text(value, character_set) == text
        text.encode()  # a plugin may write it anywhere
        texts.add(text)
        names.add(escape(text))
        for pattern in patterns:
            paths[pattern].add(Layout(pattern).path(Read(index, EXPLICIT_LITTLE)))
    assert len(texts) == len(names) == len(values)
    assert {pattern: len(found) for pattern, found in paths.items()} == dict.fromkeys(patterns, len(values))
    assert all(re.fullmatch(r"[^\ue000-\uf8ff]+", name) for name in names)


@pytest.mark.parametrize(("character_set", "values"), UNDECODABLE)
def test_fault_10_bytes_without_a_character_are_written_as_they_came(character_set: bytes, values: list[bytes]) -> None:
    """A plugin that changes another element looks at all of them, or moves them."""
    for value in values:
        even = value + b" " * (len(value) % 2)
        nodes = [Node(0x00080005, "CS", character_set), Node(0x00100020, "LO", even)]
        header = read_header(walk(nodes, EXPLICIT_LITTLE), EXPLICIT_LITTLE)
        read_all(header)
        written = raw_value(walk_bytes(encode_dataset(header, EXPLICIT_LITTLE)), 0x00100020)
        assert written.removesuffix(b"\x1b(B").rstrip(b" ") == value.removesuffix(b"\x1b(B").rstrip(b" ")


FEW_BYTES = st.one_of(
    st.binary(max_size=12),
    st.lists(st.sampled_from([b"\xee\xbf\xa9", b"\xee\xbe\x80", b"\xe9", b"\x80", b"\xff", b"A"]), max_size=4).map(
        b"".join
    ),
)


@settings(max_examples=400, deadline=None)
@given(FEW_BYTES, FEW_BYTES, st.sampled_from([b"ISO_IR 192", b"ISO_IR 109", b"ISO_IR 13"]))
def test_fault_10_different_values_have_different_texts(first: bytes, second: bytes, character_set: bytes) -> None:
    assert (decode_text(first, character_set) == decode_text(second, character_set)) == (first == second)


WITHOUT_SWITCHES = re.compile(rb"\x1b(?:\(B|\$B|\$\(D)")  # those that mean something
PIECES_OF_JAPANESE = [
    b"\x1b$B",
    b"\x1b(B",
    b"\x1b$(D",
    b"\x1b",
    b"A",
    b"^",
    b"=",
    b")!",
    b"-!",
    b"0!",
    b"\xe9",
    b"\xff",
    b"\xb0\xa1",
]
JAPANESE = st.lists(st.sampled_from(PIECES_OF_JAPANESE), min_size=1, max_size=4).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(JAPANESE, JAPANESE, st.sampled_from(JAPANESE_FIRST), st.sampled_from(["LO", "PN"]))
def test_fault_10_different_japanese_values_have_different_texts(
    first: bytes, second: bytes, character_set: bytes, vr: str
) -> None:
    """Values that differ by more than escape sequences. `get`, `header` and `decode_text` agree on each."""
    tag = {"LO": 0x00100020, "PN": 0x00100010}[vr]
    texts = []
    for value in (first, second):
        index = walk([Node(0x00080005, "CS", character_set), Node(tag, vr, value)], EXPLICIT_LITTLE)
        text = str(get_value(index, EXPLICIT_LITTLE, tag, ""))
        assert str(read_header(index, EXPLICIT_LITTLE)[tag].value) == text
        assert decode_text(value, character_set, vr=vr).rstrip("=" if vr == "PN" else "") == text
        texts.append(text)
    bare = [WITHOUT_SWITCHES.sub(b"", value).rstrip(b"=" if vr == "PN" else b"") for value in (first, second)]
    assert bare[0] == bare[1] or texts[0] != texts[1]


@pytest.mark.parametrize("value", [b"a\\b", b"a\\", b"a \\b", b"\\a", b"a\\\xfc", b"\\"])
@pytest.mark.parametrize(
    ("vr", "tag"), [("LO", 0x00100020), ("SH", 0x00080050), ("PN", 0x00100010), ("CS", 0x00080060)]
)
@pytest.mark.parametrize("character_set", [b"ISO_IR 100", b"ISO_IR 192"])
def test_fault_11_a_backslash_separates_nothing_where_there_is_one_value(
    value: bytes, vr: str, tag: int, character_set: bytes
) -> None:
    index = walk([Node(0x00080005, "CS", character_set), Node(tag, vr, value)], EXPLICIT_LITTLE)
    text = get_value(index, EXPLICIT_LITTLE, tag)
    expected = decode_text(value, character_set if vr != "CS" else "")
    assert str(text) == str(read_header(index, EXPLICIT_LITTLE)[tag].value) == expected
    assert isinstance(text, PersonName if vr == "PN" else str)
    directory, _ = Layout(f"{{{tag:08X}}}/x").path(Read(index, EXPLICIT_LITTLE))
    assert directory == escape(expected, windows=True)
    header = read_header(index, EXPLICIT_LITTLE)
    read_all(header)
    even = value + b" " * (len(value) % 2)
    assert raw_value(walk_bytes(encode_dataset(header, EXPLICIT_LITTLE)), tag) == even


def test_fault_11_a_backslash_separates_several_values() -> None:
    nodes = [Node(0x00080008, "CS", b"A\\B "), Node(0x00091001, "LO", b"C\\D "), Node(0x00101001, "PN", b"E\\F ")]
    index = walk([*nodes], EXPLICIT_LITTLE)
    found = [[str(one) for one in get_value(index, EXPLICIT_LITTLE, node.tag)] for node in nodes]
    assert found == [["A", "B"], ["C", "D"], ["E", "F"]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Miller^Richard==", "Miller^Richard"),
        (b"Miller^Richard^^^=", "Miller^Richard"),
        (b"Miller^Richard^^=Mi^", "Miller^Richard=Mi"),
        (b"Miller^Richard", "Miller^Richard"),
        (b"Miller^^=^^=Mi", "Miller==Mi"),
        (b"Miller^ =Mi^ ^", "Miller=Mi"),
        (b"Miller\0=", "Miller"),
        (b"Miller^\0=Mi\0^= \0", "Miller=Mi"),
        (b"==", "UNKNOWN"),
        (b"^^", "UNKNOWN"),
    ],
)
def test_fault_11_a_person_name_has_one_text(value: bytes, expected: str) -> None:
    """However it is read: as ASCII without pydicom, decoded, in an item, in implicit VR."""
    inner = [Node(0x00100010, "PN", value + b" " * (len(value) % 2))]
    nodes = [Node(0x00080005, "CS", b"ISO_IR 192"), Node(ITEMS, "SQ", [inner]), *inner]
    for encoding in (EXPLICIT_LITTLE, IMPLICIT_LITTLE):
        instance = Read(walk(nodes, encoding), encoding)
        for name in ("PatientName", "PatientName[*]", "ReferencedImageSequence.PatientName"):
            assert Layout(f"{{{name}}}/x").path(instance)[0] == expected, name
    german = [Node(0x00080005, "CS", b"ISO_IR 100"), Node(0x00100010, "PN", value.replace(b"Miller", b"M\xfcller"))]
    index = walk(german, EXPLICIT_LITTLE)
    assert Layout("{PatientName}/x").path(Read(index, EXPLICIT_LITTLE))[0] == expected.replace("Miller", "Müller")
