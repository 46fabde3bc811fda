"""The side of the old program: it starts the new one, waits until that is ready, and hands over; or it goes on."""

from __future__ import annotations

import logging
import math
import os
import selectors
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from dcmrecv_core.net.upgrade.channel import FAILED, READY, TAKEN, YOURS, Channel
from dcmrecv_core.net.upgrade.program import Passed

if TYPE_CHECKING:
    from dcmrecv_core.net.upgrade.program import Program

log = logging.getLogger("dcmrecv.net")

READY_SECONDS = 60.0
"""Time for the start of the new program, plugins included."""

TAKE_SECONDS = 10.0
"""Time in which it takes over. Meanwhile connections wait."""


Answer = Callable[[int | str], None]
"""Gets the process id of the new program when it serves, else the reason why the old one goes on."""


class Owner(Protocol):
    """What the receiver does for an upgrade."""

    def pass_to_successor(self, channel: int) -> Passed:
        """The descriptors for the new program."""

    def pause_jobs(self, now: float) -> None:
        """Let journal process, delivery processes and `background` end."""

    def jobs_ended(self) -> bool: ...

    def shut(self) -> tuple[int, ...]:
        """Accept nothing for now. Returns what else the new program gets: the lock of the state directory and the
        listening control socket, as far as they are there."""

    def go_on(self, now: float) -> None:
        """Accept again, and start the jobs again."""

    def handed_over(self, pid: int, now: float) -> None:
        """Process `pid` serves: drain."""

    def successor_ended(self, now: float) -> None:
        """The program that has taken over is gone."""


class Phase(Enum):
    """`STARTING`: the new program starts; `READY`: it waits for the old one's jobs to end; `TAKING`: it takes over;
    `SERVING`: it has; `ENDED`: it has ended, or never was."""

    STARTING = 1
    READY = 2
    TAKING = 3
    SERVING = 4
    ENDED = 5


class Successor:
    """The new program, as the old one sees it. `answer` is called once."""

    def __init__(self, selector: selectors.BaseSelector, owner: Owner, answer: Answer) -> None:
        self._selector = selector
        self._owner = owner
        self._answer = answer
        self._channel: Channel | None = None
        self._session = 0
        self._deadline = math.inf
        self._reason = ""
        self._pid = 0
        self.phase = Phase.ENDED

    @property
    def is_coming(self) -> bool:
        """Whether it has not taken over yet."""
        return self.phase in (Phase.STARTING, Phase.READY, Phase.TAKING)

    def start(self, program: Program, now: float) -> None:
        """Start the new program."""
        log.info("upgrade: starting %s", program.command[0])
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            self._fail(f"cannot start a process: {error.strerror}")
            return
        try:
            self._session = program.start(self._owner.pass_to_successor(theirs.fileno()))
        except OSError as error:
            ours.close()
            self._fail(f"cannot start a process: {error.strerror}")
            return
        finally:
            theirs.close()
        self._channel = Channel(ours)
        self._selector.register(ours, selectors.EVENT_READ, self._on_message)
        self._deadline = now + READY_SECONDS
        self.phase = Phase.STARTING

    def tick(self, now: float) -> None:
        """Hand over when the jobs have ended; give up a program that is too slow."""
        if self.phase is Phase.READY and self._owner.jobs_ended():
            self._hand_over(now)
        if now > self._deadline:
            took = "did not take over" if self.phase is Phase.TAKING else "was not ready"
            seconds = TAKE_SECONDS if self.phase is Phase.TAKING else READY_SECONDS
            self.give_up(f"the new program {took} within {seconds:g} s")

    def give_up(self, reason: str) -> None:
        """Kill the new program, which has not taken over; its end is noticed in a later turn."""
        self._reason = self._reason or reason
        self._deadline = math.inf
        # the session is its group, with its workers; its number stays taken as long as one of them lives
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._session, signal.SIGKILL)

    def close(self) -> None:
        """This program stops; so does the new one, if it has not taken over."""
        if self.is_coming:
            self.give_up("the receiver is told to end")
            self._answer(self._reason)
        self._forget()

    def close_in_child(self) -> None:
        """In a child: close the copy of the stream."""
        if self._channel is not None:
            self._channel.close()

    def _on_message(self, sock: socket.socket, now: float) -> None:
        if self._channel is None:
            return
        message = self._channel.receive()
        if message is None:
            self._ended(now)
            return
        self._reason = str(message.get(FAILED, self._reason))
        if READY in message and self.phase is Phase.STARTING and not self._reason:
            self._pid = int(message[READY])
            self._deadline = math.inf
            self.phase = Phase.READY
            log.info("upgrade: the new program is ready")
            self._owner.pause_jobs(now)
        if TAKEN in message and self.phase is Phase.TAKING and not self._reason:
            self._deadline = math.inf
            self.phase = Phase.SERVING
            log.info("upgrade: process %d serves", self._pid)
            self._owner.handed_over(self._pid, now)
            self._answer(self._pid)

    def _hand_over(self, now: float) -> None:
        passed = self._owner.shut()
        self._deadline = now + TAKE_SECONDS
        self.phase = Phase.TAKING
        if self._channel is not None:
            with suppress(OSError):  # it has ended, as the loop sees in this turn
                self._channel.send(YOURS, descriptors=passed)

    def _ended(self, now: float) -> None:
        phase = self.phase
        self._forget()
        if phase is Phase.SERVING:
            self._owner.successor_ended(now)
            return
        if phase is not Phase.STARTING:
            self._owner.go_on(now)
        self._fail(self._reason or "the new program ended before it was ready; its own messages say why")

    def _fail(self, reason: str) -> None:
        log.error("no upgrade, nothing has changed: %s", reason)
        self._answer(reason)

    def _forget(self) -> None:
        self.phase = Phase.ENDED
        self._deadline = math.inf
        if self._channel is not None:
            self._selector.unregister(self._channel.sock)
            self._channel.close()
            self._channel = None
