"""A small disk is filled until the free space is below the limit. New senders are rejected before they can send; a
connected one goes on. When there is space again, the same processes serve the next sender.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.data.datasets import instance_of
from support.programs.receivers import Receiver, Start, run
from support.promises.promises import promise
from support.promises.volumes import empty, mounted
from support.protocol.pdus import ASSOCIATE_RJ, associate_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(10)

CONTEXTS = [(CT, [EXPLICIT_LE])]
CONGESTION = bytes((0, 2, 3, 1))
"""Rejected transient, by the service provider (presentation related), temporary congestion (PS3.8 section 9.3.4)."""


def answer(receiver: Receiver) -> tuple[int, bytes, float]:
    """The answer to a new peer, and after how many seconds."""
    with RawAssociation(receiver.port) as association:
        begin = time.monotonic()
        association.send(associate_rq(CONTEXTS))
        return *association.read_pdu(), time.monotonic() - begin


def store(association: RawAssociation, uid: str) -> int | None:
    return association.store(CT, uid, instance_of(CT, uid))


def test_below_the_limit_peers_are_rejected_until_there_is_room(
    ours: Start, directory: Path, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    output, rounds, slowest = directory / "disk", count(5, 50), 0.0
    output.mkdir()
    with mounted(output, "8m"):
        receiver = ours("-pm", "-od", output, "--min-free", "4M")
        workers = receiver.workers()
        for _ in range(rounds):
            with RawAssociation(receiver.port, CONTEXTS) as before:
                (output / "filler").write_bytes(bytes(6 << 20))
                kind, body, seconds = answer(receiver)
                assert (kind, body) == (ASSOCIATE_RJ, CONGESTION)
                slowest = max(slowest, seconds)
                assert store(before, "1.2.3") == 0, "there is still room for instances being received"
                before.release()
            empty(output)
            with RawAssociation(receiver.port, CONTEXTS) as after:
                assert store(after, "1.2.4") == 0
                after.release()
        assert workers <= receiver.workers()
        assert {path.name for path in output.glob("CT.*")} == {"CT.1.2.3", "CT.1.2.4"}
    assert "--min-free" in receiver.log
    assert slowest < 1
    figure(f"rejected {rounds} of {rounds} times, after {1000 * slowest:.0f} ms at most; served again at once")


RESERVED = {
    "reserved.py": """\
import os
from dcmrecv_core import hookimpl

statvfs = os.statvfs

def with_all_reserved(path):
    fields = list(statvfs(path))
    fields[4] = 0  # f_bavail; f_bfree stays
    return os.statvfs_result(fields)

os.statvfs = with_all_reserved

@hookimpl
def worker_started(settings):
    pass
"""
}
"""A plugin: what is free on the disk is reserved for root, as ext4 does with 5 %; a memory file system cannot."""


def test_space_reserved_for_root_is_not_free(ours: Start, directory: Path) -> None:
    (directory / "disk").mkdir()
    with mounted(directory / "disk", "8m"):
        receiver = ours("-pm", "-od", directory / "disk", "--min-free", "4M", "--plugin", "reserved", files=RESERVED)
        assert answer(receiver)[:2] == (ASSOCIATE_RJ, CONGESTION)


def test_without_a_limit_the_disk_is_filled_to_its_end(ours: Start, directory: Path) -> None:
    output = directory / "disk"
    output.mkdir()
    with mounted(output, "8m"):
        receiver = ours("-pm", "-od", output)
        (output / "filler").write_bytes(bytes(7 << 20))
        with RawAssociation(receiver.port, CONTEXTS) as association:
            assert store(association, "1.2.3") == 0
            association.release()


@pytest.mark.parametrize("limit", ["4Q", "-1", "x"])
def test_a_limit_has_to_be_a_size(program: Path, directory: Path, limit: str) -> None:
    done = run(program, "--min-free", limit, "11112", cwd=directory)
    assert (done.returncode, f"Invalid value for option --min-free ({limit})" in done.stderr) == (1, True)
