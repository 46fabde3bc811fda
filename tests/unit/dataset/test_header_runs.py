"""Known header runs make the walk faster, never different: each scan is compared with one that knows no runs."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.dataset import header_runs, walker
from dcmrecv_core.dataset.encodings import EXPLICIT_HEADERS, EXPLICIT_LITTLE
from dcmrecv_core.dataset.header_runs import KnownHeaderRuns
from dcmrecv_core.dataset.scan import Encoding, encoding_of, scan
from dcmrecv_core.dataset.sources import MemorySource
from support.data.datasets import ENCODINGS, Node, encode
from support.data.samples import data_set_files, data_set_of
from support.data.scan_results import compare

pytestmark = pytest.mark.usefixtures("in_python")

SERIES = 0x0020000E
SEQUENCE = 0x00081140


def image(number: int, *, extra: Sequence[Node] = ()) -> list[Node]:
    """A few elements as in a series: some values vary in length, one of them within a sequence."""
    text = b"1.2." + str(number).encode()
    return sorted(
        [
            Node(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
            Node(0x00080018, "UI", text + b"\0" * (len(text) % 2)),
            Node(0x00080060, "CS", b"CT"),
            Node(SEQUENCE, "SQ", [[Node(0x00081150, "UI", b"1.2\0"), Node(0x00081155, "UI", b"9" * 2 * (number % 7))]]),
            *(Node(0x00100010 + 16 * step, "LO", b"Value " + str(step % 10).encode() + b" ") for step in range(12)),
            Node(SERIES, "UI", b"1.2.3\0"),
            Node(0x00280010, "US", b"\0\1"),
            Node(0x7FE00010, "OW", bytes(64)),
            *extra,
        ],
        key=lambda node: node.tag,
    )


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_a_series(encoding: Encoding) -> None:
    known = KnownHeaderRuns()
    compare((encode(image(10**digits), encoding) for digits in (1, 1, 2, 3, 4, 2, 1, 7, 6)), encoding, known)


def test_a_series_is_recognised_in_a_few_runs() -> None:
    known = KnownHeaderRuns()
    for digits in (1, 2, 3, 4, 5, 6, 7, 8):
        index = scan(
            MemorySource(memoryview(encode(image(10**digits), EXPLICIT_LITTLE))),
            EXPLICIT_LITTLE,
            whole=True,
            known=known,
        )
    recognised = sum(len(run.elements) for _, run in index.runs)
    assert (recognised, len(index.found)) == (len(index) - len(index.found), len(index) - recognised)
    assert recognised >= 14, "of 18; the UID, the sequence and what stands between them vary"
    assert {element[0] for element in index.found.values()} >= {SEQUENCE, 0x7FE00010}


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(1, 40), st.integers(0, 5), st.booleans()), unique_by=lambda each: each[0], max_size=25
        ),
        min_size=2,
        max_size=6,
    ),
    st.sampled_from(list(ENCODINGS.values())),
)
@settings(deadline=None, max_examples=150)
def test_whatever_comes(series: list[list[tuple[int, int, bool]]], encoding: Encoding) -> None:
    """Elements in any order and of any length, odd ones too, some with items."""
    known = KnownHeaderRuns()
    compare(
        (
            encode(
                [
                    Node(0x00081140 + 16 * tag, "SQ", [[Node(0x00100010, "LO", b"x" * length)]])
                    if nested
                    else Node(0x00100000 + 2 * tag, "LO", b"x" * length)
                    for tag, length, nested in sorted(elements, key=lambda each: each[2])
                ],
                encoding,
            )
            for elements in [*series, *series]
        ),
        encoding,
        known,
    )


def test_real_files_and_what_becomes_of_them_when_bytes_change() -> None:
    """One memory for all of them, each three times, then with single bytes changed and cut off."""
    known = KnownHeaderRuns()
    chance = random.Random(20)
    for path in data_set_files():
        found = data_set_of(path)
        assert found is not None
        uid, data = found
        encoding = encoding_of(uid)
        assert encoding is not None
        if encoding.deflated or len(data) > 200_000:
            continue
        head = min(len(data), 4000)
        changed = []
        for _ in range(6):
            broken = bytearray(data)
            broken[chance.randrange(head)] ^= 1 << chance.randrange(8)
            changed.append(bytes(broken))
        compare([data, data, *changed, data[: chance.randrange(head)], data], encoding, known)
        known.credit += 1000


def test_a_broken_data_set_is_not_recognised() -> None:
    """The last value runs past the end: the headers are all the same."""
    known = KnownHeaderRuns()
    data = encode(image(10)[:-1], EXPLICIT_LITTLE)
    compare([data, data, data[:-1], data[:-2], data], EXPLICIT_LITTLE, known)


def test_what_never_repeats_soon_costs_nothing() -> None:
    known = KnownHeaderRuns()
    for number in range(300):
        data = encode([Node(0x00100000 + 2 * number + 16 * step, "LO", b"ab") for step in range(50)], EXPLICIT_LITTLE)
        scan(MemorySource(memoryview(data)), EXPLICIT_LITTLE, whole=True, known=known)
    assert known.credit < 50 * 4
    assert sum(len(run.headers) for run in known.of(EXPLICIT_HEADERS).values()) <= 2048 / 4


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_runs, "MAX_KEPT", 100)
    known = KnownHeaderRuns()
    known.credit = 10**6
    for number in range(50):
        data = encode([Node(0x00100000 + 2 * number + 16 * step, "LO", b"ab") for step in range(30)], EXPLICIT_LITTLE)
        compare([data, data], EXPLICIT_LITTLE, known)
        assert sum(len(run.headers) for run in known.of(EXPLICIT_HEADERS).values()) <= 100


def test_a_file_is_recognised_as_such(tmp_path: Path) -> None:
    """A preamble and File Meta Information where a data set should be: remarked upon every time."""
    known = KnownHeaderRuns()
    data = encode(image(10), EXPLICIT_LITTLE)
    file = bytes(128) + b"DICM" + bytes.fromhex("02000200") + b"UI" + bytes.fromhex("0400312e3200") + data
    compare([data, file, file, data, file], EXPLICIT_LITTLE, known)


def nested(count: int) -> bytes:
    """So many empty elements in items of one sequence."""
    items = [[Node(0x00091000 + at, "LO", b"") for at in range(1000)]] * (count // 1000)
    return encode([Node(0x00080060, "CS", b"CT"), Node(SEQUENCE, "SQ", items)], EXPLICIT_LITTLE)


def test_headers_that_are_too_many_to_be_kept_take_no_memory() -> None:
    known = KnownHeaderRuns()
    known.credit = 1 << 20
    data = nested(20 * header_runs.MAX_KEPT // 1000 * 1000)
    tracemalloc.start()
    try:
        scan(MemorySource(memoryview(data)), EXPLICIT_LITTLE, whole=True, known=known)
        assert tracemalloc.get_traced_memory()[1] < 200 * header_runs.MAX_KEPT
    finally:
        tracemalloc.stop()
    assert known.of(EXPLICIT_HEADERS) == {}


def test_after_more_elements_than_are_kept_nothing_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else those between would be missing in the index, and nothing would say so."""
    monkeypatch.setattr(walker, "MAX_ELEMENTS", 8)
    known = KnownHeaderRuns()
    pixel_data = Node(0x7FE00010, "OW", bytes(64))
    after = [*(Node(0x00200010 + step, "LO", b"ab") for step in range(5)), pixel_data]
    before = [Node(0x00100010 + step, "LO", b"cd" * (step + 1)) for step in range(10)]
    compare([encode(nodes, EXPLICIT_LITTLE) for nodes in (after, after, before + after)], EXPLICIT_LITTLE, known)


def test_what_takes_the_place_of_another_stretch_is_counted_once() -> None:
    """The same first header, then other lengths: after each split and each new run the count is that of what is
    there, or more and more room would be lost."""
    known = KnownHeaderRuns()
    known.credit = 10**6
    for number in range(40):
        elements = [Node(0x00100000 + 16 * step, "LO", b"ab" * (1 + (step * number) % 5)) for step in range(30)]
        compare([encode(elements, EXPLICIT_LITTLE)], EXPLICIT_LITTLE, known)
        assert known._kept == sum(len(run.headers) for run in known.of(EXPLICIT_HEADERS).values())
