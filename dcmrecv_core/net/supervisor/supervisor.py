"""The supervisor: one loop that joins front desk, pool and signals.

It uses neither the output file system nor a resolver, so a hung disk stops only the workers that write to it.
"""

from __future__ import annotations

import gc
import logging
import math
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from dcmrecv_core.api.errors import PluginError, StateDirectoryError
from dcmrecv_core.counters.refusals import Reason
from dcmrecv_core.counters.slot import REJECTED, Doing
from dcmrecv_core.delivery.jobs import delivery_jobs
from dcmrecv_core.net import child
from dcmrecv_core.net.admission import peer_key
from dcmrecv_core.net.claim import CAN_BE_SHARED
from dcmrecv_core.net.control.server import Answer, Command, ControlError, ControlServer
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.proxy_header import Proxies
from dcmrecv_core.net.shares import Census, Shares
from dcmrecv_core.net.supervisor.background import Background, Job, Jobs, run_background, run_until_stopped
from dcmrecv_core.net.supervisor.eviction import AskedToEnd, Evictions
from dcmrecv_core.net.supervisor.frontdesk import FrontDesk
from dcmrecv_core.net.supervisor.listener import Listeners
from dcmrecv_core.net.supervisor.notify import Notifier
from dcmrecv_core.net.supervisor.pool import Pool
from dcmrecv_core.net.supervisor.refusals import Cause, cause_of_surplus, cause_of_waiting
from dcmrecv_core.net.supervisor.reload import Reload, SettingsSource
from dcmrecv_core.net.supervisor.signals import SignalFlags
from dcmrecv_core.net.supervisor.succession import Parts, Succession
from dcmrecv_core.net.supervisor.waiting import WaitingRequest, WaitingRequests
from dcmrecv_core.net.tls import client_hello
from dcmrecv_core.net.worker.arrivals import Entrance
from dcmrecv_core.net.worker.counting import count_refusal
from dcmrecv_core.net.worker.request_log import log_local_limit
from dcmrecv_core.net.worker.worker import run_worker
from dcmrecv_core.proto import pdu
from dcmrecv_core.proto.first_bytes import titles_of

if TYPE_CHECKING:
    import ssl

    from dcmrecv_core.counters.document import Counters
    from dcmrecv_core.counters.slot import CounterSlot
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.net.admission import Slot
    from dcmrecv_core.net.supervisor.ownership import StateDirectory
    from dcmrecv_core.net.upgrade.predecessor import Predecessor
    from dcmrecv_core.net.upgrade.program import Program
    from dcmrecv_core.settings.settings import Settings
    from dcmrecv_core.storage.temporary import Capabilities

log = logging.getLogger("dcmrecv.net")

WAIT_FOR_WORKER = 0.9
"""Seconds that a complete request waits for a worker before RJ 2/3/2: the peer has an answer within a second."""

GRACE = 8.0
"""Seconds after SIGTERM in which workers finish the instance they are receiving, and `background` cleans up."""

DELIVERY_PAUSE = 5.0
"""Seconds after which a delivery process is started again, however often it has died: they have pauses of their own for
what fails."""

_TICK = 0.5
_TICK_WAITING = 0.1
"""Seconds between two looks at the table while requests wait: an association may have become idle for long enough."""

_TRANSIENT = 2
_PROVIDER_PRESENTATION = 3
_LOCAL_LIMIT = 2


class Supervisor:
    """Runs until SIGTERM or SIGINT; a second one ends it at once. SIGHUP reloads the settings from `source`."""

    def __init__(
        self,
        settings: Settings,
        plugins: Plugins,
        listeners: Listeners,
        capabilities: Capabilities,
        source: SettingsSource,
        tls: ssl.SSLContext | None = None,
        state: StateDirectory | None = None,
        program: Program | None = None,
        predecessor: Predecessor | None = None,
    ) -> None:
        self._settings = settings
        self._state = state
        self._tls = tls
        self._listeners = listeners
        self._plugins = plugins
        self._capabilities = capabilities
        self._selector = selectors.DefaultSelector()
        self._waiting = WaitingRequests()
        self._asked = AskedToEnd()
        self._next_eviction = 0.0
        self._signals = SignalFlags()
        self._is_signalled = False
        self._drain_until: float | None = None
        self._stop_deadline: float | None = None
        self._notifier = Notifier(is_silent=predecessor is not None)
        self._ready_sent = False
        self._next_watchdog = 0.0
        self._desk = FrontDesk(self._selector, listeners, settings.acse_timeout, self._admit, accepts=not predecessor)
        self._places = settings.max_associations  # a reload does not change it
        self._configure_desk()
        self._pool = Pool(
            self._selector,
            self._places,
            settings.hook_seconds,
            self._run_worker,
            self._reassign,
            self._desk.take_over,
            self._desk.go_last,
            tells_lost=plugins.implements("association_ended") or settings.reload_plugins,
            hook_name=plugins.limits.hook_name,
        )
        self._counters = self._pool.table.counters
        self._addresses = listeners.addresses
        plugins.limits.counts.read = self._make_status
        self._control = ControlServer(
            self._selector, state.open_control() if state and not predecessor else None, self._commands()
        )
        self._background = Background(self._jobs(), GRACE, is_paused=predecessor is not None)
        self._reload = Reload(self._selector, settings, plugins, source, self._apply_settings, self._close_in_child)
        self._succession = Succession(
            self._selector,
            settings,
            Parts(self._desk, self._pool, self._background, self._control, listeners, state, self._notifier),
            self._stop,
            program,
            predecessor,
        )

    def run(self) -> int:
        """Serve; returns the exit code (0). Raises StateDirectoryError if no worker can start, because a plugin
        needs the state directory and that is another receiver's."""
        self._signals.listen(self._selector)
        self._counters.supervisor.begin_process(os.getpid(), Doing.NOT_READY, time.monotonic())
        import dcmrecv_core.dataset.decoding  # noqa: F401  # loads pydicom once, for all workers

        gc.freeze()  # the collector leaves these objects alone, so the workers keep sharing their memory
        self._pool.grow(time.monotonic())
        while self._stop_deadline is None or self._is_running:
            self._turn()
            if self._stop_deadline is not None and time.monotonic() > self._stop_deadline:
                log.warning("still running after the grace period; killing them")
                self._kill()
                break
        self._signals.ignore()
        if self._pool.lacks_state:
            self._complain()
        return 0

    @property
    def _is_running(self) -> bool:
        return bool(len(self._pool) or len(self._background) or self._succession.predecessor_runs)

    def _turn(self) -> None:
        ready = self._selector.select(self._timeout(time.monotonic()))
        if self._signals.raised:
            self._handle_signals(time.monotonic())
        for key, _events in ready:
            if self._selector.get_map().get(key.fd) is key:  # not closed earlier in this turn
                key.data(key.fileobj, time.monotonic())
        self._do_periodic_work(time.monotonic())

    def _timeout(self, now: float) -> float:
        """Seconds until the next deadline."""
        if self._stop_deadline is not None:
            return _TICK
        desk_left = self._desk.tick(now)
        first_deadline = self._waiting.first_deadline()
        waiting_left = None if first_deadline is None else min(first_deadline - now, _TICK_WAITING)
        return max(0.0, min(left for left in (_TICK, desk_left, waiting_left) if left is not None))

    def _do_periodic_work(self, now: float) -> None:
        self._pool.tick(now)
        self._pool.grow(now, self._assign_waiting(now))
        self._background.tick(now)
        self._control.tick(now)
        self._refuse_some(now)
        self._pool.table.requests_wait = bool(self._waiting)
        if not self._ready_sent and self._pool.is_ready:
            self._ready_sent = True
            self._counters.supervisor.be(Doing.READY, now)
            self._succession.ready()
        self._succession.tick(now)
        if not self._succession.is_handing_over:
            self._reload.tick(now)
        if self._drain_until is not None and self._stop_deadline is None:
            self._drain_further(now)
        if self._notifier.watchdog_seconds and now >= self._next_watchdog:
            self._next_watchdog = now + self._notifier.watchdog_seconds
            self._notifier.alive()

    def _admit(self, handover: Handover) -> None:
        """A request is complete: hand it to an idle worker, or let it wait for one."""
        now = time.monotonic()
        if self._waiting or not self._pool.assign(handover, now, self._shares):
            self._waiting.add(handover, now + WAIT_FOR_WORKER)
            self._pool.table.requests_wait = True  # before this turn looks at the workers again
        else:
            self._waiting.note_served(peer_key(handover.address))

    def _assign_waiting(self, now: float) -> int:
        """Hand waiting requests to idle workers, and let idle associations end for the others; returns how many could
        be served if there were more workers."""
        if not self._waiting:
            self._asked.ask([], now)
            return 0
        # with all workers busy, each turn only hands on what has become free
        looks_further = self._pool.can_grow or now >= self._next_eviction
        places = self._pool.table.places()
        short: list[WaitingRequest] = []
        for waiting in self._waiting.in_turn(Census(places), self._shares):
            if self._pool.assign(waiting.handover, now, self._shares):
                self._waiting.remove(waiting)
                self._waiting.note_served(waiting.peer)
            elif looks_further:
                short.append(waiting)
            else:
                return 0
        self._next_eviction = now + _TICK_WAITING
        last = self._asked.unanswering(places, now)
        evictions = Evictions(places, self._shares, now, self._settings.idle_eviction, last)
        self._asked.ask(evictions.choose(short, self._waiting), now)
        return len(short)

    def _reassign(self, handover: Handover) -> None:
        """Its worker ended before taking it: try another one. Only once, as the request may be the cause."""
        handover.workers_lost += 1
        if self._stop_deadline is None and handover.workers_lost == 1:
            self._admit(handover)
        else:
            handover.sock.close()

    def _refuse_some(self, now: float) -> None:
        """Refuse the requests that are too many to wait, and those that have waited too long."""
        for request in self._waiting.take_surplus():
            self._refuse(request.handover, now, cause_of_surplus(request, self._waiting))
        if expired := self._waiting.take_expired(now):
            census = Census(self._pool.table.places())
            for request in expired:
                self._refuse(request.handover, now, cause_of_waiting(request, self._shares, census))

    def _refuse(self, handover: Handover, now: float, cause: Cause) -> None:
        waits_for_ever = cause.associations and self._settings.dimse_timeout is None
        log_local_limit(handover, cause.option, cause.text, waits_for_ever=waits_for_ever)
        rejection = f"{_TRANSIENT}/{_PROVIDER_PRESENTATION}/{_LOCAL_LIMIT}"
        reason = Reason("association", rejection, f"local limit exceeded: {cause.option}")
        names = (*titles_of(handover.request), handover.address)
        self._counters.supervisor.count(REJECTED)
        count_refusal(self._counters.supervisor, reason, names, f"see {cause.option}; {cause.text}")
        if handover.tls_deadline is None:
            answer = pdu.encode_associate_rj(_TRANSIENT, _PROVIDER_PRESENTATION, _LOCAL_LIMIT)
        else:
            answer = client_hello.REFUSAL
        self._desk.refuse(handover, now, answer)

    def _run_worker(self, control: socket.socket, slot: Slot) -> int:
        """In the forked worker."""
        listens = CAN_BE_SHARED and self._tls is None and not self._settings.proxy_from
        self._close_in_child(listens=listens)
        listeners = self._listeners.sockets if listens else []
        entrance = Entrance(listeners, self._pool.table, self._shares, self._settings.max_request)
        return run_worker(control, slot, self._settings, self._plugins, self._capabilities, entrance, self._tls)

    def _jobs(self) -> Jobs:
        """What runs beside the workers. Raises PluginError."""
        settings, plugins = self._settings, self._plugins
        background = {
            title: Job(partial(self._run_background, name, self._counters.other(title)))
            for name in plugins.order("background")
            for title in [f"background of plugin {name}"]
        }
        return background | {
            title: Job(partial(self._run_delivery, main, self._counters.other(title)), DELIVERY_PAUSE, endless=True)
            for title, main in delivery_jobs(settings, plugins).items()
        }

    def _run_background(self, plugin: str, slot: CounterSlot) -> int:
        """In the forked child of a plugin."""
        self._close_in_child()
        self._plugins.limits.counts.use(slot)
        return run_background(plugin, self._settings, self._plugins, GRACE)

    def _run_delivery(self, main: Callable[[Callable[[], bool]], None], slot: CounterSlot) -> int:
        """In the forked child for the journal or a queue."""
        self._close_in_child()
        self._plugins.limits.counts.use(slot)
        return run_until_stopped(main, GRACE)

    def _close_in_child(self, *, listens: bool = False) -> None:
        """Close the copies of the supervisor's sockets, apart from the listening ones if the child `listens`."""
        self._selector.close()
        self._desk.close_in_child(listens=listens)
        self._pool.close_in_child()
        self._reload.drop_probe()
        self._succession.close_in_child()
        self._control.close_in_child()
        for waiting in self._waiting:
            waiting.handover.sock.close()
        if self._state is not None:
            self._state.close_in_child()
        self._signals.close_in_child()

    def _handle_signals(self, now: float) -> None:
        """The end goes before all else, so that a flood of other signals cannot hold it up."""
        if (number := self._signals.take(signal.SIGTERM, signal.SIGINT)) is not None:
            if self._is_signalled or self._stop_deadline is not None:
                self._kill()
                os._exit(0)
            self._is_signalled = True
            if self._drain_until is None and self._settings.drain:
                self._notifier.draining(self._settings.drain + GRACE)
                self._succession.stop_upgrade()
                self._drain(self._settings.drain, signal.Signals(number).name, now)
            else:
                self._stop(signal.Signals(number).name, now)
        if not self._succession.is_handing_over and self._signals.take(signal.SIGHUP) and self._drain_until is None:
            self._reload.begin()
        if self._signals.take(signal.SIGCHLD):
            for pid, code in child.reap_ended():
                self._pool.child_ended(pid, code, now)
                self._background.child_ended(pid, code, now)
            if self._pool.lacks_state and self._stop_deadline is None:
                self._stop("no worker can start", now)

    def _apply_settings(self, settings: Settings, capabilities: Capabilities, tls: ssl.SSLContext | None) -> None:
        """Use new settings for new associations; running ones keep the old settings."""
        self._settings = settings
        self._capabilities = capabilities
        self._tls = tls
        self._configure_desk()
        self._pool.replace_all(settings.hook_seconds)
        try:
            jobs = self._jobs()
        except PluginError as error:  # it has answered a moment ago
            log.error("deliveries go on as before: %s", error)
            return
        self._background.restart_all(time.monotonic(), jobs)

    def _configure_desk(self) -> None:
        desk, settings = self._desk, self._settings
        desk.request_seconds = float(settings.acse_timeout)
        desk.max_request = settings.max_request
        desk.tls = self._tls is not None
        desk.proxies = Proxies(settings.proxy_from)
        self._shares = Shares(self._places, settings.max_per_peer)

    def _commands(self) -> dict[str, Command]:
        """What the control socket can be asked for."""
        return {
            "status": self._tell_status,
            "reload": self._tell_reload,
            "drain": self._tell_drain,
            "upgrade": self._tell_upgrade,
        }

    def _tell_status(self, request: Mapping[str, Any], answer: Answer) -> None:
        answer(self._make_status().as_dict())

    def _make_status(self) -> Counters:
        """Also in children, of the moment in which they were forked."""
        # loaded when first asked for: its many classes would take a tenth of each start
        from dcmrecv_core.counters.document import Listening
        from dcmrecv_core.net.control.status import StatusMaker

        tls = self._tls is not None
        listening = tuple(Listening(address=address, port=port, tls=tls) for address, port in self._addresses)
        maker = StatusMaker(self._pool.table, self._plugins.limits, listening)
        maker.stores(self._settings, self._capabilities)
        return maker.make()

    def _tell_reload(self, request: Mapping[str, Any], answer: Answer) -> None:
        if self._stop_deadline is not None or self._drain_until is not None:
            raise ControlError("the receiver is stopping")
        if self._succession.is_handing_over:
            raise ControlError("the receiver is handing over to another program")
        self._reload.begin(lambda reason: answer({"error": f"settings not reloaded: {reason}"} if reason else {}))

    def _complain(self) -> None:
        """Say whose the state directory is that `worker_started` of a plugin needs; raises StateDirectoryError."""
        names = self._plugins.order("worker_started")
        who = f"plugin {names[0]}" if len(names) == 1 else f"one of the plugins {', '.join(names)}"
        try:
            _ = self._settings.own(names[0]).state_directory
        except StateDirectoryError as error:
            raise StateDirectoryError(f"{who}: worker_started: {error}") from error

    def _kill(self) -> None:
        self._pool.signal_all(signal.SIGKILL)
        self._background.signal_all(signal.SIGKILL)

    def _tell_drain(self, request: Mapping[str, Any], answer: Answer) -> None:
        seconds = self._drain_seconds(request)
        if self._stop_deadline is not None:
            raise ControlError("the receiver is stopping")
        answer({})
        self._notifier.draining(None)
        self._succession.stop_upgrade()
        self._drain(seconds, "drain", time.monotonic())

    def _tell_upgrade(self, request: Mapping[str, Any], answer: Answer) -> None:
        seconds = self._drain_seconds(request)
        if self._stop_deadline is not None or self._drain_until is not None:
            raise ControlError("the receiver takes no new associations any more")

        def tell(outcome: int | str) -> None:
            answer({"pid": outcome} if isinstance(outcome, int) else {"error": f"not upgraded: {outcome}"})

        self._succession.upgrade(tell, lambda now: self._drain(seconds, "upgrade", now, passed_on=True))

    def _drain_seconds(self, request: Mapping[str, Any]) -> float | None:
        """The `limit` of the request, else --drain; None for no limit. Raises ControlError."""
        seconds = request.get("limit")
        if seconds is None:
            return self._settings.drain or None
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= sys.float_info.max:
            raise ControlError("the limit has to be a number of seconds, not below 0")
        return seconds

    def _drain(self, seconds: float | None, why: str, now: float, *, passed_on: bool = False) -> None:
        until = math.inf if seconds is None else now + seconds
        if self._drain_until is None:
            self._counters.supervisor.be(Doing.DRAINING, now)
            self._reload.abandon()
            self._pool.drain()
            self._desk.stop_listening(now, passed_on=passed_on)
            self._addresses = ()
        self._drain_until = until if self._drain_until is None else min(until, self._drain_until)
        limit = "" if seconds is None else f" for {seconds:g} s"
        log.info("%s: no new associations, running ones may go on%s", why, limit)

    def _drain_further(self, now: float) -> None:
        if self._desk.is_empty and not self._waiting:
            self._pool.end_idle()
            if not len(self._pool) and not self._succession.predecessor_runs:
                log.info("all associations have ended")
                self._end(now)
                return
        if self._drain_until is not None and now >= self._drain_until:
            self._stop("the time for running associations is over", now)

    def _stop(self, why: str, now: float) -> None:
        if self._stop_deadline is None:
            log.info("%s: no new associations, running ones finish the instance they are in", why)
            self._end(now)

    def _end(self, now: float) -> None:
        self._stop_deadline = now + GRACE
        self._counters.supervisor.be(Doing.STOPPING, now)
        self._notifier.stopping()
        self._reload.abandon()
        self._succession.end()
        self._desk.close()
        for waiting in self._waiting:
            waiting.handover.sock.close()
        self._waiting = WaitingRequests()
        self._pool.stop()
        self._background.stop()
