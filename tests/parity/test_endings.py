"""Starts that fail for other reasons than the command line, and signals to a running receiver: exit codes and texts."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from support.parity.both_programs import run_both
from support.parity.rules import Row, by_rule, compare
from support.programs.receivers import Receiver, Start
from support.protocol.raw_sender import RawAssociation
from support.uids import IMPLICIT_LE, VERIFICATION

AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_override")
AS_NOBODY += ("--ambient-caps=+dac_override",)  # may read the programs in any directory
WITHOUT_PRIVILEGES = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")  # root, but modes of files apply
SUCCESS = 0x0000
GOES_ON = "goes on"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failing(Row):
    """A start that fails. `modes` are those of directories, which are made; root runs the programs through
    `prefix`; `taken` is an address where the port `{port}` of the arguments is already in use."""

    kind: ClassVar[str] = "exit code"
    arguments: tuple[str, ...]
    modes: tuple[tuple[str, int], ...] = ()
    prefix: tuple[str, ...] = ()
    taken: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signalled(Row):
    """A signal for a running receiver. The outcome is an exit code, negative if it died by a signal, or `GOES_ON`."""

    kind: ClassVar[str] = "signal"
    signal: signal.Signals


FAILING = (
    Failing(rule="the output directory is there", arguments=("-od", "absent", "1")),
    Failing(rule="the output directory is no file", arguments=("-od", "file", "1")),
    Failing(rule="the output directory is no file with a slash after it", arguments=("-od", "file/", "1")),
    Failing(
        rule="the output directory can be read",
        arguments=("-od", "out", "1"),
        modes=(("out", 0o333),),
        prefix=WITHOUT_PRIVILEGES,
    ),
    Failing(
        rule="the output directory can be written",
        arguments=("-od", "out", "1"),
        modes=(("out", 0o555),),
        prefix=WITHOUT_PRIVILEGES,
    ),
    Failing(
        rule="without -od it is the working directory",
        arguments=("1",),
        modes=((".", 0o555),),
        prefix=WITHOUT_PRIVILEGES,
    ),
    Failing(
        rule="with an empty -od it is the working directory",
        arguments=("-od", "", "1"),
        modes=((".", 0o555),),
        prefix=WITHOUT_PRIVILEGES,
    ),
    Failing(rule="the port is free", arguments=("{port}",), taken="0.0.0.0"),
    Failing(rule="the port is free on each local address", arguments=("-v", "{port}"), taken="127.0.0.1"),
    Failing(rule="ports below 1024 are for root", arguments=("-v", "104"), prefix=AS_NOBODY),
    Failing(
        rule="the profile is looked at before the output directory",
        arguments=("-xf", "absent", "x", "-od", "absent", "1"),
    ),
    Failing(
        rule="the output directory is looked at before the port", arguments=("-od", "absent", "{port}"), taken="0.0.0.0"
    ),
    Failing(rule="the command line is looked at before the profile", arguments=("-xf", "absent", "x", "0")),
    Failing(
        rule="an odd --max-pdu is told when the port is known", arguments=("-pdu", "4097", "{port}"), taken="0.0.0.0"
    ),
)
STOPS = "Ours finishes the instances that are being received, so stopping is not a failure."
STRAY = "Ours ignores signals that mean nothing to it, because a service must not end by a stray one."
SIGNALS = (
    Signalled(rule="SIGTERM", signal=signal.SIGTERM, differs=STOPS, ours=0, theirs=-signal.SIGTERM),
    Signalled(rule="SIGINT", signal=signal.SIGINT, differs=STOPS, ours=0, theirs=-signal.SIGINT),
    Signalled(
        rule="SIGHUP",
        signal=signal.SIGHUP,
        differs="Ours reads its settings again, as other services do.",
        ours=GOES_ON,
        theirs=-signal.SIGHUP,
    ),
    Signalled(rule="SIGPIPE", signal=signal.SIGPIPE),
    *(
        Signalled(rule=number.name, signal=number, differs=STRAY, ours=GOES_ON, theirs=-number)
        for number in (signal.SIGUSR1, signal.SIGALRM, signal.SIGRTMIN)
    ),
)
ROWS: tuple[Row, ...] = FAILING + SIGNALS


@by_rule(FAILING)
def test_start_fails_as_the_originals(program: Path, directory: Path, row: Failing) -> None:
    for name, mode in row.modes:
        for side in ("ours", "original"):
            path = directory / side / name
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(mode)
    prefix = row.prefix if os.geteuid() == 0 else ()
    with socket.create_server((row.taken or "127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        arguments = [argument.format(port=port) for argument in row.arguments]
        outcomes = run_both(program, directory, arguments, {} if row.modes else {"file": ""}, prefix)
    assert outcomes.original.code in (1, 45, 64, 66)
    compare(row, *outcomes)


@pytest.fixture
def not_ignored() -> Iterator[None]:
    """A shell makes background programs ignore some signals, and children inherit that."""
    before = {signum: signal.signal(signum, signal.SIG_DFL) for signum in (signal.SIGHUP, signal.SIGINT)}
    yield
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.usefixtures("not_ignored")
@by_rule(SIGNALS)
def test_signals(ours: Start, original: Start, row: Signalled) -> None:
    compare(row, _after(ours(), row.signal, row.ours), _after(original(), row.signal, row.theirs))


def _after(receiver: Receiver, signum: signal.Signals, expected: object) -> int | str:
    """The exit code, or that it goes on, which an answer shows."""
    if isinstance(expected, int):
        return receiver.stop(signum)
    receiver.process.send_signal(signum)
    with RawAssociation(receiver.port, [(VERIFICATION, [IMPLICIT_LE])]) as association:
        assert association.echo() == SUCCESS
        association.release()
    return GOES_ON
