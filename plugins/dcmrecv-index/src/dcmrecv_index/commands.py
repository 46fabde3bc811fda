"""The program `dcmrecv-index`: `rescan` and `find`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from dcmrecv_index.database import checked_url, connect, sqlite_url
from dcmrecv_index.find import FILTERS, LEVELS, find
from dcmrecv_index.rescan import STATE_DIRECTORY, rescan

URL_VARIABLE = "DCMRECV_INDEX_URL"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, 1 for a failure (of a rescan: for some files, too), 2 for a wrong command line."""
    options = _parser().parse_args(arguments)
    _log_to_stderr()
    try:
        code: int = options.run(options)
    except (ValueError, OSError, SQLAlchemyError) as error:
        print(f"dcmrecv-index: {error}", file=sys.stderr)
        return 1
    return code


class _Formatter(logging.Formatter):
    """Senders must not be able to send commands to a terminal through the log."""

    def format(self, record: logging.LogRecord) -> str:
        return _printable(super().format(record))


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("dcmrecv-index", description="The index of what dcmrecv received.")
    commands = parser.add_subparsers(required=True, metavar="rescan|find")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", help=f"database (default: ${URL_VARIABLE}, else index.sqlite in the state directory)")
    common.add_argument(
        "--state-dir",
        type=Path,
        metavar="DIRECTORY",
        help=f"the receiver's state directory, if it is not {STATE_DIRECTORY} in its output directory",
    )

    command = commands.add_parser("rescan", parents=[common], help="index files that are not in the index yet")
    command.add_argument("directory", type=Path, help="the receiver's output directory, or one below it")
    command.add_argument("--prune", action="store_true", help="delete rows whose files are gone")
    command.set_defaults(run=_rescan)

    command = commands.add_parser("find", parents=[common], help="search the index; * and ? are wildcards")
    for name in FILTERS:
        command.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE")
    command.add_argument("--level", choices=LEVELS, default="study", help="what to list (default: study)")
    command.add_argument("--json", action="store_true", help="print a JSON array")
    command.add_argument(
        "--directory",
        type=Path,
        default=Path(),
        help="the receiver's output directory, or one below it (default: the current one)",
    )
    command.set_defaults(run=_find)
    return parser


def _url(options: argparse.Namespace) -> str | URL:
    if options.url:
        return str(options.url)
    if options.state_dir:
        return sqlite_url(options.state_dir)
    return os.environ.get(URL_VARIABLE) or sqlite_url(_output_directory(options.directory) / STATE_DIRECTORY)


def _output_directory(directory: Path) -> Path:
    """The directory, or the nearest one above it that has an index: it may be inside the output directory."""
    path = directory.absolute()
    for candidate in (path, *path.parents):
        if os.path.exists(str(sqlite_url(candidate / STATE_DIRECTORY).database)):
            return candidate
    return path


def _rescan(options: argparse.Namespace) -> int:
    engine = connect(_url(options))
    try:
        found = rescan(engine, options.directory, prune=options.prune)
    finally:
        engine.dispose()
    failed = f", {found.failed} files could not be indexed" if found.failed else ""
    print(f"{found.instances} instances found, {found.pruned} pruned{failed}")
    return 1 if found.failed else 0


def _find(options: argparse.Namespace) -> int:
    url = checked_url(_url(options))
    if url.drivername == "sqlite" and not os.path.exists(str(url.database)):
        raise ValueError(f"there is no index at {url.database}")  # find must not make one
    engine = connect(url)
    try:
        filters = {name: value for name in FILTERS if (value := getattr(options, name)) is not None}
        rows = find(engine, options.level, filters)
    finally:
        engine.dispose()
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        _print_table([column.key for column in LEVELS[options.level]], rows)
    return 0


def _print_table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    lines = [columns, *([_printable(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _printable(value: Any) -> str:
    """The text of a cell; senders must not be able to send commands to a terminal."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else "?" for char in text)
