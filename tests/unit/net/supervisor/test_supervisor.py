"""The whole receiver as processes: how it ends, which peers are refused, which workers are killed or replaced."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dcmrecv_core.hooks.plugins import Plugins
from dcmrecv_core.net.admission import AdmissionTable
from dcmrecv_core.net.control.server import ControlError
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.supervisor import frontdesk, pool, supervisor, waiting
from dcmrecv_core.net.supervisor.listener import Listeners
from dcmrecv_core.net.supervisor.reload import SettingsSource
from dcmrecv_core.net.supervisor.supervisor import Supervisor
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.temporary import Capabilities
from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.programs.environment import write_files
from support.programs.receivers import Receiver, Start, is_free, open_files, start_ours
from support.protocol.pdus import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    RELEASE_RQ,
    associate_rq,
    command_set,
    data_pdus,
    pdu,
    status_of,
    store_rq,
)
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION

INSTANCE = "1.2.3.4"
DATA = instance_of(CT, INSTANCE)
CONTEXTS = [(CT, [EXPLICIT_LE]), (VERIFICATION, [IMPLICIT_LE])]
REQUEST = associate_rq(CONTEXTS)
STORE = b"".join(data_pdus(1, [command_set(store_rq(CT, INSTANCE))], is_command=True)) + b"".join(
    data_pdus(1, [DATA], is_command=False)
)
IMPORT = "import os, signal, time\nfrom dcmrecv_core import hookimpl\n"
SOON = 5.0
"""Seconds: less than the grace of a stop, and far more than an end without it takes on a busy machine."""

PATIENCE = 15.0
"""Seconds that a request waits for a worker here, unless a test says otherwise: a busy machine forks slowly."""

IMPATIENT = {"WAIT_FOR_WORKER": str(supervisor.WAIT_FOR_WORKER)}
"""Variables with which it waits no longer than elsewhere."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A script that runs `dcmrecv` from the sources under test."""
    places = {
        str(Path(spec.origin).parent.parent)
        for name in ("dcmrecv_core", "dcmrecv_builtin")
        if (spec := find_spec(name)) and spec.origin
    }
    script = tmp_path_factory.mktemp("program") / "dcmrecv"
    script.write_text(
        f"#!{sys.executable}\nimport os, sys\nsys.path[:0] = {sorted(places)}\n"
        "from dcmrecv_core.cli import main\nfrom dcmrecv_core.net.supervisor import supervisor\n"
        f"supervisor.WAIT_FOR_WORKER = float(os.environ.get('WAIT_FOR_WORKER', {PATIENCE}))\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    return script


@pytest.fixture
def start(program: Path) -> Iterator[Start]:
    """Starts the receiver, after writing `files` to its directory. It ends with the test."""
    with tempfile.TemporaryDirectory(prefix="dcmrecv-") as directory, contextlib.ExitStack() as ends:
        home = Path(directory)

        def make(*arguments: object, files: dict[str, str] | None = None, **options: Any) -> Receiver:
            write_files(home, files or {})
            receiver = start_ours(program, home, "-v", "-pm", *arguments, **options)
            ends.callback(receiver.end)
            return receiver

        yield make


BEGUN = "Received C-STORE Request"


def half_way(receiver: Receiver) -> RawAssociation:
    """An association in the middle of an instance."""
    begun = receiver.log.count(BEGUN)
    association = RawAssociation(receiver.port, CONTEXTS)
    association.send(STORE[:-100])
    until(lambda: receiver.log.count(BEGUN) > begun, "the worker has begun the instance")
    return association


def echo(receiver: Receiver) -> None:
    """Without a worker in time it would be rejected."""
    with RawAssociation(receiver.port, [(VERIFICATION, [IMPLICIT_LE])]) as association:
        assert association.echo() == 0
        association.release()


def is_alive(pid: int) -> bool:
    """Zombies count as alive."""
    return Path(f"/proc/{pid}").exists()


def runs(pid: int) -> bool:
    """Zombies, which init has not reaped yet, do not count."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


# How it ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_ends_at_once(start: Start, number: int) -> None:
    receiver = start("-v")
    workers = receiver.workers()
    begin = time.monotonic()
    assert receiver.stop(number) == 0
    assert time.monotonic() - begin < SOON
    assert not any(map(is_alive, workers))
    assert "E:" not in receiver.log
    assert "Traceback" not in receiver.log


@pytest.mark.parametrize("group", [False, True], ids=["term", "ctrl-c"])
def test_the_instance_under_way_is_finished(start: Start, group: bool) -> None:
    receiver = start("-v", start_new_session=True)
    with half_way(receiver) as association, RawAssociation(receiver.port, CONTEXTS) as idle:
        receiver.wait_for_log("Received C-STORE Request")
        if group:
            os.killpg(receiver.process.pid, signal.SIGINT)
        else:
            receiver.process.terminate()
        assert idle.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
        until(lambda: is_free(receiver.port), "the port is free")
        association.send(STORE[-100:])
        assert status_of(association.response()) == 0
        assert association.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
    assert receiver.process.wait(5) == 0
    assert receiver.files() == [f"CT.{INSTANCE}"]
    assert "Traceback" not in receiver.log


def test_pipelined_instances_do_not_delay_the_end(start: Start) -> None:
    """A sender that never pauses gets the response for the current instance, then an A-ABORT."""
    receiver = start("--no-fsync")
    with RawAssociation(receiver.port, CONTEXTS) as association, ThreadPoolExecutor(1) as threads:
        sending = threads.submit(send_until_it_breaks, association)
        assert status_of(association.response()) == 0
        receiver.process.terminate()
        while association.response():
            continue
        assert receiver.process.wait(SOON) == 0
        sending.result(10)


def send_until_it_breaks(association: RawAssociation) -> None:
    with contextlib.suppress(OSError):
        while True:
            association.send(STORE)


def test_a_second_signal_ends_at_once(start: Start) -> None:
    receiver = start()
    with half_way(receiver) as association:
        workers = receiver.workers()
        receiver.process.terminate()
        receiver.wait_for_log("SIGTERM: no new associations")
        association.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            association.read_pdu()
        receiver.process.terminate()
        assert receiver.process.wait(SOON) == 0
        association.socket.settimeout(5)
        assert association.read_pdu() == (0, b"")
    until(lambda: not any(map(runs, workers)), "the workers end", SOON)
    assert receiver.files() == []


def test_signals_right_after_the_start(start: Start) -> None:
    """Workers that are being forked do not turn one signal into two."""
    plugin = IMPORT + "@hookimpl\ndef worker_started(settings): open('started', 'a').write(f'{os.getpid()}\\n')\n"
    receiver = start("--plugin", "slow", files={"slow.py": plugin}, start_new_session=True)
    with contextlib.ExitStack() as stack:
        associations = [stack.enter_context(half_way(receiver)) for _ in range(3)]  # the supervisor is forking
        os.killpg(receiver.process.pid, signal.SIGINT)
        for association in associations:
            association.send(STORE[-100:])
            assert status_of(association.response()) == 0
    assert receiver.process.wait(5) == 0


ENDLESS = (
    IMPORT
    + """
@hookimpl
def receive(instance):
    if instance.sop_instance_uid == "1.1":
        open("entered", "w").close()
        while True: pass
"""
)


def test_workers_do_not_outlive_the_supervisor(start: Start) -> None:
    """Neither one that is receiving nor one whose hook never returns."""
    receiver = start("--plugin", "endless", files={"endless.py": ENDLESS})
    with half_way(receiver), RawAssociation(receiver.port, CONTEXTS) as association:
        association.request(store_rq(CT, "1.1"), instance_of(CT, "1.1"))
        until((receiver.directory / "entered").exists, "the hook runs")
        until(lambda: len(receiver.workers()) == 2 + pool.SPARE, "two more are forked")
        workers = receiver.workers()
        receiver.kill()
        until(lambda: is_free(receiver.port), "the port is free")
        until(lambda: not any(map(runs, workers)), "the workers end", seconds=5)
    assert receiver.files() == []


# Which peers are refused, which are served


def test_when_all_are_busy_the_next_peer_is_rejected_within_a_second(start: Start) -> None:
    """The bound of the measured time is wider than a second, for a busy machine."""
    assert supervisor.WAIT_FOR_WORKER < 1
    receiver = start("--max-associations", "1", env=IMPATIENT)
    with RawAssociation(receiver.port, CONTEXTS):
        begin = time.monotonic()
        with RawAssociation(receiver.port) as other:
            other.send(REQUEST)
            assert other.read_pdu() == (ASSOCIATE_RJ, bytes((0, 2, 3, 2)))
            assert 0.5 < time.monotonic() - begin < SOON
            assert other.read_pdu() == (0, b"")


def test_when_all_are_busy_the_next_peer_gets_the_place_of_one_that_ends(start: Start) -> None:
    receiver = start("--max-associations", "1")
    with RawAssociation(receiver.port, CONTEXTS) as busy, RawAssociation(receiver.port) as patient:
        patient.send(REQUEST)
        busy.release()
        assert patient.read_pdu()[0] == ASSOCIATE_AC


def test_peers_that_keep_their_connection_hold_no_worker(start: Start) -> None:
    receiver = start("--max-associations", "2", env=IMPATIENT)
    with contextlib.ExitStack() as stack:
        for number in range(12):
            association = stack.enter_context(RawAssociation(receiver.port, CONTEXTS))
            association.send(pdu(RELEASE_RQ, bytes(4)) if number % 2 else pdu(ASSOCIATE_AC, bytes(4)))
            association.read_pdu()
        stack.enter_context(RawAssociation(receiver.port)).send(b"GET / HTTP/1.1\r\n\r\n")
        echo(receiver)


def test_a_refused_peer_sees_the_end_although_workers_were_forked_meanwhile(start: Start) -> None:
    receiver = start("-ta", "1")
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(socket.create_connection(("127.0.0.1", receiver.port), timeout=5))
        silent.sendall(REQUEST[:50])
        before = receiver.workers()
        for _ in range(3):
            stack.enter_context(RawAssociation(receiver.port, CONTEXTS))
        until(lambda: receiver.workers() - before, "workers are forked")
        assert silent.recv(1) == b""
        until(
            lambda: all(number_of_sockets(pid) <= 4 for pid in receiver.workers()),
            "each has its pair with the supervisor, its connection, the listening socket, its log",
        )


def number_of_sockets(pid: int) -> int:
    return sum(target.startswith("socket:") for target in open_files(pid))


def test_connections_that_break_anywhere_kill_no_worker(start: Start) -> None:
    receiver = start("--no-fsync")
    workers = receiver.workers()
    said = REQUEST + STORE + STORE + pdu(RELEASE_RQ, bytes(4))
    request, first = len(REQUEST), len(REQUEST) + len(STORE)
    for cut in (0, 1, 6, request - 1, request, request + 3, request + 50, first - 1, first, first + 300, len(said)):
        for reset in (False, True):
            with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as peer:
                peer.sendall(said[:cut])
                if reset:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if first <= cut < len(said):
                until(lambda: receiver.files() == [f"CT.{INSTANCE}"], "what was complete is kept")
                (receiver.output / f"CT.{INSTANCE}").unlink()
    echo(receiver)
    assert workers <= receiver.workers()
    assert "Traceback" not in receiver.log


# Workers that end


def test_workers_are_recycled(start: Start) -> None:
    plugin = IMPORT + "@hookimpl\ndef choose_subdir(instance): return str(os.getpid())\n"
    limits = ("--max-associations", "1", "--recycle-after", "4")
    receiver = start("-v", "--plugin", "mysite", *limits, files={"mysite.py": plugin})
    for _ in range(10):
        with RawAssociation(receiver.port, CONTEXTS) as association:
            assert association.store(CT, INSTANCE, DATA) == 0
            association.release()
    pids = {int(name.split("/")[0]) for name in receiver.files()}
    assert len(pids) == 3
    until(lambda: sum(map(is_alive, pids)) == 1, "those that have ended are reaped")
    assert "E:" not in receiver.log


def test_workers_that_are_told_to_end_are_replaced(start: Start) -> None:
    receiver = start()
    workers = receiver.workers()
    for pid in workers:
        os.kill(pid, signal.SIGTERM)
    until(lambda: not any(map(is_alive, workers)), "they end", SOON)
    echo(receiver)


BUSY = (
    IMPORT
    + """
@hookimpl
def receive(instance):
    uid = instance.sop_instance_uid
    if uid == "1.1":
        while True: pass
    if uid == "1.2":
        while True:
            try: time.sleep(60)
            except BaseException: pass
    if uid == "1.3":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True: pass
"""
)


def test_hooks_that_never_return(start: Start) -> None:
    files = {"busy.py": BUSY, "dcmrecv.toml": "hook_seconds = 1\n"}
    receiver = start("--settings", "dcmrecv.toml", "--plugin", "busy", files=files)
    with contextlib.ExitStack() as stack:
        other, endless, stubborn, uninterruptible = (
            stack.enter_context(RawAssociation(receiver.port, CONTEXTS)) for _ in range(4)
        )
        victims = {receiver.worker_serving(association.local_port) for association in (stubborn, uninterruptible)}
        for uid, association in (("1.1", endless), ("1.2", stubborn), ("1.3", uninterruptible)):
            association.request(store_rq(CT, uid), instance_of(CT, uid))
        assert other.store(CT, "1.4", instance_of(CT, "1.4")) == 0, "others are not affected"
        assert status_of(endless.response()) == 0x0110, "a hook that can be interrupted is"
        assert endless.store(CT, "1.5", instance_of(CT, "1.5")) == 0, "its association goes on"
        assert stubborn.read_pdu() == (0, b"")
        assert uninterruptible.read_pdu() == (0, b"")
        until(lambda: not any(map(is_alive, victims)), "the killed workers are reaped")
        echo(receiver)
        assert other.store(CT, "1.6", instance_of(CT, "1.6")) == 0
    assert receiver.files() == ["CT.1.4", "CT.1.5", "CT.1.6"]


@pytest.mark.parametrize(("most", "stopped"), [(10, 1), (10, 2), (1, 1)])
def test_fault_16_a_stopped_idle_worker_gets_no_association(start: Start, most: int, stopped: int) -> None:
    receiver = start("--max-associations", most)
    victims = sorted(until(lambda: len(found := receiver.workers()) >= stopped and found, "workers"))[:stopped]
    for pid in victims:
        os.kill(pid, signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        begin = time.monotonic()
        for _ in range(min(most, 2)):  # one of them would get a stopped worker
            association = stack.enter_context(RawAssociation(receiver.port, CONTEXTS, timeout=10))
            assert association.store(CT, INSTANCE, DATA) == 0
        assert time.monotonic() - begin < pool.BUSY_TAKE_SECONDS
        if stopped == min(most, pool.SPARE):  # one has been idle; the other one may have been starting
            until(lambda: not all(map(is_alive, victims)), "it is killed")
            assert re.search(rf"worker ({'|'.join(map(str, victims))}) does not answer; killing it", receiver.log)


DEADLY = (
    IMPORT
    + """
@hookimpl
def receive(instance):
    uid = instance.sop_instance_uid
    if uid == "1.1": os.kill(os.getpid(), signal.SIGSEGV)
    if uid == "1.2":
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True: pass
"""
)


def test_fault_23_the_line_about_a_killed_worker_names_hook_plugin_peer_and_instance(start: Start) -> None:
    files = {"deadly.py": DEADLY, "dcmrecv.toml": "hook_seconds = 1\n"}
    receiver = start("--settings", "dcmrecv.toml", "--plugin", "deadly", files=files)
    for uid, how in (("1.1", "was killed by signal 11"), ("1.2", "is stuck")):
        where = f"in hook receive of plugin deadly (RAWSCU@127.0.0.1, SOP instance {uid})"
        with RawAssociation(receiver.port, CONTEXTS) as association:
            victim = receiver.worker_serving(association.local_port)
            association.request(store_rq(CT, uid), instance_of(CT, uid))
            receiver.wait_for_log(f"E: worker {victim} {how} {where}")
            assert association.read_pdu() == (0, b"")
    with RawAssociation(receiver.port, CONTEXTS) as association:
        assert association.store(CT, "1.3", instance_of(CT, "1.3")) == 0
        victim = receiver.worker_serving(association.local_port)
        os.kill(victim, signal.SIGKILL)
        receiver.wait_for_log(f"E: worker {victim} was killed by signal 9 (RAWSCU@127.0.0.1)\n")


def test_systemd_is_told_ready_when_a_worker_can_serve(program: Path) -> None:
    plugin = (
        IMPORT
        + "@hookimpl\ndef worker_started(settings):\n"
        + "    open(f'started{os.getpid()}', 'w').close()\n"
        + "    while not os.path.exists('go'): time.sleep(0.01)\n"
    )
    with tempfile.TemporaryDirectory(prefix="dcmrecv-") as directory, ThreadPoolExecutor(1) as threads:
        home = Path(directory)
        write_files(home, {"slow.py": plugin})
        starting = threads.submit(start_ours, program, home, "-pm", "--plugin", "slow")
        try:
            until(lambda: len(list(home.glob("started*"))) == pool.SPARE, "workers start")
            assert not starting.done()
        finally:
            (home / "go").touch()
            receiver = starting.result(20)
        assert len(list(home.glob("started*"))) == pool.SPARE, "slow starts make more and more workers"
        assert receiver.stop() == 0


# The loop, without processes


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Supervisor, int]]:
    """A supervisor that forks no workers, and its port."""
    monkeypatch.setattr(supervisor.Pool, "grow", lambda *_: None)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    source = SettingsSource(Settings, lambda _: Capabilities())
    made = Supervisor(Settings(), Plugins(), Listeners([listener]), Capabilities(), source)
    yield made, listener.getsockname()[1]
    made._desk.close()
    for request in made._waiting:
        request.handover.sock.close()
    made._selector.close()


def test_a_connection_closed_within_a_turn_is_not_handled_again(
    loop: tuple[Supervisor, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, port = loop
    monkeypatch.setattr(frontdesk, "MAX_PENDING", 1)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as first:
        made._turn()
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            first.sendall(b"\1")  # both are ready in the next turn, in which the second causes the first to be dropped
            made._turn()
        with contextlib.suppress(ConnectionResetError):
            assert first.recv(1) == b""


@pytest.mark.parametrize("limit", [-1, 10**400, float("inf"), float("nan"), True, "1", [1]])
@pytest.mark.parametrize("command", ["drain", "upgrade"])
def test_a_limit_that_is_no_time_is_refused(loop: tuple[Supervisor, int], command: str, limit: Any) -> None:
    made, _ = loop
    answers: list[Any] = []
    with pytest.raises(ControlError):
        made._commands()[command]({"command": command, "limit": limit}, answers.append)
    assert answers == [] and made._drain_until is None


def test_the_number_of_waiting_requests_is_bounded(
    loop: tuple[Supervisor, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, port = loop
    monkeypatch.setattr(waiting, "MAX_WAITING", 2)
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(supervisor, "time", clock)
    rejected = pdu(ASSOCIATE_RJ, bytes((0, 2, 3, 2)))
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5)) for _ in range(3)]
        for peer in peers:
            peer.sendall(REQUEST)
            peer.setblocking(False)
        turn_until(made, lambda: said(peers[2]) == rejected)
        clock.now += supervisor.WAIT_FOR_WORKER - 0.01
        made._turn()
        assert [said(peer) for peer in peers[:2]] == [b"", b""]
        clock.now += 0.02
        turn_until(made, lambda: said(peers[0]) == rejected)
        turn_until(made, lambda: said(peers[1]) == rejected)


def test_a_request_that_its_worker_did_not_take_waits_once_for_another_worker(loop: tuple[Supervisor, int]) -> None:
    made, _ = loop
    ours, peer = socket.socketpair()
    with ours, peer:
        handover = Handover(ours, REQUEST, "10.0.0.1", 1)
        made._reassign(handover)
        [request] = made._waiting
        assert request.handover is handover
        made._waiting.remove(request)
        made._reassign(handover)
        assert not made._waiting
        assert peer.recv(1) == b""


def test_an_idle_association_is_asked_to_end_as_long_as_its_place_is_needed(
    loop: tuple[Supervisor, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = loop
    slot = AdmissionTable(1).take(0.0)[1]
    now = time.monotonic()
    slot.begin("10.0.0.1", now - 100, handshake=False)
    slot.wait_since(now - 61)
    monkeypatch.setattr(made, "_shares", waiting.Shares(1, None))
    monkeypatch.setattr(made._pool.table, "places", lambda: [slot.place])
    monkeypatch.setattr(supervisor.Pool, "can_grow", False)
    ours, peer = socket.socketpair()
    with ours, peer:
        made._admit(Handover(ours, REQUEST, "10.0.0.2", 1))
        made._do_periodic_work(now)
        assert slot.newcomer == "10.0.0.2"
        [request] = made._waiting
        made._waiting.remove(request)
        made._do_periodic_work(now)
        assert slot.newcomer == "", "its peer was served elsewhere, or has given up"


def said(peer: socket.socket) -> bytes:
    try:
        return peer.recv(100)
    except BlockingIOError:
        return b""


def turn_until(made: Supervisor, condition: Any) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        made._turn()
