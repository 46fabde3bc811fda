"""What an upgrade changes in a receiver: at first the new program accepts nothing and runs no jobs, at the end the old
one does not. The conversation of the two programs is in `net/upgrade`."""

from __future__ import annotations

import logging
import os
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dcmrecv_core.net.admission import Door
from dcmrecv_core.net.upgrade.program import Passed
from dcmrecv_core.net.upgrade.successor import Answer, Phase, Successor

if TYPE_CHECKING:
    from dcmrecv_core.net.control.server import ControlServer
    from dcmrecv_core.net.supervisor.background import Background
    from dcmrecv_core.net.supervisor.frontdesk import FrontDesk
    from dcmrecv_core.net.supervisor.listener import Listeners
    from dcmrecv_core.net.supervisor.notify import Notifier
    from dcmrecv_core.net.supervisor.ownership import StateDirectory
    from dcmrecv_core.net.supervisor.pool import Pool
    from dcmrecv_core.net.upgrade.predecessor import Predecessor
    from dcmrecv_core.net.upgrade.program import Program
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.net")


class Parts(NamedTuple):
    """The parts of the receiver that begin or end their work."""

    desk: FrontDesk
    pool: Pool
    background: Background
    control: ControlServer
    listeners: Listeners
    state: StateDirectory | None
    notifier: Notifier


class Succession:
    """The programs before and after this one, if there are any. `program` is how this one was started, None if that is
    not known; `stop` stops this one, for a reason."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        settings: Settings,
        parts: Parts,
        stop: Callable[[str, float], None],
        program: Program | None,
        predecessor: Predecessor | None,
    ) -> None:
        self._selector = selector
        self._settings = settings
        self._parts = parts
        self._stop = stop
        self._drain: Callable[[float], None] = lambda now: None
        self._program = program
        self._predecessor = predecessor
        self._successor: Successor | None = None
        if predecessor is not None:
            parts.pool.table.door = Door.SHUT
            predecessor.watch(selector, self._take_over, self._predecessor_ended)

    @property
    def predecessor_runs(self) -> bool:
        return self._predecessor is not None

    @property
    def is_handing_over(self) -> bool:
        """Whether jobs have been told to end for the new program."""
        return self._successor is not None and self._successor.phase in (Phase.READY, Phase.TAKING)

    def ready(self) -> None:
        """This program can serve: tell systemd, or the program before this one."""
        if self._predecessor is None:
            self._parts.notifier.ready("listening")
        else:
            self._predecessor.ready()

    def tick(self, now: float) -> None:
        if self._successor is not None:
            self._successor.tick(now)

    def stop_upgrade(self) -> None:
        """This program drains, and no other one takes over from it."""
        if self._successor is not None and self._successor.is_coming:
            self._successor.give_up("the receiver is told to end")

    def end(self) -> None:
        """This program stops, and the one before it that may still drain. The program that has taken over sees the
        end of the stream when this one has ended."""
        if self._successor is not None and self._successor.is_coming:
            self._successor.close()
        if self._predecessor is not None:
            self._predecessor.end()

    def close_in_child(self) -> None:
        """In a child: close the copies of the supervisor's streams."""
        for other in (self._predecessor, self._successor):
            if other is not None:
                other.close_in_child()

    # The new program

    def _take_over(self, passed: Sequence[int], now: float) -> None:
        parts = self._parts
        if parts.state is not None and passed:
            owner, *control = passed
            parts.state.take_over(owner, self._settings)
            for fd in control:
                parts.control.listen(socket.socket(fileno=fd))
        parts.pool.table.door = Door.OPEN
        parts.desk.open(now)
        parts.background.resume()
        parts.notifier.is_silent = False
        log.info("upgrade: this program serves")

    def _predecessor_ended(self, now: float) -> None:
        predecessor, self._predecessor = self._predecessor, None
        if predecessor is not None and predecessor.has_handed_over:
            log.info("upgrade: the program before this one has ended")
        else:
            self._stop("the program before this one ended before it handed over", now)

    # The old program

    def upgrade(self, answer: Answer, drain: Callable[[float], None]) -> None:
        """Start the program anew and let it take over; then this one has to `drain`."""
        if self._predecessor is not None and not self._predecessor.has_handed_over:
            answer("the receiver has not taken over from the program before it yet")
        elif self._successor is not None and self._successor.is_coming:
            answer("an upgrade is under way")
        elif self._program is None:
            answer("how the receiver was started is not known")
        elif os.getpid() == 1:
            answer("process 1 of a container cannot be replaced, for all others end with it: restart the container")
        else:
            self._drain = drain
            self._successor = Successor(self._selector, self, answer)
            self._successor.start(self._program, time.monotonic())

    def pass_to_successor(self, channel: int) -> Passed:
        """See `Owner`."""
        listeners, state = self._parts.listeners, self._parts.state
        processes = None if state is None or state.lock is None else state.lock.processes
        return Passed([sock.fileno() for sock in listeners.sockets], listeners.inherited, channel, processes)

    def pause_jobs(self, now: float) -> None:
        """See `Owner`."""
        self._parts.background.pause(now)

    def jobs_ended(self) -> bool:
        """See `Owner`."""
        return not len(self._parts.background)

    def shut(self) -> tuple[int, ...]:
        """See `Owner`."""
        self._parts.pool.table.door = Door.SHUT
        self._parts.desk.shut()
        return () if self._parts.state is None else (*self._parts.state.pass_on(), *self._parts.control.pass_on())

    def go_on(self, now: float) -> None:
        """See `Owner`."""
        if self._parts.pool.table.door is Door.SHUT:
            self._parts.pool.table.door = Door.OPEN
            self._parts.desk.open(now)
        self._parts.background.resume()

    def handed_over(self, pid: int, now: float) -> None:
        """See `Owner`."""
        self._parts.notifier.passed_on(pid)
        if self._parts.state is not None:
            self._parts.state.hand_over()
        self._parts.control.stop_listening()
        self._drain(now)

    def successor_ended(self, now: float) -> None:
        """See `Owner`."""
        self._stop("the program that took over has ended", now)
