"""Log configurations of log4cplus: the effect of each setting on the lines of a start, and DCMTK's two sample files.

A start that ends at a missing output directory logs one line each at info, warn and fatal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.parity.both_programs import run_both
from support.parity.conversations import OWN
from support.parity.rules import Row, by_rule, compare
from support.programs.receivers import Receiver, Start
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, VERIFICATION

CONSOLE = """\
log4cplus.rootLogger = info, c
log4cplus.appender.c = log4cplus::ConsoleAppender
log4cplus.appender.c.logToStdErr = true
log4cplus.appender.c.layout = log4cplus::PatternLayout
log4cplus.appender.c.layout.ConversionPattern = %P %c: %m%n
"""
START = (
    "I dcmtk.apps.dcmrecv: configuring service class provider ...",
    "W dcmtk.apps.dcmrecv: no configuration file specified, SCP will only support the Verification SOP Class",
    "F dcmtk.apps.dcmrecv: cannot specify output directory: Directory does not exist",
)
DAILY = (
    "Ours names a file by the time of its last line, when the next period begins, and not whenever the program ends."
)
NO_HOST = "255.255.255.255"
"""Cannot be connected to; that nothing listens on a port of this host is told a while after the first datagram."""

REFUSED = "Ours does not send log4cplus's own formats over the network, and reports that."


class Ended(NamedTuple):
    code: int
    stdout: tuple[str, ...]
    stderr: tuple[str, ...]
    files: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class LogConfig(Row):
    """Lines of a file of `--log-config`, after those of `CONSOLE` unless `alone`."""

    kind: ClassVar[str] = "log configuration"
    lines: tuple[str, ...]
    alone: bool = False

    @property
    def text(self) -> str:
        return "" if self.alone else CONSOLE


def _alone(rule: str, *lines: str) -> LogConfig:
    return LogConfig(rule=rule, lines=lines, alone=True)


def _root(rule: str, *lines: str) -> LogConfig:
    return LogConfig(rule=rule, lines=tuple(f"log4cplus.{line}" for line in lines))


def _appender(rule: str, *lines: str) -> LogConfig:
    return _root(rule, *(f"appender.{'c' if line.startswith(' ') else 'c.'}{line}" for line in lines))


def _pattern(rule: str, pattern: str) -> LogConfig:
    return _appender(rule, f"layout.ConversionPattern = {pattern}")


def _filter(rule: str, *lines: str) -> LogConfig:
    named = (re.sub(r"^([0-9]+) = ", r"\1 = log4cplus::spi::", line) for line in lines)
    return _appender(rule, *(f"filters.{line}" for line in named))


def _file(rule: str, kind: str, *lines: str) -> LogConfig:
    return _appender(rule, f" = log4cplus::{kind}Appender", *lines)


ROWS: tuple[LogConfig, ...] = (
    # the file
    _alone("a log configuration without an equals sign has no settings", "log4cplus.rootLogger"),
    _alone("a log configuration of others has no valid settings", "rootLogger = INFO"),
    _alone("a log configuration has to set up the root logger", "log4cplus.rootlogger = INFO"),
    _alone("a log configuration without appenders says so once", "log4cplus.rootLogger = INFO"),
    _alone("a root logger without a value leaves the console", "log4cplus.rootLogger ="),
    LogConfig(rule="keys and values are trimmed", lines=("\tlog4cplus.rootLogger\t =  warn ,  c ",)),
    _root(
        "a number sign begins a comment at the begin of a line only", "appender.c.layout.ConversionPattern = %p # %m%n"
    ),
    LogConfig(rule="comments may be indented", lines=(" \t# log4cplus.rootLogger = OFF",)),
    _root("a value goes on after a second equals sign", "appender.c.layout.ConversionPattern = a = %m%n"),
    _root("of equal keys the last one counts", "rootLogger = error, c", "rootLogger = warn, c"),
    _root(
        "lines end with carriage returns, too",
        "rootLogger = warn, c\r",
        "appender.c.layout.ConversionPattern = %m|%n\r",
    ),
    _root("keys are case sensitive", "appender.c.layout.conversionPattern = %p%n"),
    # variables
    _root(
        "variables are expanded from the file",
        "appender.c.layout.ConversionPattern = ${log4cplus.x}%n",
        "x = ${log4cplus.y}",
        "y = z",
    ),
    _root("variables are expanded in keys", "appender.c.layout.Conversion${log4cplus.x} = %p%n", "x = Pattern"),
    _root("predefined variables", "appender.c.layout.ConversionPattern = ${appname} ${hostname} ${date}%n"),
    _root("unknown variables stay", "appender.c.layout.ConversionPattern = ${no.such} ${} %m%n"),
    _root("the environment is asked last", "appender.c.layout.ConversionPattern = ${HOME} %m%n"),
    # levels and loggers
    _root("levels have any case", "rootLogger = Warn, c"),
    _root("the level OFF", "rootLogger = OFF, c"),
    _root("a logger below the root", "logger.dcmtk = warn"),
    _root("the application's logger", "logger.dcmtk.apps.dcmrecv = fatal"),
    _root("a logger of another module", "logger.dcmtk.dcmnet = fatal"),
    _root("a logger that lowers the level again", "rootLogger = fatal, c", "logger.dcmtk.apps = info"),
    _root("an unknown level inherits", "rootLogger = warn, c", "logger.dcmtk.apps = INHERIT"),
    _root("an appender of two loggers writes twice", "logger.dcmtk.apps = INHERITED, c"),
    _root("an appender named twice writes once", "rootLogger = info, c, c"),
    _root("additivity", "logger.dcmtk.apps = info, c", "additivity.dcmtk.apps = false"),
    _root("additivity as a number", "logger.dcmtk.apps = info, c", "additivity.dcmtk.apps = 0"),
    _root("no additivity and no appender", "additivity.dcmtk.apps = FALSE"),
    _root("an unknown appender", "rootLogger = info, d, c"),
    _root("a logger without a value", "logger.dcmtk ="),
    _root("complaints when fatal errors only are logged", "rootLogger = FATAL, d"),
    # appenders
    _appender("an unknown kind of appender", " = log4cplus::FancyAppender"),
    _appender("the console is standard output", "logToStdErr = no"),
    _appender("the samples' spelling of logToStdErr has no effect", "logToStdErr = false", "logToStderr = true"),
    _appender("logToStdErr as a number", "logToStdErr = 1"),
    _appender("the null appender", " = log4cplus::NullAppender"),
    _appender("a threshold", "Threshold = warn"),
    _appender("an unknown threshold is none", "Threshold = LOUD"),
    _appender("an asynchronous appender", " = log4cplus::AsyncAppender", "Appender = log4cplus::ConsoleAppender"),
    _file("a file", "File", "File = ${appname}.log"),
    _file("a file is truncated", "File", "File = old"),
    _file("a file is appended to", "File", "File = old", "Append = true"),
    _file("a file is appended to for a number", "File", "File = old", "Append = 1"),
    _file("a file that cannot be opened", "File", "File = /no/such/file"),
    _file("a file without a name", "File"),
    _file("a rolling file is appended to", "RollingFile", "File = old"),
    _file("a rolling file may be truncated", "RollingFile", "File = old", "Append = false"),
    _file("a rolling file that is too large", "RollingFile", "File = large", "MaxFileSize = 1"),
    _file("a rolling file in kilobytes", "RollingFile", "File = large", "MaxFileSize = 250kb", "MaxBackupIndex = 0"),
    _file("a rolling file with backups", "RollingFile", "File = large", "MaxFileSize = 200KB", "MaxBackupIndex = 2"),
    # layouts
    _appender("no layout is the simple one", "layout = log4cplus::SimpleLayout"),
    _appender("an unknown layout is the simple one", "layout = log4cplus::FancyLayout"),
    _appender("a pattern layout needs a pattern", "layout.ConversionPattern ="),
    _appender(
        "the layout with time and thread",
        "layout = log4cplus::TTCCLayout",
        "layout.DateFormat = %Z",
        "layout.Use_gmtime = 1",
    ),
    _pattern("message and line feed", "%m|%n"),
    _pattern("levels", "%p %P%n"),
    _pattern("loggers", "%c %c{1} %c{2} %c{7} %c{-1} %c{x}%n"),
    _pattern("dates", "%d{%Y} %D{%Y-%m %Z} %d{%%q} %D{x}%n"),
    _pattern("hosts", "%h %H%n"),
    _pattern("contexts", "%x|%X|%X{key}%n"),
    _pattern("percent signs", "%% 100%%%n%"),
    _pattern("least widths", "[%7p][%-7p][%07p][%--7p][%2p]%n"),
    _pattern("greatest widths", "[%.1p][%.2p][%-8.3c][%3.2p][%7.30m]%n"),
    _pattern("an unknown conversion", "a%zb %m%n"),
    _pattern("a conversion that ends at a hyphen", "%5-m%n"),
    _pattern("a dot without digits", "a%.xb %m%n"),
    _pattern("a brace that is not closed", "%m%n%c{1 %m"),
    _pattern("a conversion that is not complete", "%m%n%-5"),
    # filters
    _filter("a filter that denies all", "1 = DenyAllFilter"),
    _filter("filters count from 1 without gaps", "2 = DenyAllFilter"),
    _filter("an unknown filter", "1 = FancyFilter", "2 = StringMatchFilter", "2.StringToMatch = no conf"),
    _filter("a level is denied", "1 = LogLevelMatchFilter", "1.LogLevelToMatch = warn"),
    _filter(
        "a level is accepted",
        "1 = LogLevelMatchFilter",
        "1.LogLevelToMatch = WARN",
        "1.AcceptOnMatch = true",
        "2 = DenyAllFilter",
    ),
    _filter("a filter without its level", "1 = LogLevelMatchFilter", "1.AcceptOnMatch = true", "2 = DenyAllFilter"),
    _filter("a range of levels", "1 = LogLevelRangeFilter", "1.LogLevelMin = warn", "1.LogLevelMax = ERROR"),
    _filter(
        "a range leaves it to the next filter", "1 = LogLevelRangeFilter", "1.LogLevelMin = warn", "2 = DenyAllFilter"
    ),
    _filter(
        "a range accepts", "1 = LogLevelRangeFilter", "1.LogLevelMin = warn", "1.AcceptOnMatch = 1", "2 = DenyAllFilter"
    ),
    _filter("the sample's spelling of LogLevelMin has no effect", "1 = LogLevelRangeFilter", "1.logLevelMin = warn"),
    _filter("a text is denied", "1 = StringMatchFilter", "1.StringToMatch = SCP"),
    _filter(
        "a text is accepted",
        "1 = StringMatchFilter",
        "1.StringToMatch = SCP",
        "1.AcceptOnMatch = TRUE",
        "2 = DenyAllFilter",
    ),
    # differences
    LogConfig(
        rule="a daily rolling file",
        lines=("log4cplus.appender.c = log4cplus::DailyRollingFileAppender", "log4cplus.appender.c.File = x.log"),
        differs=DAILY,
        ours=Ended(
            45,
            (),
            ('log4cplus:WARN DailyRollingFileAppender::ctor()- "Schedule" not valid: ',),
            {"x.log": "\n".join((*START, ""))},
        ),
        theirs=Ended(
            45,
            (),
            ('log4cplus:WARN DailyRollingFileAppender::ctor()- "Schedule" not valid: ',),
            {"x.log": "", "x.log.DATE": "\n".join((*START, ""))},
        ),
    ),
    LogConfig(
        rule="log4j events over UDP",
        lines=("log4cplus.appender.c = log4cplus::Log4jUdpAppender", f"log4cplus.appender.c.host = {NO_HOST}"),
        differs=REFUSED,
        ours=Ended(
            45,
            (),
            (
                "log4cplus:ERROR PropertyConfigurator::configureAppenders()- Failed to create appender: c "
                "not supported; a SysLogAppender with a host sends records over the network",
                "log4cplus:ERROR PropertyConfigurator::configureLogger()- Invalid appender: c",
                "log4cplus:ERROR No appenders could be found for logger (dcmtk.apps.dcmrecv).",
                "log4cplus:ERROR Please initialize the log4cplus system properly.",
            ),
            {},
        ),
        theirs=Ended(45, (), ("log4cplus:ERROR Log4jUdpAppender::append()- Cannot connect to server",) * 3, {}),
    ),
)
FILES = {"old": "old text\n", "large": "x" * 220_000 + "\n", "large.1": "one\n", "large.2": "two\n"}
_CHANGING = ((re.compile(r"(?<=\.log\.)\d{4}-\d\d-\d\d\Z"), "DATE"),)
_THREAD = re.compile(r"\[\d{6,}\]")


@by_rule(ROWS)
def test_lines_of_a_start(program: Path, directory: Path, row: LogConfig) -> None:
    files = {**FILES, "log.cfg": row.text + "".join(f"{line}\n" for line in row.lines)}
    outcomes = run_both(program, directory, ("-lc", "log.cfg", "-od", "/nonexistent", "1"), files)
    ended = []
    for outcome, home in zip(outcomes, (directory / "ours", directory / "original"), strict=True):
        streams = (tuple(_THREAD.sub("[THREAD]", text).splitlines()) for text in (outcome.stdout, outcome.stderr))
        ended.append(Ended(outcome.code, *streams, _changed_files(home)))
    compare(row, *ended)


@pytest.mark.dcmtk
@pytest.mark.parametrize("fault", [("-xf", "missing.cfg", "default"), ("+tls", "missing.key", "missing.pem")])
def test_loggers_of_a_start_that_fails(program: Path, directory: Path, fault: tuple[str, ...]) -> None:
    pattern = "log4cplus.appender.c.layout.ConversionPattern = %p %c%n\n"
    ours, theirs = run_both(program, directory, ("-lc", "log.cfg", *fault, "1"), {"log.cfg": CONSOLE + pattern})
    assert ours.stderr == theirs.stderr
    assert "ERROR dcmtk.dcm" in ours.stderr


def _changed_files(home: Path) -> dict[str, str]:
    """All files that the program has made or changed; a first line as long as that of `large` is cut."""
    contents = {path.name: path.read_text() for path in home.iterdir() if path.name != "log.cfg"}
    changed = {name: text for name, text in contents.items() if FILES.get(name) != text}
    for pattern, word in _CHANGING:
        changed = {pattern.sub(word, name): text for name, text in changed.items()}
    return {name: text.replace("x" * 220_000, "x...") for name, text in changed.items()}


_STAMP = re.compile(r"^(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d(?:\.\d{3})? +")


@pytest.mark.dcmtk
@pytest.mark.parametrize("sample", ["logger.cfg", "filelog.cfg"])
def test_sample_files(sample: str, ours: Start, original: Start, config: Path) -> None:
    """The same files with the same lines at info level and above, time stamps aside, for the same traffic."""
    seen = []
    for start in (ours, original):
        receiver = start("-dhl", "-lc", f"/etc/dcmtk/{sample}", "-xf", config, "default")
        _send(receiver)
        path = receiver.directory / "dcmrecv.log"
        until(lambda path=path: "Received Association Release Request" in path.read_text(), "the end of the traffic")
        logs = {found.name for found in receiver.directory.glob("*.log*")}
        seen.append((logs, _lines(path.read_text()), _lines(receiver.log)))
    assert seen[0] == seen[1]
    assert any("Stored received object to file: out/CT." in line for line in seen[0][1])


def _send(receiver: Receiver) -> None:
    data = instance_of(CT, "1.2.3")
    with RawAssociation(receiver.port, [(VERIFICATION, [EXPLICIT_LE]), (CT, [EXPLICIT_LE])]) as association:
        assert association.echo() == 0
        for _ in range(2):
            assert association.store(CT, "1.2.3", data, context_id=3) == 0
        association.release()


def _lines(text: str) -> list[str]:
    stamped = (_STAMP.sub("", line) for line in text.splitlines())
    return [line for line in stamped if not line.startswith(("DEBUG", "TRACE")) and not OWN.search(line)]
