"""What `--help` and `--version` show: the same lines in the same places, the texts in our own words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from support.parity.rules import Row, by_rule, compare
from support.programs.receivers import run, system_program

COLUMN = 33
OPTION = re.compile(r" {2,4}([-+]\S+)? +(--\S+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Row):
    """An aspect of an option's output; with `common`, lines of ours only are left out."""

    kind: ClassVar[str] = "help"
    option: str
    aspect: Callable[[list[str]], Sequence[object]]
    common: bool = False


def _frame(lines: list[str]) -> list[str]:
    """The lines that are no options: those before the parameters, and the last."""
    start = lines.index("general options:")
    port = next(line[:COLUMN] for line in lines if line.startswith("  port"))
    return [*lines[1:6], port, *lines[start - 1 : start + 1], *lines[-2:]]


def _sections(lines: list[str]) -> list[str]:
    return [line for line in lines if re.match(r"\S.*options:$", line)]


def _options(lines: list[str]) -> list[str]:
    """Short and long names in their columns."""
    return [line[:COLUMN].rstrip() for line in lines if OPTION.match(line)]


def _groups(lines: list[str]) -> list[tuple[str, ...]]:
    """The options of each group, whatever the group is called."""
    groups: list[list[str]] = []
    for line in lines:
        if found := OPTION.match(line):
            groups[-1].append(found[2])
        elif re.match(r"( {2})?\S", line):
            groups.append([])
    return [tuple(group) for group in groups if group]


def _values(lines: list[str]) -> list[str]:
    """Options with values: their names, kinds and ranges."""
    pattern = re.compile(r".{10}(--\S+) +(\[\w\].*: (?:string|integer)(?: constant| \(\d+\.\.\d+\))?)")
    return [f"{found[1]} {found[2]}" for line in lines if (found := pattern.match(line))]


def _described_at(lines: list[str]) -> set[int]:
    """Columns where descriptions start."""
    described = (re.match(r"( {2,4}([-+]\S+)? +--\S+ +| {20,})\S", line) for line in lines)
    return {match.end() - 1 for match in described if match}


def _labels(lines: list[str]) -> list[str]:
    """The lines of --version without what differs from host to host."""
    return [line.partition(":")[0] for line in lines[1:] if not line.startswith("- ")]


def _version_line(lines: list[str]) -> list[str]:
    """Which program it is."""
    return lines[0].split()[:2]


ROWS: tuple[Page, ...] = (
    Page(rule="the help begins and ends like that of DCMTK dcmrecv", option="--help", aspect=_frame),
    Page(rule="sections of the help", option="--help", aspect=_sections, common=True),
    Page(rule="names of options in the help", option="--help", aspect=_options, common=True),
    Page(rule="groups of options in the help", option="--help", aspect=_groups, common=True),
    Page(rule="values of options in the help", option="--help", aspect=_values, common=True),
    Page(rule="descriptions in the help stand in one column", option="--help", aspect=_described_at),
    Page(rule="lines of --version", option="--version", aspect=_labels),
    Page(
        rule="the first line of --version",
        option="--version",
        aspect=_version_line,
        differs="Ours names itself and its own version.",
        ours=["$dcmrecv:", "dcmrecv"],
        theirs=["$dcmtk:", "dcmrecv"],
    ),
)


@by_rule(ROWS)
def test_shows_what_the_original_shows(program: Path, row: Page) -> None:
    pages = (run(path, row.option).stdout.split("\n") for path in (program, system_program("dcmrecv")))
    ours, theirs = map(row.aspect, pages)
    assert theirs
    compare(row, _common(ours, theirs) if row.common else ours, theirs)


def _common(ours: Sequence[object], theirs: Sequence[object]) -> list[object]:
    """Our entries that theirs has, too; of tuples their common members."""
    names = {name for entry in theirs if isinstance(entry, tuple) for name in entry}
    kept = (tuple(name for name in entry if name in names) if isinstance(entry, tuple) else entry for entry in ours)
    return [entry for entry in kept if entry and (isinstance(entry, tuple) or entry in theirs)]
