"""What a worker serves, on each record that is logged in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.logs.layouts import PatternLayout
from dcmrecv_core.logs.serving import EXTRA, FIELDS, Serving, sender, served_of
from dcmrecv_core.logs.setup import LogWiring
from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("mysite")

pytestmark = pytest.mark.usefixtures("logging_as_before")

KNOWN = {"peer": "10.0.0.5", "calling": "CT1", "called": "ARCHIVE", "association": "a1", "instance": "1.2.3"}


@pytest.fixture
def serving() -> Iterator[Serving]:
    LogWiring().apply(Settings())
    serving = Serving()
    serving.attach()
    yield serving


def serve(serving: Serving) -> None:
    serving.begin("10.0.0.5", lambda: "1.2.3")
    serving.request("CT1", "ARCHIVE", "a1")


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def logged(*arguments: Any, **more: Any) -> logging.LogRecord:
    kept = Kept()
    log.addHandler(kept)
    log.warning(*arguments, **more)
    log.removeHandler(kept)
    [record] = kept.records
    return record


def test_a_record_knows_what_was_served_when_it_was_made(serving: Serving) -> None:
    serve(serving)
    record = logged("text")
    serving.end()
    assert served_of(record) == KNOWN
    assert served_of(logged("later")) == {}
    serving.begin("10.0.0.6")
    assert served_of(logged("of a connection")) == {"peer": "10.0.0.6"}
    assert set(KNOWN) == set(FIELDS)


@pytest.mark.parametrize("name", [*FIELDS, "served"])
def test_a_plugin_may_use_the_same_names(serving: Serving, name: str) -> None:
    """Python's logging raises KeyError for a name that is taken, and a hook would fail."""
    serve(serving)
    assert served_of(logged("text", extra={name: 7})) == KNOWN


def test_the_supervisor_names_a_peer(serving: Serving) -> None:
    serving.end()
    extra = {EXTRA: {"peer": "::1", "calling": "A\nB"}}
    assert served_of(logged("text", extra=extra)) == {"peer": "::1", "calling": "A\\nB"}
    serve(serving)
    assert served_of(logged("text", extra=extra)) == KNOWN, "a worker knows better"


def test_patterns(serving: Serving) -> None:
    layout = PatternLayout("%X{calling}|%5X{called}|%X{peer}|%X{association}|%X{instance}|%X{other}|%X|%m")
    serve(serving)
    assert layout.format(logged("text")) == "CT1|ARCHIVE|10.0.0.5|a1|1.2.3|||text"
    serving.begin("", lambda: "")
    assert layout.format(logged("text")) == "|     ||||||text"
    serving.request("A\x1bB", "")
    assert layout.format(logged("text")).startswith("A\\x1bB|")


def test_formats_of_python(tmp_path: Path) -> None:
    config = {
        "formatters": {"line": {"format": "%(calling)s %(peer)s %(message)s"}},
        "handlers": {"file": {"class": "logging.FileHandler", "filename": str(tmp_path / "log"), "formatter": "line"}},
        "root": {"level": "INFO", "handlers": ["file"]},
    }
    (tmp_path / "log.json").write_text(json.dumps(config))
    wiring = LogWiring()
    wiring.apply(Settings(log_config=str(tmp_path / "log.json")))
    log.warning("of the supervisor")
    serving = Serving()
    serving.attach()
    serve(serving)
    log.warning("of a worker", extra={"calling": "its own"})
    log.warning("of a worker")
    wiring.apply(Settings())
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == ["  of the supervisor", "its own 10.0.0.5 of a worker", "CT1 10.0.0.5 of a worker"]


def test_who_sends_it() -> None:
    assert sender("CT1", "10.0.0.5", "ARCHIVE") == "CT1 (10.0.0.5) to ARCHIVE"
    assert sender("", "10.0.0.5", "") == "10.0.0.5", "no request has come"
