"""The system calls of one stored instance: all of them, and which of flush, publish, flush may be left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.programs.receivers import Receiver, Start, system_program
from support.promises.strace import parse, stores
from support.protocol.pdus import command_set, data_pdus, status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

FLUSHES = ("fsync", "fdatasync")
PUBLISHES = ("link", "linkat", "rename", "renameat", "renameat2")
SENDS = ("sendto", "sendmsg", "write", "writev")
TRACE = ",".join(("unlink", "unlinkat", *FLUSHES, *PUBLISHES, *SENDS))

CONTEXTS = [(CT, [EXPLICIT_LE])]

DELIVERS = """\
from dcmrecv_core import hookimpl

@hookimpl
def deliver(event):
    pass
"""


def start_traced(ours: Start, trace: Path, *options: str, calls: str = TRACE) -> Receiver:
    """Our receiver under strace, which detaches itself (-D), so that the process started is the receiver."""
    strace = [system_program("strace"), "-D", "-f", "-y", "-q", "-s", "4", "-e", f"trace={calls}", "-e", "signal=none"]
    return ours("-pm", *options, prefix=[*strace, "-o", trace], files={"delivers.py": DELIVERS})


def steps_of_last_instance(trace: Path, worker: int, receiver: Receiver) -> list[str]:
    """The worker's steps from the last but one response to the last."""
    calls = [line for line in trace.read_text().splitlines() if line.startswith(f"{worker} ")]
    steps = [step for line in calls if (step := classify(line, receiver))]
    first, last = [index for index, step in enumerate(steps) if step == "respond"][-2:]
    return steps[first + 1 : last + 1]


def classify(line: str, receiver: Receiver) -> str | None:
    """The step of one line of the trace; the second half of an interrupted call is none."""
    call, _, arguments = line.split(maxsplit=1)[1].partition("(")
    if call in FLUSHES:
        return "flush directory" if f"<{receiver.output}>" in arguments else "flush file"
    if call in PUBLISHES:
        return "publish"
    # a response is P-DATA, PDU type 4, on a socket
    return "respond" if call in SENDS and "<socket:" in arguments and r'"\4' in arguments else None


def traced_store(ours: Start, trace: Path, *options: str) -> list[str]:
    """The steps of the second of two instances; the first also flushes what is above the directory."""
    receiver = start_traced(ours, trace, *options)
    with RawAssociation(receiver.port, CONTEXTS) as association:
        worker = receiver.worker_serving(association.local_port)
        for instance in ("1.2.3", "1.2.4"):
            assert association.store(CT, instance, instance_of(CT, instance)) == 0
        association.release()
    assert receiver.stop() == 0
    wait_for_end(trace, worker)
    return steps_of_last_instance(trace, worker, receiver)


def wait_for_end(trace: Path, worker: int) -> None:
    """strace pads process ids with blanks to five characters."""
    until(lambda: re.search(rf"^{worker} +\+\+\+ exited", trace.read_text(), re.MULTILINE), "the end of the trace")


@pytest.mark.parametrize("options", [("--no-fsync",), ("--fsync", "--no-fsync")], ids=" ".join)
def test_without_fsync_nothing_is_flushed(ours: Start, directory: Path, options: tuple[str, ...]) -> None:
    assert traced_store(ours, directory / "trace", *options) == ["publish", "respond"]


@pytest.mark.parametrize(
    ("options", "allowed"),
    [
        # an unnamed file while no sender waits; a request; a check that the directory is still there; one write;
        # its name; done; one response
        (("--no-fsync",), ["openat", "recvfrom", "newfstatat", "writev", "linkat", "close", "sendto"]),
        (
            ("--strict-fsync",),
            ["openat", "recvfrom", "newfstatat", "writev", "fsync", "linkat", "fsync", "close", "sendto"],
        ),
        # that a name is free is found out by giving it
        (
            ("--no-fsync", "+fu"),
            ["openat", "recvfrom", "getrandom", "newfstatat", "writev", "linkat", "close", "sendto"],
        ),
        # the prefix goes in front, so the data set is written once, and nothing is read again
        (("--no-fsync", "+B"), ["openat", "recvfrom", "newfstatat", "writev", "linkat", "close", "sendto"]),
        # for a plugin with deliveries a record is written, and not flushed
        (
            ("--no-fsync", "--plugin", "delivers.py"),
            ["openat", "recvfrom", "newfstatat", "writev", "linkat", "close", "write", "sendto"],
        ),
        (
            ("--strict-fsync", "--plugin", "delivers.py"),
            ["openat", "recvfrom", "newfstatat", "writev", "fsync", "linkat", "fsync", "close", "write", "sendto"],
        ),
    ],
    ids=["no-fsync", "durable", "unique names", "bit-preserving", "delivered", "delivered, durable"],
)
def test_system_calls_of_an_instance(
    ours: Start, directory: Path, options: tuple[str, ...], allowed: list[str]
) -> None:
    """All calls of a worker between two responses, for a small instance that comes in one piece. Each costs 0.5 or more
    microseconds; no poll, fcntl or reading of the clock may be added. Reads that find nothing are not counted: there
    are some if the sender was fast last time, or if the heartbeat interrupts one."""
    trace = directory / "trace"
    receiver = start_traced(ours, trace, *options, calls="all")
    with RawAssociation(receiver.port, CONTEXTS) as association:
        worker = receiver.worker_serving(association.local_port)
        for instance in ("1.2.3", "1.2.4", "1.2.5"):
            whole = b"".join(
                (
                    *data_pdus(1, [command_set(store_rq(CT, instance))], is_command=True),
                    *data_pdus(1, [instance_of(CT, instance)], is_command=False),
                )
            )
            association.send(whole)
            assert status_of(association.response()) == 0
        association.release()
    assert receiver.stop() == 0
    wait_for_end(trace, worker)
    nothing = ("EAGAIN", "EINTR", "ERESTARTSYS")
    calls = [
        call for call in parse(trace) if call.pid == worker and not (call.name == "recvfrom" and call.error in nothing)
    ]
    tick = ("rt_sigreturn", "getppid")  # of the heartbeat, once a second
    assert [call.name for call in stores(calls)[-1] if call.name not in tick] == allowed


def test_equal_content_is_flushed_but_not_written_again(ours: Start, directory: Path) -> None:
    receiver = start_traced(ours, directory / "trace", "--on-duplicate", "overwrite")
    with RawAssociation(receiver.port, CONTEXTS) as association:
        worker = receiver.worker_serving(association.local_port)
        for _ in range(2):
            assert association.store(CT, "1.2.3", instance_of(CT, "1.2.3")) == 0
        association.release()
    assert receiver.stop() == 0
    wait_for_end(directory / "trace", worker)
    steps = steps_of_last_instance(directory / "trace", worker, receiver)
    assert steps == ["flush file", "flush directory", "respond"]


def test_overwriting_is_one_rename(ours: Start, directory: Path) -> None:
    """The file under the name is replaced in one step: there is no moment without it."""
    receiver = start_traced(ours, directory / "trace")
    with RawAssociation(receiver.port, CONTEXTS) as association:
        worker = receiver.worker_serving(association.local_port)
        for _ in range(2):
            assert association.store(CT, "1.2.3", instance_of(CT, "1.2.3")) == 0
        association.release()
    assert receiver.stop() == 0
    wait_for_end(directory / "trace", worker)
    steps = steps_of_last_instance(directory / "trace", worker, receiver)
    assert [step for step in steps if step != "publish"] == ["flush file", "flush directory", "respond"]
    trace = (directory / "trace").read_text()
    assert re.search(r'rename\w*\(.*CT\.1\.2\.3"', trace)
    assert not re.search(r'unlink\w*\(.*CT\.1\.2\.3"', trace)
