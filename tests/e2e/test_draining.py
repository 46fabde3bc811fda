"""--drain and `dcmrecvctl drain`: running associations end by themselves, and new ones are refused."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.programs.control import begin_dcmrecvctl, dcmrecvctl
from support.programs.receivers import Receiver, Start, create_listener, is_free, listens_or_ended, reserved_port
from support.protocol.pdus import ABORT, ASSOCIATE_AC, associate_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

CONTEXTS = [(CT, [EXPLICIT_LE])]
REQUEST = associate_rq(CONTEXTS)
DRAINS = "no new associations, running ones may go on"
SOON = 40.0
"""Seconds: less than a drain of a minute."""


def store(association: RawAssociation, uid: str) -> int | None:
    return association.store(CT, uid, instance_of(CT, uid))


def check_refused(receiver: Receiver) -> None:
    """A worker that serves closes its copy of a socket that was passed in within a second."""
    until(lambda: is_free(receiver.port), "the listening socket is closed", log=lambda: receiver.log)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", receiver.port), timeout=5)


def check_ends_soon(receiver: Receiver) -> None:
    """No process has to be killed."""
    assert receiver.process.wait(SOON) == 0
    assert "still running after the grace period" not in receiver.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_running_associations_end_by_themselves(ours: Start, number: int) -> None:
    receiver = ours("-v", "-pm", "--drain", "60")
    with RawAssociation(receiver.port, CONTEXTS) as running, RawAssociation(receiver.port) as begun:
        begun.send(REQUEST[:20])
        receiver.wait_until_accepted(begun.local_port)
        assert store(running, "1.2.1") == 0
        receiver.process.send_signal(number)
        receiver.wait_for_log(f"{signal.Signals(number).name}: {DRAINS} for 60 s")
        check_refused(receiver)
        assert store(running, "1.2.2") == 0
        begun.send(REQUEST[20:])
        assert begun.read_pdu()[0] == ASSOCIATE_AC
        assert store(begun, "1.2.3") == 0
        running.release()
        begun.release()
    check_ends_soon(receiver)
    assert receiver.files() == ["CT.1.2.1", "CT.1.2.2", "CT.1.2.3"]


def test_an_idle_receiver_ends_at_once(ours: Start) -> None:
    receiver = ours("-v", "-pm", "--drain", "60")
    receiver.process.terminate()
    check_ends_soon(receiver)
    assert "all associations have ended" in receiver.log


def test_after_that_time_they_are_ended(ours: Start) -> None:
    receiver = ours("-v", "-pm", "--drain", "1")
    with RawAssociation(receiver.port, CONTEXTS) as idle:
        begin = time.monotonic()
        receiver.process.terminate()
        assert idle.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
        assert time.monotonic() - begin >= 1
    check_ends_soon(receiver)


def test_a_second_signal_ends_at_once(ours: Start) -> None:
    receiver = ours("-v", "-pm", "--drain", "60")
    with RawAssociation(receiver.port, CONTEXTS):
        receiver.process.terminate()
        receiver.wait_for_log(DRAINS)
        receiver.process.terminate()
        check_ends_soon(receiver)


def test_sockets_of_systemd_are_left_alone(ours: Start) -> None:
    """Connections wait there for the next start, and no worker takes one."""
    with create_listener() as listener:
        listener.settimeout(5)
        receiver = ours("-v", "-pm", "--drain", "60", listener=listener)
        with RawAssociation(receiver.port, CONTEXTS) as running:
            assert store(running, "1.2.1") == 0
            receiver.process.terminate()
            receiver.wait_for_log(DRAINS)
            with RawAssociation(receiver.port) as waiting:
                waiting.send(REQUEST)
                assert store(running, "1.2.2") == 0
                running.release()
                check_ends_soon(receiver)
                accepted, address = listener.accept()
                with accepted:
                    assert address[1] == waiting.local_port


def test_the_command_waits_and_shows_who_is_connected(ours: Start) -> None:
    receiver = ours("-v", "-pm")
    with RawAssociation(receiver.port, CONTEXTS) as running:
        assert store(running, "1.2.1") == 0
        drain = begin_dcmrecvctl(receiver, "drain")
        assert drain.stdout is not None
        assert drain.stdout.readline().startswith("1 association left: RAWSCU@127.0.0.1 since ")
        check_refused(receiver)
        assert store(running, "1.2.2") == 0
        assert drain.poll() is None
        running.release()
    output, errors = drain.communicate(timeout=60)
    assert (drain.returncode, errors) == (0, "")
    assert output.endswith(f"process {receiver.process.pid} has ended\n")
    check_ends_soon(receiver)


def test_the_command_with_a_limit(ours: Start) -> None:
    """The limit of the command counts, not that of --drain; a later one can only be earlier."""
    receiver = ours("-v", "-pm", "--drain", "0")
    with RawAssociation(receiver.port, CONTEXTS) as idle:
        first = begin_dcmrecvctl(receiver, "drain", "600")
        receiver.wait_for_log(f"{DRAINS} for 600 s")
        assert dcmrecvctl(receiver, "drain", "0").returncode == 0
        assert idle.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
        first.communicate(timeout=60)
        assert first.returncode == 0
    check_ends_soon(receiver)


def test_a_signal_ends_what_the_command_began(ours: Start) -> None:
    receiver = ours("-v", "-pm")
    with RawAssociation(receiver.port, CONTEXTS) as idle:
        drain = begin_dcmrecvctl(receiver, "drain")
        receiver.wait_for_log(DRAINS)
        receiver.process.terminate()
        assert idle.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
        drain.communicate(timeout=60)
        assert drain.returncode == 0
    check_ends_soon(receiver)


@pytest.mark.parametrize("seconds", ["-1", "soon", "inf"])
def test_a_limit_that_is_none(ours: Start, seconds: str) -> None:
    receiver = ours("-pm")
    done = dcmrecvctl(receiver, "drain", "--", seconds)
    assert done.returncode == 2
    assert f"{seconds} is no number of seconds" in done.stderr
    assert receiver.process.poll() is None


# A restart of two receivers, one after the other


class Sender(threading.Thread):
    """One association after the other, as a balancer distributes them: with the first receiver that takes it."""

    def __init__(self, number: int, ports: list[int]) -> None:
        super().__init__(daemon=True)
        self._number = number
        self._ports = ports
        self.over = threading.Event()
        self.stored = 0
        self.failed: list[str] = []

    def run(self) -> None:
        while not self.over.is_set():
            try:
                with self._associate() as association:
                    for _ in range(3):
                        assert store(association, f"1.2.{self._number}.{self.stored}") == 0
                        self.stored += 1
                    association.release()
            except (OSError, AssertionError) as error:
                self.failed.append(repr(error))

    def _associate(self) -> RawAssociation:
        for port in self._ports:
            # a connection that comes when the socket is closed may be reset
            with contextlib.suppress(ConnectionError, AssertionError):
                return RawAssociation(port, CONTEXTS)
        raise ConnectionRefusedError("both receivers refuse connections")


def start_at(program: Path, home: Path, port: int) -> Receiver:
    receiver = Receiver(home)
    receiver.port = port
    receiver.run([program, "-od", "out", "-v", "-pm", "--drain", "60", port])
    assert until(lambda: listens_or_ended(receiver), "it listens", 60, lambda: receiver.log) == "listens", receiver.log
    with RawAssociation(port, CONTEXTS) as association:
        association.release()
    return receiver


@pytest.mark.timeout(400)
def test_a_rolling_restart(program: Path, directory: Path) -> None:
    homes = [directory / "a", directory / "b"]
    reserved = [reserved_port() for _ in homes]
    ports = [each.getsockname()[1] for each in reserved]
    receivers = [start_at(program, home, port) for home, port in zip(homes, ports, strict=True)]
    senders = [Sender(number, ports) for number in range(4)]
    try:
        for sender in senders:
            sender.start()
        for _ in range(2):
            for number, home in enumerate(homes):
                before = sum(sender.stored for sender in senders)
                until(lambda before=before: sum(each.stored for each in senders) > before + 20, "they store")
                assert dcmrecvctl(receivers[number], "drain").returncode == 0
                check_ends_soon(receivers[number])
                receivers[number] = start_at(program, home, ports[number])
    finally:
        for sender in senders:
            sender.over.set()
        for sender in senders:
            sender.join(20)
        codes = [receiver.end() for receiver in receivers]
        for each in reserved:
            each.close()
    assert [text for sender in senders for text in sender.failed] == []
    assert codes == [0, 0]
    assert len(set(receivers[0].files() + receivers[1].files())) == sum(sender.stored for sender in senders)
