"""The compiled walk takes what the walker in Python would not warn of, and finds the same elements."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.dataset import regular_walk
from dcmrecv_core.dataset.elements import RegularBeginning
from dcmrecv_core.dataset.encodings import (
    DEFLATED_LITTLE,
    ENCAPSULATED_LITTLE,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Encoding,
    encoding_of,
)
from dcmrecv_core.dataset.scan import regular_beginning, scan
from dcmrecv_core.dataset.sources import ByteSource, FileSource, InflatedSource, MemorySource
from support.corpus import cases
from support.data.datasets import ENCODINGS, SMALL, Node, deflate, encode, header, item
from support.data.generated_nodes import nodes, spoil
from support.data.samples import data_set_files, data_set_of
from support.data.scan_results import outcome
from support.data.sources import unnamed_file
from support.fuzz.dataset_targets import BY_FIRST_BYTE, NESTED
from support.fuzz.differential_targets import compare_walks
from support.fuzz.odd_data_sets import odd, seeds
from support.without_compiled import in_python


def beginning_of(data: bytes, encoding: Encoding) -> RegularBeginning:
    return regular_beginning(MemorySource(memoryview(data)), encoding, whole=True)


def taken(data: bytes, encoding: Encoding) -> bool:
    return beginning_of(data, encoding).end == len(data)


@pytest.mark.parametrize("path", data_set_files(), ids=lambda path: path.name)
def test_real_data_sets(path: Path) -> None:
    found = data_set_of(path)
    if found is not None and (encoding := encoding_of(found[0])) is not None:
        compare_walks(found[1], encoding)


def test_nearly_all_real_data_sets_are_regular() -> None:
    found = [each for path in data_set_files() if (each := data_set_of(path)) is not None]
    plain = [(data, encoding) for uid, data in found if (encoding := encoding_of(uid)) and not encoding.deflated]
    assert len(plain) > 100
    assert sum(taken(data, encoding) for data, encoding in plain) > 0.9 * len(plain)


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("nodes", [SMALL, NESTED[:1] + SMALL[4:]], ids=["small", "nested"])
def test_made_data_sets_are_regular(nodes: list[Node], encoding: Encoding) -> None:
    data = encode(nodes, encoding)
    compare_walks(data, encoding)
    assert taken(data, encoding)
    for end in range(len(data)):
        compare_walks(data[:end], encoding)


ODD = {case.title: case for case in cases() if case.file == "datasets" and case.data}


@pytest.mark.parametrize("title", ODD)
def test_fault_18_odd_data_sets_have_the_same_outcome(title: str) -> None:
    """Unknown VRs, sequences without items, filler: all of the corpus, in the right encoding and in others."""
    for encoding in BY_FIRST_BYTE:
        compare_walks(ODD[title].data, encoding)


def test_what_needs_a_warning_is_left_to_python() -> None:
    pairs = [(case.data, encoding) for case in ODD.values() for encoding in BY_FIRST_BYTE[:4]]
    warned = [pair for pair in pairs if in_python(lambda pair=pair: outcome(*pair))[-1] != ([], ())]
    assert len(warned) > 200
    assert not [data for data, encoding in warned if taken(data, encoding)]


@settings(max_examples=500, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_odd_real_data_sets_have_the_same_outcome(seed: int) -> None:
    chance = random.Random(seed)
    sound = chance.choice(seeds())
    encoding = encoding_of(sound.syntax)
    assert encoding is not None
    compare_walks(odd(chance, sound), encoding)


@settings(max_examples=100, deadline=None)
@given(made=nodes(), chance=st.randoms(use_true_random=False), encoding=st.sampled_from(list(ENCODINGS.values())))
def test_stray_delimiters_are_left_to_python(made: list[Node], chance: random.Random, encoding: Encoding) -> None:
    """Elements after them are neither missed nor taken as regular."""
    spoilt = spoil(made, encoding, chance)
    compare_walks(spoilt.data, encoding)
    compare_walks(spoilt.sound, encoding)
    assert not (spoilt.strays and taken(spoilt.data, encoding))


@pytest.mark.parametrize("tag", [0xFFFEE00D, 0xFFFEE0DD])
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_a_stray_delimiter_at_any_place(encoding: Encoding, tag: int) -> None:
    """Both walks have the same result, even where it ends something, or splits a value."""
    data, stray = encode(SMALL, encoding), item(tag, 0, encoding)
    for place in range(0, len(data) + 1):
        compare_walks(data[:place] + stray + data[place:], encoding)
    assert not taken(data + stray, encoding)


@pytest.mark.parametrize("tag", [0xFFFEE00D, 0xFFFEE0DD])
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_fault_18_a_delimiter_with_a_length_is_left_to_python(encoding: Encoding, tag: int) -> None:
    data = encode(SMALL, encoding)
    odd = data.replace(item(tag, 0, encoding), item(tag, 4, encoding))
    assert odd != data and not taken(odd, encoding)
    compare_walks(odd, encoding)


def test_sequences_too_deep_are_left_to_python() -> None:
    data = encode([Node(0x00081155, "UI", b"1.2\0")], EXPLICIT_LITTLE)
    depths = []
    for depth in range(1, 140):
        inner = item(0xFFFEE000, len(data), EXPLICIT_LITTLE) + data
        data = header(0x00081140, "SQ", len(inner), EXPLICIT_LITTLE) + inner
        compare_walks(data, EXPLICIT_LITTLE)
        if taken(data, EXPLICIT_LITTLE):
            depths.append(depth)
    assert depths == list(range(1, 33))


def test_as_many_elements_as_an_index_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    from dcmrecv_core.dataset import walker

    monkeypatch.setattr(walker, "MAX_ELEMENTS", 600)
    for count, fits in ((599, True), (600, True), (601, False)):
        data = encode([Node(0x00110000 + number, "LO", b"ab") for number in range(count)], EXPLICIT_LITTLE)
        assert taken(data, EXPLICIT_LITTLE) is fits
        compare_walks(data, EXPLICIT_LITTLE)


ICON = [Node(0x00280010, "US", b"\x40\0"), Node(0x7FE00010, "OB", (b"", b"\xff\xd8\xff\xd9"))]
IMPLICIT_ITEM = [Node(0x00091002, "", b"ab"), Node(0x00091003, "", [[]], undefined=True), Node(0x00400275, "", [[]])]
REGULAR = {
    "UN with items in implicit VR": (Node(0x00091001, "UN", [IMPLICIT_ITEM, []], undefined=True), EXPLICIT_LITTLE),
    "the same in big endian": (Node(0x00091001, "UN", [IMPLICIT_ITEM], undefined=True), EXPLICIT_BIG),
    "compressed icon": (Node(0x00880200, "SQ", [ICON]), ENCAPSULATED_LITTLE),
    "fragments that are no pixel data": (Node(0x00091001, "OB", (b"", b"abcd")), EXPLICIT_LITTLE),
}


@pytest.mark.parametrize(("node", "encoding"), REGULAR.values(), ids=REGULAR)
def test_rare_but_regular(node: Node, encoding: Encoding) -> None:
    data = encode([*SMALL[:3], node, Node(0x01000010, "LO", b"ab")], encoding)
    assert taken(data, encoding)
    for end in range(len(data)):
        compare_walks(data[:end], encoding)


def test_python_goes_on_where_the_regular_beginning_ends() -> None:
    before, odd, after = encode(SMALL[:5], EXPLICIT_LITTLE), Node(0x00100020, "LO", b"odd"), SMALL[5:]
    data = before + encode([odd, *after], EXPLICIT_LITTLE)
    index = scan(MemorySource(memoryview(data)), EXPLICIT_LITTLE, whole=True)
    assert (len(index.beginning), list(index.found)) == (5, [odd.tag, *(node.tag for node in after)])
    assert list(index.elements) == [node.tag for node in SMALL[:5]] + list(index.found)
    compare_walks(data, EXPLICIT_LITTLE)


def test_the_beginning_of_a_sequence_that_is_not_regular_is_left_to_python() -> None:
    data = encode([*SMALL[:3], Node(0x00400275, "SQ", [[Node(0x00400007, "LO", b"a")] * 3])], EXPLICIT_LITTLE)
    beginning = beginning_of(data, EXPLICIT_LITTLE)
    assert (len(beginning), beginning.end) == (3, len(encode(SMALL[:3], EXPLICIT_LITTLE)))
    compare_walks(data, EXPLICIT_LITTLE)


@pytest.mark.parametrize("encoding", [EXPLICIT_LITTLE, ENCAPSULATED_LITTLE])
def test_the_beginning_ends_before_pixel_data_that_are_not_wanted(encoding: Encoding) -> None:
    value = (b"", b"abcd") if encoding.encapsulated else bytes(20)
    data = encode([*SMALL[:3], Node(0x7FE00010, "OB", value)], encoding)
    source = MemorySource(memoryview(data))
    wanted, unwanted = (regular_beginning(source, encoding, whole=whole) for whole in (True, False))
    assert (wanted.pixel_offset, wanted.end) == (unwanted.end, len(data))
    assert (unwanted.pixel_offset, len(unwanted)) == (-1, 3)


def windows(data: bytes, encoding: Encoding, fd: int, in_memory: int) -> RegularBeginning:
    source = FileSource(fd, 0, len(data), memoryview(data)[:in_memory])
    return regular_beginning(source, encoding, whole=True)


def test_of_data_in_a_file_the_first_headers_have_to_be_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is read from it: the pixel data come last, and their length says that they are all there."""
    data = encode([*SMALL[:-1], Node(0x7FE00010, "OW", bytes(5000))], EXPLICIT_LITTLE)
    fd = unnamed_file(data)
    monkeypatch.setattr(os, "pread", lambda *arguments: pytest.fail("the file is read"))
    try:
        assert windows(data, EXPLICIT_LITTLE, fd, 2000).end == len(data)
        assert windows(data[:-1], EXPLICIT_LITTLE, fd, 2000).end == len(data) - 5012, "a byte is missing"
        more = encode([Node(0xFFFCFFFC, "OB", b"ab")], EXPLICIT_LITTLE)
        assert windows(data + more, EXPLICIT_LITTLE, fd, 2000).end == len(data), "another header is in the file"
    finally:
        os.close(fd)


def test_of_deflated_data_the_first_window_is_taken() -> None:
    """What is larger than a window is inflated piece by piece all the same."""
    for size, count in ((2000, len(SMALL)), (1 << 20, len(SMALL) - 1)):
        data = encode([*SMALL[:-1], Node(0x7FE00010, "OW", bytes(size))], EXPLICIT_LITTLE)
        source: ByteSource = InflatedSource(MemorySource(memoryview(deflate(data))))
        assert len(regular_beginning(source, DEFLATED_LITTLE, whole=True)) == count
        compare_walks(data, EXPLICIT_LITTLE)


def test_elements_are_read_from_the_data_again() -> None:
    data = encode(SMALL, IMPLICIT_LITTLE)
    header_format = regular_walk.HeaderFormat(False, True, (), (), lambda: [0x00081140, 0x00400275])
    elements = regular_walk.walk(data, len(data), header_format, False, True, 100)
    assert (len(elements), elements.last) == (len(SMALL), SMALL[-1].tag)
    assert [element[0] for element in elements.values()] == [node.tag for node in SMALL]
    assert elements.get(0x00100010) == elements.values()[4]
    assert 0x00100010 in elements and 0x00100020 not in elements and elements.get(0x00100020) is None
    for no_tag in (-1, 1 << 32, 1 << 80):
        assert no_tag not in elements and elements.get(no_tag) is None


def test_data_that_change_are_noticed_or_yield_numbers() -> None:
    """Elements are not read when their instance is gone; if they are, the receiver must not crash."""
    data = bytearray(encode(SMALL, EXPLICIT_LITTLE))
    index = scan(MemorySource(memoryview(data)), EXPLICIT_LITTLE, whole=True)
    assert len(index.beginning) == len(SMALL)
    rng = random.Random(1)
    for _ in range(300):
        data[:] = rng.randbytes(len(data))
        for tag in (0x00080005, 0x7FE00010, int.from_bytes(data[2:4] + data[:2], "little")):
            with suppress(ValueError):
                index.get(tag)
