"""Encapsulated pixel data is generated while it is sent, and hashed on both sides, while the memory (PSS) of the
receiving worker is measured every 20 ms, the check of the data set included. 320 MiB, in the full run 4.5 GiB."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.data.datasets import identification, instance_of
from support.programs.receivers import Start
from support.promises.processes import watched
from support.promises.promises import promise
from support.protocol.pdus import status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, JPEG

pytestmark = [promise(18), pytest.mark.timeout(1800)]

MIB = 1 << 20
FRAGMENT = 64 * MIB
GROWTH = 8_000_000
UID = "1.2.3.4"
BLOCK = hashlib.sha512(b"seed").digest() * (MIB // 64)
ITEM = struct.Struct("<HHI")


def huge(mebibytes: int) -> Iterator[bytes]:
    """A data set with so much in its fragments, no two blocks of it the same."""
    yield identification(CT, UID) + struct.pack("<HH2sxxI", 0x7FE0, 0x0010, b"OB", 0xFFFFFFFF)
    yield ITEM.pack(0xFFFE, 0xE000, 0)
    for number in range(mebibytes):
        if number * MIB % FRAGMENT == 0:
            yield ITEM.pack(0xFFFE, 0xE000, FRAGMENT)
        yield number.to_bytes(8, "big") + BLOCK[8:]
    yield ITEM.pack(0xFFFE, 0xE0DD, 0)


@pytest.mark.parametrize("mode", ["-B", "+B"])
def test_stored_unchanged(
    ours: Start, mode: str, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    mebibytes = count(320, 4608)
    receiver = ours("-pm", "-pdu", "131072", "--no-fsync", mode)
    sent = hashlib.sha256()
    total = 0

    def data() -> Iterator[bytes]:
        nonlocal total
        for block in huge(mebibytes):
            sent.update(block)
            total += len(block)
            yield block

    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE]), (CT, [JPEG])], timeout=300) as association:
        worker = receiver.worker_serving(association.local_port)
        assert association.store(CT, "1.2.3", instance_of(CT, "1.2.3")) == 0
        with watched(worker) as sizes:
            association.request(store_rq(CT, UID), data(), context_id=3, max_pdu=131072)
            assert status_of(association.response()) == 0
        association.release()
    path = receiver.output / f"CT.{UID}"
    assert stored_hash(path, total) == sent.hexdigest()
    path.unlink()
    growth = max(sizes) - sizes[0]
    assert growth <= GROWTH
    figure(f"{total} bytes {mode}: SHA-256 equal, memory +{growth / 1e6:.1f} MB")


def stored_hash(path: Path, length: int) -> str:
    """SHA-256 of the last `length` bytes: the data set."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(path.stat().st_size - length)
        while block := file.read(MIB):
            found.update(block)
    return found.hexdigest()
