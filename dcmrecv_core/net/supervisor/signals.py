"""The supervisor's signals are flags: equal signals that arrive before a turn of the loop are one.

A handler only sets its flag. The socket of Python's wake-up descriptor ends the wait of the loop and says nothing more:
when it is full, after some 280 signals, Python drops the bytes of the next ones.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

_DRAINED = 4096  # bytes; more than fit into the socket


class SignalFlags:
    """Which of `NUMBERS` have arrived since they were taken."""

    def __init__(self) -> None:
        self.raised: set[int] = set()
        self._socket: socket.socket | None = None

    def listen(self, selector: selectors.BaseSelector) -> None:
        """Install the handlers; from now on each signal also wakes the loop of `selector`."""
        self._socket, wakeup = socket.socketpair()
        self._socket.setblocking(False)
        wakeup.setblocking(False)
        signal.set_wakeup_fd(wakeup.detach(), warn_on_full_buffer=False)
        for number in NUMBERS:
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, NUMBERS)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        selector.register(self._socket, selectors.EVENT_READ, self._drain)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.raised.add(number)

    def _drain(self, sock: socket.socket, now: float) -> None:
        sock.recv(_DRAINED)

    def take(self, *numbers: int) -> int | None:
        """Clear the flags of `numbers`; returns the first of them that was set."""
        seen = [number for number in numbers if number in self.raised]
        self.raised.difference_update(seen)  # one of the others may arrive at this moment
        return seen[0] if seen else None

    def ignore(self) -> None:
        """The receiver has ended: one more signal must not turn exit code 0 into a death by that signal. (Python
        restores the default action of a signal that has a handler while it shuts down.)"""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def close_in_child(self) -> None:
        """In a child: close the copies of both sockets. All signals are blocked until it has its own handlers."""
        if self._socket is not None:
            os.close(signal.set_wakeup_fd(-1))
            self._socket.close()
