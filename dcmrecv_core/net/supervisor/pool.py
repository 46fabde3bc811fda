"""The pool of workers: forked ahead of need, one association at a time each, replaced when they end.

Nothing here blocks. A worker is dead when its end of the control pair closes or when it is reaped; it is killed when
plugin code in it does not yield, and never because a disk hangs.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dcmrecv_core.net.child import LACKS_STATE, fork
from dcmrecv_core.net.handover import IDLE, READ, TAKEN, Handover, Sender
from dcmrecv_core.net.heartbeat import Heartbeat, HeartbeatBoard

log = logging.getLogger("dcmrecv.net")

SPARE = 2
"""Idle workers kept ready beside the busy ones."""

SHRINK_SECONDS = 30.0
"""How long a worker above SPARE stays idle before it is let go."""

STUCK_SECONDS = 2.0
"""How long a hook may ignore the end of its time before its worker is killed."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 16.0
"""Seconds without a fork when a worker could not be started, doubled each time that happens again."""

WorkerMain = Callable[[socket.socket, Heartbeat], int]


@dataclass(slots=True, eq=False)
class Worker:
    """The supervisor's view of one worker.

    `started` when it has been idle once, `since` when it last began to be, `sender` a hand-over that it has
    not taken yet, `address` of the peer that it serves, `securing` while it shakes hands (TLS), `outdated` if it obeys
    settings of before a reload.
    """

    pid: int
    control: socket.socket
    slot: int
    heartbeat: Heartbeat
    since: float
    hook_seconds: float
    started: bool = False
    idle: bool = False
    outdated: bool = False
    sender: Sender | None = None
    address: str = ""
    securing: bool = False
    overdue_since: float | None = None


class Pool:
    """At most `limit` workers. `main` runs in each of them, in its own process, with all signals blocked. `give_back`
    gets each hand-over whose worker ended before it took it."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        limit: int,
        hook_seconds: float,
        main: WorkerMain,
        give_back: Callable[[Handover], None],
    ) -> None:
        self._selector = selector
        self._controls = selectors.DefaultSelector()
        self._attentive = False  # whether the loop is woken by what workers say
        self._limit = limit
        self._hook_seconds = hook_seconds
        self._main = main
        self._give_back = give_back
        self._board = HeartbeatBoard(limit)
        self._workers: dict[int, Worker] = {}
        self._idle: deque[Worker] = deque()
        self._taken: list[Sender] = []
        self._unreaped: set[int] = set()  # process ids of those that are gone but for their exit code
        self._pause = FIRST_PAUSE
        self._not_before = 0.0
        self._stopping = False
        self.lacks_state = False
        """Whether a worker could not start without a state directory of this receiver's own."""
        self.is_ready = False
        """Whether any worker has ever got as far as waiting for associations."""

    def __len__(self) -> int:
        """Workers, zombies included."""
        return len(self._workers) + len(self._unreaped)

    def grow(self, now: float, waiting: int = 0) -> None:
        """Fork until SPARE workers beside those for `waiting` peers are idle or starting, as far as `limit` allows."""
        if self._stopping or now < self._not_before:
            return
        coming = len(self._idle) + sum(not (worker.started or worker.outdated) for worker in self._workers.values())
        for _ in range(min(SPARE + waiting - coming, self._limit - len(self._workers))):
            try:
                self._fork(now)
            except OSError as error:
                log.error("cannot start a worker: %s", error.strerror)
                self._slow_down(now)
                return

    def serving(self, address: str) -> int:
        """How many workers serve this peer."""
        return sum(worker.address == address for worker in self._workers.values())

    def assign(self, handover: Handover) -> bool:
        """Hand an association to an idle worker; False if there is none, or TLS handshakes keep half of all busy."""
        secures = handover.secure_until is not None
        if secures and sum(worker.securing for worker in self._workers.values()) >= max(self._limit // 2, 1):
            return False
        while self._idle:
            worker = self._idle.pop()  # the last one to become idle: its memory is warm
            worker.idle = False
            worker.sender = Sender(handover)
            worker.address = handover.address
            worker.securing = secures
            if self._advance(worker):
                return True
            worker.sender = None
            worker.address = ""
            worker.securing = False
        return False

    def hear(self, now: float) -> None:
        """Take what workers have said since the last time, and notice who is gone."""
        for key, _events in self._controls.select(0):
            self._hear(key.data, now)

    def attend(self, waiting: bool) -> None:
        """Let the loop be woken by what workers say where somebody depends on it: requests are `waiting`, or a worker
        is starting, is to be replaced or has not got all of a hand-over.

        Else the next turn is early enough, for each association would cost two more of them.
        """
        matters = waiting or any(
            not worker.started or worker.outdated or (worker.sender is not None and not worker.sender.is_done)
            for worker in self._workers.values()
        )
        if matters == self._attentive:
            return
        self._attentive = matters
        if matters:
            self._selector.register(self._controls, selectors.EVENT_READ, self._on_controls)
        else:
            self._selector.unregister(self._controls)

    def _on_controls(self, controls: selectors.BaseSelector, now: float) -> None:
        self.hear(now)

    def _hear(self, worker: Worker, now: float) -> None:
        """A worker says something, can take more of a hand-over, or is gone."""
        if worker.sender is not None and not worker.sender.is_done:
            self._advance(worker)
        try:
            message = worker.control.recv(16)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if TAKEN in message and worker.sender is not None:
            self._taken.append(worker.sender)
            worker.sender = None
        if READ in message or IDLE in message:
            worker.securing = False
        if IDLE in message:
            worker.address = ""
        if not message:
            self._forget(worker, now)
        elif IDLE not in message:
            return
        elif self._stopping:
            self._release(worker)  # it was starting when the others were told
        elif worker.outdated:
            worker.started = True
            self._release(worker)
        elif not worker.idle:
            worker.idle = worker.started = self.is_ready = True
            worker.since = now
            self._pause = FIRST_PAUSE
            self._idle.append(worker)

    def tick(self, now: float) -> None:
        """Close what workers have taken, kill who is stuck in a hook, let go who has been idle for long."""
        while self._taken:
            self._taken.pop().close()
        for worker in self._workers.values():
            if not worker.idle and self._is_stuck(worker, now):
                log.error("worker %d does not come back from a plugin, killing it", worker.pid)
                os.kill(worker.pid, signal.SIGKILL)
                worker.overdue_since = None
        while len(self._idle) > SPARE and now - self._idle[0].since > SHRINK_SECONDS:
            self._release(self._idle.popleft())

    def renew(self, hook_seconds: float) -> None:
        """Replace every worker as it falls idle; the new ones are forked from a supervisor with other settings."""
        self._hook_seconds = hook_seconds
        while self._idle:
            self._release(self._idle.popleft())
        for worker in self._workers.values():
            worker.outdated = True

    def stop(self) -> None:
        """No more forks; idle workers end at once, busy ones after the instance they are in."""
        self._stopping = True
        while self._idle:
            self._release(self._idle.popleft())
        self.signal_all(signal.SIGTERM)

    def signal_all(self, number: int) -> None:
        for worker in self._workers.values():
            os.kill(worker.pid, number)  # not reaped yet, so the number is still its own

    def ended(self, pid: int, code: int, now: float) -> None:
        """A child process of the supervisor has ended with `code`, or by a signal (negative); perhaps a worker."""
        for worker in [worker for worker in self._workers.values() if worker.pid == pid]:
            self._hear(worker, now)  # whether it has taken what it was given
            if worker.control.fileno() in self._workers:
                self._forget(worker, now)
        if pid not in self._unreaped:
            return
        self._unreaped.discard(pid)
        if code == LACKS_STATE:
            self.lacks_state = True
        elif code:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            log.error("worker %d %s", pid, how)

    def abandon(self) -> None:
        """In a forked worker: close what belongs to the supervisor."""
        self._controls.close()
        for worker in self._workers.values():
            worker.control.close()
            if worker.sender is not None:
                worker.sender.close()
        for sender in self._taken:
            sender.close()

    def _fork(self, now: float) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        slot, heartbeat = self._board.take(now)

        def main() -> int:
            ours.close()
            return self._main(theirs, heartbeat)

        try:
            pid = fork(main)
        except OSError:
            self._board.give_back(slot)
            ours.close()
            theirs.close()
            raise
        theirs.close()
        ours.setblocking(False)
        worker = self._workers[ours.fileno()] = Worker(pid, ours, slot, heartbeat, now, self._hook_seconds)
        self._controls.register(ours, selectors.EVENT_READ, worker)

    def _advance(self, worker: Worker) -> bool:
        """Go on with a hand-over; False if the worker is gone and nothing was handed over."""
        sender = worker.sender
        try:
            done = sender is None or sender.advance(worker.control)
        except OSError:
            done = True  # the worker is gone; its end of the pair will tell
        events = selectors.EVENT_READ if done else selectors.EVENT_READ | selectors.EVENT_WRITE
        self._controls.modify(worker.control, events, worker)
        return sender is None or sender.has_begun

    def _is_stuck(self, worker: Worker, now: float) -> bool:
        heartbeat = worker.heartbeat
        # no beat for so long: the plugin is in foreign code that lets no exception in
        overdue = heartbeat.in_hook and (heartbeat.overdue or now - heartbeat.last > worker.hook_seconds)
        if not overdue:
            worker.overdue_since = None
            return False
        if worker.overdue_since is None:
            worker.overdue_since = now
        return now - worker.overdue_since >= STUCK_SECONDS

    def _release(self, worker: Worker) -> None:
        worker.idle = False
        worker.control.shutdown(socket.SHUT_WR)  # the worker reads the end of the stream and ends

    def _forget(self, worker: Worker, now: float) -> None:
        if worker.idle:
            self._idle.remove(worker)
        del self._workers[worker.control.fileno()]
        self._unreaped.add(worker.pid)
        self._controls.unregister(worker.control)
        worker.control.close()
        self._board.give_back(worker.slot)
        if not worker.started:
            self._slow_down(now)  # it died while starting: do not fork in a circle
        if worker.sender is not None:
            self._give_back(worker.sender.handover)

    def _slow_down(self, now: float) -> None:
        if now >= self._not_before:  # else one that was started together with the last
            self._not_before = now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
