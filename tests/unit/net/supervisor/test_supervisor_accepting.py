"""Idle workers accept connections themselves, as processes: without the supervisor, within all limits, and without
losing one when they are stopped, killed, replaced or told to end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.net.worker import arrivals
from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.programs.environment import write_files
from support.programs.fixtures import certificates, program  # noqa: F401
from support.programs.receivers import Receiver, Start, open_files, start_on_port, start_ours
from support.programs.tls_clients import tls
from support.protocol.pdus import ABORT, ASSOCIATE_AC, ASSOCIATE_RJ, associate_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION

INSTANCE = "1.2.3.4"
DATA = instance_of(CT, INSTANCE)
CONTEXTS = [(CT, [EXPLICIT_LE]), (VERIFICATION, [IMPLICIT_LE])]
REQUEST = associate_rq(CONTEXTS)
FIRST, SECOND = "127.0.0.2", "127.0.0.3"


@pytest.fixture
def start(program: Path, tmp_path: Path) -> Iterator[Start]:  # noqa: F811
    with contextlib.ExitStack() as ends:

        def make(*arguments: object, files: dict[str, str] | None = None, **options: Any) -> Receiver:
            write_files(tmp_path, files or {})
            receiver = start_ours(program, tmp_path, "-pm", *arguments, **options)
            ends.callback(receiver.end)
            return receiver

        yield make


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    until(lambda: all(state_of(pid) == "T" for pid in pids), "they are stopped")
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def store(receiver: Receiver, source: str = "") -> None:
    with RawAssociation(receiver.port, CONTEXTS, source=source) as association:
        assert association.store(CT, INSTANCE, DATA) == 0
        association.release()


def idle_workers(receiver: Receiver, number: int = 2) -> set[int]:
    """Wait until so many wait for connections."""

    def waiting() -> set[int]:
        found = set()
        for pid in receiver.workers():
            with contextlib.suppress(OSError):  # it has ended
                if Path(f"/proc/{pid}/wchan").read_text() == "do_epoll_wait":
                    found.add(pid)
        return found

    return until(lambda: pids if len(pids := waiting()) >= number else set(), "workers are idle")


PATIENT = """
from dcmrecv_core import hookimpl
from dcmrecv_core.net.supervisor import supervisor
from dcmrecv_core.net.worker import arrivals

supervisor.WAIT_FOR_WORKER = {waiting}

@hookimpl
def worker_started(settings):
    arrivals.PATIENCE = {seconds}
"""


def patient(seconds: float = arrivals.PATIENCE, waiting: float = 10.0) -> dict[str, str]:
    """A plugin with which workers wait longer for a request, and requests for a worker: on a busy machine a sender may
    pause after connecting, and forks take long."""
    return {"patient.py": PATIENT.format(seconds=seconds, waiting=waiting)}


def test_an_association_needs_no_supervisor(start: Start) -> None:
    receiver = start("--plugin", "patient", files=patient(5))
    idle_workers(receiver)
    with stopped(receiver.process.pid):
        for _ in range(5):
            store(receiver)
    assert receiver.files() == [f"CT.{INSTANCE}"]


def test_silent_connections_hold_no_worker_while_the_supervisor_is_busy(start: Start) -> None:
    receiver = start("--plugin", "patient", files=patient(0.5))
    idle_workers(receiver)
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopped(receiver.process.pid))
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", receiver.port), timeout=20)) for _ in range(10)
        ]
        store(receiver)
        os.kill(receiver.process.pid, signal.SIGCONT)
        for connection in silent:  # the front desk has them, with all that they send
            connection.sendall(REQUEST)
            assert connection.recv(1)[0] == ASSOCIATE_AC


@pytest.mark.parametrize("victim", [0, 1])
def test_a_stopped_idle_worker_keeps_no_connection(start: Start, victim: int) -> None:
    receiver = start()
    workers = sorted(idle_workers(receiver))
    with stopped(workers[victim]):
        for _ in range(10):
            began = time.monotonic()
            store(receiver)
            assert time.monotonic() - began < 5, "it waited for the stopped one"


def test_killed_idle_workers_lose_nothing(start: Start) -> None:
    receiver = start("--plugin", "patient", files=patient())
    for _ in range(3):
        for pid in idle_workers(receiver):
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        store(receiver)
        assert time.monotonic() - began < 5


def test_a_peer_never_has_more_than_its_share_even_if_many_connect_at_once(start: Start) -> None:
    limits = ("--max-associations", 8, "--max-per-peer", 3)
    receiver = start(*limits, "--plugin", "patient", files=patient(waiting=3))
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(16) as threads:
        others = [stack.enter_context(RawAssociation(receiver.port, CONTEXTS, source=FIRST)) for _ in range(3)]
        idle_workers(receiver)
        peers = [stack.enter_context(RawAssociation(receiver.port, source=SECOND)) for _ in range(16)]
        barrier = threading.Barrier(16)

        def ask(peer: RawAssociation) -> int:
            barrier.wait(10)
            peer.send(REQUEST)
            return peer.read_pdu()[0]

        answers = list(threads.map(ask, peers))
        # they are at the desk; now as many come with their requests
        assert answers.count(ASSOCIATE_AC) == 3 and answers.count(ASSOCIATE_RJ) == 13
        for other in others:
            assert other.echo() == 0


def test_requests_at_once_of_a_peer_that_has_its_share_are_refused(start: Start) -> None:
    receiver = start("--max-per-peer", 2)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(RawAssociation(receiver.port, CONTEXTS, source=FIRST))
        idle_workers(receiver)
        with RawAssociation(receiver.port, source=FIRST) as one_more:
            one_more.send(REQUEST)
            store(receiver, SECOND)
            assert one_more.read_pdu() == (ASSOCIATE_RJ, bytes((0, 2, 3, 2)))


class Senders:
    """Threads that store one instance after the other, each on its own association, until told to end."""

    def __init__(self, receiver: Receiver, number: int) -> None:
        self.receiver = receiver
        self.stored = 0
        self.failures: list[BaseException] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(number)]

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def _work(self) -> None:
        while not self._over.is_set():
            try:
                store(self.receiver)
                self.stored += 1
            except (AssertionError, OSError) as error:
                self.failures.append(error)
                return

    def until_more(self, number: int) -> None:
        wanted = self.stored + number
        until(lambda: self.stored >= wanted or self.failures, "more is stored", seconds=30)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a sender waits for ever"


def test_no_association_fails_while_workers_are_replaced(start: Start) -> None:
    """By reloads, and after a few associations each."""
    receiver = start("--no-fsync", "--recycle-after", 5, "--plugin", "patient", files=patient())
    with Senders(receiver, 4) as senders:
        for _ in range(3):
            before = receiver.workers()
            receiver.process.send_signal(signal.SIGHUP)
            until(lambda before=before: not before & receiver.workers(), "all workers are replaced", seconds=20)
            senders.until_more(20)
    assert senders.failures == []


def test_workers_that_are_told_to_end_lose_no_association(start: Start) -> None:
    """One at a time, as for a memory limit; the instance that is being received is finished, then it is aborted."""
    receiver = start("--no-fsync")
    with Senders(receiver, 2) as senders:
        for _ in range(5):
            with contextlib.suppress(ProcessLookupError):  # it was told before, and has ended just now
                os.kill(min(until(receiver.workers, "a worker")), signal.SIGTERM)
            senders.until_more(5)
    for failure in senders.failures:
        assert f"PDU {ABORT}" in str(failure) or not isinstance(failure, TimeoutError), failure


def test_sigterm_under_connections_leaves_none_without_an_answer(start: Start) -> None:
    receiver = start("--no-fsync")
    with Senders(receiver, 6) as senders:
        senders.until_more(20)
        receiver.process.terminate()
        assert receiver.process.wait(20) == 0
    assert not any(isinstance(failure, TimeoutError) for failure in senders.failures)
    assert len(receiver.files()) == 1


def test_after_sigterm_the_port_is_free_although_a_worker_is_busy(program: Path, tmp_path: Path) -> None:  # noqa: F811
    command = [program, "-pm", "-od", "out", "--plugin", "busy"]
    (tmp_path / "out").mkdir()
    write_files(tmp_path, {"busy.py": BUSY})
    receiver = start_on_port(tmp_path, *command)
    with contextlib.ExitStack() as stack:
        stack.callback(receiver.kill)
        association = stack.enter_context(RawAssociation(receiver.port, CONTEXTS))
        association.send(b"".join(association_store()))
        until((tmp_path / "busy").exists, "the worker is in C code")
        receiver.process.terminate()
        until(lambda: is_free(receiver.port), "the port is free", seconds=6)
        assert receiver.process.poll() is None, "it waits for the worker"


BUSY = """\
import itertools, pathlib
from dcmrecv_core import hookimpl

@hookimpl
def receive(instance):
    pathlib.Path("busy").touch()
    sum(itertools.repeat(0, 10**11))
"""


def association_store() -> list[bytes]:
    from support.protocol.pdus import command_set, data_pdus, store_rq

    return [
        *data_pdus(1, [command_set(store_rq(CT, INSTANCE))], is_command=True),
        *data_pdus(1, [DATA], is_command=False),
    ]


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_with_tls_workers_have_no_listening_socket(start: Start, certificates: Any) -> None:  # noqa: F811
    receiver = start(*tls(certificates))
    listening = {
        f"socket:[{line.split()[9]}]"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    }
    for pid in receiver.workers():  # the second one may have been forked just now
        until(lambda: not listening & open_files(pid), "it has closed its copy")  # noqa: B023


def test_workers_that_end_slowly_are_replaced_before_they_have_ended(start: Start) -> None:
    """They are not idle, although they serve no sender."""
    plugin = (
        "import os\nfrom dcmrecv_core import hookimpl\n"
        "@hookimpl\ndef worker_stopping(): open(f'{os.getpid()}.ends', 'w'); open('go').read()\n"
    )
    plugins = ("--plugin", "slow", "--plugin", "patient")
    receiver = start(*plugins, "--recycle-after", 1, files={"slow.py": plugin, **patient()})
    os.mkfifo(receiver.directory / "go")
    for number in range(1, 8):
        store(receiver)
        until(lambda: len(list(receiver.directory.glob("*.ends"))) == number, "one more ends")  # noqa: B023
    (receiver.directory / "go").write_text("")
