"""A worker: one process that serves one association at a time, from its request to its end.

So hooks never run concurrently in one process, and a stuck sender or a crashing plugin harms no other association.
"""

from __future__ import annotations

import logging
import math
import os
import random
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import HookFailure, StateDirectoryError
from dcmrecv_core.counters.slot import Doing
from dcmrecv_core.hooks.descriptors import describe_descriptors
from dcmrecv_core.hooks.limits import HookTimeout, HookTimer, forbid_copies
from dcmrecv_core.logs.serving import Serving
from dcmrecv_core.net import record
from dcmrecv_core.net.admission import Activity
from dcmrecv_core.net.child import LACKS_STATE, OUT_OF_DESCRIPTORS
from dcmrecv_core.net.connection import Connection, PlainConnection
from dcmrecv_core.net.handover import REQUEST_READ, Handover, LostAssociation
from dcmrecv_core.net.worker.arrivals import Arrivals, Entrance
from dcmrecv_core.net.worker.session import Session, Shared
from dcmrecv_core.receive.journaling import make_receiver

if TYPE_CHECKING:
    import ssl
    from types import FrameType

    from dcmrecv_core.hooks.limits import PluginLimits
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.net.admission import Slot
    from dcmrecv_core.settings.settings import Settings
    from dcmrecv_core.storage.temporary import Capabilities

log = logging.getLogger("dcmrecv.net")

STOP_GRACE = 7.0
"""Seconds after SIGTERM to finish the instance that is being received; then the association is aborted. A second less
than the supervisor's grace, so that a stalled peer gets an A-ABORT and temporary files are removed."""

ORPHAN_GRACE = 1.0
"""The same when the supervisor has died and the kernel has not killed the worker (`child.fork`)."""

_NO_DESCRIPTOR = "worker %d has no free file descriptor (%s) and is replaced: probably a plugin does not close them"
_FORCED_EXIT = 0.9  # seconds after the grace, for a hook that does not return

_TICK = 1.0


class Worker:
    """The state that signal handlers touch: stop flag, parent, heartbeat, hook timer."""

    def __init__(self, slot: Slot, timer: HookTimer) -> None:
        self._slot = slot
        self._timer = timer
        self._parent = os.getppid()
        self._orphaned = False
        self._ticked_at = -math.inf
        self.stopping = False
        self.give_up_at = math.inf
        self.on_tick: Callable[[float], None] = lambda now: None
        """Called at each tick; shows that temporary files are still in use."""
        self.on_stop: Callable[[], None] = lambda: None
        """Called at SIGTERM, and when the supervisor has died."""

    def arm(self, hook_seconds: float) -> None:
        """Install the handlers, unblock signals, and start the tick that drives heartbeat and hook timer."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGALRM, self._on_tick)
        self._timer.limit = hook_seconds
        self._timer.flag = self._slot.flag
        self._slot.beat(time.monotonic())
        signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def should_stop(self, between_instances: bool) -> bool:
        """Whether to stop now: between two instances at once, inside one when the grace is over."""
        if not self.stopping:
            return False
        return between_instances or time.monotonic() > self.give_up_at

    def give_up(self) -> None:
        """End after the current instance: this process can store nothing any more."""
        self.stopping = True

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop_within(STOP_GRACE)

    def _stop_within(self, seconds: float) -> None:
        self.stopping = True
        self.on_stop()
        self.give_up_at = min(self.give_up_at, time.monotonic() + seconds)

    def _on_tick(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        self._slot.beat(now)
        if not self._orphaned and os.getppid() != self._parent:
            self._orphaned = True
            self._stop_within(ORPHAN_GRACE)
        elif now > self.give_up_at + _FORCED_EXIT:
            os._exit(1)
        self._slot.counters.note_hook(now - self._timer.ticks * _TICK if self._timer.running else 0.0)
        self.on_tick(now)
        if now - self._ticked_at < _TICK / 2:
            return  # a stray SIGALRM, which must not use up the time of a hook
        self._ticked_at = now
        try:
            self._timer.tick()
        except HookTimeout:
            self._slot.mark_overdue()
            raise


def run_worker(
    control: socket.socket,
    slot: Slot,
    settings: Settings,
    plugins: Plugins,
    capabilities: Capabilities,
    entrance: Entrance,
    tls: ssl.SSLContext | None = None,
) -> int:
    """Serve associations until told to end; returns the process's exit code. Starts with all signals blocked."""
    limits = plugins.limits
    _begin_counting(slot, limits)
    serving = Serving()
    serving.attach()
    worker = Worker(slot, limits.timer)
    arrivals = Arrivals(control, slot, entrance, lambda: worker.stopping)  # before a plugin can take all descriptors
    worker.on_stop = arrivals.stop_listening
    worker.arm(settings.hook_seconds)
    limits.memory.limit(settings.worker_memory)
    forbid_copies()
    try:
        plugins.worker_started(settings)
    except HookFailure as failure:
        if isinstance(failure.__cause__, StateDirectoryError):
            return LACKS_STATE  # no other worker would fare better: the supervisor says so, and ends
        return 1  # the guard has logged it; the supervisor starts another
    receiver = make_receiver(settings, plugins, capabilities)
    shared = Shared(settings, plugins, receiver, worker.should_stop, slot, serving)

    def on_tick(now: float) -> None:
        receiver.publisher.renew(now)
        shared.count_progress()
        arrivals.look_at_door()

    worker.on_tick = on_tick
    limits.descriptors.on_useless = worker.give_up
    try:
        # the random part keeps workers from ending at the same time
        for _ in range(settings.recycle_after + random.randrange(max(settings.recycle_after // 4, 1))):
            slot.counters.be(Doing.IDLE, time.monotonic())
            useless = limits.memory.ran_out or limits.descriptors.ran_out
            handover = None if worker.stopping or useless else _next(arrivals, limits)
            if handover is None:
                break
            if isinstance(handover, LostAssociation):
                _tell(handover, plugins, serving)
                slot.rest()
            else:
                _serve(handover, shared, control, tls)
                receiver.end_association()
            serving.end()
        if limits.descriptors.ran_out:
            log.error(_NO_DESCRIPTOR, os.getpid(), describe_descriptors())
            return OUT_OF_DESCRIPTORS
    finally:
        slot.become(Activity.AWAY)
        plugins.worker_stopping()
        receiver.close()
        logging.shutdown()
    return 0


def _begin_counting(slot: Slot, limits: PluginLimits) -> None:
    slot.counters.begin_process(os.getpid(), Doing.STARTING, time.monotonic())
    limits.counts.use(slot.counters)
    if limits.counts.measures_hooks:
        limits.timer.measure(slot.counters.hook_calls)


def _next(arrivals: Arrivals, limits: PluginLimits) -> Handover | LostAssociation | None:
    """The next association, or one that another worker has lost; None when the worker has to end."""
    try:
        return arrivals.next()
    except OSError as error:
        if not limits.descriptors.notice(error):  # that has its own line
            log.info("no more associations from the supervisor: %s", error.strerror or error)
    return None


def _tell(lost: LostAssociation, plugins: Plugins, serving: Serving) -> None:
    """Tell the plugins of an association whose worker has ended."""
    try:
        association, summary = record.decode(lost.data)
    except Exception as error:  # the worker had damaged its memory, whatever that makes of it
        log.error("an association was lost, and its record cannot be read: %s", error)
        return
    serving.begin(association.peer_address)
    serving.request(association.calling_ae_title, association.called_ae_title, association.id)
    plugins.association_ended(association, summary)


def _serve(handover: Handover, shared: Shared, control: socket.socket, tls: ssl.SSLContext | None) -> None:
    slot = shared.slot
    slot.counters.be(Doing.SERVING, time.monotonic())
    shared.serving.begin(handover.address)
    connection = _connect(handover, shared, tls)
    if connection is not None:
        if handover.tls_deadline is not None:
            slot.become(Activity.SERVING)
            with suppress(OSError):  # the supervisor has ended, which the tick notices
                control.send(REQUEST_READ)
        Session(connection, handover, shared).run()
    slot.rest()


def _connect(handover: Handover, shared: Shared, tls: ssl.SSLContext | None) -> Connection | None:
    if handover.tls_deadline is not None and tls is not None:
        from dcmrecv_core.net.worker import tls_admission  # loads OpenSSL

        settings, slot = shared.settings, shared.slot
        return tls_admission.admit(handover, tls, settings, lambda: shared.should_stop(True), slot)
    try:
        if handover.tls_deadline is None:
            return PlainConnection(handover.sock)
    except OSError:
        pass  # the peer has reset it already
    handover.sock.close()  # or a reload has disabled TLS since it was accepted
    return None
