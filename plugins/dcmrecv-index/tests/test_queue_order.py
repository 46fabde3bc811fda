"""The order of the lines of all files of a queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_index import queue, queue_order
from dcmrecv_index.queue import QueueWriter, boot_id, moment, queue_files
from dcmrecv_index.record import Record

RECORD = Record("1.2.3", "1", "1", "/a", 10, 100, {})


def write(directory: Path, *moments: int, rotate_size: int = 1 << 20) -> QueueWriter:
    writer = QueueWriter(directory, rotate_size)
    for number in moments:
        writer.append(replace(RECORD, moment=number, received=1000 - number).to_line(), number)
    return writer


def order(directory: Path, reached: dict[str, int] | None = None) -> list[int]:
    lines = queue_order.lines_in_order(directory, reached or {})
    return [line.record.moment if line.record else -1 for line in lines]


def test_files_are_merged(tmp_path: Path) -> None:
    writers = [write(tmp_path, *moments) for moments in ((1, 4, 9), (2, 3, 10), (5, 6, 7, 8))]
    assert order(tmp_path) == list(range(1, 11))
    for writer in writers:
        writer.close()


def test_an_unreadable_line_stays_where_it_is(tmp_path: Path) -> None:
    writer = write(tmp_path, 1, 3)
    writer.append(b"rubbish\n")
    write(tmp_path, 2, 4).close()
    assert order(tmp_path) == [1, 2, 3, -1, 4]
    writer.close()


def test_nothing_that_was_appended_meanwhile(tmp_path: Path) -> None:
    """Another file may have been read by then up to an earlier moment."""
    writer = write(tmp_path, 1)
    lines = queue_order.lines_in_order(tmp_path, {})
    assert next(lines).record == replace(RECORD, moment=1, received=999)
    writer.append(replace(RECORD, moment=2).to_line(), 2)
    assert list(lines) == []
    [path] = queue_files(tmp_path)
    assert order(tmp_path, {path.name: len(replace(RECORD, moment=1, received=999).to_line())}) == [2]
    writer.close()


def test_earlier_boots_of_the_system_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither their moments nor the clock can be compared with those of this boot: the clock was set back."""
    times = iter((500, 600, 400))
    monkeypatch.setattr(queue.time, "time_ns", lambda: next(times))
    for run, moments in (("0000000a", (70, 80)), ("0000000b", (50, 60)), (boot_id(), (1, 2))):
        with monkeypatch.context() as patch:
            patch.setattr(queue, "boot_id", lambda run=run: run)
            write(tmp_path, *moments).close()
    assert order(tmp_path) == [70, 80, 50, 60, 1, 2]


def test_few_files_are_open_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the queue became while the database was down."""
    count = most = 0
    real = queue_order.read_lines

    def counted(*arguments: Any) -> Iterator[Any]:
        nonlocal count, most
        count += 1
        most = max(most, count)
        yield from real(*arguments)
        count -= 1

    monkeypatch.setattr(queue_order, "read_lines", counted)
    for worker in range(3):
        write(tmp_path, *range(1 + worker, 301, 3), rotate_size=1).close()
    assert len(queue_files(tmp_path)) == 300
    assert order(tmp_path) == list(range(1, 301))
    assert most <= 4


def test_moments_rise() -> None:
    assert moment() < moment() < moment()
