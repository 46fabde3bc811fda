"""A pool of workers with a simulated clock, and workers that do what their request says."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable

from dcmrecv_core.net import child
from dcmrecv_core.net.admission import Slot
from dcmrecv_core.net.handover import IDLE, TAKEN, Handover, LostAssociation, receive
from dcmrecv_core.net.shares import Shares
from dcmrecv_core.net.supervisor.pool import Pool

HOOK_SECONDS = 30.0
LIMIT = 5
SECONDS = 60
"""Of real time, for each wait."""

ANY_SHARES = Shares(100, None)
"""Which bind no address here."""


def obedient(control: socket.socket, slot: Slot) -> int:
    """Says its pid to each peer, then does what the request says until the peer closes."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    while (handover := wait_for_handover(control, slot)) is not None:
        with handover.sock as peer:
            if handover.request == b"hook":
                slot.flag[0] = 1
            elif handover.request == b"overdue":
                slot.under_way.begin_association("SENDER")
                slot.under_way.begin_instance(b"1.2.3")
                slot.flag[0] = 1
                slot.mark_overdue()
            elif handover.request == b"overdue once":
                slot.flag[0] = 1
                slot.mark_overdue()
                slot.flag[0] = 0
            peer.sendall(b"%d\n" % os.getpid())
            while peer.recv(100):
                pass
        slot.rest()
        if handover.request == b"recycle":
            return 0
    return 0


def wait_for_handover(control: socket.socket, slot: Slot) -> Handover | None:
    """As a worker does, which is idle meanwhile."""
    slot.claim.offer()
    control.send(IDLE)
    handover = receive(control)
    assert not isinstance(handover, LostAssociation)
    if handover is not None:
        slot.begin(handover.address, 0.0, handshake=handover.tls_deadline is not None)
        control.send(TAKEN)
    return handover


class Driver:
    """A pool with a simulated clock; `turn` does what the supervisor's loop does."""

    def __init__(self, main: Callable[[socket.socket, Slot], int], limit: int = LIMIT) -> None:
        self.now = 1000.0
        self.reassigned: list[Handover] = []
        self.selector = selectors.DefaultSelector()
        self.passed_on: list[socket.socket] = []
        self.started = 0
        self.pool = Pool(
            self.selector,
            limit,
            HOOK_SECONDS,
            main,
            self.reassigned.append,
            lambda sock, _: self.passed_on.append(sock),
            self._count_start,
        )
        self.children: list[int] = []
        self.peers: list[socket.socket] = []

    def _count_start(self) -> None:
        self.started += 1

    def turn(self, seconds: float = 0.0) -> None:
        """Let `seconds` pass, then handle what is ready within a moment of real time."""
        self.now += seconds
        ready = self.selector.select(0.02)
        for key, _ in ready:
            if self.selector.get_map().get(key.fd) is key:
                key.data(key.fileobj, self.now)
        for pid, code in child.reap_ended():
            self.pool.child_ended(pid, code, self.now)
        self.pool.tick(self.now)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end, f"not within {SECONDS} s: {what}"
            self.turn()

    def settle(self, waiting: int = 0) -> None:
        """Fork missing workers and wait until all have been idle."""
        self.pool.grow(self.now, waiting)
        self.until(lambda: all(worker.started for worker in self.pool._workers.values()), "all are started")

    def assign(self, request: bytes = b"", shares: Shares = ANY_SHARES) -> socket.socket | None:
        """The peer of an association that was assigned; None if no worker was idle, or the peer has its share."""
        ours, peer = socket.socketpair()
        peer.settimeout(SECONDS)
        self.peers.append(peer)
        handover = Handover(ours, request, "10.0.0.1", 1)
        if self.pool.assign(handover, self.now, shares):
            return peer
        ours.close()
        return None

    def serve(self, request: bytes = b"") -> tuple[socket.socket, int]:
        """`assign`, as soon as an idle worker has offered its claim, and the pid of the worker that serves the
        association."""
        self.until(lambda: self.assign(request) is not None, "an idle worker can be claimed")
        peer = self.peers[-1]
        return peer, int(peer.recv(100))

    def finish(self, peer: socket.socket) -> None:
        idle = self.idle
        peer.close()
        self.until(lambda: self.idle == idle + 1, "idle again")

    @property
    def idle(self) -> int:
        return sum(worker.idle for worker in self.pool._workers.values())

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        self.pool.stop()
        self.pool.signal_all(signal.SIGKILL)
        self.until_gone()
        self.selector.close()

    def until_gone(self) -> None:
        """Wait for the end of all workers, zombies too."""
        self.until(lambda: not len(self.pool) and not any(map(exists, self.children)), "the end of all")


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def stop(pid: int) -> None:
    """Stop a worker (SIGSTOP), and wait until it has stopped."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


Start = Callable[..., Driver]
"""Makes a driver: `start(main=obedient, limit=LIMIT)`."""
