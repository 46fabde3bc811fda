"""The pool of workers: forked in advance, one association at a time each, replaced when they end.

Which of them are idle stands in the admission table: workers accept connections themselves, and say nothing of it.
Nothing here blocks. A worker has ended when its end of the control pair closes or when it is reaped. It is killed when
it is stuck in plugin code, stopped (SIGSTOP) or takes no hand-over, but never because a disk hangs.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import selectors
import signal
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcmrecv_core.net.admission import Activity, AdmissionTable, Door, Slot
from dcmrecv_core.net.child import LACKS_STATE, OUT_OF_DESCRIPTORS, fork, state_of
from dcmrecv_core.net.handover import IDLE, PASSED_ON, TAKEN, Handover, HandoverSender, LostAssociation, hear

if TYPE_CHECKING:
    from dcmrecv_core.net.shares import Shares

log = logging.getLogger("dcmrecv.net")

SPARE = 2
"""Idle workers that are kept ready in addition to the busy ones."""

SHRINK_SECONDS = 30.0
"""An idle worker that exceeds SPARE is ended after so long."""

STUCK_SECONDS = 2.0
"""A hook that runs on so long after its time limit gets its worker killed."""

TAKE_SECONDS = 0.5
"""An idle worker that has not taken a hand-over after so long does not answer: it is killed, and another one serves."""

BUSY_TAKE_SECONDS = 5.0
"""The same for one that the system does not let run, or that runs in circles."""

FRESH_SECONDS = 1.5
"""Idle workers whose last heartbeat is older are asked last; there is one each second."""

LOOK_SECONDS = 1.0
STOPPED_LOOKS = 5
"""A worker that so many looks in a row find stopped is killed, as it was left so. Looks count, and not time, so that
workers have their chance when the whole receiver was stopped."""

COMPLAINT_SECONDS = 0.5
"""Seconds between two lines about connections that were lost because no descriptor was free for them."""

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 16.0
"""Seconds without a fork after a worker could not be started, doubled with each failure."""

WorkerMain = Callable[[socket.socket, Slot], int]


@dataclass(slots=True, eq=False)
class WorkerProcess:
    """The supervisor's record of one worker.

    `started`: it has been idle once; `ending`: it is told to end, or killed; `handover_sender`: a hand-over that it has
    not taken yet, since `handed_over_at`; `number`: of its last association that a tick has seen, and `idle_since` the
    time of that tick; `stopped`: how many looks in a row found it stopped.
    """

    pid: int
    control: socket.socket
    slot_number: int
    slot: Slot
    idle_since: float
    hook_seconds: float
    started: bool = False
    ending: bool = False
    handover_sender: HandoverSender | None = None
    handed_over_at: float = math.inf
    number: int = 0
    overdue_since: float | None = None
    stopped: int = 0

    @property
    def idle(self) -> bool:
        """Whether it has nothing to do. It may accept a connection at any moment: its claim decides."""
        return self.started and not self.ending and self.handover_sender is None and self.slot.activity is Activity.IDLE


class Pool:
    """At most `limit` workers. `main` runs in each of them, in its own process, with all signals blocked. `reassign`
    gets each hand-over whose worker ended before taking it, `take_over` each connection that a worker has accepted and
    does not serve. `worker_started` is called when a worker is idle for the first time. With `tells_lost`, an idle
    worker is told of each association that was lost with its worker; if the receiver stops before, none is. `hook_name`
    names the hook of a number (`Slot.hook`) for the log."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        limit: int,
        hook_seconds: float,
        main: WorkerMain,
        reassign: Callable[[Handover], None],
        take_over: Callable[[socket.socket, float], None],
        worker_started: Callable[[], None],
        *,
        tells_lost: bool = False,
        hook_name: Callable[[int], str] = "hook {}".format,
    ) -> None:
        self._selector = selector
        self._limit = limit
        self._hook_seconds = hook_seconds
        self._main = main
        self._reassign = reassign
        self._take_over = take_over
        self._worker_started = worker_started
        self._hook_name = hook_name
        self.table = AdmissionTable(limit, records=tells_lost)
        self._workers: dict[int, WorkerProcess] = {}
        self._lost: deque[LostAssociation] = deque()
        self._unreaped: dict[int, str] = {}  # ended workers whose exit code is not known, and what each was doing
        self._pause = FIRST_PAUSE
        self._next_fork_at = 0.0
        self._next_look_at = 0.0
        self._next_complaint_at = 0.0
        self._stopping = False
        self._draining = False
        self.lacks_state = False
        """Whether a worker could not start without a state directory of this receiver's own."""
        self.is_ready = False
        """Whether any worker has ever been idle, ready for an association."""

    def __len__(self) -> int:
        """Number of workers, zombies included."""
        return len(self._workers) + len(self._unreaped)

    def grow(self, now: float, waiting: int = 0) -> None:
        """Fork until `waiting` + SPARE workers are idle or starting, within `limit`."""
        if self._stopping or now < self._next_fork_at:
            return
        wanted = waiting + (len(self._lost) if self._draining else SPARE)
        coming = sum(worker.idle or not (worker.started or worker.ending) for worker in self._workers.values())
        for _ in range(min(wanted - coming, self._limit - len(self._workers))):
            try:
                self._fork(now)
            except OSError as error:
                log.error("cannot start a worker: %s", error.strerror)
                self._delay_next_fork(now)
                return

    @property
    def can_grow(self) -> bool:
        """Whether there may be more workers."""
        return len(self._workers) < self._limit

    def assign(self, handover: Handover, now: float, shares: Shares) -> bool:
        """Hand an association to an idle worker; False without one, or if its peer may have no place."""
        while (worker := self._claim(now)) is not None:
            worker.slot.reserve(handover.address, now, handshake=handover.tls_deadline is not None)
            if not shares.may_stay(worker.slot, self.table):
                worker.slot.rest()
                worker.slot.claim.offer()
                return False
            if self._begin_handover(worker, handover, now):
                return True
            worker.slot.rest()
        return False

    def _begin_handover(self, worker: WorkerProcess, handover: Handover | LostAssociation, now: float) -> bool:
        """False if the claimed worker has ended."""
        worker.handover_sender = HandoverSender(handover)
        worker.handed_over_at = now
        if self._continue_handover(worker):
            return True
        worker.handover_sender = None
        worker.ending = True  # and is removed soon
        return False

    def _claim(self, now: float) -> WorkerProcess | None:
        """Of the idle workers that had a heartbeat lately the last one to become idle, for its memory is warm. From now
        on it waits for what it is given; None without one."""

        def preference(worker: WorkerProcess) -> tuple[bool, float]:
            return now - worker.slot.last_beat < FRESH_SECONDS, worker.idle_since

        idle = sorted(filter(lambda worker: worker.idle, self._workers.values()), key=preference, reverse=True)
        return next((worker for worker in idle if worker.slot.claim.take()), None)

    def _on_control(self, control: socket.socket, now: float) -> None:
        worker = self._workers[control.fileno()]
        if worker.handover_sender is not None and not worker.handover_sender.is_done:
            self._continue_handover(worker)
        self._hear(worker, now)

    def _hear(self, worker: WorkerProcess, now: float) -> bool:
        """Read messages of a worker, or its end; returns whether there may be more."""
        try:
            messages, passed_on = hear(worker.control)
        except BlockingIOError:
            return False
        except OSError:
            messages, passed_on = b"", None
        if TAKEN in messages and worker.handover_sender is not None:
            worker.handover_sender.close()
            worker.handover_sender = None
        if passed_on is not None:
            self._take_over(passed_on, now)
        elif PASSED_ON in messages and now >= self._next_complaint_at:
            self._next_complaint_at = now + COMPLAINT_SECONDS
            log.error("cannot accept connections: %s", os.strerror(errno.EMFILE))
        if not messages:
            self._remove(worker, now)
        elif IDLE in messages and not worker.started:
            worker.started = self.is_ready = True
            worker.idle_since = now
            self._pause = FIRST_PAUSE
            self._worker_started()
        return bool(messages)

    def _tell_lost(self, now: float) -> None:
        """Give each lost association to an idle worker."""
        while self._lost and (worker := self._claim(now)) is not None:
            if self._begin_handover(worker, self._lost[0], now):
                self._lost.popleft()

    def tick(self, now: float) -> None:
        """Kill workers that are stuck in a hook, are stopped, or take no hand-over, end workers that were idle long."""
        looks = now >= self._next_look_at
        if looks:
            self._next_look_at = now + LOOK_SECONDS
        for worker in list(self._workers.values()):
            if self._is_stuck(worker, now):
                self._kill(worker, "is stuck")
            elif worker.handover_sender is not None and self._takes_nothing(worker, now):
                self._kill(worker, "does not answer")
                for other in self._workers.values():
                    if other.idle and state_of(other.pid) == "T":
                        self._kill(other, "does not answer")
            elif looks and self._stays_stopped(worker, now):
                self._kill(worker, "is stopped")
        self._shrink(now)
        self._tell_lost(now)

    def _shrink(self, now: float) -> None:
        """End workers that were idle long."""
        for worker in self._workers.values():
            if not worker.idle or worker.number != worker.slot.number:
                worker.idle_since, worker.number = now, worker.slot.number
        idle = sorted((worker for worker in self._workers.values() if worker.idle), key=lambda each: each.idle_since)
        for worker in idle[: max(len(idle) - SPARE, 0)]:
            if now - worker.idle_since > SHRINK_SECONDS:
                self._tell_to_end(worker)

    def _takes_nothing(self, worker: WorkerProcess, now: float) -> bool:
        """Whether a worker does not answer a hand-over, so that it has to be killed before another one gets that."""
        if now - worker.handed_over_at < TAKE_SECONDS:
            return False
        state = state_of(worker.pid)
        while self._hear(worker, now):  # after the look: it may have taken it, and wait for its peer
            continue
        if worker.handover_sender is None or worker.control.fileno() not in self._workers:
            return False
        return state != "D" and (state != "R" or now - worker.handed_over_at >= BUSY_TAKE_SECONDS)

    def _stays_stopped(self, worker: WorkerProcess, now: float) -> bool:
        """Look at one that has no heartbeat, as each look reads a file: whether it has been stopped for long, while it
        started, served or should end."""
        has_beat = now - worker.slot.last_beat < FRESH_SECONDS
        worker.stopped = 0 if has_beat or state_of(worker.pid) != "T" else worker.stopped + 1
        return worker.stopped >= STOPPED_LOOKS

    def _kill(self, worker: WorkerProcess, why: str) -> None:
        """If it has not taken its hand-over, it ends before another one gets that: no connection is served twice."""
        log.error("worker %d %s%s; killing it", worker.pid, why, self._doing(worker))
        os.kill(worker.pid, signal.SIGKILL)
        worker.handed_over_at = math.inf
        worker.overdue_since = None
        worker.stopped = 0
        worker.ending = True

    def replace_all(self, hook_seconds: float) -> None:
        """After a reload: end each worker when it is idle. New ones get the new settings, as they are forked later."""
        self._hook_seconds = hook_seconds
        for worker in self._workers.values():
            self._tell_to_end(worker)

    def drain(self) -> None:
        """No worker accepts connections any more; fork only for requests that wait."""
        self._draining = True
        self.table.door = Door.CLOSED

    def end_idle(self) -> None:
        """While draining: end workers that have nothing to do."""
        for worker in self._workers.values():
            if worker.idle and not self._lost:
                self._tell_to_end(worker)

    def stop(self) -> None:
        """Fork no more; idle workers end at once, busy ones after the instance they are receiving."""
        self._stopping = True
        for worker in self._workers.values():
            self._tell_to_end(worker)
        self.signal_all(signal.SIGTERM)

    def signal_all(self, number: int) -> None:
        for worker in self._workers.values():
            os.kill(worker.pid, number)  # not reaped yet, so the number is still its own

    def child_ended(self, pid: int, code: int, now: float) -> None:
        """A child process of the supervisor, perhaps a worker, ended with `code` (minus the signal if killed)."""
        for worker in [worker for worker in self._workers.values() if worker.pid == pid]:
            while self._hear(worker, now):  # it may have taken its hand-over before, or passed on connections
                continue
            if worker.control.fileno() in self._workers:
                self._remove(worker, now)
        doing = self._unreaped.pop(pid, None)
        if doing is None:
            return
        if code == LACKS_STATE:
            self.lacks_state = True
        elif code == OUT_OF_DESCRIPTORS:
            self._delay_next_fork(now)  # its successors may do no better
        elif code:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            log.error("worker %d %s", pid, f"{how}{doing}")

    def close_in_child(self) -> None:
        """In a child: close the copies of the supervisor's sockets."""
        for worker in self._workers.values():
            worker.control.close()
            worker.slot.claim.close()
            if worker.handover_sender is not None:
                worker.handover_sender.close()

    def _fork(self, now: float) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        number, slot = self.table.take(now)

        def main() -> int:
            ours.close()
            return self._main(theirs, slot)

        try:
            slot.claim.open()
            pid = fork(main)
        except OSError:
            slot.claim.close()
            self.table.give_back(number)
            ours.close()
            theirs.close()
            raise
        theirs.close()
        ours.setblocking(False)
        self._workers[ours.fileno()] = WorkerProcess(pid, ours, number, slot, now, self._hook_seconds)
        self._selector.register(ours, selectors.EVENT_READ, self._on_control)

    def _continue_handover(self, worker: WorkerProcess) -> bool:
        """Continue to send a hand-over; False if the worker has ended and nothing was sent."""
        sender = worker.handover_sender
        try:
            done = sender is None or sender.advance(worker.control)
        except OSError:
            done = True  # the worker has ended; its end of the pair will show that
        events = selectors.EVENT_READ if done else selectors.EVENT_READ | selectors.EVENT_WRITE
        self._selector.modify(worker.control, events, self._on_control)
        if done and worker.ending:
            self._end_messages(worker)
        return sender is None or sender.has_begun

    def _is_stuck(self, worker: WorkerProcess, now: float) -> bool:
        slot = worker.slot
        # without a beat for so long, the plugin runs native code, in which no exception can be raised
        overdue = slot.in_hook and (slot.overdue or now - slot.last_beat > worker.hook_seconds)
        if not overdue:
            worker.overdue_since = None
            return False
        if worker.overdue_since is None:
            worker.overdue_since = now
        return now - worker.overdue_since >= STUCK_SECONDS

    def _doing(self, worker: WorkerProcess) -> str:
        """In which hook a worker is, for which peer and instance, for the log; a hand-over that it has not taken is not
        its own."""
        slot = worker.slot
        where = f" in {self._hook_name(slot.hook)}" if slot.hook else ""
        return f"{where}{slot.under_way.describe()}"

    def _tell_to_end(self, worker: WorkerProcess) -> None:
        worker.ending = True
        if worker.handover_sender is None or worker.handover_sender.is_done:
            self._end_messages(worker)

    def _end_messages(self, worker: WorkerProcess) -> None:
        """The worker reads the end of the stream when it is idle, and ends."""
        with suppress(OSError):  # it has ended
            worker.control.shutdown(socket.SHUT_WR)

    def _remove(self, worker: WorkerProcess, now: float) -> None:
        del self._workers[worker.control.fileno()]
        self._unreaped[worker.pid] = self._doing(worker)
        self._selector.unregister(worker.control)
        worker.control.close()
        worker.slot.claim.close()
        worker.slot.counters.end_process(now)
        lost = worker.slot.record.take(now)
        if lost is not None:
            self._lost.append(LostAssociation(lost))
        self.table.give_back(worker.slot_number)
        if not worker.started:
            self._delay_next_fork(now)  # it ended while starting: do not fork again at once
        untaken = None if worker.handover_sender is None else worker.handover_sender.handover
        if isinstance(untaken, LostAssociation):
            self._lost.append(untaken)
        elif untaken is not None:
            self._reassign(untaken)

    def _delay_next_fork(self, now: float) -> None:
        if now >= self._next_fork_at:  # otherwise it was forked together with the last one that failed
            self._next_fork_at = now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
