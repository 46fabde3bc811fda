"""The syslog appender, read at the other end of its socket."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core.logs import appenders
from dcmrecv_core.logs.properties import Properties
from dcmrecv_core.logs.syslog import FACILITIES, SyslogHandler

RECORD = logging.LogRecord("dcmrecv.net", logging.WARNING, "", 0, "some text", (), None)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "log"))
        listening.settimeout(10)
        yield listening


@pytest.mark.parametrize(
    ("level", "facility", "priority"),
    [
        (50, "user", 10),
        (40, "user", 11),
        (30, "local7", 23 * 8 + 4),
        (20, "daemon", 3 * 8 + 6),
        (10, "authpriv", 10 * 8 + 7),
        (5, "kern", 7),
    ],
)
def test_local(level: int, facility: str, priority: int, local: socket.socket) -> None:
    handler = SyslogHandler("me", FACILITIES[facility], path=local.getsockname())
    handler.handle(logging.LogRecord("x", level, "", 0, "some text", (), None))
    handler.close()
    said = local.recv(4096).decode()
    assert re.fullmatch(rf"<{priority}>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d me: some text", said)


def test_remote() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(10)
        keys = {"host": "127.0.0.1", "port": str(listening.getsockname()[1]), "facility": "LOCAL0"}
        properties = Properties({**keys, "layout": "log4cplus::SimpleLayout"})
        context = appenders.AppenderContext("/", "dcmrecv", set())
        handler = appenders.make_appender("s", "log4cplus::SysLogAppender", properties, context)
        assert handler is not None
        handler.handle(RECORD)
        handler.close()
        said = listening.recv(4096).decode()
    assert re.fullmatch(
        rf"<132>1 \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z {re.escape(socket.gethostname())} "
        rf"dcmrecv {os.getpid()} dcmtk\.dcmnet - WARN - some text",
        said,
    )


def test_a_syslog_that_does_not_read_blocks_no_writer(local: socket.socket, capfd: pytest.CaptureFixture[str]) -> None:
    handler = SyslogHandler("me", 8, path=local.getsockname())
    for _ in range(1000):
        handler.handle(RECORD)
    said = "log4cplus:ERROR SysLogAppender: cannot be written: Resource temporarily unavailable\n"
    assert capfd.readouterr().err == said
    while capfd.readouterr().err == "":
        local.recv(4096)
        handler.handle(RECORD)  # there is room again; the next lack of room is reported again
        handler.handle(RECORD)
    handler.close()


def test_no_syslog(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    handler = SyslogHandler("me", 8, path=str(tmp_path / "none"))
    handler.handle(RECORD)
    handler.handle(RECORD)
    handler.close()
    assert capfd.readouterr().err == "log4cplus:ERROR SysLogAppender: cannot be written: No such file or directory\n"


def test_a_host_without_address(capfd: pytest.CaptureFixture[str]) -> None:
    properties = Properties({"host": "no.such.host.invalid"})
    context = appenders.AppenderContext("/", "dcmrecv", set())
    assert appenders.make_appender("s", "log4cplus::SysLogAppender", properties, context) is None
    err = capfd.readouterr().err
    assert err.startswith("log4cplus:ERROR PropertyConfigurator::configureAppenders()- Failed to create appender: s ")
