"""A worker: one process that serves one association at a time, from its request to its end.

So hooks never run concurrently inside a process, and a stuck sender or a crashing plugin takes nobody along.
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
from dcmrecv_core.hooks import confinement
from dcmrecv_core.hooks.confinement import memory
from dcmrecv_core.hooks.guards import HookTimeout, timer
from dcmrecv_core.net.child import LACKS_STATE
from dcmrecv_core.net.connection import Connection, PlainConnection
from dcmrecv_core.net.handover import IDLE, READ, Handover, receive, set_patience
from dcmrecv_core.net.worker.session import Session, Shared
from dcmrecv_core.receive.pipeline import InstanceReceiver

if TYPE_CHECKING:
    import ssl
    from types import FrameType

    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.net.heartbeat import Heartbeat
    from dcmrecv_core.settings.settings import Settings
    from dcmrecv_core.storage.temporary import Capabilities

log = logging.getLogger("dcmrecv.net")

STOP_GRACE = 7.0
"""Seconds after SIGTERM for the instance it is in, then the association is aborted. A second less than the supervisor
gives: a peer that has stalled hears an A-ABORT, and what a killed process would leave behind is cleaned up."""

ORPHAN_GRACE = 1.0
"""Seconds that a worker whose supervisor died goes on with the instance it is in."""

_CERTAIN_END = 0.9  # seconds after the grace: a hook may hold it up

_TICK = 1.0


class Worker:
    """The state that signal handlers touch: stop flag, parent, heartbeat."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._parent = os.getppid()
        self._orphaned = False
        self.stopping = False
        self.give_up_at = math.inf
        self.renew: Callable[[float], None] = lambda now: None
        """Called with each tick: what lasts for long shows that it is still needed."""

    def arm(self, hook_seconds: float) -> None:
        """Install the handlers, let signals in, and start the tick that drives heartbeat and hook timer."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGALRM, self._on_tick)
        timer.limit = hook_seconds
        timer.flag = self._heartbeat.flag
        self._heartbeat.beat(time.monotonic())
        signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def should_stop(self, between_instances: bool) -> bool:
        """Whether to end now: between two instances at once, inside one when the grace is over."""
        if not self.stopping:
            return False
        return between_instances or time.monotonic() > self.give_up_at

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop_within(STOP_GRACE)

    def _stop_within(self, seconds: float) -> None:
        self.stopping = True
        self.give_up_at = min(self.give_up_at, time.monotonic() + seconds)

    def _on_tick(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        self._heartbeat.beat(now)
        if not self._orphaned and os.getppid() != self._parent:
            self._orphaned = True
            self._stop_within(ORPHAN_GRACE)
        elif now > self.give_up_at + _CERTAIN_END:
            os._exit(1)
        self.renew(now)
        try:
            timer.tick()
        except HookTimeout:
            self._heartbeat.mark_overdue()
            raise


def run_worker(
    control: socket.socket,
    heartbeat: Heartbeat,
    settings: Settings,
    plugins: Plugins,
    capabilities: Capabilities,
    tls: ssl.SSLContext | None = None,
) -> int:
    """Serve associations until told to end; returns the process's exit code. Starts with all signals blocked."""
    worker = Worker(heartbeat)
    worker.arm(settings.hook_seconds)
    memory.limit(settings.worker_memory)
    confinement.forbid_copies()
    try:
        plugins.worker_started(settings)
    except HookFailure as failure:
        if isinstance(failure.__cause__, StateDirectoryError):
            return LACKS_STATE  # no other worker would fare better: the supervisor says so, and ends
        return 1  # the guard has logged it; the supervisor starts another
    receiver = InstanceReceiver(settings, plugins, capabilities)
    worker.renew = receiver.publisher.renew
    shared = Shared(settings, plugins, receiver, worker.should_stop)
    set_patience(control)
    try:
        # the jitter keeps workers from ending together
        for _ in range(settings.recycle_after + random.randrange(max(settings.recycle_after // 4, 1))):
            handover = None if worker.stopping or memory.ran_out else _next(control, worker)
            if handover is None:
                break
            _serve(handover, shared, control, tls)
    finally:
        plugins.worker_stopping()
        receiver.publisher.close()
        logging.shutdown()
    return 0


def _next(control: socket.socket, worker: Worker) -> Handover | None:
    """The next association; None when it is time to end."""
    try:
        control.send(IDLE)
        while not worker.stopping:
            try:
                return receive(control)
            except BlockingIOError:
                continue  # nobody has come within PATIENCE
    except OSError as error:
        log.info("no more associations from the supervisor: %s", error.strerror or error)
    return None


def _serve(handover: Handover, shared: Shared, control: socket.socket, tls: ssl.SSLContext | None) -> None:
    connection = _connect(handover, shared, tls)
    if connection is None:
        return
    if handover.secure_until is not None:
        with suppress(OSError):  # the supervisor is gone: the tick will tell
            control.send(READ)
    Session(connection, handover, shared).run()


def _connect(handover: Handover, shared: Shared, tls: ssl.SSLContext | None) -> Connection | None:
    if handover.secure_until is not None and tls is not None:
        from dcmrecv_core.net.worker import tls_admission as secure  # brings OpenSSL along

        return secure.admit(handover, tls, shared.settings.max_request, lambda: shared.should_stop(True))
    try:
        if handover.secure_until is None:
            return PlainConnection(handover.sock)
    except OSError:
        pass  # it is gone already
    handover.sock.close()  # or came with TLS before a reload disabled that
    return None
