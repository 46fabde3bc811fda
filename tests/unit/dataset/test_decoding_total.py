"""Whatever a sender says about its character set, and whatever its values are: they are read, without a word."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dcmrecv_builtin.layout.pattern import Layout
from dcmrecv_core import Instance
from dcmrecv_core.dataset import decoding
from dcmrecv_core.dataset.encodings import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from dcmrecv_core.dataset.scan import DataSetIndex, scan
from dcmrecv_core.dataset.sources import MemorySource
from dcmrecv_core.dataset.values import get_raw, get_value, read_header
from dcmrecv_core.receive.pipeline import Outcome
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
        patch.setattr(decoding, "raw_element_value", lambda raw, data, *, encoding, **_: tried.extend(encoding))
        with pytest.raises(KeyError, match="value"):
            str(items[0].PatientName)
    assert tried == ["latin_1", "iso_ir_126"]


@pytest.mark.parametrize("character_set", ["hex", "idna", ["", "hex"], "ISO-IR 100"])
def test_the_kit_makes_such_instances(character_set: str | list[str]) -> None:
    instance = fake_instance(sample_dataset(SpecificCharacterSet=character_set, PatientName="M\u00fcller"))
    assert str(instance.get("PatientName")) == str(instance.header.PatientName) == "M\u00fcller"
