"""A data set of 300 MB, one of 200 000 nested items, one of 2.4 million elements in items side by side, and one that
inflates to a thousand times its size, 300 MB (in full runs 1.5 GB); meanwhile the worker's PSS is measured
every 20 ms."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import pytest

from support.data.datasets import identification, instance_of, pixel_data_header
from support.programs.receivers import Start
from support.promises.processes import MEGABYTE, watched
from support.promises.promises import promise
from support.protocol.pdus import status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, DEFLATED, EXPLICIT_LE

pytestmark = [promise(21), pytest.mark.timeout(300)]

LIMIT = 64 * MEGABYTE
BLOCK = bytes(MEGABYTE)
NESTED = 200_000


def large(megabytes: int) -> Iterator[bytes]:
    yield identification(CT, "1.2.3") + pixel_data_header(megabytes * MEGABYTE)
    for _ in range(megabytes):
        yield BLOCK


def nested(_: int) -> Iterator[bytes]:
    opened = bytes.fromhex("08004011") + b"SQ\0\0" + bytes.fromhex("ffffffff feff00e0ffffffff")
    closed = bytes.fromhex("feff0de000000000 feffdde000000000")
    yield identification(CT, "1.2.3") + NESTED * opened + NESTED * closed


def wide(_: int) -> Iterator[bytes]:
    """Nothing within a sequence is kept in memory, however large it is."""
    elements = b"".join(struct.pack("<HH2sH", 9, 0x1000 + number, b"LO", 0) for number in range(60_000))
    item = bytes.fromhex("feff00e0ffffffff") + elements + bytes.fromhex("feff0de000000000")
    yield identification(CT, "1.2.3") + bytes.fromhex("08004011") + b"SQ\0\0" + bytes.fromhex("ffffffff")
    for _ in range(40):
        yield item
    yield bytes.fromhex("feffdde000000000")


@cache
def deflated(megabytes: int) -> tuple[bytes, ...]:
    compressor = zlib.compressobj(9, wbits=-15)
    head = identification(CT, "1.2.3") + pixel_data_header(megabytes * MEGABYTE)
    parts = [compressor.compress(head), *(compressor.compress(BLOCK) for _ in range(megabytes)), compressor.flush()]
    data = b"".join(parts)
    return (data + bytes(len(data) % 2),)


@pytest.mark.parametrize("mode", ["-B", "+B"])
@pytest.mark.parametrize(
    ("data", "syntax", "statuses"),
    [
        (large, EXPLICIT_LE, {0}),
        (nested, EXPLICIT_LE, {0, 0xC000}),
        (wide, EXPLICIT_LE, {0}),
        (deflated, DEFLATED, {0}),
    ],
    ids=["large", "nested", "wide", "deflated"],
)
def test_memory(
    ours: Start,
    figure: Callable[[str], None],
    count: Callable[[int, int], int],
    data: Callable[[int], Iterable[bytes]],
    syntax: str,
    statuses: set[int],
    mode: str,
) -> None:
    receiver = ours("-q", "-pm", "--no-fsync", "+ssd", mode)
    chunks = data(count(300, 1500))
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE]), (CT, [syntax])], timeout=120) as association:
        assert association.store(CT, "1.2.4", instance_of(CT, "1.2.4")) == 0
        with watched(receiver.worker_serving(association.local_port)) as sizes:
            association.request(store_rq(CT, "1.2.3"), chunks, context_id=3)
            assert status_of(association.response()) in statuses
        association.release()
    growth, highest = max(sizes) - sizes[0], max(sizes)
    assert highest <= LIMIT
    figure(f"{data.__name__}: {highest / MEGABYTE:.0f} MB at most, {growth / MEGABYTE:.1f} MB more than idle")
