"""One measurement of one receiver: rate, response times, processor time and memory of its whole process group."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from support.bench.contenders import Running
from support.bench.load import Load, Result, send

_TICK = os.sysconf("SC_CLK_TCK")


class Sample(NamedTuple):
    """What one measurement found.

    `rate` in instances/s (starts/s for a start), `bandwidth` in MB/s (millions) of data sets, response times and
    processor time in milliseconds, the latter per instance.
    """

    rate: float
    bandwidth: float
    p50: float
    p99: float
    cpu: float


class Row(NamedTuple):
    """All samples of a receiver at a workload, by rounds; `memory` in MB (PSS of its largest process)."""

    workload: str
    name: str
    samples: list[Sample]
    memory: float

    def median(self) -> Sample:
        return Sample(*map(statistics.median, zip(*self.samples, strict=True)))


def sample(receiver: Running, load: Load, first: int) -> Sample:
    """Send `load` once. What others have left to be written is written before. Raises load.Failed."""
    os.sync()
    before = processor_seconds(receiver.process.pid)
    result = send(receiver.port, load, first)
    cpu = processor_seconds(receiver.process.pid) - before
    return summary(result, load.series.size, cpu)


def summary(result: Result, size: int, cpu: float) -> Sample:
    """`size` is that of an instance in bytes, `cpu` the processor time of all in seconds."""
    times = sorted(result.times)
    count = len(times)
    rate = count / result.elapsed
    p50, p99 = (times[int(share * (count - 1))] / 1e6 for share in (0.5, 0.99))
    return Sample(rate, rate * size / 1e6, p50, p99, cpu * 1e3 / count)


def peak_memory(receiver: Running, load: Load, first: int) -> tuple[float, int]:
    """Send `load` once, untimed, and look every 20 ms: MB of the largest process, and how many were sent."""
    peak = 0

    def look() -> None:
        nonlocal peak
        peak = max(peak, *map(_pss, _group(receiver.process.pid)), 0)

    result = send(receiver.port, load, first, look)
    return peak / 1e6, len(result.times)


def processor_seconds(group: int) -> float:
    """User and system time of all processes of a group, and of those that they have waited for."""
    return sum(sum(map(int, fields[11:15])) for fields in _stats(group)) / _TICK


def _group(group: int) -> list[int]:
    return [int(fields[-1]) for fields in _stats(group)]


def _stats(group: int) -> Iterator[list[str]]:
    """/proc/PID/stat of each process of the group from the field `state` on (see proc(5)), and then the PID."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                text = Path(f"/proc/{name}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            fields = text.rpartition(")")[2].split()
            if int(fields[2]) == group:
                yield [*fields, name]


def _pss(pid: int) -> int:
    """Bytes of memory, pages that are shared by n processes counted as one n-th."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0
