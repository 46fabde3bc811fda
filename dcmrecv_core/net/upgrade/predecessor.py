"""The side of the new program: it says when it is ready, and takes over."""

from __future__ import annotations

import json
import os
import selectors
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from dcmrecv_core.net.upgrade.channel import FAILED, READY, TAKEN, YOURS, Channel
from dcmrecv_core.net.upgrade.program import VARIABLE


class Predecessor:
    """The program that has started this one and serves until this one takes over. `inherited`: systemd has copies of
    the listening sockets; `processes` is the lock of all processes that use the state directory, None without one."""

    def __init__(self, channel: socket.socket, processes: int | None, *, inherited: bool) -> None:
        self._channel = Channel(channel)
        self._selector: selectors.BaseSelector | None = None
        self.processes = processes
        self.inherited = inherited
        self.has_handed_over = False

    @classmethod
    def of_this_process(cls) -> Predecessor | None:
        """The one that the environment names, from which it is removed."""
        text = os.environ.pop(VARIABLE, "")
        if not text or os.environ.get("LISTEN_PID") != str(os.getpid()):
            return None
        passed = json.loads(text)
        channel, processes = int(passed["channel"]), passed["processes"]
        for fd in (channel, processes):
            if fd is not None:
                os.set_inheritable(fd, False)
        return cls(socket.socket(fileno=channel), processes, inherited=bool(passed["inherited"]))

    def fail(self, reason: str) -> None:
        """This program cannot serve."""
        with suppress(OSError):
            self._channel.send(FAILED, reason)

    def ready(self) -> None:
        """This program can serve."""
        with suppress(OSError):  # it has ended, as the loop sees in the next turn
            self._channel.send(READY, os.getpid())

    def watch(
        self,
        selector: selectors.BaseSelector,
        take_over: Callable[[Sequence[int], float], None],
        ended: Callable[[float], None],
    ) -> None:
        """From now on `take_over` is called when this program owns sockets and state directory, with what it gets then
        (`Owner.shut`), and `ended` when the other program has ended."""
        self._selector = selector

        def on_message(sock: socket.socket, now: float) -> None:
            message = self._channel.receive()
            if message is None:
                self.close()
                ended(now)
            elif YOURS in message and not self.has_handed_over:
                self.has_handed_over = True
                take_over(self._channel.take_descriptors(), now)
                with suppress(OSError):  # it was killed just now
                    self._channel.send(TAKEN)

        selector.register(self._channel.sock, selectors.EVENT_READ, on_message)

    def end(self) -> None:
        """This program stops: so does the other one, whose end is noticed in a later turn."""
        with suppress(OSError):
            self._channel.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        if self._selector is not None:
            self._selector.unregister(self._channel.sock)
        self._channel.close()

    def close_in_child(self) -> None:
        """In a child: close the copy of the stream."""
        self._channel.close()
