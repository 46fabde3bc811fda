"""Applies unified diffs strictly: every hunk must be found exactly, in one place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class MovedOnError(Exception):
    """The sources are no longer those that the patch was made for."""


class Hunk(NamedTuple):
    """In the file `path`, `before` becomes `after`; both are whole lines."""

    path: str
    before: str
    after: str


def hunks(patch: str) -> Iterator[Hunk]:
    """The hunks of a diff; line numbers are ignored, text before the first file is a comment."""
    path = ""
    before: list[str] | None = None
    after: list[str] = []
    for line in [*patch.splitlines(keepends=True), "@@"]:
        if before is not None and line[:1] in (" ", "-", "+") and not line.startswith("--- "):
            if line[0] != "+":
                before.append(line[1:])
            if line[0] != "-":
                after.append(line[1:])
            continue
        if before is not None:
            yield Hunk(path, "".join(before), "".join(after))
            before = None
        if line.startswith("+++ "):
            path = line[4:].strip().removeprefix("b/")
        elif line.startswith("@@") and path and line != "@@":
            before, after = [], []


def apply(patch: str, root: Path) -> None:
    """Apply it to the files below `root`; raises MovedOnError, with nothing written to that file."""
    found = list(hunks(patch))
    if not found:
        raise MovedOnError("the patch has no hunk")
    for path, before, after in found:
        file = root / path
        text = file.read_text() if file.is_file() else ""
        if text.count(before) != 1 or not before:
            raise MovedOnError(f"{path}: {text.count(before)} places like this, not one:\n{before}")
        file.write_text(text.replace(before, after))
