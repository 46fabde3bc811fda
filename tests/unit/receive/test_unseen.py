"""What a plugin did not see when it replaces the header: it must say whether that stays."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dcmrecv_core import Instance
from dcmrecv_core.dataset import walker
from dcmrecv_core.dataset.encodings import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.dataset.sources import MemorySource
from dcmrecv_core.receive.replacement import with_new_header
from dcmrecv_core.receive.unseen import described, find_unseen
from support.data.datasets import SEQUENCE_END, Node, deflate, encode, item
from support.plugins import hooks
from support.publishing import names
from support.receiving import (
    HEAD,
    INSTANCE,
    LARGE_SEQUENCE,
    LARGE_VALUE,
    PIXEL_DATA,
    TRAILER,
    data_set,
    in_receive,
    receiver,
    send,
    stored_data,
)
from support.uids import BIG_ENDIAN, DEFLATED, EXPLICIT_LE, IMPLICIT_LE, JPEG

CREATOR = Node(0x00090010, "LO", b"SITE")
LARGE_PRIVATE = Node(0x00091001, "UN", LARGE_VALUE)
SIGNATURES = Node(0xFFFAFFFA, "SQ", [[Node(0x04000005, "US", b"\1\0")]])
FLOATS = Node(0x7FE00008, "OF", bytes(8))
NAME = Node(0x00100010, "PN", b"Doe^Jane")
PATIENT_ID = Node(0x00100020, "LO", b"16")
FRAGMENTS = Node(0x7FE00010, "OB", (b"", b"\xff\xd8" * 9))

SYNTAXES = pytest.mark.parametrize(
    ("syntax", "encoding"),
    [(EXPLICIT_LE, EXPLICIT_LITTLE), (IMPLICIT_LE, IMPLICIT_LITTLE), (BIG_ENDIAN, EXPLICIT_BIG)],
)


def back(instance: Instance) -> None:
    instance.replace_header(instance.copy_header())


def replacing(keep: bool | None, **elements: object) -> Callable[[Instance], None]:
    def replace(instance: Instance) -> None:
        header = instance.copy_header()
        for keyword, value in elements.items():
            setattr(header, keyword, value)
        instance.replace_header(header, keep_unseen=keep)

    return replace


def encoded(*nodes: Node, encoding: Encoding = EXPLICIT_LITTLE) -> bytes:
    return encode(list(nodes), encoding)


HEADER_AND_PIXELS = encoded(*HEAD, PIXEL_DATA)

# What is sent, what is said of it, and what remains of it without what was not seen.
CASES: dict[str, tuple[bytes, str, bytes]] = {
    "large private value": (
        encoded(*HEAD[:5], CREATOR, LARGE_PRIVATE, *HEAD[5:], PIXEL_DATA),
        r"\(0009,1001\) private, 72000 bytes, too large for the header",
        encoded(*HEAD[:5], CREATOR, *HEAD[5:], PIXEL_DATA),
    ),
    "large sequence": (
        encoded(*HEAD, LARGE_SEQUENCE, PIXEL_DATA),
        r"\(0028,3000\) Modality LUT Sequence, 720\d\d bytes, too large for the header",
        HEADER_AND_PIXELS,
    ),
    "large sequence, no pixel data": (encoded(*HEAD, LARGE_SEQUENCE), "Modality LUT Sequence", encoded(*HEAD)),
    "padding": (
        encoded(*HEAD, PIXEL_DATA, TRAILER),
        r"\(FFFC,FFFC\) Data Set Trailing Padding, 10 bytes, after the pixel data",
        HEADER_AND_PIXELS,
    ),
    "sequence after the pixel data": (
        encoded(*HEAD, PIXEL_DATA, SIGNATURES),
        r"\(FFFA,FFFA\) Digital Signatures Sequence, \d+ bytes, after the pixel data",
        HEADER_AND_PIXELS,
    ),
    "low tag after the pixel data": (
        encoded(*HEAD, PIXEL_DATA, PATIENT_ID),
        r"\(0010,0020\) Patient ID, 2 bytes, after the pixel data",
        HEADER_AND_PIXELS,
    ),
    "between two pixel data": (
        encoded(*HEAD, FLOATS, PATIENT_ID, PIXEL_DATA),
        "Patient ID, 2 bytes, after the pixel data",
        encoded(*HEAD, FLOATS, PIXEL_DATA),
    ),
    "repeated pixel data": (
        encoded(*HEAD, PIXEL_DATA, PIXEL_DATA),
        r"\(7FE0,0010\) Pixel Data, 5120 bytes, repeated",
        HEADER_AND_PIXELS,
    ),
    "several": (
        encoded(*HEAD, LARGE_SEQUENCE, PIXEL_DATA, SIGNATURES, TRAILER),
        "Modality LUT Sequence.*; .*Digital Signatures Sequence.*; .*Data Set Trailing Padding",
        HEADER_AND_PIXELS,
    ),
}
CASE = pytest.mark.parametrize(("data", "reason", "rest"), CASES.values(), ids=CASES)


@CASE
def test_fault_6_it_is_listed_and_nothing_is_replaced(tmp_path: Path, data: bytes, reason: str, rest: bytes) -> None:
    with pytest.raises(ValueError, match=f"{reason}.*keep_unseen=True.*keep_unseen=False"):
        in_receive(receiver(tmp_path), data, back)
    assert stored_data(f"{tmp_path}/CT.{INSTANCE}") == data


@CASE
def test_it_is_kept_on_demand(tmp_path: Path, data: bytes, reason: str, rest: bytes) -> None:
    _, outcome = in_receive(receiver(tmp_path), data, replacing(True))
    assert (outcome.status, stored_data(outcome.location)) == (0xB000, data)


@CASE
@pytest.mark.parametrize("memory", [None, 16], ids=["in memory", "spooled"])
def test_it_is_removed_on_demand(tmp_path: Path, data: bytes, reason: str, rest: bytes, memory: int | None) -> None:
    _, outcome = in_receive(receiver(tmp_path, memory=memory), data, replacing(False))
    assert (outcome.status, stored_data(outcome.location)) == (0xB000, rest)


@CASE
def test_a_data_set_made_by_hand_is_treated_alike(tmp_path: Path, data: bytes, reason: str, rest: bytes) -> None:
    made = Dataset()
    made.PatientName = "nobody"
    with pytest.raises(ValueError, match=reason):
        in_receive(receiver(tmp_path), data, lambda instance: instance.replace_header(made))
    _, outcome = in_receive(
        receiver(tmp_path / "other"), data, lambda instance: instance.replace_header(made, keep_unseen=False)
    )
    pixels = rest[len(encoded(*HEAD)) :] if data.startswith(encoded(*HEAD)) else encoded(PIXEL_DATA)
    assert stored_data(outcome.location) == encoded(Node(0x00100010, "PN", b"nobody")) + pixels


def test_a_plugin_that_does_not_say_stores_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outcome = send(receiver(tmp_path, hooks(receive=back)), data_set(TRAILER))
    assert outcome.status == 0x0110
    assert "Data Set Trailing Padding" in caplog.text
    assert names(tmp_path) == []


@SYNTAXES
def test_in_each_encoding(tmp_path: Path, syntax: str, encoding: Encoding) -> None:
    data = encoded(*HEAD[:5], CREATOR, LARGE_PRIVATE, *HEAD[5:], PIXEL_DATA, TRAILER, encoding=encoding)
    with pytest.raises(ValueError, match=r"private, 72000 bytes.*Padding"):
        in_receive(receiver(tmp_path), data, back, syntax=syntax)
    _, kept = in_receive(receiver(tmp_path / "kept"), data, replacing(True), syntax=syntax)
    assert stored_data(kept.location) == data
    _, removed = in_receive(receiver(tmp_path / "removed"), data, replacing(False), syntax=syntax)
    rest = encoded(*HEAD[:5], CREATOR, *HEAD[5:], PIXEL_DATA, encoding=encoding)
    assert stored_data(removed.location) == rest


def inflated(location: str | None) -> bytes:
    return zlib.decompress(stored_data(location), wbits=-15)


def test_in_deflated_data(tmp_path: Path) -> None:
    inflated_data = encoded(*HEAD, LARGE_SEQUENCE, PIXEL_DATA, TRAILER)
    data = deflate(inflated_data)
    with pytest.raises(ValueError, match=r"Modality LUT Sequence.*Padding"):
        in_receive(receiver(tmp_path), data, back, syntax=DEFLATED)
    _, kept = in_receive(receiver(tmp_path / "kept"), data, replacing(True), syntax=DEFLATED)
    assert inflated(kept.location) == inflated_data
    _, removed = in_receive(receiver(tmp_path / "removed"), data, replacing(False), syntax=DEFLATED)
    assert inflated(removed.location) == HEADER_AND_PIXELS


@pytest.mark.parametrize("keep", [True, False])
def test_after_encapsulated_pixel_data(tmp_path: Path, keep: bool) -> None:
    data = encoded(*HEAD, FRAGMENTS, TRAILER)
    with pytest.raises(ValueError, match="Padding"):
        in_receive(receiver(tmp_path), data, back, syntax=JPEG)
    _, outcome = in_receive(receiver(tmp_path / "again"), data, replacing(keep), syntax=JPEG)
    assert stored_data(outcome.location) == (data if keep else encoded(*HEAD, FRAGMENTS))


def test_an_element_of_the_new_header_replaces_an_unseen_one(tmp_path: Path) -> None:
    data = encoded(*HEAD[:5], CREATOR, LARGE_PRIVATE, *HEAD[5:], PIXEL_DATA, SIGNATURES, PATIENT_ID)

    def replace(instance: Instance) -> None:
        header = instance.copy_header()
        header.add_new(0x00091001, "UN", b"short ")
        header.DigitalSignaturesSequence = []
        header.PatientID = "17"
        instance.replace_header(header)

    _, outcome = in_receive(receiver(tmp_path), data, replace)
    short, no_signatures = Node(0x00091001, "UN", b"short "), Node(0xFFFAFFFA, "SQ", [])
    head = [*HEAD[:6], Node(0x00100020, "LO", b"17"), *HEAD[6:]]
    assert stored_data(outcome.location) == encoded(*head[:5], CREATOR, short, *head[5:], PIXEL_DATA, no_signatures)


@pytest.mark.parametrize("keep", [None, True, False])
def test_new_elements_with_high_tags_follow_the_pixel_data(tmp_path: Path, keep: bool | None) -> None:
    """They were dropped without a word."""
    data = encoded(*HEAD, PIXEL_DATA, *([TRAILER] if keep else []))
    replace = replacing(keep, DigitalSignaturesSequence=[])
    _, outcome = in_receive(receiver(tmp_path), data, replace)
    expected = encoded(*HEAD, PIXEL_DATA, Node(0xFFFAFFFA, "SQ", []), *([TRAILER] if keep else []))
    assert stored_data(outcome.location) == expected


# Repeated elements


REPEATED = {
    "before": [*HEAD[:6], NAME, *HEAD[6:], PIXEL_DATA],
    "after": [*HEAD, PIXEL_DATA, NAME],
}


@pytest.mark.parametrize("nodes", REPEATED.values(), ids=REPEATED)
def test_a_repeated_element_is_not_stored_by_accident(tmp_path: Path, nodes: list[Node]) -> None:
    """`header` shows the first one."""
    data = encoded(*nodes)
    with pytest.raises(ValueError, match=r"\(0010,0010\) Patient's Name, \d+ bytes, repeated"):
        in_receive(receiver(tmp_path), data, replacing(None, PatientName="nobody"))
    for keep in (True, False):
        _, outcome = in_receive(receiver(tmp_path / str(keep)), data, replacing(keep, PatientName="nobody"))
        content = stored_data(outcome.location)
        assert content == encoded(*HEAD[:5], Node(0x00100010, "PN", b"nobody"), *HEAD[6:], PIXEL_DATA)


@pytest.mark.parametrize("nodes", REPEATED.values(), ids=REPEATED)
def test_a_repeated_element_stays_where_the_new_header_has_none(tmp_path: Path, nodes: list[Node]) -> None:
    def remove(instance: Instance) -> None:
        header = instance.copy_header()
        del header.PatientName
        instance.replace_header(header, keep_unseen=True)

    _, outcome = in_receive(receiver(tmp_path), encoded(*nodes), remove)
    assert stored_data(outcome.location) == encoded(*(node for node in nodes if node is not HEAD[5]))


# What says nothing


@pytest.mark.parametrize(
    "tail", [bytes(16), item(SEQUENCE_END, 0, EXPLICIT_LITTLE), item(SEQUENCE_END, 7, EXPLICIT_LITTLE) + bytes(8)]
)
def test_zeros_and_delimiters_are_no_content(tmp_path: Path, tail: bytes) -> None:
    data = HEADER_AND_PIXELS + tail
    _, outcome = in_receive(receiver(tmp_path), data, back)
    assert stored_data(outcome.location) == data
    _, outcome = in_receive(receiver(tmp_path / "removed"), data, replacing(False))
    assert stored_data(outcome.location) == HEADER_AND_PIXELS


# More elements than an index keeps, and what was not understood


def many() -> bytes:
    return encoded(*HEAD, *(Node(0x00291001 + n, "UN", b"") for n in range(9)), PIXEL_DATA)


def test_more_elements_than_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walker, "MAX_ELEMENTS", 9)
    with pytest.raises(ValueError, match=r"96 bytes at \d+, after the first 9 elements"):
        in_receive(receiver(tmp_path), many(), back)
    with pytest.raises(ValueError, match="cannot be kept"):
        in_receive(receiver(tmp_path / "kept"), many(), replacing(True))
    _, outcome = in_receive(receiver(tmp_path / "removed"), many(), replacing(False))
    assert stored_data(outcome.location) == encoded(*HEAD, Node(0x00291001, "UN", b""), PIXEL_DATA)


def test_what_follows_a_place_that_was_not_understood() -> None:
    data = HEADER_AND_PIXELS[:-20]
    index = scan(MemorySource(memoryview(data)), EXPLICIT_LITTLE, whole=False)
    unseen = find_unseen(index, EXPLICIT_LITTLE)
    [text] = described(unseen, index)
    assert text.endswith("not understood")
    made = Dataset()
    for keep, reason in ((None, "not understood"), (False, "cannot be removed")):
        with pytest.raises(ValueError, match=reason):
            with_new_header(made, index, EXPLICIT_LITTLE, [data], keep, unseen)
    kept = b"".join(bytes(piece) for piece in with_new_header(made, index, EXPLICIT_LITTLE, [data], True, unseen))  # type: ignore[arg-type]
    assert kept == data[len(encoded(*HEAD)) :]


def test_tags_of_what_is_not_seen(tmp_path: Path) -> None:
    large = Node(0x00420011, "OB", LARGE_VALUE)
    seen: list[tuple[int, ...]] = []

    def ask(instance: Instance) -> None:
        seen.append(instance.unseen_tags())
        instance.replace_header(instance.copy_header(), keep_unseen=False)
        seen.append(instance.unseen_tags())

    in_receive(receiver(tmp_path), encoded(*HEAD, large, PIXEL_DATA, TRAILER), ask)
    assert seen == [(large.tag, TRAILER.tag), ()]
