"""The lines of all files of a queue, in the order in which their instances were stored.

If an instance was sent twice, the later record counts, whichever worker wrote it and even if the clock was set
meanwhile. So the files of one boot of the system are merged by the moments of their records, after those of earlier
boots. A file is opened when the others have reached its first moment: a long queue has more files than a process may
have open.
"""

from __future__ import annotations

import heapq
import os
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dcmrecv_index.queue import boot_id, queue_files, read_lines
from dcmrecv_index.record import Record


class Line(NamedTuple):
    """A line, the `position` after it in the file of that `name`, and its record, None if it cannot be read."""

    name: str
    position: int
    content: bytes
    record: Record | None


class _File(NamedTuple):
    """A file up to `end`, its size at the start; `first` is the moment of its first record, or an earlier one."""

    first: int
    path: Path
    end: int


def lines_in_order(directory: Path, reached: Mapping[str, int]) -> Iterator[Line]:
    """All lines that are in the queue now, from the positions `reached` on."""
    boots: dict[str, list[_File]] = {}
    for path in queue_files(directory):
        try:
            end = os.stat(path).st_size
        except FileNotFoundError:
            continue
        of_boot = boots.setdefault(_boot_id_of(path), [])
        if end > reached.get(path.name, 0):
            of_boot.append(_File(_first_moment(path), path, end))
    # for earlier boots only the names of their files give the order, by the clock
    for boot in sorted(boots, key=boot_id().__eq__):
        yield from _merged(boots[boot], reached)


def _merged(files: list[_File], reached: Mapping[str, int]) -> Iterator[Line]:
    later = deque(sorted(files))
    heap: list[tuple[int, str, Line, Iterator[tuple[int, Line]]]] = []

    def take(lines: Iterator[tuple[int, Line]]) -> None:
        for moment, line in lines:
            heapq.heappush(heap, (moment, line.name, line, lines))
            return

    while later or heap:
        while later and (not heap or later[0].first <= heap[0][0]):
            take(_lines(later.popleft(), reached))
        if heap:
            _, _, line, lines = heapq.heappop(heap)
            yield line
            take(lines)


def _lines(file: _File, reached: Mapping[str, int]) -> Iterator[tuple[int, Line]]:
    """The lines of a file, each with the moment by which it is sorted."""
    moment = file.first
    for content, position in read_lines(file.path, reached.get(file.path.name, 0), file.end):
        try:
            record = Record.from_line(content)
        except ValueError:
            yield moment, Line(file.path.name, position, content, None)
            continue
        moment = max(moment, record.moment or record.received)
        yield moment, Line(file.path.name, position, content, record)


def _boot_id_of(path: Path) -> str:
    """Which boot of the system made a file; "" for files of older versions without it, which come first."""
    parts = path.stem.split("-")
    return parts[3].partition(".")[0] if len(parts) == 4 else ""


def _first_moment(path: Path) -> int:
    """In nanoseconds since the boot; by the clock for files of older versions."""
    parts = path.stem.split("-")
    number = parts[2] if len(parts) == 4 else parts[0]
    return int(number) if number.isdecimal() else 0
