"""The pool of workers, with workers that do what their request says."""

from __future__ import annotations

import logging
import os
import resource
import select
import signal
import socket
from collections.abc import Callable

import pytest

from dcmrecv_core.net import child
from dcmrecv_core.net.admission import Activity, Door, Place, Slot, peer_key
from dcmrecv_core.net.handover import IDLE, Handover, LostAssociation, pass_on
from dcmrecv_core.net.shares import Shares
from dcmrecv_core.net.supervisor import pool as pool_module
from dcmrecv_core.net.supervisor.pool import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    SHRINK_SECONDS,
    SPARE,
    STUCK_SECONDS,
)
from support.protocol.pool_driver import ANY_SHARES, HOOK_SECONDS, LIMIT, Start, exists, obedient, stop

# The test runner may have threads; forking is safe as long as the child runs our code only
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def never_ready(control: socket.socket, slot: Slot) -> int:
    control.recv(1)
    return 0


def ends_at_once(control: socket.socket, slot: Slot) -> int:
    return 1


def lacks_descriptors(control: socket.socket, slot: Slot) -> int:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    slot.claim.offer()
    control.send(IDLE)
    control.recv(1)
    return child.OUT_OF_DESCRIPTORS


def raises(control: socket.socket, slot: Slot) -> int:
    raise SystemExit("out of order")


def test_spare_workers_beside_the_busy_ones_up_to_the_limit(start: Start) -> None:
    driver = start()
    assert not driver.pool.is_ready
    driver.settle()
    assert driver.pool.is_ready
    pids = set()
    for busy in range(1, LIMIT + 1):
        pids.add(driver.serve()[1])
        driver.settle()
        assert len(driver.pool) == min(busy + SPARE, LIMIT)
    assert len(pids) == LIMIT
    assert driver.assign() is None, "all are busy"


def test_waiting_peers_count(start: Start) -> None:
    driver = start()
    driver.settle(waiting=2)
    assert driver.idle == SPARE + 2
    driver.settle(waiting=100)
    assert driver.idle == LIMIT


def test_an_idle_worker_serves_again(start: Start) -> None:
    driver = start(limit=1)
    driver.settle()
    peer, pid = driver.serve()
    driver.finish(peer)
    assert driver.serve()[1] == pid


def accepts(control: socket.socket, slot: Slot) -> int:
    """Has accepted a connection itself, until the supervisor says a byte; then it serves what it is given."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    slot.claim.offer()
    control.send(IDLE)
    while not slot.claim.take():
        continue
    slot.beat(ACCEPTED)
    control.recv(1)
    return obedient(control, slot)


ACCEPTED = 12345.0
"""A heartbeat that says so."""


def test_a_worker_that_has_accepted_a_connection_itself_gets_no_handover(start: Start) -> None:
    driver = start(accepts, limit=1)
    driver.settle()
    [worker] = driver.pool._workers.values()
    driver.until(lambda: worker.slot.last_beat == ACCEPTED, "it has taken the claim")
    assert worker.idle, "the table does not show it yet"
    assert driver.assign() is None
    worker.control.send(b".")
    driver.until(lambda: driver.assign() is not None, "it is idle again")
    assert int(driver.peers[-1].recv(100)) == worker.pid


def passes_on(control: socket.socket, slot: Slot) -> int:
    """Accepts a connection, tells its peer its pid, and passes it on."""
    ours, peer = socket.socketpair()
    peer.sendall(b"%d" % os.getpid())
    pass_on(control, ours)
    ours.close()
    return obedient(control, slot)


def test_a_connection_that_a_worker_passes_on(start: Start) -> None:
    driver = start(passes_on, limit=1)
    driver.settle()
    [sock] = driver.passed_on
    with sock:
        assert int(sock.recv(100)) == driver.children[0]
    assert driver.started == 1


def passes_on_and_ends(control: socket.socket, slot: Slot) -> int:
    for _ in range(3):
        ours, _ = socket.socketpair()
        pass_on(control, ours)
    return 0


def test_all_connections_that_a_worker_passes_on_before_it_ends(start: Start) -> None:
    driver = start(passes_on_and_ends, limit=1)
    driver.pool.grow(driver.now)
    [pid] = driver.children
    os.waitpid(pid, 0)
    driver.pool.child_ended(pid, 0, driver.now)
    assert len(driver.passed_on) == 3
    for sock in driver.passed_on:
        sock.close()


def test_without_a_free_descriptor_a_connection_that_is_passed_on_is_lost(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    driver = start(passes_on, limit=1)
    driver.pool.grow(driver.now)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    select.select(driver.selector.get_map(), (), (), 10)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        driver.until(lambda: bool(caplog.records), "it says so")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [record.getMessage() for record in caplog.records] == ["cannot accept connections: Too many open files"]
    driver.settle()
    assert driver.passed_on == []
    assert driver.idle == 1


def test_a_handover_that_was_taken_before_its_message_was_read_is_not_reassigned(start: Start) -> None:
    driver = start(limit=1)
    driver.settle()
    peer, pid = driver.serve()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    driver.pool.child_ended(pid, -signal.SIGKILL, driver.now)
    driver.turn()
    assert peer.recv(100) == b""
    assert driver.reassigned == []


def test_shrinks_when_idle(start: Start) -> None:
    driver = start()
    driver.settle(waiting=LIMIT)
    driver.turn(SHRINK_SECONDS - 1)
    assert len(driver.pool) == LIMIT
    driver.finish(driver.serve()[0])
    driver.turn(2)
    driver.until(lambda: len(driver.pool) == SPARE, f"shrunk to {SPARE}")
    assert driver.idle == SPARE


@pytest.mark.parametrize("busy", [False, True])
def test_dead_workers_are_replaced(start: Start, caplog: pytest.LogCaptureFixture, busy: bool) -> None:
    driver = start()
    driver.settle()
    victims = list(driver.children)
    peers = [driver.serve()[0] for _ in victims] if busy else []
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    driver.until_gone()
    driver.settle()
    assert driver.idle == SPARE
    assert not set(victims) & {worker.pid for worker in driver.pool._workers.values()}
    how = "was killed by signal 9 (10.0.0.1)" if busy else "was killed by signal 9"
    assert {record.args for record in caplog.records} == {(pid, how) for pid in victims}
    assert driver.reassigned == []
    for peer in peers:
        assert peer.recv(100) == b""


def test_recycled_workers_are_replaced_without_a_log_line(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    driver = start(limit=1)
    driver.settle()
    peer, pid = driver.serve(b"recycle")
    peer.close()
    driver.until_gone()
    driver.settle()
    assert driver.serve()[1] != pid
    assert caplog.records == []


def test_an_association_goes_to_another_worker_if_one_has_ended(start: Start) -> None:
    driver = start()
    driver.settle()
    victim = driver.children[0]
    os.kill(victim, signal.SIGKILL)
    os.waitid(os.P_PID, victim, os.WEXITED | os.WNOWAIT)  # dead, and the pool does not know it yet
    assert driver.serve()[1] == driver.children[1]
    assert driver.assign() is None


@pytest.mark.parametrize("size", [10, 1 << 20], ids=["sent", "half-sent"])
def test_a_handover_that_its_worker_did_not_take_is_reassigned(start: Start, size: int) -> None:
    driver = start(never_ready, limit=1)
    driver.pool.grow(driver.now)
    [worker] = driver.pool._workers.values()
    worker.started = True
    worker.slot.claim.offer()
    peer = driver.assign(bytes(size))
    assert peer is not None
    driver.until_gone()
    [handover] = driver.reassigned
    handover.sock.sendall(b"still here")
    assert peer.recv(100) == b"still here"
    handover.sock.close()


def test_places_are_those_of_the_table_and_of_handovers(start: Start) -> None:
    driver = start(limit=2)
    driver.settle()
    assert driver.pool.table.places() == []
    assert not driver.pool.can_grow
    peer, _ = driver.serve()
    [worker] = (worker for worker in driver.pool._workers.values() if not worker.idle)
    key = peer_key("10.0.0.1")
    assert [place.peer for place in driver.pool.table.places()] == [key], "handed over"
    driver.until(lambda: worker.handover_sender is None, "it is taken")
    assert driver.pool.table.places() == [Place(worker.slot, Activity.SERVING, 1, driver.now, 0.0, key)]
    worker.slot.wait_since(7.0)
    assert driver.pool.table.places() == [Place(worker.slot, Activity.SERVING, 1, driver.now, 7.0, key)]
    worker.slot.become(Activity.ENDING)
    assert [place.activity for place in driver.pool.table.places()] == [Activity.ENDING]
    driver.finish(peer)
    assert driver.pool.table.places() == []
    assert driver.pool.table.busy == 0


def test_a_handover_has_its_place_before_its_worker_takes_it(start: Start) -> None:
    """Else another worker would let the same peer in meanwhile, beyond its share."""
    driver = start()
    driver.settle()
    for worker in driver.pool._workers.values():
        stop(worker.pid)
    assert driver.assign() is not None
    [place] = driver.pool.table.places()
    assert place[1:3] + place[5:] == (Activity.SERVING, 1, peer_key("10.0.0.1"))
    driver.pool.signal_all(signal.SIGCONT)
    driver.until(lambda: not any(worker.handover_sender for worker in driver.pool._workers.values()), "it is taken")
    assert driver.pool.table.places() == [place]


def test_no_handover_to_a_peer_that_has_its_share_meanwhile(start: Start) -> None:
    """A worker may have accepted a connection of it at the same moment."""
    driver = start()
    driver.settle()
    other = next(iter(driver.pool._workers.values()))
    assert other.slot.claim.take()
    other.slot.reserve("10.0.0.1", driver.now, handshake=False)
    assert driver.assign(shares=Shares(LIMIT, per_peer=1)) is None
    assert [place.slot for place in driver.pool.table.places()] == [other.slot]
    assert driver.idle == SPARE - 1
    assert driver.assign(shares=Shares(LIMIT, per_peer=2)) is not None, "the worker is idle as before"


def test_a_worker_that_is_away_is_replaced_and_has_no_place(start: Start) -> None:
    driver = start()
    driver.settle()
    worker = next(iter(driver.pool._workers.values()))
    worker.slot.become(Activity.AWAY)
    assert driver.idle == SPARE - 1
    driver.settle()
    assert (driver.idle, len(driver.pool)) == (SPARE, SPARE + 1)
    assert driver.pool.table.places() == []


def test_a_handover_over_tls_is_a_handshake(start: Start) -> None:
    driver = start(limit=2)
    driver.settle()
    ours, peer = socket.socketpair()
    driver.peers.append(peer)
    assert driver.pool.assign(Handover(ours, b"", "10.0.0.1", 1, tls_deadline=5.0), driver.now, ANY_SHARES)
    assert [place.activity for place in driver.pool.table.places()] == [Activity.HANDSHAKE]
    driver.until(lambda: ours.fileno() == -1, "it is taken")


def test_a_handover_that_was_taken_is_not_reassigned(start: Start) -> None:
    driver = start(limit=1)
    driver.settle()
    peer, pid = driver.serve()
    driver.until(lambda: not any(worker.handover_sender for worker in driver.pool._workers.values()), "it is taken")
    os.kill(pid, signal.SIGKILL)
    driver.until_gone()
    assert peer.recv(100) == b""
    assert driver.reassigned == []


def test_slow_starts_do_not_make_it_grow(start: Start) -> None:
    driver = start(never_ready)
    for _ in range(5):
        driver.pool.grow(driver.now)
        driver.turn(10)
    assert len(driver.pool) == SPARE
    assert not driver.pool.is_ready


@pytest.mark.parametrize("main", [ends_at_once, raises])
def test_no_forks_without_a_pause(start: Start, main: Callable[[socket.socket, Slot], int]) -> None:
    driver = start(main)
    pause, forks = FIRST_PAUSE, 0
    while pause < 4 * LONGEST_PAUSE:
        forks += SPARE
        driver.pool.grow(driver.now)
        driver.until_gone()
        driver.now += min(pause, LONGEST_PAUSE) - 0.01
        driver.pool.grow(driver.now)
        assert len(driver.children) == forks
        driver.now += 0.02
        pause *= 2


def test_fault_16_workers_without_descriptors_are_replaced_after_a_pause(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    driver = start(lacks_descriptors, limit=1)
    for forks in range(1, 4):
        driver.settle()
        assert len(driver.children) == forks
        assert driver.assign() is not None
        driver.until_gone()
        driver.reassigned.pop().sock.close()
        driver.now += FIRST_PAUSE - 0.01
        driver.pool.grow(driver.now)
        assert len(driver.children) == forks
        driver.now += 0.02
    assert caplog.records == [], "each worker has said it"


def test_a_worker_that_starts_ends_the_pause(start: Start) -> None:
    driver = start(lambda control, slot: ends_at_once(control, slot) if fail else obedient(control, slot))
    fail = True
    for _ in range(3):
        driver.pool.grow(driver.now)
        driver.until_gone()
        driver.now += LONGEST_PAUSE
    fail = False
    driver.settle()
    assert driver.idle == SPARE
    for pid in driver.children[-SPARE:]:
        os.kill(pid, signal.SIGKILL)
    driver.until_gone()
    driver.settle()
    assert driver.idle == SPARE, "workers that have served are replaced at once"


def test_fork_that_fails_is_tried_again_later(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = start()
    with monkeypatch.context() as patch:
        patch.setattr(pool_module.os, "fork", lambda: os.close(-1))
        driver.pool.grow(driver.now)
    driver.pool.grow(driver.now)
    assert len(driver.pool) == 0
    driver.now += FIRST_PAUSE
    driver.settle()
    assert driver.idle == SPARE


def test_children_start_with_all_signals_blocked(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    def tell(control: socket.socket, slot: Slot) -> int:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return 7 if {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM} <= blocked else 8

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    driver = start(tell, limit=1)
    driver.pool.grow(driver.now)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    driver.until_gone()
    assert [record.args for record in caplog.records] == [(driver.children[0], "ended with exit code 7")]


def test_a_hook_that_ignores_its_timeout_gets_its_worker_killed(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    driver = start(limit=2)
    driver.settle()
    peer, pid = driver.serve(b"overdue")
    other, _ = driver.serve(b"overdue once")
    driver.turn()
    driver.turn(STUCK_SECONDS - 0.1)
    assert len(driver.pool) == 2
    driver.turn(0.1)
    assert peer.recv(100) == b""
    driver.until(lambda: len(driver.pool) == 1 and not exists(pid), "its end is seen")
    driver.turn(10 * HOOK_SECONDS)
    assert len(driver.pool) == 1, "the overdue hook has ended"
    where = " in hook 1 (SENDER@10.0.0.1, SOP instance 1.2.3)"
    assert [record.getMessage() for record in caplog.records] == [
        f"worker {pid} is stuck{where}; killing it",
        f"worker {pid} was killed by signal 9{where}",
    ]
    driver.finish(other)


def test_no_heartbeat_within_a_hook_gets_the_worker_killed(start: Start) -> None:
    driver = start(limit=2)
    driver.settle()
    peer, pid = driver.serve(b"hook")
    other, _ = driver.serve(b"no hook")
    driver.turn(HOOK_SECONDS)
    driver.turn(0.1)
    driver.turn(STUCK_SECONDS - 0.1)
    assert len(driver.pool) == 2
    driver.turn(0.1)
    assert peer.recv(100) == b""
    driver.until(lambda: len(driver.pool) == 1 and not exists(pid), "its end is seen")
    driver.turn(10 * HOOK_SECONDS)
    driver.turn(10 * HOOK_SECONDS)
    assert len(driver.pool) == 1, "a worker that hangs outside of hooks, perhaps in a disk, is not killed"
    driver.finish(other)


def test_stop_ends_idle_workers_at_once_and_forks_no_more(start: Start) -> None:
    driver = start()
    driver.settle()
    peer, _ = driver.serve()
    driver.settle()
    driver.pool.stop()
    driver.until(lambda: len(driver.pool) == 1, "the idle ones end")
    driver.pool.grow(driver.now)
    assert len(driver.pool) == 1
    assert driver.assign() is None
    peer.close()
    driver.until_gone()


def test_stop_ends_those_that_are_starting(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    driver = start()
    driver.pool.grow(driver.now)
    driver.pool.stop()
    driver.until_gone()
    assert [record.levelno for record in caplog.records if record.levelno > logging.INFO] == []


def test_close_in_child_closes_the_supervisors_sockets(start: Start) -> None:
    driver = start()
    driver.pool.grow(driver.now)
    held = [worker.control.dup() for worker in driver.pool._workers.values()]
    controls = [worker.control for worker in driver.pool._workers.values()]
    driver.pool.close_in_child()
    assert [control.fileno() for control in controls] == [-1] * SPARE
    for control in held:  # as in another process: the workers do not notice
        control.shutdown(socket.SHUT_RDWR)
        control.close()
    driver.pool._workers.clear()
    for pid in driver.children:
        os.waitpid(pid, 0)


# After a reload


def test_workers_are_replaced_when_idle(start: Start) -> None:
    driver = start()
    driver.settle()
    peer, busy = driver.serve()
    driver.settle()
    old = {worker.pid for worker in driver.pool._workers.values()}
    driver.pool.replace_all(HOOK_SECONDS)
    assert driver.idle == 0, "no association goes to an old worker"
    driver.settle()
    driver.until(lambda: driver.idle == SPARE, "new ones are idle")
    driver.until(lambda: {worker.pid for worker in driver.pool._workers.values()} & old == {busy}, "idle ones ended")
    assert busy in {worker.pid for worker in driver.pool._workers.values()}
    peer.shutdown(socket.SHUT_WR)  # the new workers have copies of this socket
    driver.until(lambda: busy not in {worker.pid for worker in driver.pool._workers.values()}, "the busy one ended")
    assert driver.serve()[1] not in old


def test_workers_that_are_starting_are_replaced_too(start: Start) -> None:
    driver = start()
    driver.pool.grow(driver.now)
    starting = {worker.pid for worker in driver.pool._workers.values()}
    driver.pool.replace_all(HOOK_SECONDS)
    driver.pool.grow(driver.now)
    driver.until(lambda: driver.idle == SPARE, "new ones are idle")
    driver.until(lambda: not starting & {worker.pid for worker in driver.pool._workers.values()}, "the others ended")
    assert driver.pool._next_fork_at == 0, "it is no failure to end before the first association"


# Draining


def test_draining_forks_for_requests_only(start: Start) -> None:
    driver = start()
    driver.settle()
    peer, busy = driver.serve()
    driver.pool.drain()
    assert driver.pool.table.door is Door.CLOSED
    driver.pool.end_idle()
    driver.pool.grow(driver.now)
    driver.until(lambda: {worker.pid for worker in driver.pool._workers.values()} == {busy}, "idle ones have ended")
    driver.settle(waiting=1)
    assert driver.idle == 1
    other, _ = driver.serve()
    for each in (peer, other):
        each.shutdown(socket.SHUT_WR)  # workers that were forked later have copies
    driver.until(lambda: driver.idle == 2, "both are idle")
    driver.pool.end_idle()
    driver.until(lambda: not len(driver.pool), "all have ended")


def test_draining_an_association_that_is_lost_is_told_of(start: Start) -> None:
    driver = start()
    driver.settle()
    driver.pool.drain()
    driver.pool._lost.append(LostAssociation(b"lost"))
    driver.pool.end_idle()
    assert driver.idle, "it tells"
