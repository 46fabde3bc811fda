"""Values: as pydicom reads them from a file, whatever the encoding, and what is returned for odd ones."""

from __future__ import annotations

import io
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.filewriter import write_dataset

from dcmrecv_core.api.model import RawElement, TagLike
from dcmrecv_core.dataset import raw_values
from dcmrecv_core.dataset.encodings import (
    DEFLATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNDEFINED_LENGTH,
    Encoding,
)
from dcmrecv_core.dataset.scan import DataSetIndex, encoding_of, scan
from dcmrecv_core.dataset.sources import MemorySource
from dcmrecv_core.dataset.values import get_raw, get_value, read_header
from support.data.datasets import ENCODINGS, SMALL, Node, deflate, encode, header, item
from support.data.samples import TEST_FILES, data_set_of
from support.data.sources import TinySource

SEQUENCE = 0x00081140


def walk(data: bytes, encoding: Encoding = EXPLICIT_LITTLE) -> DataSetIndex:
    return scan(MemorySource(memoryview(data)), encoding, whole=True)


def value(nodes: list[Node], element: TagLike, encoding: Encoding = EXPLICIT_LITTLE, default: Any = None) -> Any:
    return get_value(walk(encode(nodes, encoding), encoding), encoding, element, default)


def patient() -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SOPInstanceUID = "1.2.3.4"
    dataset.SeriesDate = "20200102"
    dataset.PatientName = "Müller^Jörg"
    dataset.SeriesNumber = "0"
    dataset.PixelSpacing = ["0.5", "0.25"]
    dataset.SmallestImagePixelValue = -5
    dataset["SmallestImagePixelValue"].VR = "SS"
    dataset.PixelRepresentation = 1
    dataset.Rows = 512
    dataset.FrameIncrementPointer = [0x00181063, 0x00181065]
    dataset.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0x02, "SL", 70000)
    dataset.private_block(0x0019, "SITE", create=True).add_new(0x02, "LO", "über")
    reference = Dataset()
    reference.ReferencedSOPInstanceUID = "1.2.3"
    reference.PatientName = "Größe"
    dataset.ReferencedImageSequence = [reference]
    return dataset


KEYWORDS = [
    *("ImageType", "SOPInstanceUID", "SeriesDate", "PatientName", "SeriesNumber", "PixelSpacing", "Rows"),
    *("SmallestImagePixelValue", "FrameIncrementPointer", "ReferencedImageSequence", "SpecificCharacterSet"),
]


def encoded(dataset: Dataset, encoding: Encoding) -> bytes:
    stream = pydicom.filebase.DicomBytesIO()
    stream.is_implicit_VR = not encoding.explicit
    stream.is_little_endian = encoding.little
    write_dataset(stream, dataset)
    data: bytes = stream.getvalue()
    return deflate(data) if encoding.deflated else data


@pytest.mark.parametrize("encoding", [*ENCODINGS.values(), DEFLATED_LITTLE], ids=[*ENCODINGS, "deflated"])
def test_values_are_those_that_were_written(encoding: Encoding) -> None:
    dataset = patient()
    data = encoded(dataset, encoding)
    for source in (MemorySource(memoryview(data)), TinySource(data)):
        index = scan(source, encoding, whole=False)
        for keyword in KEYWORDS:
            found = get_value(index, encoding, keyword)
            assert found == dataset[keyword].value, keyword
            assert type(found) is type(dataset[keyword].value), keyword
            assert get_value(index, encoding, int(dataset[keyword].tag)) == found
        assert get_value(index, encoding, ("GEMS_ACQU_01", 0x00190002)) == 70000
        assert get_value(index, encoding, ("GEMS_ACQU_01 ", 0x00191002)) == 70000, "the block does not matter"
        private = get_value(index, encoding, ("SITE", 0x00190002))
        # In implicit VR the VR of a private element is not known.
        assert private == ("über" if encoding.explicit else "über".encode("latin-1"))
        assert read_header(index, encoding) == dataset or not encoding.explicit
        assert get_raw(index, encoding, "SeriesDate") == RawElement("DA" if encoding.explicit else "", b"20200102")


def test_absent_and_empty_give_the_default() -> None:
    nodes = [
        Node(0x00080005, "CS", b""),
        Node(SEQUENCE, "SQ", [], undefined=True),
        Node(0x00100010, "PN", b"  "),
        Node(0x00100020, "LO", b""),
        Node(0x00200013, "IS", b"0 "),
        Node(0x00280010, "US", b"\0\0"),
    ]
    for element in (SEQUENCE, "PatientName", "PatientID", "PatientSex", 0x00091001, ("NOBODY", 0x00090001)):
        assert value(nodes, element, default="none") == "none", element
    assert value(nodes, "InstanceNumber") == 0
    assert value(nodes, "Rows") == 0


@pytest.mark.parametrize(
    ("keyword", "said"),
    [
        ("PatientId", "there is no element PatientId; did you mean PatientID?"),
        ("SeriesDat", "there is no element SeriesDat; did you mean SeriesDate?"),
        ("Zzz", "there is no element Zzz"),
    ],
)
def test_fault_24_a_keyword_like_the_unknown_one_is_named(keyword: str, said: str) -> None:
    index = walk(encode(SMALL, EXPLICIT_LITTLE))
    for ask in (get_value, get_raw):
        with pytest.raises(KeyError) as caught:
            ask(index, EXPLICIT_LITTLE, keyword)
        assert caught.value.args == (said,)


ODD = {
    "text in IS": (Node(0x00200013, "IS", b"many"), "many"),
    "text in DS": (Node(0x00180050, "DS", b"1,5 "), "1,5"),
    "wrong length": (Node(0x00280010, "US", b"abc"), b"abc"),
    "date that is none": (Node(0x00080021, "DA", b"2020-1-2"), "2020-1-2"),
    "UID that is none": (Node(0x00080018, "UI", b"1..x"), "1..x"),
    "too long": (Node(0x00100020, "LO", b"x" * 70), "x" * 70),
    "bytes not in the character set": (Node(0x00100020, "LO", b"a\xff"), "aÿ"),
    "escape sequence of no character set": (Node(0x00100020, "LO", b"a\x1b$Bb"), "a\x1b$Bb"),
    "unknown VR": (Node(0x00100020, "ZZ", b"ab"), "ab"),
    "unknown VR, unknown element": (Node(0x00100021 + 0xA000, "ZZ", b"ab"), b"ab"),
    "UN": (Node(0x00100020, "UN", b"ab"), "ab"),
    "private UN": (Node(0x00091001, "UN", b"ab"), b"ab"),
}


@pytest.mark.parametrize(("node", "expected"), ODD.values(), ids=ODD)
def test_odd_values_are_returned_without_a_word(
    node: Node, expected: Any, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    assert value([node], node.tag) == expected
    assert [str(warning.message) for warning in recwarn] == []
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("character_set", "name", "expected"),
    [
        (b"ISO_IR 192", "Ωmega^Ж".encode(), "Ωmega^Ж"),
        (b"\\ISO 2022 IR 87", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        (b"NO SUCH SET", b"Doe", "Doe"),
        (b"I\0O_IR 100", b"Doe", "Doe"),
        (b"ISO_IR 192", b"Doe\xff", "Doe\uefff"),
    ],
)
def test_character_sets(
    character_set: bytes, name: bytes, expected: str, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = [Node(0x00080005, "CS", character_set), Node(0x00100010, "PN", name), Node(0x00100020, "LO", name)]
    assert str(value(nodes, "PatientName")) == expected
    assert value(nodes, "PatientID") == expected
    assert [str(warning.message) for warning in recwarn] == []
    assert caplog.text == ""


@pytest.mark.parametrize("encoding", [EXPLICIT_LITTLE, EXPLICIT_BIG])
def test_un_of_undefined_length_is_a_sequence(encoding: Encoding) -> None:
    nodes = [Node(0x00091001, "UN", [[Node(0x00100020, "", b"ab")]], undefined=True)]
    (inner,) = value(nodes, 0x00091001, encoding)
    assert inner.PatientID == "ab"
    index = walk(encode(nodes, encoding), encoding)
    assert read_header(index, encoding)[0x00091001].value[0].PatientID == "ab"


def test_private_sequence_of_undefined_length_in_implicit_vr() -> None:
    nodes = [Node(0x00091001, "", [[Node(0x00100020, "", b"ab")]], undefined=True)]
    assert value(nodes, 0x00091001, IMPLICIT_LITTLE)[0].PatientID == "ab"


def test_ambiguous_vr_without_what_decides_it() -> None:
    assert value([Node(0x00280106, "", b"\5\0")], "SmallestImagePixelValue", IMPLICIT_LITTLE) in (5, b"\5\0")


def test_header_leaves_out_long_values_and_what_follows_the_pixel_data(recwarn: pytest.WarningsRecorder) -> None:
    nodes = [
        Node(0x00020010, "UI", b"1.2\0"),
        Node(0x00091001, "OB", bytes(65536)),
        Node(0x00091002, "OB", bytes(65538)),
        Node(0x00100020, "LO", b"ab"),
        Node(0x00109999, "", b"ab"),
        Node(0x7FE00010, "OW", b"abcd"),
        Node(0xFFFCFFFC, "OB", b"abcd"),
    ]
    index = walk(encode(nodes[1:], IMPLICIT_LITTLE), IMPLICIT_LITTLE)
    dataset = read_header(index, IMPLICIT_LITTLE)
    assert [element.tag for element in dataset] == [0x00091001, 0x00100020, 0x00109999]
    assert get_value(index, IMPLICIT_LITTLE, 0x00091002) == bytes(65538)
    assert get_value(index, IMPLICIT_LITTLE, "PixelData") == b"abcd"
    assert list(recwarn) == []
    assert 0x00020010 not in read_header(walk(encode(nodes[:1], EXPLICIT_LITTLE)), EXPLICIT_LITTLE)


def test_header_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_values, "HEADER_LIMIT", 100)
    nodes = [Node(0x00091001 + number, "OB", bytes(40)) for number in range(3)] + [Node(0x00100020, "LO", b"ab")]
    index = walk(encode(nodes, EXPLICIT_LITTLE))
    assert [element.tag for element in read_header(index, EXPLICIT_LITTLE)] == [0x00091001, 0x00091002, 0x00100020]


class Watched(MemorySource):
    """Notes the longest range that was asked for."""

    longest = 0

    def window(self, offset: int, length: int) -> memoryview:
        self.longest = max(self.longest, length)
        return super().window(offset, length)


def test_only_so_much_of_a_value_is_read() -> None:
    nodes = [
        Node(0x00080021, "UN", bytes(100_000)),
        Node(0x00090010, "UN", bytes(100_000)),
        Node(0x00090011, "LO", b"SITE"),
        Node(0x00091101, "LO", b"ab"),
    ]
    source = Watched(memoryview(encode(nodes, EXPLICIT_LITTLE)))
    index = scan(source, EXPLICIT_LITTLE, whole=True)
    assert get_raw(index, EXPLICIT_LITTLE, 0x00080021, 0) == RawElement("UN", b"")
    assert get_raw(index, EXPLICIT_LITTLE, "SeriesDate", 8) == RawElement("UN", bytes(8))
    assert get_value(index, EXPLICIT_LITTLE, ("SITE", 0x00090001)) == "ab", "the creator before it is too long"
    assert source.longest < 1000


@pytest.mark.parametrize(("tag", "expected"), [(0x00090000, 4), (0x00090005, b"\4\0\0\0")])
def test_private_elements_below_all_blocks_have_no_creator(tag: int, expected: Any) -> None:
    """A group length, which data sets in implicit VR may still have, and elements that are not allowed."""
    data = encode([Node(tag, "UN", b"\4\0\0\0")], IMPLICIT_LITTLE)
    assert get_value(walk(data, IMPLICIT_LITTLE), IMPLICIT_LITTLE, tag) == expected


def test_file_meta_in_big_endian_data_is_little_endian() -> None:
    data = header(0x00020000, "UL", 4, EXPLICIT_LITTLE) + b"\7\0\0\0" + encode(SMALL, EXPLICIT_BIG)
    assert get_value(walk(data, EXPLICIT_BIG), EXPLICIT_BIG, 0x00020000) == 7


def test_header_can_be_written_again() -> None:
    uid, data = data_set_of(TEST_FILES / "SC_rgb_jpeg.dcm") or ("", b"")  # implicit VR though its syntax is explicit
    encoding = encoding_of(uid)
    assert encoding is not None
    dataset = read_header(walk(data, encoding), encoding)
    again = read_header(walk(encoded(dataset, EXPLICIT_LITTLE)), EXPLICIT_LITTLE)
    assert again == dataset


def test_deeply_nested_sequence_is_decoded() -> None:
    data = header(0x00100010, "PN", 2, EXPLICIT_LITTLE) + b"ab"
    for _ in range(128):
        start = header(SEQUENCE, "SQ", UNDEFINED_LENGTH, EXPLICIT_LITTLE) + item(0xFFFEE000, len(data), EXPLICIT_LITTLE)
        data = start + data + item(0xFFFEE0DD, 0, EXPLICIT_LITTLE)
    index = walk(data)
    found = get_value(index, EXPLICIT_LITTLE, SEQUENCE)
    for _ in range(127):
        found = found[0].ReferencedImageSequence
    assert found[0].PatientName == "ab"


def test_file_read_by_pydicom_has_the_same_values() -> None:
    path = TEST_FILES / "CT_small.dcm"
    uid, data = data_set_of(path) or ("", b"")
    encoding = encoding_of(uid)
    assert encoding is not None
    index = walk(data, encoding)
    for element in pydicom.dcmread(io.BytesIO(path.read_bytes())):
        got = get_value(index, encoding, element.tag)
        assert got == element.value or (got is None and not element.value), element.tag
