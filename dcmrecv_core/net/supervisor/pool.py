"""The pool of workers: forked in advance, one association at a time each, replaced when they end.

Nothing here blocks. A worker has ended when its end of the control pair closes or when it is reaped. It is killed when
it is stuck in plugin code, stopped (SIGSTOP) or takes no hand-over, but never because a disk hangs.
"""

from __future__ import annotations

import logging
import math
import os
import selectors
import signal
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from dcmrecv_core.net.admission import Activity, AdmissionTable, Place, Slot, peer_key
from dcmrecv_core.net.child import LACKS_STATE, OUT_OF_DESCRIPTORS, fork, state_of
from dcmrecv_core.net.handover import IDLE, TAKEN, Handover, HandoverSender, LostAssociation

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

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 16.0
"""Seconds without a fork after a worker could not be started, doubled with each failure."""

WorkerMain = Callable[[socket.socket, Slot], int]


@dataclass(slots=True, eq=False)
class WorkerProcess:
    """The supervisor's record of one worker.

    `started`: it has been idle once; `idle_since`: when it last became idle; `handover_sender`: a hand-over that it has
    not taken yet, since `handed_over_at`; `associations`: how many it was given, the last one with a peer of `address`,
    over TLS if `handshake`; `outdated`: its settings are older than the last reload; `stopped`: how many looks in a row
    found it stopped.
    """

    pid: int
    control: socket.socket
    slot_number: int
    slot: Slot
    idle_since: float
    hook_seconds: float
    started: bool = False
    idle: bool = False
    outdated: bool = False
    handover_sender: HandoverSender | None = None
    handed_over_at: float = math.inf
    associations: int = 0
    address: str = ""
    handshake: bool = False
    overdue_since: float | None = None
    stopped: int = 0


class Pool:
    """At most `limit` workers. `main` runs in each of them, in its own process, with all signals blocked. `reassign`
    gets each hand-over whose worker ended before taking it. With `tells_lost`, an idle worker is told of each
    association that was lost with its worker; if the receiver stops before, none is. `hook_name` names the hook of a
    number (`Slot.hook`) for the log."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        limit: int,
        hook_seconds: float,
        main: WorkerMain,
        reassign: Callable[[Handover], None],
        *,
        tells_lost: bool = False,
        hook_name: Callable[[int], str] = "hook {}".format,
    ) -> None:
        self._selector = selector
        self._controls = selectors.DefaultSelector()
        self._wakes_loop = False  # whether messages of workers wake the loop
        self._limit = limit
        self._hook_seconds = hook_seconds
        self._main = main
        self._reassign = reassign
        self._hook_name = hook_name
        self._table = AdmissionTable(limit, records=tells_lost)
        self._workers: dict[int, WorkerProcess] = {}
        self._idle: deque[WorkerProcess] = deque()
        self._lost: deque[LostAssociation] = deque()
        self._to_close: list[HandoverSender] = []
        self._unreaped: dict[int, str] = {}  # ended workers whose exit code is not known, and what each was doing
        self._pause = FIRST_PAUSE
        self._next_fork_at = 0.0
        self._next_look_at = 0.0
        self._stopping = False
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
        coming = len(self._idle) + sum(not (worker.started or worker.outdated) for worker in self._workers.values())
        for _ in range(min(SPARE + waiting - coming, self._limit - len(self._workers))):
            try:
                self._fork(now)
            except OSError as error:
                log.error("cannot start a worker: %s", error.strerror)
                self._delay_next_fork(now)
                return

    @property
    def busy(self) -> int:
        """Number of workers that are not idle. No more have an association."""
        return len(self._workers) - len(self._idle)

    @property
    def can_grow(self) -> bool:
        """Whether there may be more workers."""
        return len(self._workers) < self._limit

    def places(self) -> list[Place]:
        """All associations, those included that are being handed over."""
        places = []
        for worker in self._workers.values():
            place = worker.slot.place
            if place.number < worker.associations:  # the worker has not begun it
                activity = Activity.HANDSHAKE if worker.handshake else Activity.SERVING
                places.append(Place(worker.slot, activity, worker.associations, 0.0, 0.0, peer_key(worker.address)))
            elif place.activity is not Activity.IDLE:
                places.append(place)
        return places

    def assign(self, handover: Handover, now: float) -> bool:
        """Hand an association to an idle worker; False without one."""
        while self._idle:
            worker = self._pop_idle(now)
            worker.handover_sender = HandoverSender(handover)
            worker.handed_over_at = now
            worker.associations += 1
            worker.address = handover.address
            worker.handshake = handover.tls_deadline is not None
            if self._continue_handover(worker):
                return True
            worker.handover_sender = None  # it has ended, and is removed soon
            worker.associations -= 1
        return False

    def _pop_idle(self, now: float) -> WorkerProcess:
        """The last worker to become idle, for its memory is warm, of those that had a heartbeat lately."""
        fresh = (worker for worker in reversed(self._idle) if now - worker.slot.last_beat < FRESH_SECONDS)
        worker = next(fresh, self._idle[-1])
        self._idle.remove(worker)
        worker.idle = False
        return worker

    def hear_workers(self, now: float) -> None:
        """Read messages of workers, and notice those that have ended."""
        for key, _events in self._controls.select(0):
            self._hear_worker(key.data, now)

    def wake_on_worker_messages(self, waiting: bool) -> None:
        """Let messages of workers wake the loop if something waits for them: requests are `waiting`, or a worker is
        starting, outdated, or has received only a part of a hand-over.

        Otherwise they are read in the next turn, because waking costs two more turns for each association.
        """
        matters = waiting or any(
            not worker.started
            or worker.outdated
            or (worker.handover_sender is not None and not worker.handover_sender.is_done)
            for worker in self._workers.values()
        )
        if matters == self._wakes_loop:
            return
        self._wakes_loop = matters
        if matters:
            self._selector.register(self._controls, selectors.EVENT_READ, self._on_controls)
        else:
            self._selector.unregister(self._controls)

    def _on_controls(self, controls: selectors.BaseSelector, now: float) -> None:
        self.hear_workers(now)

    def _hear_worker(self, worker: WorkerProcess, now: float) -> None:
        """A worker has sent a message, can take more of a hand-over, or has ended."""
        if worker.handover_sender is not None and not worker.handover_sender.is_done:
            self._continue_handover(worker)
        try:
            message = worker.control.recv(16)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if TAKEN in message and worker.handover_sender is not None:
            self._to_close.append(worker.handover_sender)
            worker.handover_sender = None
        if not message:
            self._remove(worker, now)
        elif IDLE not in message:
            return
        elif self._stopping:
            self._tell_to_end(worker)  # it was starting when `stop` was called
        elif worker.outdated:
            worker.started = True
            self._tell_to_end(worker)
        elif not worker.idle:
            worker.idle = worker.started = self.is_ready = True
            worker.idle_since = now
            self._pause = FIRST_PAUSE
            self._idle.append(worker)
            self._tell_lost(now)

    def _tell_lost(self, now: float) -> None:
        """Give each lost association to an idle worker."""
        while self._lost and self._idle:
            worker = self._pop_idle(now)
            worker.handover_sender = HandoverSender(self._lost.popleft())
            worker.handed_over_at = now
            self._continue_handover(worker)

    def tick(self, now: float) -> None:
        """Close hand-overs that were taken, kill workers that are stuck in a hook, are stopped, or take no hand-over,
        end workers that were idle long."""
        while self._to_close:
            self._to_close.pop().close()
        looks = now >= self._next_look_at
        if looks:
            self._next_look_at = now + LOOK_SECONDS
        for worker in list(self._workers.values()):
            if not worker.idle and self._is_stuck(worker, now):
                self._kill(worker, "is stuck")
            elif worker.handover_sender is not None and self._takes_nothing(worker, now):
                self._kill(worker, "does not answer")
                for other in [other for other in self._idle if state_of(other.pid) == "T"]:
                    self._kill(other, "does not answer")
            elif looks and self._stays_stopped(worker, now):
                self._kill(worker, "is stopped")
        while len(self._idle) > SPARE and now - self._idle[0].idle_since > SHRINK_SECONDS:
            self._tell_to_end(self._idle.popleft())

    def _takes_nothing(self, worker: WorkerProcess, now: float) -> bool:
        """Whether a worker does not answer a hand-over, so that it has to be killed before another one gets that."""
        if now - worker.handed_over_at < TAKE_SECONDS:
            return False
        state = state_of(worker.pid)
        self._hear_worker(worker, now)  # after the look: it may have taken it, and wait for its peer
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
        if worker.idle:
            worker.idle = False
            self._idle.remove(worker)

    def replace_all(self, hook_seconds: float) -> None:
        """After a reload: end each worker when it is idle. New ones get the new settings, as they are forked later."""
        self._hook_seconds = hook_seconds
        while self._idle:
            self._tell_to_end(self._idle.popleft())
        for worker in self._workers.values():
            worker.outdated = True

    def stop(self) -> None:
        """Fork no more; idle workers end at once, busy ones after the instance they are receiving."""
        self._stopping = True
        while self._idle:
            self._tell_to_end(self._idle.popleft())
        self.signal_all(signal.SIGTERM)

    def signal_all(self, number: int) -> None:
        for worker in self._workers.values():
            os.kill(worker.pid, number)  # not reaped yet, so the number is still its own

    def child_ended(self, pid: int, code: int, now: float) -> None:
        """A child process of the supervisor, perhaps a worker, ended with `code` (minus the signal if killed)."""
        for worker in [worker for worker in self._workers.values() if worker.pid == pid]:
            self._hear_worker(worker, now)  # it may have taken its hand-over before
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
        self._controls.close()
        for worker in self._workers.values():
            worker.control.close()
            if worker.handover_sender is not None:
                worker.handover_sender.close()
        for sender in self._to_close:
            sender.close()

    def _fork(self, now: float) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        number, slot = self._table.take(now)

        def main() -> int:
            ours.close()
            return self._main(theirs, slot)

        try:
            pid = fork(main)
        except OSError:
            self._table.give_back(number)
            ours.close()
            theirs.close()
            raise
        theirs.close()
        ours.setblocking(False)
        worker = self._workers[ours.fileno()] = WorkerProcess(pid, ours, number, slot, now, self._hook_seconds)
        self._controls.register(ours, selectors.EVENT_READ, worker)

    def _continue_handover(self, worker: WorkerProcess) -> bool:
        """Continue to send a hand-over; False if the worker has ended and nothing was sent."""
        sender = worker.handover_sender
        try:
            done = sender is None or sender.advance(worker.control)
        except OSError:
            done = True  # the worker has ended; its end of the pair will show that
        events = selectors.EVENT_READ if done else selectors.EVENT_READ | selectors.EVENT_WRITE
        self._controls.modify(worker.control, events, worker)
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
        is_idle = slot.place.activity is Activity.IDLE and slot.number == worker.associations
        serves = worker.handover_sender is None and not is_idle
        return f"{where}{slot.under_way.describe(worker.address if serves else '')}"

    def _tell_to_end(self, worker: WorkerProcess) -> None:
        worker.idle = False
        worker.control.shutdown(socket.SHUT_WR)  # the worker reads the end of the stream and ends

    def _remove(self, worker: WorkerProcess, now: float) -> None:
        if worker.idle:
            self._idle.remove(worker)
        del self._workers[worker.control.fileno()]
        self._unreaped[worker.pid] = self._doing(worker)
        self._controls.unregister(worker.control)
        worker.control.close()
        lost = worker.slot.record.take(now)
        if lost is not None:
            self._lost.append(LostAssociation(lost))
        self._table.give_back(worker.slot_number)
        if not worker.started:
            self._delay_next_fork(now)  # it ended while starting: do not fork again at once
        untaken = None if worker.handover_sender is None else worker.handover_sender.handover
        if isinstance(untaken, LostAssociation):
            self._lost.append(untaken)
        elif untaken is not None:
            self._reassign(untaken)
        self._tell_lost(now)

    def _delay_next_fork(self, now: float) -> None:
        if now >= self._next_fork_at:  # otherwise it was forked together with the last one that failed
            self._next_fork_at = now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
