"""Records as JSON."""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime

import pytest

from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.logs.console import ConsoleHandler
from dcmrecv_core.logs.json_lines import JsonFormatter
from dcmrecv_core.logs.serving import EXTRA
from dcmrecv_core.logs.setup import LogWiring
from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.tests")

pytestmark = pytest.mark.usefixtures("logging_as_before")


@pytest.fixture(autouse=True)
def wiring() -> LogWiring:
    logging.getLogger().handlers.clear()
    wiring = LogWiring()
    wiring.apply(Settings(log_format="json"))
    return wiring


def test_one_object_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    log.warning("two\nlines of %s", "A\nB\x1b[2J é", extra={EXTRA: {"peer": "10.0.0.5"}})
    line = capfd.readouterr().err
    assert line.endswith("}\n") and line.count("\n") == 1
    assert line.isascii() and line[:-1].isprintable()
    entry = json.loads(line)
    assert datetime.fromisoformat(entry.pop("time")).utcoffset() is not None
    assert entry == {
        "level": "WARN",
        "logger": "dcmrecv.tests",
        "process": os.getpid(),
        "message": "two\nlines of A\\nB\\x1b[2J é",
        "peer": "10.0.0.5",
    }


def test_an_exception_is_text(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("bad\x1b")
    except ValueError:
        log.exception("failed")
    entry = json.loads(capfd.readouterr().err)
    assert entry["message"] == "failed"
    assert entry["exception"].startswith("Traceback (most recent call last):\n")
    assert entry["exception"].endswith("\nValueError: bad\\x1b")


def test_dropped_records_are_said_in_json() -> None:
    reading, writing = os.pipe()
    try:
        handler = ConsoleHandler(writing)
        handler.setFormatter(JsonFormatter())
        for _ in range(3000):
            handler.handle(logging.makeLogRecord({"name": "a", "levelno": logging.INFO, "msg": "x" * 100}))
        kept = os.read(reading, 1 << 20).count(b"\n")
        handler.handle(logging.makeLogRecord({"name": "a", "levelno": logging.INFO, "msg": "again"}))
        entries = list(map(json.loads, os.read(reading, 1 << 20).splitlines()))
    finally:
        os.close(reading)
        os.close(writing)
    assert [entry["message"] for entry in entries] == [
        f"{3000 - kept} log records dropped: stderr was not read in time",
        "again",
    ]
    assert entries[0]["level"] == "WARN"


def test_a_log_config_has_its_own_format(wiring: LogWiring) -> None:
    with pytest.raises(CommandLineError, match="--log-format not allowed with --log-config"):
        wiring.apply(Settings(log_config=os.devnull, log_format="json"))
