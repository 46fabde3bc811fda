"""The lines of a queue in the order in which their instances were stored, over all of its files.

Of an instance that was sent twice the record that was written later counts, whichever worker wrote it and however the
clock was set meanwhile. So files of one run of the system are merged by the moments of their records, and come after
those of earlier runs. A file is opened when the others have come to its first moment: a long queue has more files than
a process may have open.
"""

from __future__ import annotations

import heapq
import os
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dcmrecv_index.queue import boot, queue_files, read_lines
from dcmrecv_index.record import Record


class Line(NamedTuple):
    """A line, the `position` after it in the file of that `name`, and its record, None if it cannot be read."""

    name: str
    position: int
    content: bytes
    record: Record | None


class _File(NamedTuple):
    """A file up to its `end`, as it was at the start; `first` is the moment of its first record or one before it."""

    first: int
    path: Path
    end: int


def arrivals(directory: Path, reached: Mapping[str, int]) -> Iterator[Line]:
    """All that is in the queue now, from the positions `reached` on."""
    runs: dict[str, list[_File]] = {}
    for path in queue_files(directory):
        try:
            end = os.stat(path).st_size
        except FileNotFoundError:
            continue
        of_run = runs.setdefault(_run(path), [])
        if end > reached.get(path.name, 0):
            of_run.append(_File(_first_moment(path), path, end))
    # of the runs before this one only the names tell the order, by the clock of their first file
    for run in sorted(runs, key=boot().__eq__):
        yield from _merged(runs[run], reached)


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
    """Lines with the moments by which they are sorted."""
    moment = file.first
    for content, position in read_lines(file.path, reached.get(file.path.name, 0), file.end):
        try:
            record = Record.from_line(content)
        except ValueError:
            yield moment, Line(file.path.name, position, content, None)
            continue
        moment = max(moment, record.moment or record.received)
        yield moment, Line(file.path.name, position, content, record)


def _run(path: Path) -> str:
    """Of the system: "" for files of versions that did not note it, which were there before all others."""
    parts = path.stem.split("-")
    return parts[3].partition(".")[0] if len(parts) == 4 else ""


def _first_moment(path: Path) -> int:
    """In nanoseconds: of the system's run, by the clock for files of versions that did not note it."""
    parts = path.stem.split("-")
    number = parts[2] if len(parts) == 4 else parts[0]
    return int(number) if number.isdecimal() else 0
