"""log4cplus files: properties, appenders, layouts, filters, the hierarchy of loggers, and mistakes.

What is expected here was seen of DCMTK's program with the same files; tests/parity compares the two of them.
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.logs import names
from dcmrecv_core.logs.layouts import PatternLayout
from dcmrecv_core.logs.properties import Properties, expand
from dcmrecv_core.logs.setup import LogWiring
from dcmrecv_core.settings.settings import Settings

WIRING = LogWiring()

pytestmark = pytest.mark.usefixtures("logging_as_before", "in_directory")

LOGGERS = ("dcmrecv", "dcmrecv.net", "dcmrecv.plugins", "mysite")
CONSOLE = """\
log4cplus.appender.c = log4cplus::ConsoleAppender
log4cplus.appender.c.logToStdErr = true
log4cplus.appender.c.layout = log4cplus::PatternLayout
log4cplus.appender.c.layout.ConversionPattern = %P %c: %m%n
"""


@pytest.fixture
def in_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["/usr/bin/dcmrecv"])


def setup(text: str, **changed: Any) -> None:
    logging.getLogger().handlers.clear()  # pytest's own would take what no appender takes
    Path("log.cfg").write_text(text)
    WIRING.apply(Settings(log_config="log.cfg", working_directory=os.getcwd(), **changed))


def log_at_all_levels(name: str = "dcmrecv") -> None:
    for level in (50, 40, 30, 20, 10, 5):
        logging.getLogger(name).log(level, "text")


def test_keys_and_values() -> None:
    content = b"""\
  # log4cplus.a = 1
 key = = a # b\r
! no comment = v
no equals sign
key 2=\t v
key 2 = w
empty =
k\xf6y = v\0w
"""
    assert Properties.parse(content) == {
        "key": "= a # b",
        "! no comment": "v",
        "key 2": "w",
        "empty": "",
        "k\udcf6y": "v",
    }


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${a}", "bee!"),
        ("<${b}> ${b}", "<bee> bee"),
        ("${appname}", "dcmrecv"),
        ("${VARIABLE}", "of the environment"),
        ("${shadowing}", "of the file"),
        ("${empty}", "${empty}"),
        ("${unknown} ${b}", "${unknown} bee"),
        ("${}", "${}"),
        ("${x${n}} ${b}", "found} bee"),
        ("${b} ${open", "${b} ${open"),
    ],
)
def test_variables(text: str, expanded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VARIABLE", "of the environment")
    monkeypatch.setenv("shadowing", "of the environment")
    own = {"a": "${b}!", "b": "bee", "shadowing": "of the file", "empty": "", "x${n": "found", "appname": "mine"}
    assert expand(Properties({**own, "key": text}), {"appname": "dcmrecv"})["key"] == expanded


def test_variables_in_keys() -> None:
    assert expand(Properties({"a.${who}": "v", "who": "me"}), {}) == {"a.me": "v", "who": "me"}


@pytest.mark.parametrize("own", [{"a": "${a}"}, {"a": "${b}", "b": "x${a}"}, {"a": "${b}${b}", "b": "${a}"}])
def test_variables_without_end(own: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="expands without end"):
        expand(Properties(own), {})


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(["${", "}", "a", "b", "=", "\n", " ", "#", "\r", "\0"]), max_size=40).map("".join))
def test_any_file_is_expanded_or_refused(text: str) -> None:
    try:
        expand(Properties.parse(text.encode()), {"pid": "1"})
    except ValueError as error:
        assert "expands without end" in str(error)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from([*"%%%-.05{}cdDmnqQXxYEO9", "\udce9", "\xe9"]), max_size=20).map("".join))
def test_any_pattern_formats(pattern: str) -> None:
    record = logging.LogRecord("dcmrecv.net", logging.INFO, "path", 1, "one\ntwo", (), None)
    PatternLayout(pattern).format(record).encode("utf-8", "backslashreplace")


DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("%m %p %P", "some text INFO I"),
        ("%c %c{1} %c{2} %c{9} %c{x}", "dcmtk.dcmnet dcmnet dcmtk.dcmnet dcmtk.dcmnet dcmtk.dcmnet"),
        ("%d|%D{}", f"{DATE}\\|{DATE}"),
        ("%D{%Y.%q %Q}", r"\d{4}\.\d{3} \d{3}\.\d{3}"),
        ("%d{%Z} %D{%%q {x %}}", "(GMT|UTC) %q {x }"),
        ("%i %T %t", r"PID \d+ \d+"),
        ("%r", r"\d+"),
        ("%h|%H", re.escape(os.uname().nodename) + r"\|.+"),
        ("%b:%L %l %M", r"(test_log4cplus.py):(\d+) .*/\1:\2 log_some_text"),
        ("%x%X{key}%X%%", "%"),
        ("[%6p][%-6p][%06p][%2p]", r"\[  INFO\]\[INFO  \]\[  INFO\]\[INFO\]"),
        ("[%.1p][%.2p][%-8.3c][%6.2p][%.0p]", r"\[O\]\[FO\]\[net\]\[FO\]\[\]"),
        ("%--6p|", r"INFO  \|"),
        ("50%% of %m %", "50% of some text %"),
        ("%m %-5", "some text %-5"),
    ],
)
def test_patterns(pattern: str, line: str, capfd: pytest.CaptureFixture[str]) -> None:
    setup(f"log4cplus.rootLogger = INFO, c\n{CONSOLE}log4cplus.appender.c.layout.ConversionPattern = {pattern}")

    def log_some_text() -> None:
        logging.getLogger("dcmrecv.net").info("some %s", "text")

    log_some_text()
    out, err = capfd.readouterr()
    assert re.fullmatch(line.replace("PID", str(os.getpid())), err) and not out


@pytest.mark.parametrize(
    ("pattern", "line", "complaint"),
    [
        ("a%zb %m", "a%zb text", "Unexpected char [z] at position 3 in conversion pattern."),
        ("%5-m", "%5-m", "Unexpected char [-] at position 3 in conversion pattern."),
        ("a%.xb %m", "a%.xb text", 'Error occurred in position 4.\n Was expecting digit, instead got char "x".'),
        ("x%c{1 %m", "xdcmtk.dcmnet", "No matching '}' found in conversion pattern string \"x%c{1 %m\""),
    ],
)
def test_patterns_with_mistakes(pattern: str, line: str, complaint: str, capfd: pytest.CaptureFixture[str]) -> None:
    setup(f"log4cplus.rootLogger = INFO, c\n{CONSOLE}log4cplus.appender.c.layout.ConversionPattern = {pattern}")
    assert capfd.readouterr().err == f"log4cplus:ERROR {complaint}\n"
    logging.getLogger("dcmrecv.net").info("text")
    assert capfd.readouterr().err == line


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("log4cplus::PatternLayout\n{}.ConversionPattern = %P %m%n", "I one\nI \nI two\n"),
        ("log4cplus::PatternLayout\n{}.ConversionPattern = %P %m%n\n{}.FormatEachLine = False", "I one\n\ntwo\n"),
        ("log4cplus::PatternLayout\n{}.ConversionPattern = %P %m%n\n{}.FormatEachLine = no", "I one\nI \nI two\n"),
        ("log4cplus::SimpleLayout", "INFO - one\n\ntwo\n"),
        (
            "log4cplus::TTCCLayout\n{}.DateFormat = %%\n{}.Use_gmtime = true",
            "% [0] INFO dcmtk.apps.dcmrecv <> - one\n\ntwo\n",
        ),
        ("log4cplus::TTCCLayout", "0 [0] INFO dcmtk.apps.dcmrecv <> - one\n\ntwo\n"),
    ],
)
def test_layouts_and_lines(layout: str, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    key = "log4cplus.appender.c.layout"
    setup(f"log4cplus.rootLogger = INFO, c\n{CONSOLE}{key} = {layout.replace('{}', key)}\n")
    logging.getLogger("dcmrecv").info("one\n\ntwo")
    err = capfd.readouterr().err
    assert re.sub(r"^\d+ ", "0 ", re.sub(r"\[\d+\]", "[0]", err)) == text


@pytest.mark.parametrize(
    ("layout", "first"),
    [("log4cplus::SimpleLayout", "ERROR - failed: a\\nb"), ("log4cplus::PatternLayout", "E dcmtk.apps: failed: a\\nb")],
)
def test_no_layout_lets_a_line_be_forged(layout: str, first: str, capfd: pytest.CaptureFixture[str]) -> None:
    setup(
        f"log4cplus.rootLogger = INFO, c\n{CONSOLE}log4cplus.appender.c.layout = {layout}\n"
        "log4cplus.appender.c.layout.FormatEachLine = false\n"
    )
    error = ValueError("bad\x1b\nFATAL - forged")
    logging.getLogger("dcmtk.apps").error("failed: %s", "a\nb", exc_info=error)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == first
    assert lines[-2:] == ["  ValueError: bad\\x1b", "  FATAL - forged"]


FILTERS = {
    "": "FEWIDT",
    "1 = DenyAllFilter": "",
    "2 = DenyAllFilter": "FEWIDT",
    "1 = LogLevelMatchFilter\n1.LogLevelToMatch = warn": "FEIDT",
    "1 = LogLevelMatchFilter\n1.LogLevelToMatch = WARN\n1.AcceptOnMatch = true\n2 = DenyAllFilter": "W",
    "1 = LogLevelMatchFilter\n1.AcceptOnMatch = true": "FEWIDT",
    "1 = LogLevelRangeFilter\n1.LogLevelMin = info\n1.LogLevelMax = ERROR": "EWI",
    "1 = LogLevelRangeFilter\n1.logLevelMin = info\n1.LogLevelMax = ERROR": "EWIDT",
    "1 = LogLevelRangeFilter\n1.LogLevelMin = info\n2 = DenyAllFilter": "",
    "1 = LogLevelRangeFilter\n1.LogLevelMin = info\n1.AcceptOnMatch = 1\n2 = DenyAllFilter": "FEWI",
    "1 = StringMatchFilter\n1.StringToMatch = ex": "",
    "1 = StringMatchFilter\n1.StringToMatch = ex\n1.AcceptOnMatch = TRUE\n2 = DenyAllFilter": "FEWIDT",
    "1 = StringMatchFilter\n1.StringToMatch = other": "FEWIDT",
    "1 = StringMatchFilter": "FEWIDT",
}


@pytest.mark.parametrize("filters", FILTERS)
def test_filters(filters: str, capfd: pytest.CaptureFixture[str]) -> None:
    lines = [f"log4cplus.appender.c.filters.{line}\n" for line in filters.splitlines()]
    setup(
        f"log4cplus.rootLogger = ALL, c\n{CONSOLE}{''.join(lines)}".replace("= Deny", "= log4cplus::spi::Deny")
        .replace("= LogLevelM", "= log4cplus::spi::LogLevelM")
        .replace("= LogLevelR", "= log4cplus::spi::LogLevelR")
        .replace("= String", "= log4cplus::spi::String")
    )
    log_at_all_levels()
    assert "".join(line[0] for line in capfd.readouterr().err.splitlines()) == FILTERS[filters]


@pytest.mark.parametrize(
    ("root", "threshold", "letters"),
    [
        ("off", "", ""),
        ("FATAL", "", "F"),
        ("Error", "", "FE"),
        ("warn", "", "FEW"),
        ("info", "", "FEWI"),
        ("debug", "", "FEWID"),
        ("trace", "", "FEWIDT"),
        ("ALL", "", "FEWIDT"),
        ("ALL", "warn", "FEW"),
        ("ALL", "OFF", ""),
        ("ALL", "LOUD", "FEWIDT"),
    ],
)
def test_levels_and_thresholds(root: str, threshold: str, letters: str, capfd: pytest.CaptureFixture[str]) -> None:
    setup(f"log4cplus.rootLogger = {root}, c\n{CONSOLE}log4cplus.appender.c.Threshold = {threshold}\n")
    log_at_all_levels()
    assert "".join(line[0] for line in capfd.readouterr().err.splitlines()) == letters


@pytest.mark.parametrize(
    ("loggers", "said"),
    [
        ("", ["dcmtk.apps.dcmrecv", "dcmtk.dcmnet", "dcmtk.apps.dcmrecv.plugins", "mysite"]),
        ("logger.dcmtk = WARN", ["mysite"]),
        ("logger.dcmtk.dcmnet = warn", ["dcmtk.apps.dcmrecv", "dcmtk.apps.dcmrecv.plugins", "mysite"]),
        ("logger.dcmtk.apps = OFF", ["dcmtk.dcmnet", "mysite"]),
        ("logger.dcmtk.apps.dcmrecv = OFF", ["dcmtk.dcmnet", "mysite"]),
        ("logger.dcmtk.apps.dcmrecv.plugins = OFF", ["dcmtk.apps.dcmrecv", "dcmtk.dcmnet", "mysite"]),
        ("logger.dcmrecv.net = OFF", ["dcmtk.apps.dcmrecv", "dcmtk.apps.dcmrecv.plugins", "mysite"]),
        ("logger.mysite = OFF", ["dcmtk.apps.dcmrecv", "dcmtk.dcmnet", "dcmtk.apps.dcmrecv.plugins"]),
        ("logger.dcmtk = OFF\nlogger.dcmtk.dcmnet = INFO", ["dcmtk.dcmnet", "mysite"]),
        ("logger.dcmtk = OFF\nlogger.dcmtk.dcmnet = INHERITED", ["mysite"]),
        ("logger.dcmtk = OFF, c\nlogger.mysite = INHERIT, c", ["mysite", "mysite"]),
        ("rootLogger = OFF, c\nlogger.dcmtk.dcmnet = INFO", ["dcmtk.dcmnet"]),
        (
            "logger.dcmtk.dcmnet = INFO, c\nadditivity.dcmtk.dcmnet = false\nlogger.dcmtk.apps = OFF\n"
            "logger.mysite = OFF",
            ["dcmtk.dcmnet"],
        ),
        ("additivity.dcmtk.dcmnet = 0\nlogger.dcmtk.apps = OFF", ["mysite"]),
        ("rootLogger = INFO, c, c", ["dcmtk.apps.dcmrecv", "dcmtk.dcmnet", "dcmtk.apps.dcmrecv.plugins", "mysite"]),
    ],
)
def test_hierarchy(loggers: str, said: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    lines = "".join(f"log4cplus.{line}\n" for line in loggers.splitlines())
    setup(f"log4cplus.rootLogger = INFO, c\n{CONSOLE}{lines}")
    for name in LOGGERS:
        logging.getLogger(name).info("text")
    err = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("log4cplus:ERROR")]
    assert err == [f"I {name}: text" for name in said]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("dcmrecv", "dcmtk.apps.dcmrecv"),
        ("dcmrecv.index", "dcmtk.apps.dcmrecv.index"),
        ("dcmrecv.network", "dcmtk.apps.dcmrecv.network"),
        ("dcmrecv.receive", "dcmtk.dcmnet"),
        ("dcmrecv.net.part", "dcmtk.dcmnet.part"),
        ("dcmrecvx", "dcmrecvx"),
        ("root", "root"),
    ],
)
def test_names_of_loggers(ours: str, theirs: str) -> None:
    assert names.dcmtk_name(ours) == theirs


INVALID = "PropertyConfigurator::configureLogger()- Invalid appender: c"
CREATE = "PropertyConfigurator::configureAppenders()- "
NOTHING = (
    "No appenders could be found for logger (dcmtk.apps.dcmrecv).",
    "Please initialize the log4cplus system properly.",
)
UNSUPPORTED = (
    f"{CREATE}Failed to create appender: c not supported; a SysLogAppender with a host sends records over the "
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "appender.c = log4cplus::Fancy",
            (f"{CREATE}Cannot find AppenderFactory: log4cplus::Fancy", INVALID, *NOTHING),
        ),
        ("", (INVALID, *NOTHING)),
        ("rootLogger = INFO", NOTHING),
        ("appender.c = log4cplus::SocketAppender", (UNSUPPORTED + "network", INVALID, *NOTHING)),
        ("appender.c = log4cplus::Log4jUdpAppender", (UNSUPPORTED + "network", INVALID, *NOTHING)),
        (
            "appender.c = log4cplus::AsyncAppender",
            (f"{CREATE}Cannot find AppenderFactory: ", INVALID, *NOTHING),
        ),
        ("appender.c = log4cplus::FileAppender", ("Invalid filename",)),
        (
            "appender.c = log4cplus::FileAppender\nappender.c.File = /no/such/file",
            ("Unable to open file: /no/such/file",),
        ),
        (
            "appender.c = log4cplus::ConsoleAppender\nappender.c.layout = log4cplus::Fancy",
            ('Cannot find LayoutFactory: "log4cplus::Fancy"',),
        ),
        (
            "appender.c = log4cplus::ConsoleAppender\nappender.c.layout = log4cplus::PatternLayout",
            (
                "ConversionPattern not specified in properties",
                "Error while creating Layout: ConversionPattern not specified in properties",
            ),
        ),
        (
            "appender.c = log4cplus::ConsoleAppender\nappender.c.filters.1 = log4cplus::spi::Fancy",
            ("Appender::ctor()- Cannot find FilterFactory: log4cplus::spi::Fancy",),
        ),
        (
            "appender.c = log4cplus::NullAppender\nlogger.dcmtk =",
            ('PropertyConfigurator::configureLogger()- Invalid config string(Logger = dcmtk): ""',),
        ),
        ("appender.c = log4cplus::NullAppender\nlogger.x = INFO, d", (INVALID[:-1] + "d",)),
        (
            "appender.c = log4cplus::NullAppender\nappender.c.${x = y",
            ('"log4cplus.appender.c.${x" has no closing brace. Opening brace at position 21.',),
        ),
        (
            "appender.c = log4cplus::SysLogAppender\nappender.c.facility = fancy\nappender.c.Threshold = OFF",
            ("Unknown syslog facility: fancy",),
        ),
    ],
)
def test_mistakes(text: str, said: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    setup("log4cplus.rootLogger = INFO, c\n" + "".join(f"log4cplus.{line}\n" for line in text.splitlines()))
    log = logging.getLogger("dcmrecv")
    log.info("text")
    log.info("text")
    assert capfd.readouterr().err.splitlines() == [f"log4cplus:ERROR {line}" for line in said]


def test_warnings(capfd: pytest.CaptureFixture[str]) -> None:
    setup(
        "log4cplus.rootLogger = INFO, a, b\n"
        "log4cplus.appender.a = log4cplus::DailyRollingFileAppender\n"
        "log4cplus.appender.a.File = x.log\n"
        "log4cplus.appender.a.Schedule = yearly\n"
        "log4cplus.appender.a.layout = log4cplus::PatternLayout\n"
        "log4cplus.appender.a.layout.ConversionPattern =\n"
        "log4cplus.appender.b = log4cplus::ConsoleAppender\n"
        "log4cplus.appender.b.layout = log4cplus::PatternLayout\n"
        "log4cplus.appender.b.layout.Pattern = %P %m%n\n"
        "log4cplus.additivity.dcmtk = no\n"
    )
    logging.getLogger("dcmrecv").info("text")
    out, err = capfd.readouterr()
    assert err.splitlines() == [
        'log4cplus:WARN DailyRollingFileAppender::ctor()- "Schedule" not valid: yearly',
        "log4cplus:WARN PatternLayout pattern is empty.  Using default...",
        'log4cplus:WARN PatternLayout- the "Pattern" property has been deprecated.  Use "ConversionPattern" instead.',
        'log4cplus:WARN Invalid Additivity value: "no"',
    ]
    assert out == "I text\n"
    assert Path("x.log").read_text() == "text"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x\n", "does not contain any settings"),
        ("x = y\n", "does not contain any valid settings"),
        ("log4cplus.x = y\n", "does not set up log4cplus.rootLogger"),
        ("log4cplus.rootlogger = INFO\n", "does not set up log4cplus.rootLogger"),
        ("log4cplus.rootLogger = LOUD\n", "sets an unknown level for rootLogger: LOUD"),
        ("log4cplus.rootLogger = INFO\na = ${a}\n", "does not contain any valid settings: ${a} expands without end"),
    ],
)
def test_files_that_set_up_nothing(text: str, error: str) -> None:
    with pytest.raises(CommandLineError) as raised:
        setup(text)
    assert str(raised.value) == f"Specified --log-config file {error}"


def test_an_empty_root_logger_leaves_the_console(capfd: pytest.CaptureFixture[str]) -> None:
    setup("log4cplus.rootLogger =\n")
    log_at_all_levels()
    lines = capfd.readouterr().err.splitlines()
    assert (
        lines[0] == 'log4cplus:ERROR PropertyConfigurator::configureLogger()- Invalid config string(Logger = root): ""'
    )
    assert lines[1:] == ["F: text", "E: text", "W: text", "I: text"]


def test_complaints_when_logging_is_off(capfd: pytest.CaptureFixture[str]) -> None:
    setup("log4cplus.rootLogger = FATAL\n")
    logging.getLogger("dcmrecv").critical("text")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("root", "allowed"), [("INFO", True), ("WARN", False)])
def test_what_asks_for_info(root: str, allowed: bool) -> None:
    text = f"log4cplus.rootLogger = {root}, c\n{CONSOLE}"
    if allowed:
        setup(text, verbose_pc=True)
        return
    setup(text + "log4cplus.logger.dcmtk.apps.dcmrecv = INFO\n", verbose_pc=True)
    with pytest.raises(CommandLineError, match=r"^--verbose-pc only allowed with verbose mode$"):
        setup(text, verbose_pc=True)


def test_an_asynchronous_appender_passes_on_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    inner = CONSOLE.replace(".c", ".c.Appender").replace(".c.Appender =", ".c.Appender =")
    setup(
        "log4cplus.rootLogger = INFO, c\nlog4cplus.appender.c = log4cplus::AsyncAppender\n"
        f"{inner}log4cplus.appender.c.Threshold = OFF\nlog4cplus.appender.c.Appender.Threshold = WARN\n"
    )
    log_at_all_levels()
    assert "".join(line[0] for line in capfd.readouterr().err.splitlines()) == "FEW"


def test_files_of_the_sample(capfd: pytest.CaptureFixture[str]) -> None:
    """As `filelog.cfg` has them: variables, spelling that has no effect, a pattern for each appender."""
    setup(
        """\
log4cplus.rootLogger = DEBUG, console, logfile
log4cplus.appender.console = log4cplus::ConsoleAppender
log4cplus.appender.console.Threshold = ERROR
log4cplus.appender.console.logToStderr = true
log4cplus.appender.logfile = log4cplus::RollingFileAppender
log4cplus.appender.logfile.File = ${appname}.log
log4cplus.appender.logfile.Append = true
log4cplus.appender.console.layout = log4cplus::PatternLayout
log4cplus.appender.console.layout.ConversionPattern = %D{%Y} %5p: %m%n
log4cplus.appender.logfile.layout = log4cplus::PatternLayout
log4cplus.appender.logfile.layout.ConversionPattern = %D{%Y-%m-%d %H:%M:%S.%q} %5p - %-8c{1} - %m%n
"""
    )
    logging.getLogger("dcmrecv").error("error")
    logging.getLogger("dcmrecv.net").info("info")
    out, err = capfd.readouterr()
    assert re.fullmatch(r"\d{4} ERROR: error\n", out) and not err
    lines = [line[24:] for line in Path("dcmrecv.log").read_text().splitlines()]
    assert lines == ["ERROR - dcmrecv  - error", " INFO - dcmnet   - info"]


def test_truncated_at_the_start_only() -> None:
    text = (
        "log4cplus.rootLogger = INFO, f\nlog4cplus.appender.f = log4cplus::FileAppender\n"
        "log4cplus.appender.f.File = out.log\n"
    )
    Path("out.log").write_text("old\n")
    for number in range(2):
        setup(text)
        logging.getLogger("dcmrecv").info("%d", number)
    assert Path("out.log").read_text() == "INFO - 0\nINFO - 1\n"


def test_reloads_leave_no_file_open() -> None:
    text = "log4cplus.rootLogger = INFO, f\nlog4cplus.logger.dcmtk = WARN, f\n" + "".join(
        f"log4cplus.appender.{name} = log4cplus::{kind}Appender\nlog4cplus.appender.{name}.File = {name}.log\n"
        for name, kind in (("f", "File"), ("unused", "File"), ("s", "SysLog"))
    )
    WIRING.apply(Settings())
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        setup(text)
        assert len(os.listdir("/proc/self/fd")) == before + 1
    WIRING.apply(Settings())
    assert len(os.listdir("/proc/self/fd")) == before


def test_all_is_undone(capfd: pytest.CaptureFixture[str]) -> None:
    setup(
        f"log4cplus.rootLogger = OFF\n{CONSOLE}log4cplus.logger.dcmtk = WARN, c\nlog4cplus.additivity.dcmtk = false\n"
        "log4cplus.logger.dcmtk.apps.dcmrecv = TRACE\n"
    )
    WIRING.apply(Settings(log_level="info"))
    for name in LOGGERS:
        logging.getLogger(name).info("text")
        logging.getLogger(name).debug("text")
    assert capfd.readouterr().err == "I: text\n" * len(LOGGERS)
    assert logging.getLogger("dcmrecv.net").parent is logging.getLogger("dcmrecv")
    assert isinstance(logging.lastResort, logging.StreamHandler)


def test_numbers_of_any_length_are_read_and_bounded() -> None:
    """A width that would fill the memory, one that Python does not read, the same where log4cplus's atoi reads."""
    record = logging.makeLogRecord({"msg": "text"})
    for digits in ("99999999999", "9" * 5000):
        assert len(PatternLayout(f"%{digits}m").format(record)) == 65536
        assert PatternLayout(f"%.{digits}m").format(record) == "text"
        assert Properties({"n": digits}).number("n", 0) > 10**9
    assert Properties({"n": "-0010x"}).number("n", 0) == -10
