"""Fuzz targets: the element walker, with the same result for any pieces of the input; and values."""

from __future__ import annotations

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset import raw_values, values
from dcmrecv_core.dataset.encodings import (
    DEFLATED_LITTLE,
    ENCAPSULATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
)
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.dataset.sources import MemorySource
from support.data.datasets import ENCODINGS, ITEM, ITEM_END, SEQUENCE_END, SMALL, Node, deflate, encode, header, item
from support.data.samples import data_set_files, data_set_of
from support.data.scan_results import outcome, outcome_of
from support.data.sources import TinySource
from support.fuzz.agreement import disagreements
from support.uids import BIG_ENDIAN, EXPLICIT_LE, IMPLICIT_LE

BY_FIRST_BYTE = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG, ENCAPSULATED_LITTLE, DEFLATED_LITTLE)
LARGEST_SEED = 20_000
FAULT = 2  # members of an outcome that is a fault
NESTED = [
    Node(0x00081140, "SQ", [[Node(0x00081140, "SQ", [[Node(0x00081155, "UI", b"1.2\0")]], undefined=True)]]),
    *(Node(0x00100010 + 16 * step, "LO", b"Value ") for step in range(12)),
    Node(0x00400275, "UN", [[Node(0x00400007, "LO", b"Head")]], undefined=True),
    Node(0x7FE00010, "OB", (b"", bytes(20), b"\xff\xd8")),
]


def fuzz_data_set(data: bytes) -> None:
    """The first byte names the encoding. The outcome is the same in small windows, and in the deflated form."""
    encoding, data = BY_FIRST_BYTE[(data or b"\0")[0] % len(BY_FIRST_BYTE)], data[1:]
    for whole in (True, False):
        assert outcome_of(TinySource(data), encoding, whole=whole) == outcome(data, encoding, whole=whole)
    if encoding is EXPLICIT_LITTLE:
        plain, inflated = outcome(data, EXPLICIT_LITTLE), outcome(deflate(data), DEFLATED_LITTLE)
        # its length is known only at its end, so a fault may be reported for another element
        assert inflated == plain or len(inflated) == len(plain) == FAULT


def fuzz_values(data: bytes) -> None:
    """All values of elements that the walker accepts can be read."""
    encoding, data = BY_FIRST_BYTE[(data or b"\0")[0] % 4], data[1:]
    try:
        index = scan(MemorySource(memoryview(data)), encoding, whole=True)
    except DataSetError:
        index = scan(MemorySource(memoryview(data)), encoding, whole=False)
    for tag in list(index.elements)[:20]:
        values.get_value(index, encoding, tag)
        values.get_raw(index, encoding, tag, 10)
        raw_values.read_uid(index, tag)
    values.get_value(index, encoding, ("ACME 1.1", 0x00290001))
    values.read_header(index, encoding)


def fuzz_agreement(data: bytes) -> None:
    """pydicom reads the same in what the walker accepts, up to places where pydicom is known to be wrong."""
    encoding, data = BY_FIRST_BYTE[(data or b"\0")[0] % 4], data[1:]
    try:
        index = scan(MemorySource(memoryview(data)), encoding, whole=True)
    except DataSetError:
        return
    header = values.read_header(index, encoding)
    differ = disagreements(lambda tag: values.get_value(index, encoding, tag), header, index, data, encoding)
    assert not differ, differ[0]


def data_set_seeds() -> list[bytes]:
    plain = [
        bytes([number]) + encode(nodes, encoding)
        for number, encoding in enumerate(ENCODINGS.values())
        for nodes in (SMALL, NESTED)
    ]
    encapsulated = b"\3" + encode(NESTED, EXPLICIT_LITTLE)
    file = b"\0" + bytes(128) + b"DICM" + bytes.fromhex("02000200") + b"UI" + bytes.fromhex("0400312e3200")
    deflated = b"\4" + deflate(encode(SMALL, EXPLICIT_LITTLE))
    return [
        *plain,
        *_with_stray_delimiters(),
        *_with_odd_places(),
        encapsulated,
        file + plain[0][1:],
        deflated,
        *_real(),
    ]


def _with_stray_delimiters() -> list[bytes]:
    """At top level, between items and in an item, after a sequence in it."""
    made = []
    for number, encoding in enumerate(ENCODINGS.values()):
        ends = b"".join(item(tag, 0, encoding) for tag in (SEQUENCE_END, ITEM_END))
        content = encode([Node(0x00081140, "SQ", []), Node(0x00081155, "UI", b"1.2\0")], encoding)
        for inside in (content[:-12] + ends + content[-12:], content):
            value = ends + item(ITEM, len(inside), encoding) + inside + ends
            sequence = header(0x00081140, "SQ", len(value), encoding) + value
            made.append(bytes([number]) + encode(SMALL[:3], encoding) + sequence + ends + encode(SMALL[4:], encoding))
    return made


def _with_odd_places() -> list[bytes]:
    """Unknown VRs with items, with other items and of 16 bits; a sequence without items; filler. At top level and in an
    item."""
    made = []
    for number, encoding in enumerate(ENCODINGS.values()):
        future = encode([Node(0x00091001, "UN", [[Node(0x00400007, "LO", b"Head")]], undefined=True)], encoding)
        fragments = encode([Node(0x00091002, "OB", (b"", b"abcd"))], encoding)
        short = encode([Node(0x00091003, "LO", b"ab")], encoding)
        no_items = encode([Node(0x00091199, "SQ", b"no items"), Node(0x00081140, "SQ", b"NONE")], encoding)
        if encoding.explicit:
            future, fragments, short = (
                part[:4] + vr + part[6:] for part, vr in ((future, b"XX"), (fragments, b"ox"), (short, b"\0\0"))
            )
        else:
            fragments = b""
        odd = future + fragments + short + no_items
        value = item(ITEM, len(odd), encoding) + odd
        nested = header(0x00081140, "SQ", len(value), encoding) + value
        for content in (odd, nested):
            made.append(
                bytes([number]) + encode(SMALL[:3], encoding) + content + encode(SMALL[4:], encoding) + b"\xff" * 8
            )
    return made


def _real() -> list[bytes]:
    found = [data_set_of(path) for path in data_set_files()]
    numbers = {EXPLICIT_LE: 0, IMPLICIT_LE: 1, BIG_ENDIAN: 2}
    return [
        bytes([numbers.get(uid, 3)]) + data
        for uid, data in filter(None, found)
        if len(data) <= LARGEST_SEED and not uid.endswith(".99")
    ]
