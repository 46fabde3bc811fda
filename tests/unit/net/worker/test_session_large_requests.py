"""Association requests that are longer than usual: read if allowed, and not cached."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmrecv_core.net.worker import session as session_module
from dcmrecv_core.net.worker.caches import MAX_CACHED_REQUEST
from dcmrecv_core.proto.pdu import MAX_REQUEST_LENGTH
from support.protocol.pdus import ASSOCIATE_AC, RELEASE_RP, item, pdu, read_pdus
from support.protocol.scripted_connection import Clock
from support.protocol.scripted_worker import RELEASE, REQUEST, ScriptedWorker


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedWorker:
    clock = Clock()
    monkeypatch.setattr(session_module, "time", clock)
    return ScriptedWorker(tmp_path, clock)


def request(number: int, size: int) -> bytes:
    filler = item(0x77, b"%06d" % number + bytes(20_000))
    return pdu(1, REQUEST[6:] + filler * (1 + size // len(filler)))


def test_the_front_desk_limits_the_length_of_a_request(worker: ScriptedWorker) -> None:
    """`--max-request` may exceed the default."""
    said = worker.play(RELEASE, request=request(1, MAX_REQUEST_LENGTH)).sent
    assert [kind for kind, _ in read_pdus(said)] == [ASSOCIATE_AC, RELEASE_RP]


def test_results_of_the_last_long_request_only_are_kept(worker: ScriptedWorker) -> None:
    for number in range(4):
        worker.play(RELEASE, request=request(number, MAX_CACHED_REQUEST))
    assert [len(cache._cached) for cache in (worker.shared.proposed_contexts, worker.shared.negotiate)] == [1, 1]
    worker.play(RELEASE, request=request(5, 0))
    assert len(worker.shared.negotiate._cached) == 2
