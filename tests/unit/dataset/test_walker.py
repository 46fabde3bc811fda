"""The walker: where elements are, in whatever way the bytes come, and what is refused, accepted or remarked on."""

from __future__ import annotations

import re
import tracemalloc
import zlib

import pydicom
import pytest

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset import walk_state, walker
from dcmrecv_core.dataset.encodings import (
    DEFLATED_LITTLE,
    ENCAPSULATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    UNDEFINED_LENGTH,
    Encoding,
)
from dcmrecv_core.dataset.scan import MAX_DEPTH, DataSetIndex, encoding_of, scan
from dcmrecv_core.dataset.sources import ByteSource, MemorySource
from support.data.datasets import (
    ENCODINGS,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    SMALL,
    Node,
    deflate,
    encode,
    header,
    item,
    positions,
)
from support.without_compiled import in_python

NAME = header(0x00100010, "PN", 8, EXPLICIT_LITTLE) + b"Doe^Jane"
BIRTH_DATE = header(0x00100030, "DA", 8, EXPLICIT_LITTLE) + b"19700101"
SEQUENCE = 0x00081140


def walk(data: bytes, encoding: Encoding = EXPLICIT_LITTLE, *, whole: bool = True) -> DataSetIndex:
    return scan(MemorySource(memoryview(data)), encoding, whole=whole)


def nested(depth: int, *, undefined: bool) -> bytes:
    data = NAME
    if undefined:
        start = header(SEQUENCE, "SQ", UNDEFINED_LENGTH, EXPLICIT_LITTLE) + item(
            ITEM, UNDEFINED_LENGTH, EXPLICIT_LITTLE
        )
        end = item(ITEM_END, 0, EXPLICIT_LITTLE) + item(SEQUENCE_END, 0, EXPLICIT_LITTLE)
        return start * depth + data + end * depth
    for _ in range(depth):
        data = header(SEQUENCE, "SQ", len(data) + 8, EXPLICIT_LITTLE) + item(ITEM, len(data), EXPLICIT_LITTLE) + data
    return data


@pytest.mark.parametrize(
    ("uid", "encoding"),
    [
        ("1.2.840.10008.1.2", IMPLICIT_LITTLE),
        ("1.2.840.10008.1.2.1", EXPLICIT_LITTLE),
        ("1.2.840.10008.1.2.1.98", ENCAPSULATED_LITTLE),
        ("1.2.840.10008.1.2.1.99", DEFLATED_LITTLE),
        ("1.2.840.10008.1.2.2", EXPLICIT_BIG),
        ("1.2.840.10008.1.2.4.205", DEFLATED_LITTLE),
        ("1.2.840.10008.1.2.4.204", EXPLICIT_LITTLE),
        ("1.2.840.10008.1.2.7.2", EXPLICIT_LITTLE),
        ("1.2.840.10008.1.2.8.1", ENCAPSULATED_LITTLE),
        ("1.2.840.113619.5.2", IMPLICIT_LITTLE),
        ("1.2.840.10008.1.2.6.1", None),
        ("1.2.840.10008.1.2.6.2", None),
        ("1.2.3", None),
        ("", None),
    ],
)
def test_encoding_of_transfer_syntax(uid: str, encoding: Encoding | None) -> None:
    assert encoding_of(uid) == encoding


def test_every_transfer_syntax_that_pydicom_knows_has_an_encoding() -> None:
    for uid in pydicom.uid.AllTransferSyntaxes:
        encoding = encoding_of(uid)
        assert encoding is not None, uid
        assert encoding.explicit == (not uid.is_implicit_VR)
        assert encoding.little == uid.is_little_endian
        if "JPIP" not in uid.name and "SMPTE" not in uid.name:
            assert encoding.encapsulated == uid.is_encapsulated, uid


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_index(encoding: Encoding) -> None:
    index = walk(encode(SMALL, encoding), encoding)
    assert [(e.tag, e.vr, e.offset, e.end) for e in index.elements.values()] == list(positions(SMALL, encoding))
    assert index.pixel_offset == index.elements[0x7FE00010].offset
    assert index.warnings == []
    name = index.elements[0x00100010]
    assert (name.length, name.end - name.value_offset) == (8, 8)


def test_without_pixel_data_its_offset_is_the_end() -> None:
    assert walk(NAME).pixel_offset == len(NAME)


@pytest.mark.parametrize("tag", [0x7FE00008, 0x7FE00009, 0x7FE00010])
def test_header_scan_stops_at_pixel_data(tag: int) -> None:
    index = walk(NAME + header(tag, "OF", 100, EXPLICIT_LITTLE) + b"no hundred bytes", whole=False)
    assert list(index.elements) == [0x00100010]
    assert (index.pixel_offset, index.warnings) == (len(NAME), [])


def test_header_scan_tells_a_fault_as_warning() -> None:
    index = walk(NAME + header(0x00100020, "LO", 100, EXPLICIT_LITTLE) + b"short", whole=False)
    assert list(index.elements) == [0x00100010]
    assert index.pixel_offset == len(NAME)
    assert index.warnings == ["(0010,0020) at 16: Value runs past the end"]
    assert walk(b"", whole=False).elements == {}


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_truncation_is_refused_anywhere_but_between_elements(encoding: Encoding) -> None:
    data = encode(SMALL, encoding)
    legal = {end for _, _, _, end in positions(SMALL, encoding)}
    accepted = set()
    for cut in range(len(data) + 1):
        try:
            walk(data[:cut], encoding)
        except DataSetError as error:
            assert error.status == 0xC000
        else:
            accepted.add(cut)
    assert accepted == legal


ACCEPTED = {
    "odd length": (header(0x00100010, "PN", 3, EXPLICIT_LITTLE) + b"Doe" + BIRTH_DATE,
        "(0010,0010) at 0: Odd length 3"),
    "unknown VR, long": (header(0x00100010, "UT", 3 + 1, EXPLICIT_LITTLE).replace(b"UT", b"ZZ") + b"Doe " + BIRTH_DATE,
        "(0010,0010) at 0: Unknown VR, length taken as 32 bits"),
    "unknown VR, short": (NAME.replace(b"PN", b"??") + BIRTH_DATE,
        "(0010,0010) at 0: Unknown VR, length taken as 16 bits"),
    "unknown VR, empty and short": (header(0x00100010, "ox", 0, EXPLICIT_LITTLE) + BIRTH_DATE,
        "(0010,0010) at 0: Unknown VR, length taken as 16 bits"),
    "zero padding": (NAME + BIRTH_DATE + bytes(20), "After the last element at 32: 20 bytes that are no elements"),
    "zero padding shorter than a header": (NAME + BIRTH_DATE + bytes(1),
        "After the last element at 32: 1 byte that is no element"),
    "stray item delimiter": (NAME + item(ITEM_END, 0, EXPLICIT_LITTLE) + BIRTH_DATE,
        "Stray delimiter (FFFE,E00D) at 16"),
    "file meta": (header(0x00020010, "UI", 4, EXPLICIT_LITTLE) + b"1.2\0" + NAME + BIRTH_DATE,
        "File Meta Information within the data set"),
    "whole file": (bytes(128) + b"DICM" + header(0x00020010, "UI", 4, EXPLICIT_LITTLE) + b"1.2\0" + NAME + BIRTH_DATE,
        "A whole DICOM file was sent as data set"),
    "implicit VR": (encode([Node(0x00100010, "", b"Doe^Jane"), Node(0x00100030, "", b"19700101")], IMPLICIT_LITTLE),
        "Implicit VR, against the transfer syntax"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "warning"), ACCEPTED.values(), ids=ACCEPTED)
def test_odd_but_clear_is_accepted_with_a_warning(data: bytes, warning: str) -> None:
    index = walk(data)
    assert {0x00100010, 0x00100030} <= index.elements.keys()
    assert index.warnings[0] == warning


def test_disorder_and_repetition() -> None:
    other = NAME.replace(b"Doe", b"Roe")
    index = walk(NAME + BIRTH_DATE + other + BIRTH_DATE + header(0x00100020, "LO", 0, EXPLICIT_LITTLE))
    assert index.elements[0x00100010].offset == 0, "of repeated elements the first counts"
    assert index.elements[0x00100020].offset == 64
    assert index.warnings == [
        "(0010,0010) at 32: Repeated",
        "(0010,0030) at 48: Repeated",
        "(0010,0020) at 64: Out of order",
    ]


def test_explicit_vr_where_implicit_is_due() -> None:
    index = walk(NAME + BIRTH_DATE, IMPLICIT_LITTLE)
    assert [element.vr for element in index.elements.values()] == ["PN", "DA"]
    assert index.warnings == ["Explicit VR, against the transfer syntax"]


@pytest.mark.parametrize("encoding", [IMPLICIT_LITTLE, EXPLICIT_BIG])
def test_file_meta_is_explicit_little_endian_whatever_follows(encoding: Encoding) -> None:
    meta = bytes(128) + b"DICM" + header(0x00020010, "UI", 4, EXPLICIT_LITTLE) + b"1.2\0"
    index = walk(meta + encode(SMALL, encoding), encoding)
    assert [e.offset - len(meta) for e in list(index.elements.values())[1:]] == [
        p[2] for p in positions(SMALL, encoding)
    ]


def test_item_in_implicit_vr_within_explicit() -> None:
    inner = encode([Node(0x00100010, "", b"Doe^Jane")], IMPLICIT_LITTLE)
    data = header(SEQUENCE, "SQ", len(inner) + 8, EXPLICIT_LITTLE) + item(ITEM, len(inner), EXPLICIT_LITTLE) + inner
    index = walk(data + NAME)
    assert index.warnings == ["(0010,0010) at 20: Item in implicit VR"]
    assert index.elements[0x00100010].vr == "PN"


@pytest.mark.parametrize("encoding", [EXPLICIT_LITTLE, EXPLICIT_BIG])
def test_un_of_undefined_length_holds_implicit_little_endian(encoding: Encoding) -> None:
    private = Node(0x00091001, "UN", [[Node(0x00091002, "", b"ab"), Node(0x00091003, "", [[]], undefined=True)]], True)
    nodes = [private, Node(0x00100010, "PN", b"Doe^Jane")]
    index = walk(encode(nodes, encoding), encoding)
    assert [(e.tag, e.vr, e.offset, e.end) for e in index.elements.values()] == list(positions(nodes, encoding))
    assert index.warnings == []


def test_stray_delimiters_in_values_of_defined_length() -> None:
    stray = item(ITEM_END, 0, EXPLICIT_LITTLE)
    content = item(ITEM, len(NAME) + 8, EXPLICIT_LITTLE) + NAME + stray + stray + item(SEQUENCE_END, 0, EXPLICIT_LITTLE)
    index = walk(header(SEQUENCE, "SQ", len(content), EXPLICIT_LITTLE) + content + NAME)
    assert [text.partition(": ")[2] for text in index.warnings] == [
        "Stray delimiter (FFFE,E00D)",
        "Stray delimiter (FFFE,E0DD)",
    ], "of each kind the first"
    assert 0x00100010 in index.elements


@pytest.mark.parametrize(
    ("node", "encoding", "warning"),
    [
        (Node(0x7FE00010, "OB", (b"", b"abcd", b"xy")), ENCAPSULATED_LITTLE, None),
        (Node(0x7FE00010, "OW", (b"", b"abcd")), EXPLICIT_LITTLE,
            "Encapsulated pixel data, against the transfer syntax"),
        (Node(0x7FE00010, "OW", b"abcd"), ENCAPSULATED_LITTLE, "Native pixel data, against the transfer syntax"),
        (Node(0x7FE00010, "OB", (b"", b"abc")), ENCAPSULATED_LITTLE, "(7FE0,0010) at 20: Fragment of odd length 3"),
        (Node(0x7FE00010, "UN", (b"", b"abcd")), ENCAPSULATED_LITTLE,
            "(7FE0,0010) at 0: Encapsulated pixel data with VR UN"),
        (Node(0x00090010, "OB", (b"", b"abcd")), EXPLICIT_LITTLE, None),
    ],
)  # fmt: skip
def test_fragments(node: Node, encoding: Encoding, warning: str | None) -> None:
    index = walk(encode([node], encoding) + header(0xFFFCFFFC, "OB", 0, encoding), encoding)
    assert index.elements[node.tag].end == len(encode([node], encoding))
    assert 0xFFFCFFFC in index.elements
    assert index.warnings == ([warning] if warning else [])


def test_pixel_data_after_float_ones_have_a_form_too() -> None:
    form = (b"", b"abcd" * 9)
    data = encode([Node(0x7FE00008, "OB", form), Node(0x7FE00010, "OW", b"abcd" * 9)], ENCAPSULATED_LITTLE)
    warnings = ["Native pixel data, against the transfer syntax"]
    assert walk(data, ENCAPSULATED_LITTLE).warnings == warnings
    assert in_python(lambda: walk(data, ENCAPSULATED_LITTLE).warnings) == warnings


def sequence(content: bytes, length: int = UNDEFINED_LENGTH) -> bytes:
    return header(SEQUENCE, "SQ", length, EXPLICIT_LITTLE) + content


OPEN_ITEM = item(ITEM, UNDEFINED_LENGTH, EXPLICIT_LITTLE)
END_ITEM = item(ITEM_END, 0, EXPLICIT_LITTLE)
END = item(SEQUENCE_END, 0, EXPLICIT_LITTLE)
PIXELS = header(0x7FE00010, "OB", UNDEFINED_LENGTH, EXPLICIT_LITTLE)

REFUSED = {
    "nothing": (b"", EXPLICIT_LITTLE, "There is no data set"),
    "zeros": (bytes(400), EXPLICIT_LITTLE, "At 0: No element"),
    "zeros, implicit": (bytes(400), IMPLICIT_LITTLE, "At 0: No element"),
    "control characters": (b"\x08\0\x16\0\x01\x02\xff\xff" * 4, EXPLICIT_LITTLE,
        "(0008,0016) at 0: invalid VR bytes 0102"),
    "control characters later": (NAME + b"\x20\0\x16\0\x01\x02\x02\0abc", EXPLICIT_LITTLE,
        "(0020,0016) at 16: invalid VR bytes 0102"),
    "zeros in between": (NAME + bytes(16) + NAME, EXPLICIT_LITTLE, "After (0010,0010) at 16: No element"),
    "value": (NAME[:-1], EXPLICIT_LITTLE, "(0010,0010) at 0: Value runs past the end"),
    "long header": (PIXELS[:10], EXPLICIT_LITTLE, "(7FE0,0010) at 0: Data end inside an element header"),
    "header": (NAME + BIRTH_DATE[:5], EXPLICIT_LITTLE, "After (0010,0010) at 16: Element header cut off"),
    "no sequence delimiter": (sequence(OPEN_ITEM + NAME + END_ITEM), EXPLICIT_LITTLE,
        "In (0008,1140) at 44: Sequence without delimiter"),
    "no item delimiter": (sequence(OPEN_ITEM + NAME + END), EXPLICIT_LITTLE,
        "In (0008,1140) at 44: Sequence without delimiter"),
    "no item": (sequence(NAME + END), EXPLICIT_LITTLE, "In (0008,1140) at 12: (0010,0010) instead of an item"),
    "item too long": (sequence(item(ITEM, 17, EXPLICIT_LITTLE) + NAME, 24) + NAME, EXPLICIT_LITTLE,
        "In (0008,1140) at 12: Item runs past the end"),
    "value past its item": (sequence(item(ITEM, 15, EXPLICIT_LITTLE) + NAME, 24) + NAME, EXPLICIT_LITTLE,
        "(0010,0010) at 20: Value runs past the end"),
    "header cut off in an item": (sequence(item(ITEM, 4, EXPLICIT_LITTLE) + NAME[:4], 12) + NAME, EXPLICIT_LITTLE,
        "In (0008,1140) at 20: Element header cut off"),
    "item at top level": (NAME + OPEN_ITEM + NAME, EXPLICIT_LITTLE,
        "After (0010,0010) at 16: (FFFE,E000) instead of an element"),
    "no fragment": (PIXELS + NAME, EXPLICIT_LITTLE, "In (7FE0,0010) at 12: No fragment"),
    "fragment too long": (PIXELS + item(ITEM, 9, EXPLICIT_LITTLE) + b"abcd", EXPLICIT_LITTLE,
        "In (7FE0,0010) at 12: Fragment runs past the end"),
    "no delimiter of fragments": (PIXELS + item(ITEM, 4, EXPLICIT_LITTLE) + b"abcd", EXPLICIT_LITTLE,
        "In (7FE0,0010) at 24: Fragments without delimiter"),
    "deflated, cut": (deflate(NAME * 99)[:-4], DEFLATED_LITTLE, "Deflated data end at offset 28 without end mark"),
    "deflated, broken": (b"\xff" * 40, DEFLATED_LITTLE, "Deflated data broken near offset 40"),
    "deflated, empty": (deflate(b""), DEFLATED_LITTLE, "There is no data set"),
    "deflated, value": (deflate(NAME[:-1]), DEFLATED_LITTLE, "(0010,0010) at 0: Value runs past the end"),
    "deflated, sequence": (deflate(sequence(item(ITEM, 100, EXPLICIT_LITTLE) + NAME, 108)), DEFLATED_LITTLE,
        "In (0008,1140) at 36: Data end inside a sequence"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "encoding", "comment"), REFUSED.values(), ids=REFUSED)
def test_broken_is_refused(data: bytes, encoding: Encoding, comment: str) -> None:
    with pytest.raises(DataSetError) as caught:
        walk(data, encoding)
    assert caught.value.comment == comment
    named = re.match(r"(?:In |After )?\((....),(....)\)", comment)
    assert caught.value.elements == ((int(named[1] + named[2], 16),) if named else ())


def test_comment_stays_within_64_characters_beyond_4_gib() -> None:
    class Huge:
        size = 1 << 40

        def window(self, offset: int, length: int) -> bytes:
            data = (
                header(0x00091001, "OB", 0xFFFFFFFE, EXPLICIT_LITTLE) if not offset else b"\x7f\xe0\0\x10\1\1\0\0" * 2
            )
            return data.ljust(max(length, 16), b"\1")

    source: ByteSource = Huge()
    with pytest.raises(DataSetError) as caught:
        scan(source, EXPLICIT_LITTLE, whole=True)
    assert "at 4294967306: invalid VR bytes 0101" in caught.value.comment


def test_warnings_are_bounded() -> None:
    index = walk(NAME * 1000)
    assert len(index.warnings) == walk_state.MAX_WARNINGS + 1
    assert index.warnings[-1] == "and more"


@pytest.mark.parametrize("undefined", [True, False])
def test_depth_limit(undefined: bool) -> None:
    assert list(walk(nested(MAX_DEPTH, undefined=undefined)).elements) == [SEQUENCE]
    with pytest.raises(DataSetError, match=f"Sequences more than {MAX_DEPTH} deep"):
        walk(nested(MAX_DEPTH + 1, undefined=undefined))


def test_200_000_nested_items_cost_no_memory() -> None:
    data = nested(200_000, undefined=True)
    tracemalloc.start()
    try:
        with pytest.raises(DataSetError, match="deep"):
            walk(data)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_index_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walker, "MAX_ELEMENTS", 100)
    data = encode([Node(0x00100000 + number, "LO", b"") for number in range(1, 300)], EXPLICIT_LITTLE)
    index = walk(data + NAME[:4] + b"PN\0\0")
    assert len(index.elements) == 100
    assert index.overflow and index.warnings == ["(0010,0010) at 2392: Repeated"]
    assert not walk(data[: 100 * 8]).overflow
    assert walk(data + header(0x7FE00010, "OW", 0, EXPLICIT_LITTLE)).get(0x7FE00010), "pixel data are always found"
    with pytest.raises(DataSetError, match=r"\(0010,FFFF\) at 2392"):
        walk(data + header(0x0010FFFF, "LO", 2, EXPLICIT_LITTLE))


def test_deflate_bomb_is_inflated_in_windows() -> None:
    size = 200 << 20  # behaves as 1.5 GB would, in less time
    deflater = zlib.compressobj(9, wbits=-15)
    parts = [deflater.compress(header(0x7FE00010, "OW", size, EXPLICIT_LITTLE))]
    parts += [deflater.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    bomb = b"".join([*parts, deflater.flush()])
    tracemalloc.start()
    try:
        index = walk(bomb, DEFLATED_LITTLE)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    assert index.elements[0x7FE00010].end == size + 12


@pytest.mark.usefixtures("in_python")  # a regular beginning is bounded by the size of a window
@pytest.mark.parametrize(
    "data",
    [
        b"".join(header(0x00100000 + number, "LO", 0, EXPLICIT_LITTLE) for number in range(1000)),
        NAME + header(0x00081140, "SQ", 8000, EXPLICIT_LITTLE) + item(ITEM, 0, EXPLICIT_LITTLE) * 1000,
        encode([Node(0x7FE00010, "OB", (b"",) * 1000)], EXPLICIT_LITTLE),
    ],
    ids=["elements", "items", "fragments"],
)
def test_what_a_few_deflated_bytes_make_us_do_is_bounded(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    walk(deflate(data), DEFLATED_LITTLE)
    monkeypatch.setattr(walker, "MAX_INFLATED_STEPS", 999)
    walk(data)
    with pytest.raises(DataSetError, match="More than 999 steps"):
        walk(deflate(data), DEFLATED_LITTLE)


@pytest.mark.parametrize(("trailing", "warnings"), [(b"\0", []), (b"\0" * 8, ["8 bytes after the deflated stream"])])
def test_bytes_after_the_deflated_stream(trailing: bytes, warnings: list[str]) -> None:
    assert walk(deflate(NAME) + trailing, DEFLATED_LITTLE).warnings == warnings


def test_another_format_in_the_preamble() -> None:
    meta = b"MM\0*".ljust(128, b"\0") + b"DICM" + header(0x00020010, "UI", 4, EXPLICIT_LITTLE) + b"1.2\0"
    for encoding in (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG):
        warnings = walk(meta + encode(SMALL, encoding), encoding).warnings
        assert warnings[0] == "A whole DICOM file was sent as data set"


@pytest.mark.parametrize("rest", [b" " * 12, b"\x02\0\x10\0UI\4\x001.2\0"], ids=["magic", "magic and element"])
def test_a_value_that_looks_like_the_prefix_of_a_file(rest: bytes) -> None:
    data = header(0x00100010, "PN", 136, EXPLICIT_LITTLE) + b" " * 120 + b"DICM" + rest
    assert walk(data).warnings == []


def test_odd_value_in_big_endian_is_no_padding() -> None:
    data = header(0x00100010, "PN", 4, EXPLICIT_BIG) + b"Doe " + b"\0"
    with pytest.raises(DataSetError, match="Element header cut off"):
        walk(data, EXPLICIT_BIG)
