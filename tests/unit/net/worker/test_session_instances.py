"""What an instance tells of its message: when it came, its number, and the C-MOVE that caused it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.data.datasets import instance_of
from support.protocol.pdus import command_set, data_pdus, store_rq
from support.protocol.scripted_connection import Clock
from support.protocol.scripted_worker import INSTANCE, RELEASE, ScriptedWorker
from support.uids import CT


def stored_with(directory: Path, message_id: int = 1, more: dict[int, Any] | None = None) -> tuple[Any, ...]:
    worker = ScriptedWorker(directory, Clock())
    seen: list[tuple[Any, ...]] = []
    worker.recorder.verdict = lambda instance: seen.append(
        (instance.message_id, instance.move_originator, instance.received_at)
    )
    command = command_set({**store_rq(CT, INSTANCE, message_id), **(more or {})})
    said = b"".join(
        (
            *data_pdus(1, [command], is_command=True),
            *data_pdus(1, [instance_of(CT, INSTANCE)], is_command=False),
        )
    )
    worker.play(said, RELEASE)
    [told] = seen
    return told


@pytest.mark.parametrize(
    ("more", "originator"),
    [
        ({}, None),
        ({0x1030: "ARCHIVE ", 0x1031: 65535}, ("ARCHIVE", 65535)),
        ({0x1030: "ARCHIVE"}, None),
        ({0x1031: 3}, None),
        ({0x1030: "ARCHIVE", 0x1031: b""}, None),
        ({0x1030: "ARCHIVE", 0x1031: b"\x03\0\0\0"}, ("ARCHIVE", 3)),
    ],
    ids=["none", "both", "title-only", "id-only", "empty-id", "long-id"],
)
def test_move_originator(tmp_path: Path, more: dict[int, Any], originator: object) -> None:
    assert stored_with(tmp_path, 77, more)[:2] == (77, originator)


def test_received_at_is_in_utc(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    received_at = stored_with(tmp_path)[2]
    assert received_at.utcoffset() == timedelta(0)
    assert before <= received_at <= datetime.now(UTC)
