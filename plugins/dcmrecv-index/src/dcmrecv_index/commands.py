"""The program `dcmrecv-index`: `rescan`, `find` and `senders`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from dcmrecv_core import PluginSettings
from dcmrecv_index.database import Database, DatabaseError, checked_url, connect, index_file
from dcmrecv_index.find import FILTERS, LEVELS, find, names_of
from dcmrecv_index.rescan import STATE_DIRECTORY, rescan
from dcmrecv_index.senders import COLUMNS, senders

URL_VARIABLE = "DCMRECV_INDEX_URL"

_DAYS = {"today": 0, "yesterday": 1}

_HELP = {"from": "calling AE title of the sender", "to": "AE title that it called"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 if nothing is found, or some files cannot be indexed; 2 for a failure or a wrong command line."""
    options = _parser().parse_args(arguments)
    _log_to_stderr()
    try:
        code: int = options.run(options)
    except (ValueError, OSError, DatabaseError) as error:
        print(f"dcmrecv-index: {error}", file=sys.stderr)
        return 2
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
    commands = parser.add_subparsers(required=True, metavar="rescan|find|senders")
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
    command.add_argument("uid", nargs="?", metavar="UID", help="of a study, series or instance")
    for name in FILTERS:
        command.add_argument(f"--{name.replace('_', '-')}", metavar="VALUE", help=_HELP.get(name))
    _add_period(command)
    command.add_argument("--level", choices=LEVELS, help="what to list (default: study, with UID instance)")
    _add_output(command)
    command.set_defaults(run=_find)

    command = commands.add_parser("senders", parents=[common], help="who has sent how much, the most first")
    _add_period(command)
    _add_output(command)
    command.set_defaults(run=_senders)
    return parser


def _add_period(command: argparse.ArgumentParser) -> None:
    times = "2026-11-01, 2026-11-01T08:30, today, yesterday"
    command.add_argument("--since", type=_moment, metavar="TIME", help=f"received then or later ({times})")
    command.add_argument(
        "--until",
        type=partial(_moment, end=True),
        metavar="TIME",
        help="received before; with a date, up to the end of the day",
    )


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print a JSON array")
    command.add_argument(
        "--directory",
        type=Path,
        default=Path(),
        help="the receiver's output directory, or one below it (default: the current one)",
    )


def _moment(text: str, *, end: bool = False) -> datetime:
    """A time, or the beginning or end of a day; local, unless it names a time zone."""
    if text in _DAYS:
        text = (datetime.now() - timedelta(days=_DAYS[text])).date().isoformat()
    try:
        moment = datetime.fromisoformat(text)
        is_date = len(text) <= len("2026-11-01")
        return (moment + timedelta(days=end and is_date)).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"not a date or time: {text} (2026-11-01, 2026-11-01T08:30)") from None


def _database_of(options: argparse.Namespace) -> str | Path:
    if options.url:
        return checked_url(options.url)
    if options.state_dir:
        return index_file(options.state_dir)
    url = os.environ.get(URL_VARIABLE)
    return checked_url(url) if url else _index_above(options.directory.absolute())


def _index_above(directory: Path) -> Path:
    """The index of the directory, or of the nearest one above that has one: it may be inside the output directory."""
    files = [index_file(candidate / STATE_DIRECTORY) for candidate in (directory, *directory.parents)]
    return next((file for file in files if file.exists()), files[0])


def _rescan(options: argparse.Namespace) -> int:
    with closing(connect(_database_of(options))) as database:
        found = rescan(database, options.directory, prune=options.prune)
    failed = f", {found.failed} files could not be indexed" if found.failed else ""
    print(f"{found.instances} instances found, {found.pruned} pruned{failed}")
    return 1 if found.failed else 0


def _find(options: argparse.Namespace) -> int:
    level = options.level or ("study" if options.uid is None else "instance")
    filters = {name: value for name in FILTERS if (value := getattr(options, name)) is not None}
    with closing(_existing(options)) as database:
        rows = find(
            database,
            level,
            filters,
            uid=options.uid,
            uid_hash=_hash_of(options),
            since=options.since,
            until=options.until,
        )
    return _print(names_of(level), rows, options)


def _senders(options: argparse.Namespace) -> int:
    with closing(_existing(options)) as database:
        rows = senders(database, since=options.since, until=options.until)
    return _print(COLUMNS, rows, options)


def _existing(options: argparse.Namespace) -> Database:
    """The index; a query must not make one. Raises ValueError if there is none."""
    where = _database_of(options)
    if isinstance(where, Path) and not where.exists():
        raise ValueError(f"there is no index at {where}")
    return connect(where)


def _hash_of(options: argparse.Namespace) -> str | None:
    """That of the UID with which an instance may have been sent, None if no plugin has changed any."""
    if options.uid is None:
        return None
    state = options.state_dir or _index_above(options.directory.absolute()).parent
    return PluginSettings(state_directory=state).original_uid_hash(options.uid)


def _print(columns: Sequence[str], rows: list[dict[str, Any]], options: argparse.Namespace) -> int:
    if options.json:
        print(json.dumps(rows, indent=1))
    elif rows:
        _print_table(columns, rows)
    else:
        print("nothing found", file=sys.stderr)
    return 0 if rows else 1


def _print_table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    lines = [columns, *([_printable(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _printable(value: Any) -> str:
    """The text of a cell; senders must not be able to send commands to a terminal."""
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else "?" for char in text)
