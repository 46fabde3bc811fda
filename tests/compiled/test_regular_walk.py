"""The compiled walk takes the data sets of which the walker in Python does not warn, and finds the same elements."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.dataset import regular_walk
from dcmrecv_core.dataset.elements import DataSetIndex
from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding, encoding_of
from dcmrecv_core.dataset.scan import walk_regular
from dcmrecv_core.dataset.sources import MemorySource
from support.corpus import cases
from support.data.datasets import ENCODINGS, SMALL, Node, encode, header, item
from support.data.generated_nodes import nodes, spoil
from support.data.samples import data_set_files, data_set_of
from support.data.scan_results import outcome
from support.fuzz.dataset_targets import BY_FIRST_BYTE, NESTED
from support.fuzz.odd_data_sets import odd, seeds
from support.without_compiled import in_python


def taken(data: bytes, encoding: Encoding) -> bool:
    return walk_regular(DataSetIndex(MemorySource(memoryview(data))), encoding)


def check(data: bytes, encoding: Encoding) -> None:
    with_it, without = outcome(data, encoding, None), in_python(lambda: outcome(data, encoding, None))
    assert with_it == without


@pytest.mark.parametrize("path", data_set_files(), ids=lambda path: path.name)
def test_real_data_sets(path: Path) -> None:
    found = data_set_of(path)
    if found is not None and (encoding := encoding_of(found[0])) is not None:
        check(found[1], encoding)


def test_nearly_all_real_data_sets_are_regular() -> None:
    found = [each for path in data_set_files() if (each := data_set_of(path)) is not None]
    plain = [(data, encoding) for uid, data in found if (encoding := encoding_of(uid)) and not encoding.deflated]
    assert len(plain) > 100
    assert sum(taken(data, encoding) for data, encoding in plain) > 0.9 * len(plain)


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("nodes", [SMALL, NESTED[:1] + SMALL[4:]], ids=["small", "nested"])
def test_made_data_sets_are_regular(nodes: list[Node], encoding: Encoding) -> None:
    data = encode(nodes, encoding)
    check(data, encoding)
    assert taken(data, encoding)
    for end in range(len(data)):
        check(data[:end], encoding)


ODD = {case.title: case for case in cases() if case.file == "datasets" and case.data}


@pytest.mark.parametrize("title", ODD)
def test_fault_18_odd_data_sets_have_the_same_outcome(title: str) -> None:
    """Unknown VRs, sequences without items, filler: all of the corpus, in the right encoding and in others."""
    for encoding in BY_FIRST_BYTE:
        check(ODD[title].data, encoding)


def test_what_needs_a_warning_is_left_to_python() -> None:
    pairs = [(case.data, encoding) for case in ODD.values() for encoding in BY_FIRST_BYTE[:4]]
    warned = [pair for pair in pairs if in_python(lambda pair=pair: outcome(*pair, None))[-1] != ([], ())]
    assert len(warned) > 200
    assert not [data for data, encoding in warned if taken(data, encoding)]


@settings(max_examples=500, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_odd_real_data_sets_have_the_same_outcome(seed: int) -> None:
    chance = random.Random(seed)
    sound = chance.choice(seeds())
    encoding = encoding_of(sound.syntax)
    assert encoding is not None
    check(odd(chance, sound), encoding)


@settings(max_examples=300, deadline=None)
@given(made=nodes(), chance=st.randoms(use_true_random=False), encoding=st.sampled_from(list(ENCODINGS.values())))
def test_stray_delimiters_are_left_to_python(made: list[Node], chance: random.Random, encoding: Encoding) -> None:
    """Elements after them are neither missed nor taken as regular."""
    spoilt = spoil(made, encoding, chance)
    check(spoilt.data, encoding)
    check(spoilt.sound, encoding)
    assert not (spoilt.strays and taken(spoilt.data, encoding))


@pytest.mark.parametrize("tag", [0xFFFEE00D, 0xFFFEE0DD])
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_a_stray_delimiter_at_any_place(encoding: Encoding, tag: int) -> None:
    """Both walks have the same result, even where it ends something, or splits a value."""
    data, stray = encode(SMALL, encoding), item(tag, 0, encoding)
    for place in range(0, len(data) + 1):
        check(data[:place] + stray + data[place:], encoding)
    assert not taken(data + stray, encoding)


@pytest.mark.parametrize("tag", [0xFFFEE00D, 0xFFFEE0DD])
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_fault_18_a_delimiter_with_a_length_is_left_to_python(encoding: Encoding, tag: int) -> None:
    data = encode(SMALL, encoding)
    odd = data.replace(item(tag, 0, encoding), item(tag, 4, encoding))
    assert odd != data and not taken(odd, encoding)
    check(odd, encoding)


def test_sequences_too_deep_are_left_to_python() -> None:
    data = encode([Node(0x00081155, "UI", b"1.2\0")], EXPLICIT_LITTLE)
    depths = []
    for depth in range(1, 140):
        inner = item(0xFFFEE000, len(data), EXPLICIT_LITTLE) + data
        data = header(0x00081140, "SQ", len(inner), EXPLICIT_LITTLE) + inner
        check(data, EXPLICIT_LITTLE)
        if taken(data, EXPLICIT_LITTLE):
            depths.append(depth)
    assert depths == list(range(1, 33))


def test_as_many_elements_as_an_index_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    from dcmrecv_core.dataset import walker

    monkeypatch.setattr(walker, "MAX_ELEMENTS", 600)
    for count, fits in ((599, True), (600, True), (601, False)):
        data = encode([Node(0x00110000 + number, "LO", b"ab") for number in range(count)], EXPLICIT_LITTLE)
        assert taken(data, EXPLICIT_LITTLE) is fits
        check(data, EXPLICIT_LITTLE)


def test_elements_are_read_from_the_data_again() -> None:
    data = encode(SMALL, IMPLICIT_LITTLE)
    header_format = regular_walk.HeaderFormat(False, True, (), (), [0x00081140, 0x00400275])
    elements = regular_walk.walk(data, header_format, False, 100)
    assert elements is not None and len(elements) == len(SMALL)
    assert (elements.first, elements.last) == (SMALL[0].tag, SMALL[-1].tag)
    assert [element[0] for element in elements.values()] == [node.tag for node in SMALL]
    assert elements.get(0x00100010) == elements.values()[4]
    assert 0x00100010 in elements and 0x00100020 not in elements and elements.get(0x00100020) is None
    for no_tag in (-1, 1 << 32, 1 << 80):
        assert no_tag not in elements and elements.get(no_tag) is None


def test_data_that_change_are_noticed_or_yield_numbers() -> None:
    """Elements are not read when their instance is gone; if they are, the receiver must not crash."""
    data = bytearray(encode(SMALL, EXPLICIT_LITTLE))
    index = DataSetIndex(MemorySource(memoryview(data)))
    assert walk_regular(index, EXPLICIT_LITTLE)
    rng = random.Random(1)
    for _ in range(300):
        data[:] = rng.randbytes(len(data))
        for tag in (0x00080005, 0x7FE00010, int.from_bytes(data[2:4] + data[:2], "little")):
            with suppress(ValueError):
                index.get(tag)
