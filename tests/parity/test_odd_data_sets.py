"""Data sets that are odd, in normal mode: DCMTK dcmrecv decodes and encodes them anew, ours stores them as sent.

With --bit-preserving both store each of them as it was sent.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from struct import pack
from typing import ClassVar

import pytest

from support.data.datasets import LONG_VRS, identification, pixel_data
from support.data.samples import Sample
from support.parity.rules import Row, by_rule, compare
from support.parity.storing import PLAIN, association_profile, store
from support.programs.receivers import Receiver, Start
from support.uids import BIG_ENDIAN, CT, DEFLATED, EXPLICIT_LE, IMPLICIT_LE, JPEG

UNDEFINED = 0xFFFFFFFF
INSTANCE = "1.2.3"
SEQUENCE = 0x00400275

HEAD, IMPLICIT_HEAD = identification(CT, INSTANCE), identification(CT, INSTANCE, explicit=False)


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """An element in explicit little endian, not padded; `length` if it is not that of the value."""
    size = len(value) if length is None else length
    header = pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return header + (pack("<xxI", size) if vr in LONG_VRS else pack("<H", size)) + value


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    return pack("<HHI", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def item(value: bytes, length: int | None = None) -> bytes:
    return implicit(0xFFFEE000, value, length)


def undefined(tag: int, vr: bytes, value: bytes) -> bytes:
    """A long header with any bytes as VR; the value includes its delimiter."""
    return pack("<HH2sxxI", tag >> 16, tag & 0xFFFF, vr, UNDEFINED) + value


ITEM_END, SEQUENCE_END = implicit(0xFFFEE00D, b""), implicit(0xFFFEE0DD, b"")


def sequence(*items: bytes, encode: Callable[..., bytes] | None = None) -> bytes:
    """Items and sequence of undefined length: how DCMTK dcmrecv writes them."""
    value = b"".join(item(part + ITEM_END, UNDEFINED) for part in items) + SEQUENCE_END
    return encode(SEQUENCE, value, UNDEFINED) if encode else element(SEQUENCE, "SQ", value, UNDEFINED)


def defined(*items: bytes) -> bytes:
    return element(SEQUENCE, "SQ", b"".join(map(item, items)))


def encapsulated(vr: str, fragment: bytes = b"\xff\xd8\xff\xd9", end: bytes = SEQUENCE_END) -> bytes:
    return element(0x7FE00010, vr, item(b"") + item(fragment) + end, UNDEFINED)


def stream(odd: bool = False, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> tuple[bytes, bytes]:
    """A data set and its raw deflate stream, not padded, of even or odd length."""
    for size in range(2, 100, 2):
        data = HEAD + element(0x00100020, "LO", bytes(range(0x30, 0x30 + size)))
        compressor = zlib.compressobj(wbits=-15, strategy=strategy)
        deflated = compressor.compress(data) + compressor.flush()
        if len(deflated) % 2 == odd:
            return data, deflated
    raise AssertionError("no such stream")


def deflated_by_default(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


INSIDE = element(0x00400007, "LO", b"inside")
IMPLICIT_INSIDE = implicit(0x00400007, b"inside")
IMPLICIT_ITEMS = item(IMPLICIT_INSIDE + ITEM_END, UNDEFINED) + SEQUENCE_END
NAME = element(0x00100010, "PN", b"Doe^Jane")
ONLY_UIDS = identification(CT, INSTANCE, None).removesuffix(NAME)
PATIENT_ID, STUDY_ID = element(0x00100020, "LO", b"ab"), element(0x00200010, "SH", b"1 ")
SAMPLES = element(0x00280002, "US", b"\1\0")
ODD = element(0xFFFCFFFC, "OB", b"\1")
"""After one odd value it makes the length of the data set even: an odd length is another rule."""
ODD_PADDED = element(0xFFFCFFFC, "OB", b"\1\0")
_, EVEN_STREAM = stream()
_, ODD_STREAM = stream(odd=True)
HUFFMAN_DATA, HUFFMAN_STREAM = stream(strategy=zlib.Z_HUFFMAN_ONLY)

Outcome = tuple[int | None, bytes | None]
ABORTED: Outcome = (None, None)
CANNOT_UNDERSTAND: Outcome = (0xC000, None)
OUT_OF_RESOURCES: Outcome = (0xA700, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class OddDataSet(Row):
    """`data` follows the SOP Common elements unless it is the `whole` data set. An outcome is the status, None for an
    abort, and the stored data set."""

    kind: ClassVar[str] = "odd data set"
    data: bytes
    transfer_syntax: str = EXPLICIT_LE
    whole: bool = False

    @property
    def sent(self) -> bytes:
        return self.data if self.whole else (IMPLICIT_HEAD if self.transfer_syntax == IMPLICIT_LE else HEAD) + self.data


def changed(rule: str, data: bytes, theirs: bytes, what: str, **details: object) -> OddDataSet:
    """A data set that DCMTK dcmrecv stores as `theirs`, ours as it was sent."""
    differs = f"DCMTK dcmrecv {what}; ours re-encodes nothing and stores the bytes that were sent."
    return _row(rule, data, details, differs, None, (0, theirs))


def refused(rule: str, data: bytes, **details: object) -> OddDataSet:
    """A data set that cannot be read to its end: DCMTK dcmrecv aborts the association."""
    differs = "DCMTK dcmrecv aborts the association; ours answers C000, stores nothing and goes on."
    return _row(rule, data, details, differs, CANNOT_UNDERSTAND, ABORTED)


def readable(rule: str, data: bytes, theirs: Outcome = ABORTED, **details: object) -> OddDataSet:
    """A data set that DCMTK dcmrecv cannot decode, although its structure is complete."""
    what = "aborts the association" if theirs == ABORTED else "answers A700"
    differs = f"DCMTK dcmrecv cannot decode it and {what}; ours stores what was sent: where elements end is known."
    return _row(rule, data, details, differs, None, theirs)


def cut_short(rule: str, data: bytes, theirs: bytes, **details: object) -> OddDataSet:
    """A truncated data set of which DCMTK dcmrecv stores a part, with Success."""
    differs = "DCMTK dcmrecv stores what it could read and answers Success; ours answers C000: data are missing."
    return _row(rule, data, details, differs, CANNOT_UNDERSTAND, (0, theirs))


def no_elements(rule: str, data: bytes, theirs: bytes) -> OddDataSet:
    """Bytes after the last element that are neither elements nor filler."""
    what = "drops them or makes an element of them, and answers Success"
    differs = f"DCMTK dcmrecv {what}; ours answers C000, because they may be a part of what is missing."
    return _row(rule, data, {}, differs, CANNOT_UNDERSTAND, (0, theirs))


def _row(
    rule: str, data: bytes, details: dict[str, object], differs: str, ours: Outcome | None, theirs: Outcome
) -> OddDataSet:
    row = OddDataSet(rule=rule, data=data, **details)  # type: ignore[arg-type]
    return replace(row, differs=differs, ours=ours or (0, row.sent), theirs=theirs)


RE_ENCODED = "makes the length undefined and adds delimiters"
ONE_PADDED = "pads an odd value to an even length"
LOSES_VR = "writes the VR as UN, with a longer header"

ROWS = (
    # lengths of sequences and items
    changed("a sequence and its item with lengths", defined(INSIDE), HEAD + sequence(INSIDE), RE_ENCODED),
    changed(
        "an item with a length in a sequence without",
        element(SEQUENCE, "SQ", item(INSIDE) + SEQUENCE_END, UNDEFINED),
        HEAD + sequence(INSIDE),
        RE_ENCODED,
    ),
    changed(
        "a sequence with a length of an item without",
        element(SEQUENCE, "SQ", item(INSIDE + ITEM_END, UNDEFINED)),
        HEAD + sequence(INSIDE),
        RE_ENCODED,
    ),
    changed("an empty sequence with a length", defined(), HEAD + sequence(), RE_ENCODED),
    changed("an empty item with a length", defined(b""), HEAD + sequence(b""), RE_ENCODED),
    changed(
        "sequences with lengths in each other", defined(defined(INSIDE)), HEAD + sequence(sequence(INSIDE)), RE_ENCODED
    ),
    changed(
        "a sequence with a length in implicit VR",
        implicit(SEQUENCE, item(IMPLICIT_INSIDE)),
        IMPLICIT_HEAD + sequence(IMPLICIT_INSIDE, encode=implicit),
        RE_ENCODED,
        transfer_syntax=IMPLICIT_LE,
    ),
    OddDataSet(rule="a sequence and its item without lengths", data=sequence(INSIDE)),
    OddDataSet(rule="an empty sequence without a length", data=sequence()),
    OddDataSet(rule="a sequence as UN with a length", data=element(SEQUENCE, "UN", item(IMPLICIT_INSIDE))),
    changed(
        "a sequence as UN without a length",
        element(SEQUENCE, "UN", item(IMPLICIT_INSIDE + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED),
        HEAD + sequence(INSIDE),
        "makes an SQ of it and encodes the items explicitly",
    ),
    changed(
        "an unknown element without a length in implicit VR",
        implicit(0x00291001, item(IMPLICIT_INSIDE) + SEQUENCE_END, UNDEFINED),
        IMPLICIT_HEAD + implicit(0x00291001, item(IMPLICIT_INSIDE + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED),
        RE_ENCODED,
        transfer_syntax=IMPLICIT_LE,
    ),
    # group lengths
    OddDataSet(rule="a group length that is right", data=element(0x00200000, "UL", pack("<I", 10)) + STUDY_ID),
    changed(
        "a group length that is wrong",
        element(0x00200000, "UL", pack("<I", 99)) + STUDY_ID,
        HEAD + element(0x00200000, "UL", pack("<I", 10)) + STUDY_ID,
        "computes it anew",
    ),
    changed(
        "a group length in an item",
        sequence(element(0x00400000, "UL", pack("<I", 99)) + INSIDE),
        HEAD + sequence(element(0x00400000, "UL", pack("<I", 14)) + INSIDE),
        "computes it anew",
    ),
    OddDataSet(rule="the retired length to end", data=element(0x00080001, "UL", pack("<I", 99)) + HEAD, whole=True),
    # values
    changed(
        "a text of odd length",
        element(0x00100020, "LO", b"odd") + ODD,
        HEAD + element(0x00100020, "LO", b"odd ") + ODD_PADDED,
        ONE_PADDED,
    ),
    changed(
        "a UID of odd length",
        element(0x0020000D, "UI", b"1.2.3") + ODD,
        HEAD + element(0x0020000D, "UI", b"1.2.3\0") + ODD_PADDED,
        ONE_PADDED,
    ),
    changed(
        "bytes of odd length",
        element(0x00420011, "OB", b"\1\2\3") + ODD,
        HEAD + element(0x00420011, "OB", b"\1\2\3\0") + ODD_PADDED,
        ONE_PADDED,
    ),
    changed(
        "an unknown VR's value of odd length",
        element(0x00291001, "UN", b"\1\2\3") + ODD,
        HEAD + element(0x00291001, "UN", b"\1\2\3\0") + ODD_PADDED,
        ONE_PADDED,
    ),
    changed(
        "words of odd length",
        element(0x7FE00010, "OW", b"\1\2\3") + ODD,
        HEAD + element(0x7FE00010, "OW", b"\1\2\3") + ODD_PADDED,
        "pads other odd values, though not words",
    ),
    OddDataSet(rule="a UID padded with a blank", data=element(0x0020000D, "UI", b"1.2.3 ")),
    OddDataSet(rule="a text padded with NUL", data=element(0x00100020, "LO", b"ab\0\0")),
    OddDataSet(rule="a text with blanks on both sides", data=element(0x00100020, "LO", b"  ab    ")),
    OddDataSet(rule="bytes of no character set", data=element(0x00100020, "LO", b"\xff\xfe\x80\x1b(B$ ")),
    OddDataSet(rule="a value that is too long for its VR", data=element(0x00100020, "SH", b"a" * 200)),
    OddDataSet(rule="a number that is none", data=element(0x00200013, "IS", b"number")),
    OddDataSet(rule="pixel data without a value", data=element(0x7FE00010, "OW", b"")),
    # VRs
    OddDataSet(rule="a known element as UN", data=element(0x00100020, "UN", b"ab")),
    OddDataSet(rule="an element with a VR other than the dictionary's", data=element(0x00100020, "SH", b"ab")),
    OddDataSet(rule="a private element without a creator", data=element(0x00291001, "LO", b"ab")),
    OddDataSet(
        rule="VRs of a later standard", data=element(0x7FE00001, "OV", bytes(16)) + element(0x7FE00002, "UV", bytes(8))
    ),
    changed(
        "a VR of question marks",
        b"\x20\0\x10\0??\2\0ab" + SAMPLES,
        HEAD + element(0x00200010, "UN", b"ab") + SAMPLES,
        LOSES_VR,
    ),
    changed(
        "a VR in small letters",
        b"\x20\0\x10\0sh\2\0ab" + SAMPLES,
        HEAD + element(0x00200010, "UN", b"ab") + SAMPLES,
        LOSES_VR,
    ),
    readable("an unknown VR with a short header", b"\x20\0\x10\0ZZ\2\0ab" + SAMPLES),
    changed(
        "an unknown VR with a long header",
        b"\x20\0\x10\0ZZ\0\0\2\0\0\0ab" + SAMPLES,
        HEAD + element(0x00200010, "UN", b"ab") + SAMPLES,
        "writes the VR as UN",
    ),
    changed(
        "an unknown VR of undefined length with items in implicit VR",
        undefined(SEQUENCE, b"XX", IMPLICIT_ITEMS),
        HEAD + sequence(INSIDE),
        "makes an SQ of it and encodes the items explicitly",
    ),
    readable(
        "an unknown VR of undefined length with items in explicit VR",
        undefined(SEQUENCE, b"XX", item(INSIDE + ITEM_END, UNDEFINED) + SEQUENCE_END),
    ),
    changed(
        "a VR of two NULs",
        b"\x20\0\x10\0\0\0\4\0abcd" + SAMPLES,
        HEAD + element(0x00200010, "UN", b"abcd") + SAMPLES,
        LOSES_VR,
    ),
    changed(
        "a VR of control characters",
        b"\x20\0\x10\0\1\2\4\0abcd" + SAMPLES,
        HEAD + element(0x00200010, "UN", b"abcd") + SAMPLES,
        LOSES_VR,
    ),
    refused("a VR of two NULs, then no element", b"\x20\0\x10\0\0\0\1\0abcd" + SAMPLES),
    changed(
        "reserved bytes that are not zero",
        b"\xe0\x7f\x10\0OW\x34\x12\4\0\0\0abcd",
        HEAD + element(0x7FE00010, "OW", b"abcd"),
        "zeroes them",
    ),
    # order
    changed("elements out of order", STUDY_ID + PATIENT_ID, HEAD + PATIENT_ID + STUDY_ID, "sorts them"),
    changed(
        "elements of an item out of order",
        sequence(STUDY_ID + PATIENT_ID),
        HEAD + sequence(PATIENT_ID + STUDY_ID),
        "sorts them",
    ),
    changed(
        "an element twice", PATIENT_ID + element(0x00100020, "LO", b"cd"), HEAD + PATIENT_ID, "drops the second one"
    ),
    OddDataSet(
        rule="elements of group 0002", data=element(0x00020010, "UI", b"1.2.840.10008.1.2\0") + HEAD, whole=True
    ),
    OddDataSet(rule="elements of group 0000", data=element(0x00000002, "UI", b"1.2\0") + HEAD, whole=True),
    OddDataSet(rule="an element after the pixel data", data=pixel_data() + element(0x7FE10010, "LO", b"PRIVATE ")),
    OddDataSet(rule="trailing padding", data=pixel_data() + element(0xFFFCFFFC, "OB", bytes(10))),
    # delimiters
    changed("an item delimiter outside of items", ITEM_END + SAMPLES, HEAD, "drops all that follows"),
    readable("a sequence delimiter outside of sequences", SEQUENCE_END + SAMPLES),
    readable("a sequence delimiter after a sequence with a length", defined(INSIDE) + SEQUENCE_END + SAMPLES),
    readable("a sequence that ends twice", sequence(INSIDE) + SEQUENCE_END + SAMPLES),
    readable("a sequence delimiter in an item", sequence(element(0x00081140, "SQ", b"") + SEQUENCE_END + INSIDE)),
    cut_short("an item delimiter outside of items, then a value that is cut off", ITEM_END + SAMPLES[:-2], HEAD),
    refused("a sequence delimiter outside of sequences, then no element", SEQUENCE_END + b"no element"),
    refused("an item outside of sequences", item(b"") + SAMPLES),
    refused("a sequence without its delimiter", element(SEQUENCE, "SQ", item(INSIDE + ITEM_END, UNDEFINED), UNDEFINED)),
    refused("an item without its delimiter", element(SEQUENCE, "SQ", item(INSIDE, UNDEFINED), UNDEFINED)),
    refused("a sequence longer than its items", element(SEQUENCE, "SQ", item(INSIDE), len(item(INSIDE)) + 4) + SAMPLES),
    _row(
        "an item longer than its sequence",
        element(SEQUENCE, "SQ", item(INSIDE, len(INSIDE) + len(SAMPLES))) + SAMPLES,
        {},
        "DCMTK dcmrecv moves the elements after the sequence into its item; ours answers C000: no length is right.",
        CANNOT_UNDERSTAND,
        (0, HEAD + sequence(SAMPLES + INSIDE)),
    ),
    refused(
        "items in explicit VR in a UN without a length",
        element(SEQUENCE, "UN", item(INSIDE + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED),
    ),
    readable("a sequence with a length that holds text", element(SEQUENCE, "SQ", b"not items!")),
    readable(
        "a sequence with a length that holds an item in big endian",
        element(SEQUENCE, "SQ", b"\xff\xfe\xe0\0\0\0\0\4abcd"),
    ),
    readable(
        "long text in a sequence in implicit VR",
        implicit(SEQUENCE, b"an anonymizer of headers"),
        transfer_syntax=IMPLICIT_LE,
    ),
    changed(
        "short text in a sequence in implicit VR",
        implicit(SEQUENCE, b"NONE"),
        IMPLICIT_HEAD + implicit(SEQUENCE, SEQUENCE_END, UNDEFINED),
        "drops the text",
        transfer_syntax=IMPLICIT_LE,
    ),
    # the end
    changed(
        "eight bytes FF after the last element",
        SAMPLES + b"\xff" * 8,
        HEAD + SAMPLES + element(0xFFFFFFFF, "UN", b""),
        "makes an element of them",
    ),
    changed(
        "eight blanks after the last element",
        SAMPLES + b" " * 8,
        HEAD + SAMPLES + element(0x20202020, "UN", b""),
        "makes an element of them",
    ),
    readable("a hundred blanks after the last element", SAMPLES + b" " * 100),
    changed("a line end after the last element", SAMPLES + b"\r\n", HEAD + SAMPLES, "drops it"),
    changed(
        "eight zeros after the last element",
        SAMPLES + bytes(8),
        element(0, "UL", bytes(4)) + HEAD + SAMPLES,
        "makes a group length of them, in front",
    ),
    no_elements("two line ends after the last element", SAMPLES + b"\r\n\r\n", HEAD + SAMPLES),
    no_elements(
        "eight other bytes after the last element",
        SAMPLES + b"\xaa" * 8,
        HEAD + SAMPLES + element(0xAAAAAAAA, "UN", b""),
    ),
    refused("the end inside a value", pixel_data()[:-10]),
    cut_short("the end inside a tag", SAMPLES + b"\x28\0", HEAD + SAMPLES),
    cut_short("the end inside a length", SAMPLES + b"\xe0\x7f\x10\0OW\0\0", HEAD + SAMPLES),
    cut_short("nothing but zeros", bytes(400), bytes(4) + b"UL\4\0" + bytes(4), whole=True),
    refused("another file's preamble in front", bytes(128) + b"DICM" + HEAD, whole=True),
    # contradictions to the transfer syntax
    readable("implicit VR in explicit VR", IMPLICIT_HEAD, whole=True),
    readable("explicit VR in implicit VR", HEAD, whole=True, transfer_syntax=IMPLICIT_LE),
    refused("little endian in big endian", HEAD, whole=True, transfer_syntax=BIG_ENDIAN),
    readable("encapsulated pixel data in explicit VR", encapsulated("OB"), OUT_OF_RESOURCES),
    readable(
        "encapsulated pixel data in implicit VR",
        implicit(0x7FE00010, item(b"") + item(b"\xff\xd8") + SEQUENCE_END, UNDEFINED),
        OUT_OF_RESOURCES,
        transfer_syntax=IMPLICIT_LE,
    ),
    # encapsulated pixel data
    OddDataSet(rule="encapsulated pixel data as bytes", data=encapsulated("OB"), transfer_syntax=JPEG),
    OddDataSet(
        rule="pixel data without any item",
        data=element(0x7FE00010, "OB", SEQUENCE_END, UNDEFINED),
        transfer_syntax=JPEG,
    ),
    OddDataSet(rule="no pixel data in a compressed transfer syntax", data=b"", transfer_syntax=JPEG),
    changed(
        "encapsulated pixel data as words",
        encapsulated("OW"),
        HEAD + encapsulated("OB"),
        "makes the VR OB",
        transfer_syntax=JPEG,
    ),
    changed(
        "encapsulated pixel data of an unknown VR",
        undefined(0x7FE00010, b"ox", item(b"") + item(b"\xff\xd8\xff\xd9") + SEQUENCE_END),
        HEAD + encapsulated("OB"),
        "makes the VR OB",
        transfer_syntax=JPEG,
    ),
    readable("encapsulated pixel data as UN", encapsulated("UN"), transfer_syntax=JPEG),
    readable("native pixel data in a compressed transfer syntax", pixel_data(), transfer_syntax=JPEG),
    refused("encapsulated pixel data without their delimiter", encapsulated("OB", end=b""), transfer_syntax=JPEG),
    changed(
        "a fragment of odd length",
        encapsulated("OB", b"\xff\xd8\xff") + ODD,
        HEAD + encapsulated("OB", b"\xff\xd8\xff\0") + ODD_PADDED,
        ONE_PADDED,
        transfer_syntax=JPEG,
    ),
    # deflated
    OddDataSet(rule="a deflated data set", data=EVEN_STREAM, whole=True, transfer_syntax=DEFLATED),
    changed(
        "a deflated data set with its pad byte",
        ODD_STREAM + b"\0",
        ODD_STREAM,
        "drops the pad byte, which PS3.5 section A.5 demands",
        whole=True,
        transfer_syntax=DEFLATED,
    ),
    changed(
        "bytes after a deflated data set",
        EVEN_STREAM + b"rest",
        EVEN_STREAM,
        "drops them",
        whole=True,
        transfer_syntax=DEFLATED,
    ),
    changed(
        "a deflated data set that could be smaller",
        HUFFMAN_STREAM,
        deflated_by_default(HUFFMAN_DATA),
        "compresses it anew",
        whole=True,
        transfer_syntax=DEFLATED,
    ),
    cut_short(
        "a deflated data set that is cut in a header",
        EVEN_STREAM[:-40],
        deflated_by_default(ONLY_UIDS),
        whole=True,
        transfer_syntax=DEFLATED,
    ),
    refused(
        "a data set in zlib's format instead of raw deflate",
        zlib.compress(HEAD + PATIENT_ID).ljust(92, b"\0"),
        whole=True,
        transfer_syntax=DEFLATED,
    ),
)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return association_profile(tmp_path_factory.mktemp("odd"), transfer_syntaxes=(*PLAIN, DEFLATED, JPEG))


def outcome(receiver: Receiver, row: OddDataSet) -> Outcome:
    stored = store(receiver, Sample("", CT, INSTANCE, row.transfer_syntax, row.sent))
    return stored.status, stored.data


@by_rule(ROWS)
def test_normal_mode(both: Start, profile: Path, row: OddDataSet) -> None:
    assert len(row.sent) % 2 == 0, "DCMTK dcmrecv aborts at an odd fragment, whatever is in it"
    ours, original = both("-xf", profile, "default")
    compare(row, outcome(ours, row), outcome(original, row))


def test_bit_preserving(both: Start, profile: Path) -> None:
    """One row, because there is one rule: the data set is not read."""
    for receiver in both("-xf", profile, "default", "+B"):
        assert [row.rule for row in ROWS if outcome(receiver, row) != (0, row.sent)] == []
