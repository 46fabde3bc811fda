"""Log lines: their format, levels, escaping, and Python logging configurations."""

from __future__ import annotations

import io
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from pydicom import config
from pydicom.valuerep import validate_value

from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.dataset import decoding  # noqa: F401  # switches the log of pydicom off
from dcmrecv_core.logs.setup import LogWiring
from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.tests")


WIRING = LogWiring()

pytestmark = pytest.mark.usefixtures("logging_as_before")


def setup(**changed: Any) -> None:
    logging.getLogger().handlers.clear()  # pytest's own fail the test for a record that cannot be formatted
    setup_again(**changed)


def setup_again(**changed: Any) -> None:
    WIRING.apply(Settings(**changed))


@pytest.mark.parametrize(
    ("level", "letters"),
    [
        ("off", ""),
        ("fatal", "F"),
        ("error", "FE"),
        ("warn", "FEW"),
        ("info", "FEWI"),
        ("debug", "FEWID"),
        ("trace", "FEWIDT"),
        ("all", "FEWIDT"),
    ],
)
def test_levels(level: str, letters: str, capfd: pytest.CaptureFixture[str]) -> None:
    setup(log_level=level)
    for number in (50, 40, 30, 20, 10, 5):
        log.log(number, "text")
    assert capfd.readouterr() == ("", "".join(f"{letter}: text\n" for letter in letters))


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (("stored %s in %d ms (%5.1f)", "a b", 3, 0.25), "W: stored a b in 3 ms (  0.2)\n"),
        (("100 %",), "W: 100 %\n"),
        (("one\n\ntwo",), "W: one\nW: \nW: two\n"),
        (("%s\n%s", "a", "b"), "W: a\nW: b\n"),
        (("%s", "a\nF: b\r\x1b[2J\x9b\x7f\0\u2028\t"), "W: a\\nF: b\\r\\x1b[2J\\x9b\\x7f\\x00\\u2028\\t\n"),
        (("%r", "a\n"), "W: 'a\\\\n'\n"),
        (("%s", ValueError("a\nb")), "W: a\\nb\n"),
        (("%s", ["\n", Path("x\x1b")]), "W: ['\\n', PosixPath('x\\x1b')]\n"),
        (("%(name)s", {"name": "a\nb"}), "W: a\\nb\n"),
        (("a\x1bb",), "W: a\\x1bb\n"),
        (("%s", "\udcff\xe4"), "W: \\udcff\xe4\n"),
        (("",), "W: \n"),
    ],
)
def test_messages(arguments: tuple[Any, ...], lines: str, capfd: pytest.CaptureFixture[str]) -> None:
    setup()
    log.warning(*arguments)
    assert capfd.readouterr().err == lines


def test_traceback_lines_have_the_prefix(capfd: pytest.CaptureFixture[str]) -> None:
    setup()
    try:
        raise ValueError("bad\x1b\nF: forged")
    except ValueError:
        log.exception("failed")
    lines = capfd.readouterr().err.splitlines()
    assert lines[:2] == ["E: failed", "E: Traceback (most recent call last):"]
    assert lines[-2:] == ["E: ValueError: bad\\x1b", "E: F: forged"]
    assert all(line.startswith("E: ") for line in lines)


def test_a_record_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    setup()
    writes = []
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append((fd, data)) or len(data))
    log.warning("one\ntwo")
    assert writes == [(2, b"W: one\nW: two\n")]


def test_partial_writes_are_continued_and_errors_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    setup()
    written = b""

    def write(fd: int, data: bytes) -> int:
        nonlocal written
        if len(written) > 5:
            raise BrokenPipeError
        written += data[:3]
        return 3

    monkeypatch.setattr(os, "write", write)
    log.warning("text")
    assert written == b"W: tex"


def test_a_pipe_that_is_not_read_blocks_no_writer() -> None:
    reading, writing = os.pipe()
    stderr = os.dup(2)
    os.dup2(writing, 2)
    try:
        setup()
        for number in range(3000):
            log.warning("%d %s", number, "x" * 100)
        log.warning("a long one: %s", "y" * 100_000)
        said = os.read(reading, 1 << 20)
        log.warning("again")
        log.warning("and again")
        after = os.read(reading, 1 << 20).decode().splitlines()
    finally:
        os.dup2(stderr, 2)
        for fd in (reading, writing, stderr):
            os.close(fd)
    kept = said.count(b"\n")
    assert said.endswith(b"x\n")
    assert after == [f"W: {3001 - kept} log records dropped: stderr was not read in time", "W: again", "W: and again"]


def test_a_record_that_a_pipe_cannot_hold_is_cut() -> None:
    reading, writing = os.pipe()
    stderr = os.dup(2)
    os.dup2(writing, 2)
    try:
        setup()
        log.warning("%s", "y" * 1_000_000)
        assert set(os.read(reading, 1 << 20)[3:]) == set(b"y")
        log.warning("next")
        assert os.read(reading, 1 << 20).decode().splitlines() == [
            "",
            "W: 1 log records dropped: stderr was not read in time",
            "W: next",
        ]
    finally:
        os.dup2(stderr, 2)
        for fd in (reading, writing, stderr):
            os.close(fd)


def test_a_wrong_log_call_raises_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    setup()
    log.warning("%d", "x")
    assert "--- Logging error ---" in capfd.readouterr().err


def test_fault_12_warnings_of_pydicom_are_for_debugging(capfd: pytest.CaptureFixture[str]) -> None:
    """They quote values of a data set."""
    for level, shown in (("info", False), ("debug", True)):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            setup(log_level=level)
            validate_value("DA", "Doe^Jane", config.WARN)
            warnings.warn("of a plugin", stacklevel=1)
        written = capfd.readouterr().err
        assert "W: UserWarning: of a plugin" in written
        assert ("D: UserWarning: Invalid value for VR DA: 'Doe^Jane'" in written) == ("Jane" in written) == shown


def test_warnings_are_log_lines(capfd: pytest.CaptureFixture[str]) -> None:
    """pydicom puts text from peers into them."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        setup()
        warnings.warn("unknown character set A\nE: forged \x1b[2J", stacklevel=1)
        assert capfd.readouterr().err == "W: UserWarning: unknown character set A\\nE: forged \\x1b[2J\n"
        setup_again(log_level="fatal")
        warnings.warn("of no interest", stacklevel=1)
        assert capfd.readouterr().err == ""


def test_setup_can_be_repeated(capfd: pytest.CaptureFixture[str]) -> None:
    setup(log_level="info")
    setup_again(log_level="error")
    log.warning("no")
    log.error("once")
    assert capfd.readouterr().err == "E: once\n"


def test_loggers_of_plugins_look_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    setup(log_level="info")
    logging.getLogger("mysite.naming").info("text")
    assert capfd.readouterr().err == "I: text\n"


CONFIGURATIONS = {
    "log.toml": """
[handlers.file]
class = "logging.FileHandler"
filename = "out.log"
[root]
level = "INFO"
handlers = ["file"]
""",
    "log.json": """{"handlers": {"file": {"class": "logging.FileHandler", "filename": "out.log"}},
                    "root": {"level": "INFO", "handlers": ["file"]}}""",
    "log.ini": """
[loggers]
keys = root
[handlers]
keys = file
[formatters]
keys =
[logger_root]
level = INFO
handlers = file
[handler_file]
class = FileHandler
args = ("out.log",)
""",
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_log_config(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert_usable(name, CONFIGURATIONS[name].encode(), tmp_path, monkeypatch, capfd)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_fault_24_a_byte_order_mark_in_a_log_config(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert_usable(name, CONFIGURATIONS[name].strip().encode("utf-8-sig"), tmp_path, monkeypatch, capfd)


def assert_usable(
    name: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    setup(log_config=name, verbose_pc=True)
    log.info("from %s", "A\nB")
    log.debug("not this")
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.close()
    assert Path("out.log").read_text() == "from A\\nB\n"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("empty.ini", "", "does not contain any settings"),
        ("blank.toml", "\n\n", "does not contain any settings"),
        ("comment.ini", "# nothing\n", "does not contain any settings"),
        ("comment.toml", "# nothing\n", "does not contain any settings"),
        ("other.cfg", "key = value\n", "does not contain any valid settings"),
        ("other.ini", "[section]\nkey = value\n", "does not contain any valid settings"),
        ("other.toml", "key = 1\n", "does not contain any valid settings"),
        ("list.json", "[1]", "does not contain any valid settings: not a JSON object"),
        ("syntax.json", '{"root": ', "does not contain any valid settings: "),
        ("syntax.toml", "[root", "does not contain any valid settings: "),
        ("bytes.ini", "[loggers]\n\udcff", "does not contain any valid settings: "),
        ("level.json", '{"root": {"level": "LOUD"}}', "does not contain any valid settings: "),
        ("class.json", '{"handlers": {"h": {"class": "no.Such"}}}', "does not contain any valid settings: "),
        ("loggers.ini", "[loggers]\nkeys = root\n", "does not contain any valid settings: "),
        ("warn.json", '{"root": {"level": "WARNING"}}', "--verbose-pc only allowed with verbose mode"),
    ],
)
def test_log_config_that_cannot_be_used(name: str, content: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(os.fsencode(content))
    with pytest.raises(CommandLineError) as raised:
        setup(log_config=str(path), verbose_pc=True)
    assert text in str(raised.value)


def test_log_config_need_not_be_a_regular_file() -> None:
    with pytest.raises(CommandLineError, match=r"^Specified --log-config file does not contain any settings$"):
        setup(log_config=os.devnull)


def test_log_config_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandLineError, match=r"^Specified --log-config file does not exist$"):
        setup(log_config=str(tmp_path))
    path = tmp_path / "log.ini"
    path.touch()

    def refuse(*args: object) -> io.BytesIO:
        raise PermissionError

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(CommandLineError, match=r"^Specified --log-config file cannot be read$"):
        setup(log_config=str(path))


class Speechless(Exception):
    def __repr__(self) -> str:
        raise ValueError("no repr")

    __str__ = __repr__


def test_an_argument_that_cannot_be_shown(capfd: pytest.CaptureFixture[str]) -> None:
    setup()
    error = Speechless()
    log.error("plugin site: %r, %s", error, error, exc_info=error)
    err = capfd.readouterr().err
    assert err.startswith(
        "E: plugin site: <Speechless, whose repr() raises ValueError>, <Speechless, whose str() raises"
    )
    assert all(line.startswith("E: ") for line in err.splitlines())
