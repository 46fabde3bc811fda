"""Makes tables, plots and the page from the rows, and judges whether targets are met."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from support.bench.chart import Line, chart
from support.bench.contenders import CONTENDERS, split
from support.bench.measure import Row, Sample
from support.bench.workloads import TARGETS, Target

Rows = Mapping[tuple[str, str], Row]
"""By names of workload and row."""

_SIZES = {"7 KB": 7e3, "39 KB": 39e3, "530 KB": 530e3, "4 MB": 4.2e6, "30 MB": 31e6, "100 MB": 105e6}
_ASSOCIATIONS = {
    "39 KB": 1,
    **{f"{number} associations, 39 KB": number for number in (2, 4, 8, 16)},
}
_COLOURS = {
    "ours": "#0a6b4d",
    "ours --fsync": "#0a6b4d",
    "dcmrecv": "#c4521b",
    "storescp": "#6a4c93",
    "copy": "#8a8a8a",
    "durable": "#8a8a8a",
}


class Verdict(NamedTuple):
    """The result of a target; `lowest` and `highest` are those of single rounds."""

    target: Target
    value: float
    lowest: float
    highest: float
    is_met: bool


def verdicts(rows: Rows, targets: Iterable[Target] = TARGETS) -> list[Verdict]:
    """One for each target whose rows were measured."""
    found = []
    for target in targets:
        if values := _values(target, rows):
            value = max(values) if target.measure == "memory" else statistics.median(values)
            is_met = value >= target.bound if target.measure == "rate" else value <= target.bound
            found.append(Verdict(target, value, min(values), max(values), is_met))
    return found


def _values(target: Target, rows: Rows) -> list[float]:
    """A value for each round, so that a disturbance affects both sides; for memory one for each workload."""
    if target.measure == "memory":
        return [row.memory for (_, name), row in rows.items() if name.split()[0] == target.ours and row.memory]
    ours = rows.get((target.workload, target.ours))
    if ours is None:
        return []
    if target.measure == "seconds":
        return [1 / sample.rate for sample in ours.samples]
    other = rows.get((target.workload, target.other))
    if other is None:
        return []
    compare = _COMPARISONS[target.measure]
    return [compare(mine, theirs) for mine, theirs in zip(ours.samples, other.samples, strict=True)]


_COMPARISONS: dict[str, Callable[[Sample, Sample], float]] = {
    "rate": lambda mine, theirs: mine.rate / theirs.rate,
    "time": lambda mine, theirs: theirs.rate / mine.rate,
    "p99": lambda mine, theirs: mine.p99 / theirs.p99,
    "cpu": lambda mine, theirs: mine.cpu / theirs.cpu,
    "cost": lambda mine, theirs: mine.p50 - theirs.p50,  # with means it would be lost in the noise of the disk
}
_UNITS = {"rate": "x", "time": "x the time", "p99": "x", "cpu": "x", "cost": " ms", "memory": " MB", "seconds": " s"}


def targets_table(found: Sequence[Verdict]) -> str:
    lines = []
    for target, value, lowest, highest, is_met in found:
        unit = _UNITS[target.measure]
        word = "at least" if target.measure == "rate" else "at most"
        against = f"`{_shown(target.other)}`" if target.other else ""
        lines.append(
            (
                target.text,
                against,
                f"{word} {target.bound:g}{unit}",
                f"{_number(value)}{unit}",
                f"{_number(lowest)} .. {_number(highest)}",
                "yes" if is_met else "**no**",
            )
        )
    return _table(("work", "against", "target", "achieved", "single rounds", "met"), lines, 2)


def rows_tables(rows: Rows) -> str:
    """A table for each workload."""
    parts = []
    for workload in dict.fromkeys(workload for workload, _ in rows):
        reference = rows.get((workload, "dcmrecv"))
        lines = [_line(row, reference) for row in rows.values() if row.workload == workload]
        heads = ("receiver", "per second", "MB/s", "x dcmrecv", "p50 ms", "p99 ms", "CPU ms", "PSS MB")
        parts.append(f"### {workload}\n\n{_table(heads, lines)}")
    return "\n".join(parts)


def _line(row: Row, reference: Row | None) -> tuple[str, ...]:
    rate, bandwidth, p50, p99, cpu = row.median()
    ratio = _number(rate / reference.median().rate) if reference else ""
    numbers = (_number(value) if value else "" for value in (p50, p99, cpu, row.memory))
    return (f"`{_shown(row.name)}`", _number(rate), _number(bandwidth) if bandwidth else "", ratio, *numbers)


def receivers_table() -> str:
    return _table(("receiver", "what it is"), [(f"`{name}`", row.text) for name, row in CONTENDERS.items()], 2)


def plots(rows: Rows) -> dict[str, str]:
    """File names and contents; a plot is left out if one of its rows is missing."""
    by_size = _lines(rows, _SIZES, ("ours", "dcmrecv", "copy"), lambda row: row.median().bandwidth)
    across = _lines(rows, _ASSOCIATIONS, ("ours", "dcmrecv", "storescp", "copy"), lambda row: row.median().rate)
    durable = _lines(rows, _ASSOCIATIONS, ("ours --fsync", "durable"), lambda row: row.median().rate)
    sizes = {size: name for name, size in _SIZES.items()}
    counts = {float(number): str(number) for number in _ASSOCIATIONS.values()}
    drawn = {
        "throughput-size.svg": (
            "Throughput against instance size",
            "size of an instance, one association",
            "MB/s, no flushing",
            by_size,
            sizes,
        ),
        "throughput-associations.svg": (
            "Throughput against associations",
            "associations at once, instances of 39 KB",
            "instances/s, no flushing",
            across,
            counts,
        ),
        "durable-associations.svg": (
            "Durable: each instance flushed before it is confirmed",
            "associations at once, instances of 39 KB",
            "instances/s",
            durable,
            counts,
        ),
    }
    return {name: chart(*parts) for name, parts in drawn.items() if parts[3]}


def _lines(rows: Rows, axis: Mapping[str, float], names: Sequence[str], value: Callable[[Row], float]) -> list[Line]:
    if any((workload, name) not in rows for workload in axis for name in names):
        return []
    return [
        Line(
            f"limit: {name}" if split(name)[0].is_limit else name,
            [(across, value(rows[workload, name])) for workload, across in axis.items()],
            _COLOURS[name],
            split(name)[0].is_limit,
        )
        for name in names
    ]


def updated(page: str, blocks: Mapping[str, str]) -> str:
    """The page with new contents between `<!-- measured: NAME -->` and `<!-- end -->`; the rest is written by hand.

    Raises ValueError if a block is not on the page.
    """
    for name, text in blocks.items():
        head, mark, rest = page.partition(f"<!-- measured: {name} -->\n")
        _, end, tail = rest.partition("<!-- end -->\n")
        if not (mark and end):
            raise ValueError(f"no place for {name!r}")
        page = f"{head}{mark}\n{text}\n{end}{tail}"
    return page


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]], texts: int = 1) -> str:
    """`texts` columns are flush left, numbers are not."""
    aligned = ["---" if index < texts else "---:" for index in range(len(heads))]
    # a `|` in a cell would end it, in code too
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in (heads, aligned, *cells))


def _shown(name: str) -> str:
    return name.replace("{here}/", "")


def _number(value: float) -> str:
    """The number with three significant digits."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
