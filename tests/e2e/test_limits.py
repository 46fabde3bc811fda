"""Limits for peers, data and plugins, and what happens beyond them."""

from __future__ import annotations

import contextlib
import struct
import time

import pytest

from support.data.datasets import identification, pixel_data
from support.programs.receivers import Receiver, Start
from support.promises.crowds import dribbling, seconds_until_served
from support.protocol.pdus import ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, associate_rq, status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION

CONTEXTS = [(CT, [EXPLICIT_LE]), (VERIFICATION, [IMPLICIT_LE])]
REQUEST = associate_rq(CONTEXTS)
LOCAL_LIMIT = (ASSOCIATE_RJ, bytes((0, 2, 3, 2)))
OTHER = "127.0.0.2"


def answer(receiver: Receiver, source: str = "127.0.0.1") -> tuple[int, bytes]:
    """The answer to a new peer."""
    with RawAssociation(receiver.port, source=source) as association:
        association.send(REQUEST)
        return association.read_pdu()


@pytest.mark.parametrize(
    ("options", "share", "helps"),
    [
        (
            ("--max-associations", "6"),
            4,
            "--max-associations; this address has 4 associations, and one address may have 4 of 6",
        ),
        (
            ("--max-associations", "6", "--max-per-peer", "1"),
            1,
            "--max-per-peer; this address has 1 of 1 associations",
        ),
    ],
    ids=["all but two", "as said"],
)
def test_one_peer_leaves_room_for_others(ours: Start, options: tuple[str, ...], share: int, helps: str) -> None:
    receiver = ours("-pm", *options)
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(RawAssociation(receiver.port, CONTEXTS)) for _ in range(share)]
        assert answer(receiver) == LOCAL_LIMIT
        assert answer(receiver, OTHER)[0] == ASSOCIATE_AC
        held[0].release()
        assert answer(receiver)[0] == ASSOCIATE_AC
    assert (
        f"W: Refusing Association from RAWSCU (127.0.0.1) to ANY (local limit exceeded): see {helps};" in receiver.log
    )


def test_a_peer_at_its_limit_delays_no_other(ours: Start) -> None:
    receiver = ours("-pm", "--max-per-peer", "1")
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(RawAssociation(receiver.port, CONTEXTS))
        waiting = stack.enter_context(RawAssociation(receiver.port))
        waiting.send(REQUEST)
        assert answer(receiver, OTHER)[0] == ASSOCIATE_AC
        first.release()
        assert waiting.read_pdu()[0] == ASSOCIATE_AC, "the other one was served before this one was given up"


@pytest.mark.parametrize(("length", "kind", "seconds"), [(4 << 10, 0, 1), ((4 << 10) + 1, ABORT, 60)])
def test_largest_request(ours: Start, length: int, kind: int, seconds: int) -> None:
    """The receiver waits for an allowed request: only its header has been sent."""
    receiver = ours("-pm", "--max-request", "4K", "-ta", seconds)
    with RawAssociation(receiver.port) as association:
        association.send(struct.pack(">BxI", 1, length))
        assert association.read_pdu()[0] == kind


SIZES = {"small": 6000, "received into a file": 3 << 19}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("mode", ["-B", "+B"])
def test_largest_instance(ours: Start, size: int, mode: str) -> None:
    data = identification(CT, "1.2.3") + pixel_data(size)
    receiver = ours("-pm", mode, "--max-instance", len(data))
    with RawAssociation(receiver.port, CONTEXTS) as association:
        association.request(store_rq(CT, "1.2.4"), data + bytes(2))
        response = association.response()
        assert status_of(response) == 0xA700
        assert response[0x0902].rstrip().decode() == f"Data set is larger than {len(data)} bytes"
        assert receiver.files() == []
        assert association.store(CT, "1.2.3", data) == 0
        association.release()
    assert receiver.files() == ["CT.1.2.3"]
    assert f"refused with status A700: Data set is larger than {len(data)} bytes (see --max-instance)" in receiver.log


@pytest.mark.parametrize("said", [b"", bytes(8)], ids=["no data set", "part of it"])
def test_a_message_must_make_progress(ours: Start, said: bytes) -> None:
    receiver = ours("-pm", "--progress-timeout", "1")
    with RawAssociation(receiver.port, CONTEXTS) as association:
        association.request(store_rq(CT, "1.2.3"), said, last=False)
        assert association.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
    assert "no progress for 1 s inside a message" in receiver.log
    assert receiver.files() == []


def test_between_messages_a_peer_may_be_quiet(ours: Start) -> None:
    receiver = ours("-pm", "--progress-timeout", "1")
    with RawAssociation(receiver.port, CONTEXTS) as association:
        association.socket.settimeout(2.5)
        with pytest.raises(TimeoutError):
            association.socket.recv(1)
        association.socket.settimeout(20)
        assert association.echo(context_id=3) == 0
        association.release()


def test_fault_14_a_byte_now_and_then_is_no_progress(ours: Start) -> None:
    receiver = ours("-pm", "--progress-timeout", "3")
    with RawAssociation(receiver.port, CONTEXTS) as association:
        begin = time.monotonic()
        with dribbling([association]):
            assert association.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
        assert time.monotonic() - begin > 2.5
    assert "less than 64 bytes a second for 3 s inside messages (--min-rate)" in receiver.log


def test_fault_14_a_silent_association_makes_room(ours: Start) -> None:
    receiver = ours("-pm", "--max-associations", "1", "--idle-eviction", "1")
    with RawAssociation(receiver.port, CONTEXTS) as silent:
        seconds_until_served(receiver.port, OTHER, patience=60)
        assert silent.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
    assert "W: aborting association with RAWSCU (127.0.0.1) to ANY: no message for " in receiver.log
    assert f", and {OTHER} needs its place (--idle-eviction)\n" in receiver.log


def test_without_eviction_a_silent_association_stays(ours: Start) -> None:
    receiver = ours("-pm", "--max-associations", "1", "--idle-eviction", "0")
    with RawAssociation(receiver.port, CONTEXTS) as silent:
        assert [answer(receiver, OTHER) for _ in range(3)] == 3 * [LOCAL_LIMIT]
        assert silent.echo(context_id=3) == 0
        silent.release()
