"""`dcmrecvctl upgrade`: another program takes over, and no sender notices."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.programs.control import begin_dcmrecvctl, dcmrecvctl, runs, upgrades
from support.programs.receivers import Receiver, Start, is_free, start_on_port
from support.promises.deliveries import NOTES, data_of, notes
from support.protocol.pdus import ABORT, ASSOCIATE_AC, associate_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

CONTEXTS = [(CT, [EXPLICIT_LE])]
REQUEST = associate_rq(CONTEXTS)
SENDERS = 4
"""So many find a worker at once in a program that has just begun, also on a busy machine."""
INSTANCES = 50
"""Of each sender, between two upgrades."""

DELIVERS = (
    NOTES
    + """\
@hookimpl
def delivery_started(settings):
    note("begin")

@hookimpl
def delivery_stopping():
    note("end")

@hookimpl
def deliver(event, target):
    note("event", event.id, event.sop_instance_uid)
"""
)

WAITS = (
    NOTES
    + """\
@hookimpl
def worker_started(settings):
    while (HOME / "wait").exists():
        time.sleep(0.01)
"""
)

BUSY = (
    NOTES
    + """\
@hookimpl
def deliver(event, target):
    note("busy")
    while (HOME / "busy").exists():
        time.sleep(0.01)
    note("event", event.id, event.sop_instance_uid)
"""
)
ARGUMENTS = ("-v", "-pm", "--plugin", "site.py")


class Sender(threading.Thread):
    """Short associations, without a pause. Every one that is not served to its end has failed."""

    def __init__(self, number: int, port: int) -> None:
        super().__init__(daemon=True)
        self._number = number
        self._port = port
        self._chance = random.Random(number)
        self.over = threading.Event()
        self.stored: list[str] = []
        self.failed: list[str] = []

    def run(self) -> None:
        while not self.over.is_set():
            try:
                with RawAssociation(self._port, CONTEXTS) as association:
                    for _ in range(self._chance.randint(1, 5)):
                        uid = f"1.2.{self._number}.{len(self.stored)}"
                        assert association.store(CT, uid, data_of(uid)) == 0
                        self.stored.append(uid)
                    association.release()
            except (OSError, AssertionError) as error:
                self.failed.append(repr(error))


@contextmanager
def sending(port: int) -> Iterator[list[Sender]]:
    senders = [Sender(number, port) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    try:
        yield senders
    finally:
        for sender in senders:
            sender.over.set()
        for sender in senders:
            sender.join(30)
        assert not any(sender.is_alive() for sender in senders)


class OwnerWatch(threading.Thread):
    """Tries to lock the state directory, again and again, as another receiver would."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(daemon=True)
        self._path = receiver.output / ".dcmrecv" / "owner.lock"
        self.over = threading.Event()
        self.looks = 0
        self.unlocked = 0

    def run(self) -> None:
        while not self.over.wait(0.001):
            with self._path.open("rb") as file:
                self.looks += 1
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                self.unlocked += 1


def store(receiver: Receiver, *uids: str) -> None:
    with RawAssociation(receiver.port, CONTEXTS) as association:
        for uid in uids:
            assert association.store(CT, uid, data_of(uid)) == 0
        association.release()


def delivered(receiver: Receiver) -> dict[str, set[str]]:
    """The ids of the events of each instance."""
    found = defaultdict(set)
    for id, uid, _ in notes(receiver.directory, "event"):
        found[uid].add(id)
    return dict(found)


def check_deliveries(receiver: Receiver, stored: set[str]) -> None:
    """Each instance has one event, and one delivery process ended before the next one began."""
    until(lambda: delivered(receiver).keys() == stored, "all is delivered", 60, lambda: receiver.log)
    assert {uid: ids for uid, ids in delivered(receiver).items() if len(ids) > 1} == {}


def check_nobody_listens(receiver: Receiver) -> None:
    """The kernel closes the sockets of a process when its directory is no longer shown."""
    until(lambda: is_free(receiver.port), "nobody listens", log=lambda: receiver.log)


def check_one_at_a_time(receiver: Receiver) -> None:
    lines = (receiver.directory / "notes").read_text().splitlines()
    marks = [line.split() for line in lines if not line.startswith("event")]
    assert [kind for kind, _ in marks] == ["begin", "end"] * (len(marks) // 2)
    assert all(begin[1] == end[1] for begin, end in zip(marks[::2], marks[1::2], strict=True))


@pytest.mark.parametrize("passed_in", [True, False], ids=["socket passed in", "socket of its own"])
def test_under_load(ours: Start, program: Path, directory: Path, passed_in: bool) -> None:
    if passed_in:
        receiver = ours(*ARGUMENTS, files={"site.py": DELIVERS})
    else:
        (directory / "site.py").write_text(DELIVERS)
        receiver = start_on_port(directory, program, "-od", "out", *ARGUMENTS)
        store(receiver, "1.2.99")
    watch = OwnerWatch(receiver)
    with upgrades(receiver) as programs:
        watch.start()
        with sending(receiver.port) as senders:
            for number in range(1, 4):
                enough = number * INSTANCES
                until(lambda enough=enough: all(len(each.stored) > enough for each in senders), "all store", 60)
                if number < 3:
                    programs.upgrade()
        watch.over.set()
        watch.join(10)
        assert [text for sender in senders for text in sender.failed] == []
        stored = {uid for sender in senders for uid in sender.stored} | ({"1.2.99"} if not passed_in else set())
        assert set(receiver.files()) == {f"CT.{uid}" for uid in stored}
        check_deliveries(receiver, stored)
        assert receiver.process.wait(20) == 0
        programs.stop()
    assert (watch.unlocked, watch.looks > 100) == (0, True)
    check_one_at_a_time(receiver)
    assert "Traceback" not in receiver.log
    check_nobody_listens(receiver)


def test_running_associations_and_half_a_request_stay_with_the_old_program(ours: Start) -> None:
    receiver = ours(*ARGUMENTS, files={"site.py": DELIVERS})
    with (
        upgrades(receiver) as programs,
        RawAssociation(receiver.port, CONTEXTS) as running,
        RawAssociation(receiver.port) as half,
    ):
        half.send(REQUEST[:20])
        receiver.wait_until_accepted(half.local_port)
        old = receiver.worker_serving(running.local_port)
        new = programs.upgrade()
        assert os.getsid(new) != os.getsid(0)
        store(receiver, "1.2.1")
        assert running.store(CT, "1.2.2", data_of("1.2.2")) == 0
        assert receiver.worker_serving(running.local_port) == old
        half.send(REQUEST[20:])
        assert half.read_pdu()[0] == ASSOCIATE_AC
        assert receiver.worker_serving(half.local_port) in receiver.workers()
        assert half.store(CT, "1.2.3", data_of("1.2.3")) == 0
        check_deliveries(receiver, {"1.2.1", "1.2.2", "1.2.3"})
        assert receiver.process.poll() is None
        running.release()
        half.release()
        assert receiver.process.wait(20) == 0
        assert runs(new)
        store(receiver, "1.2.4")
        check_deliveries(receiver, {"1.2.1", "1.2.2", "1.2.3", "1.2.4"})
        programs.stop()


def test_the_old_program_ends_associations_after_the_limit(ours: Start) -> None:
    receiver = ours("-v", "-pm")
    with upgrades(receiver) as programs, RawAssociation(receiver.port, CONTEXTS) as idle:
        programs.upgrade("0.5")
        assert idle.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
        assert receiver.process.wait(20) == 0
        store(receiver, "1.2.1")
        programs.stop()


def test_several_programs_drain_and_all_end_with_the_last(ours: Start) -> None:
    receiver = ours("-v", "-pm")
    with upgrades(receiver) as programs, ExitStack() as associations:
        first = associations.enter_context(RawAssociation(receiver.port, CONTEXTS))
        programs.upgrade()
        second = associations.enter_context(RawAssociation(receiver.port, CONTEXTS))
        programs.upgrade()
        assert first.store(CT, "1.2.1", data_of("1.2.1")) == 0
        assert second.store(CT, "1.2.2", data_of("1.2.2")) == 0
        os.kill(programs.pid, signal.SIGTERM)
        assert first.read_pdu() == second.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
        programs.wait_for_end()
    check_nobody_listens(receiver)


def test_draining_waits_for_the_program_before(ours: Start) -> None:
    receiver = ours("-v", "-pm")
    with upgrades(receiver) as programs, RawAssociation(receiver.port, CONTEXTS) as running:
        programs.upgrade()
        drain = begin_dcmrecvctl(receiver, "drain")
        check_nobody_listens(receiver)
        assert drain.poll() is None
        assert running.store(CT, "1.2.1", data_of("1.2.1")) == 0
        running.release()
        drain.communicate(timeout=60)
        assert drain.returncode == 0
        programs.wait_for_end()


# A new program that fails

BROKEN = {
    "settings": ("site.toml", "max_associations = 'many'\n", "max_associations"),
    "plugin": ("site.py", "raise RuntimeError('no such library')\n", "no such library"),
    "state directory": ("site.toml", "state_dir = 'elsewhere'\n", "only a restart can change"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_old_program_goes_on_if_the_new_one_cannot_start(ours: Start, case: str) -> None:
    name, content, reason = BROKEN[case]
    files = {"site.py": DELIVERS, "site.toml": ""}
    receiver = ours(*ARGUMENTS, "--settings", "site.toml", files=files)
    with upgrades(receiver) as programs, RawAssociation(receiver.port, CONTEXTS) as running:
        (receiver.directory / name).write_text(content)
        done = dcmrecvctl(receiver, "upgrade")
        assert done.returncode == 1
        assert "dcmrecvctl: not upgraded: " in done.stderr
        assert reason in done.stderr
        assert running.store(CT, "1.2.1", data_of("1.2.1")) == 0
        store(receiver, "1.2.2")
        check_deliveries(receiver, {"1.2.1", "1.2.2"})
        (receiver.directory / name).write_text(files[name])
        programs.upgrade()
        store(receiver, "1.2.3")
        check_deliveries(receiver, {"1.2.1", "1.2.2", "1.2.3"})
        programs.stop()


@pytest.mark.parametrize("moment", ["starting", "waiting for deliveries"])
@pytest.mark.parametrize("killed", ["new", "old"])
def test_one_is_killed_before_the_handover(ours: Start, moment: str, killed: str) -> None:
    receiver = ours(*ARGUMENTS, files={"site.py": WAITS if moment == "starting" else BUSY})
    with upgrades(receiver) as programs:
        (receiver.directory / ("wait" if moment == "starting" else "busy")).touch()
        store(receiver, "1.2.1")
        if moment != "starting":
            until(lambda: notes(receiver.directory, "busy"), "a delivery runs", log=lambda: receiver.log)
        upgrade = begin_dcmrecvctl(receiver, "upgrade")
        new = programs.new_program()
        if moment != "starting":
            receiver.wait_for_log("upgrade: the new program is ready")
        os.kill(new if killed == "new" else receiver.process.pid, signal.SIGKILL)
        _, errors = upgrade.communicate(timeout=60)
        assert upgrade.returncode == 1
        for name in ("wait", "busy"):
            (receiver.directory / name).unlink(missing_ok=True)
        if killed == "new":
            assert "the new program ended before it was ready" in errors
            store(receiver, "1.2.3")
            if moment != "starting":
                check_deliveries(receiver, {"1.2.1", "1.2.3"})
            programs.stop()
        else:
            assert "has closed the connection without an answer" in errors
            programs.wait_for_end()
            check_nobody_listens(receiver)
        assert "CT.1.2.1" in receiver.files()


def test_the_new_program_is_killed_after_the_handover(ours: Start) -> None:
    """Both end, so that a restart finds the state directory free."""
    receiver = ours(*ARGUMENTS, files={"site.py": DELIVERS})
    with upgrades(receiver) as programs, RawAssociation(receiver.port, CONTEXTS) as running:
        programs.upgrade()
        os.kill(programs.pid, signal.SIGKILL)
        assert running.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
        programs.wait_for_end()
    check_nobody_listens(receiver)


def test_the_old_program_is_killed_after_the_handover(ours: Start) -> None:
    receiver = ours(*ARGUMENTS, files={"site.py": DELIVERS})
    with upgrades(receiver) as programs, RawAssociation(receiver.port, CONTEXTS) as running:
        assert running.store(CT, "1.2.1", data_of("1.2.1")) == 0
        programs.upgrade()
        receiver.kill()
        store(receiver, "1.2.2")
        check_deliveries(receiver, {"1.2.1", "1.2.2"})
        programs.stop()


# An upgrade that comes at another moment


def test_while_it_drains_there_is_none(ours: Start) -> None:
    receiver = ours("-v", "-pm")
    with upgrades(receiver), RawAssociation(receiver.port, CONTEXTS) as running:
        drain = begin_dcmrecvctl(receiver, "drain")
        receiver.wait_for_log("drain: no new associations")
        done = dcmrecvctl(receiver, "upgrade")
        assert (done.returncode, done.stderr) == (1, "dcmrecvctl: the receiver takes no new associations any more\n")
        running.release()
        drain.communicate(timeout=60)
        assert receiver.process.wait(20) == 0


def test_one_at_a_time(ours: Start) -> None:
    receiver = ours(*ARGUMENTS, files={"site.py": WAITS})
    with upgrades(receiver) as programs:
        (receiver.directory / "wait").touch()
        first = begin_dcmrecvctl(receiver, "upgrade")
        programs.new_program()
        second = dcmrecvctl(receiver, "upgrade")
        assert (second.returncode, second.stderr) == (1, "dcmrecvctl: not upgraded: an upgrade is under way\n")
        (receiver.directory / "wait").unlink()
        first.communicate(timeout=60)
        assert first.returncode == 0
        assert receiver.process.wait(20) == 0


@pytest.mark.parametrize("order", ["reload first", "upgrade first"])
def test_with_a_reload(ours: Start, order: str) -> None:
    receiver = ours(*ARGUMENTS, "--settings", "site.toml", files={"site.py": DELIVERS, "site.toml": ""})
    with upgrades(receiver) as programs:
        if order == "reload first":
            receiver.process.send_signal(signal.SIGHUP)
            programs.upgrade()
        else:
            upgrade = begin_dcmrecvctl(receiver, "upgrade")
            receiver.wait_for_log("upgrade: starting")
            receiver.process.send_signal(signal.SIGHUP)
            upgrade.communicate(timeout=60)
            assert upgrade.returncode == 0
        assert receiver.process.wait(20) == 0
        store(receiver, "1.2.1")
        check_deliveries(receiver, {"1.2.1"})
        check_begun_once(receiver)


def check_begun_once(receiver: Receiver) -> None:
    """The last delivery process runs, all others have ended before the next one began."""
    lines = (receiver.directory / "notes").read_text().splitlines()
    kinds = [line.split()[0] for line in lines if not line.startswith("event")]
    assert kinds == ["begin", "end"] * (len(kinds) // 2) + ["begin"]


def test_sigterm_while_the_new_program_starts(ours: Start) -> None:
    receiver = ours(*ARGUMENTS, files={"site.py": WAITS})
    with upgrades(receiver) as programs:
        (receiver.directory / "wait").touch()
        upgrade = begin_dcmrecvctl(receiver, "upgrade")
        new = programs.new_program()
        receiver.process.terminate()
        _, errors = upgrade.communicate(timeout=60)
        assert "not upgraded: the receiver is told to end" in errors
        assert receiver.process.wait(20) == 0
        until(lambda: not runs(new), "the new program ends")


# systemd


def test_systemd_hears_which_process_is_the_main_one(ours: Start) -> None:
    receiver = ours("-v", "-pm")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, upgrades(receiver) as programs:
        notify.bind(str(receiver.directory / "notify"))
        notify.settimeout(10)
        programs.upgrade()
        assert notify.recv(4096).decode() == f"MAINPID={programs.pid}"
        assert receiver.process.wait(20) == 0
        notify.setblocking(False)
        with pytest.raises(BlockingIOError):
            notify.recv(4096)  # the old program says nothing of its end
        notify.settimeout(10)
        os.kill(programs.pid, signal.SIGTERM)
        assert notify.recv(4096) == b"STOPPING=1"
        programs.wait_for_end()
