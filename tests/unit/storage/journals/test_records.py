"""Records and their bytes, whole and damaged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.storage.journals.records import Kind, decode, encode, read_records
from support.deliveries import record


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=15, max_size=15), st.integers(0, 2**64 - 1))
def test_a_record_is_read_as_it_was_written(texts: list[bytes], number: int) -> None:
    data = encode(Kind.STORED, 2, number, number, number, tuple(texts[:14]), texts[14])
    read = decode(data)
    assert (read.kind, read.how, read.published, read.received, read.size) == (Kind.STORED, 2, number, number, number)
    assert list(read[5:]) == texts


def test_a_record_of_before_digests_has_none() -> None:
    assert decode(record()).digest == b""
    assert decode(record(digest="xxh128:00")).digest == b"xxh128:00"


@settings(deadline=None)
@given(st.data())
def test_one_changed_bit_is_noticed(data: st.DataObject) -> None:
    whole = bytearray(record())
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ValueError):
        decode(bytes(whole))


@pytest.mark.parametrize("cut", [0, 5, 12, 100])
def test_a_torn_tail_is_no_record(cut: int) -> None:
    whole = record()
    [read] = read_records(whole + record()[:cut] + bytes(100), 50)
    assert (read.offset, read.end, read.record) == (50, 50 + len(whole), decode(whole))


@pytest.mark.parametrize("gap", [bytes(4096), b"x" * 10, record()[:-1], record()[5:]])
def test_records_after_damage_are_found(gap: bytes) -> None:
    first, second = record("1.1"), record("1.2")
    reads = list(read_records(first + gap + second))
    assert [read.record for read in reads] == [decode(first), None, decode(second)]
    assert reads[1].end == reads[2].offset == len(first) + len(gap)
