"""Elements and items as bytes: what is not exactly as the standard says is not read."""

from __future__ import annotations

import struct

import pytest
from treated import element, undefined

from dcmrecv_deidentify.encoded.elements import FORMATS, IMPLICIT, Format, Unreadable, items_of, parts_of

EXPLICIT = FORMATS[True, True]
ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
OPEN_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
NAME = element(0x00100010, "PN", "Name")


def values(data: bytes, fmt: Format) -> list[list[tuple[int, str, bytes]]]:
    """The elements of all items."""
    return [
        [(part.tag, part.vr, data[part.start : part.end]) for part in parts_of(data, start, end, fmt)]
        for start, end in items_of(data, 0, len(data), fmt)
    ]


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=map(str, FORMATS))
def test_what_is_written_is_read(fmt: Format) -> None:
    parts = [(0x00080104, "LO", b"ab"), (0x00281201, "OW", bytes(70_000)), (0x00400260, "SQ", b"")]
    items = [b"".join(fmt.encode(*part) for part in parts), b""]
    read = values(b"".join(map(fmt.encode_item, items)), fmt)
    assert read == [[(tag, vr if fmt.explicit else "", value) for tag, vr, value in parts], []]


def test_undefined_lengths() -> None:
    inner = undefined(0x00081140, "SQ", [[NAME], []])
    outer = undefined(0x00081140, "SQ", [[inner, NAME]])
    [part] = parts_of(outer, 0, len(outer), EXPLICIT)
    assert part.undefined
    assert part.after == len(outer)
    [(start, end)] = items_of(outer, part.start, part.end, EXPLICIT)
    assert outer[start:end] == inner + NAME


def test_un_of_undefined_length_is_in_implicit_vr() -> None:
    data = undefined(0x00081140, "UN", [[element(0x00100010, "PN", "Name", IMPLICIT)]]) + NAME
    assert [part.tag for part in parts_of(data, 0, len(data), EXPLICIT)] == [0x00081140, 0x00100010]


@pytest.mark.parametrize(
    "items",
    [
        b"Name",
        b"Doe^John",
        ITEM + b"Name",
        ITEM[:4] + b"\xff\0\0\0",
        OPEN_ITEM,
        OPEN_ITEM + NAME,
        OPEN_ITEM + undefined(0x00081140, "SQ", [[NAME]])[:-8],
        EXPLICIT.encode_item(NAME[:-1]),
        EXPLICIT.encode_item(b"\x10\0\x10\0??\2\0ab"),
        EXPLICIT.encode_item(b"\x10\0\x10\0OB\0\0\2\0"),
        EXPLICIT.encode_item(b"\x10\0"),
        EXPLICIT.encode_item(ITEM),
        NAME,
    ],
)
def test_what_cannot_be_read(items: bytes) -> None:
    with pytest.raises(Unreadable):
        values(items, EXPLICIT)


def test_sequences_in_one_another_without_end() -> None:
    data = NAME
    for _ in range(40):
        data = undefined(0x00081140, "SQ", [[data]])
    with pytest.raises(Unreadable, match="more than 32"):
        list(parts_of(data, 0, len(data), EXPLICIT))


def test_a_value_that_is_too_long_for_its_vr() -> None:
    with pytest.raises(Unreadable, match=r"\(0010,0020\)"):
        EXPLICIT.encode(0x00100020, "LO", bytes(70_000))
