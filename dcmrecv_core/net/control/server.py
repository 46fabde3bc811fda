"""The supervisor's side of the control socket. Nothing here waits: a client that is slow or odd is dropped."""

from __future__ import annotations

import json
import logging
import os
import selectors
import socket
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from dcmrecv_core.api.version import __version__

log = logging.getLogger("dcmrecv.net")

MAX_CLIENTS = 16
"""When there are more, the one goes that has been silent for longest; never one that waits for its answer."""

MAX_REQUEST = 4096
"""Bytes of a request."""

CLIENT_SECONDS = 10.0
"""A client that neither sends nor reads for so long is dropped, unless it waits for its answer."""

_ROOT = 0
_ACCEPTS_PER_WAKE = 16
_CHUNK = 65536
_CREDENTIALS = struct.Struct("@iII")  # ucred of unix(7): process, user, group

Answer = Callable[[Mapping[str, Any]], None]
"""Sends the answer to a request, at once or later; the client may be gone by then. {"error": text} says that the
command has failed."""

Command = Callable[[Mapping[str, Any], Answer], None]
"""Gets the request and answers it, once. It must not wait for anything."""


class ControlError(Exception):
    """A command cannot be done; the text says why."""


class Client:
    """A connection. `waits`: its request is not answered yet."""

    __slots__ = ("data", "deadline", "output", "sock", "waits")

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.sock = sock
        self.data = bytearray()
        self.output = bytearray()
        self.waits = False
        self.deadline = now + CLIENT_SECONDS


class ControlServer:
    """Answers the requests that come through `listener`; without one there are none. `commands` by their names."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        listener: socket.socket | None,
        commands: Mapping[str, Command],
    ) -> None:
        self._selector = selector
        self._listener: socket.socket | None = None
        self._commands = commands
        self._clients: dict[int, Client] = {}
        if listener is not None:
            self.listen(listener)

    def listen(self, listener: socket.socket) -> None:
        """Answer those who connect to this socket."""
        self._listener = listener
        self._selector.register(listener, selectors.EVENT_READ, self._accept)

    def pass_on(self) -> tuple[int, ...]:
        """The listening socket, if there is one, for another program."""
        return () if self._listener is None else (self._listener.fileno(),)

    def stop_listening(self) -> None:
        """Close the copy of the listening socket, which is another program's now. Clients get their answers."""
        if self._listener is not None:
            self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def close_in_child(self) -> None:
        """In a child: close the copies of the supervisor's sockets."""
        if self._listener is not None:
            self._listener.close()
        for client in self._clients.values():
            client.sock.close()

    def tick(self, now: float) -> None:
        """Drop clients that were silent for too long."""
        for client in [each for each in self._clients.values() if not each.waits and each.deadline <= now]:
            self._drop(client)

    def _accept(self, listener: socket.socket, now: float) -> None:
        for _ in range(_ACCEPTS_PER_WAKE):
            try:
                sock, _address = listener.accept()
            except OSError:  # none is left, or no descriptor is free
                return
            sock.setblocking(False)
            if not _may_control(sock):
                _refuse(sock, "root and the receiver's own user may ask, no others")
            elif not self._has_room():
                _refuse(sock, "too many clients wait for an answer")
            else:
                self._clients[sock.fileno()] = Client(sock, now)
                self._selector.register(sock, selectors.EVENT_READ, self._on_ready)

    def _has_room(self) -> bool:
        if len(self._clients) < MAX_CLIENTS:
            return True
        silent = [client for client in self._clients.values() if not client.waits]
        if silent:
            self._drop(min(silent, key=lambda client: client.deadline))
        return bool(silent)

    def _on_ready(self, sock: socket.socket, now: float) -> None:
        client = self._clients[sock.fileno()]
        try:
            if client.output:
                self._send(client)
                client.deadline = now + CLIENT_SECONDS
            data = sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        client.data += data
        if not data or len(client.data) > MAX_REQUEST:
            self._drop(client)
            return
        client.deadline = now + CLIENT_SECONDS
        line, end, more = bytes(client.data).partition(b"\n")
        if client.waits or client.output or more:  # one request at a time, so that no client takes up the loop
            self._drop(client)
        elif end:
            client.data.clear()
            client.waits = True
            self._handle(line, lambda answer: self._answer(client, answer))

    def _handle(self, line: bytes, answer: Answer) -> None:
        try:
            request = json.loads(line)
            name = request["command"]
            command = self._commands[name]
        except (ValueError, TypeError, KeyError, RecursionError):
            known = ", ".join(self._commands)
            answer({"error": f"this receiver, of version {__version__}, has the commands {known}"})
            return
        try:
            command(request, answer)
        except ControlError as error:
            answer({"error": str(error)})
        except Exception:  # a mistake here, or in shared memory, must not end the receiver
            log.critical("internal error in control command %s", name, exc_info=True)
            answer({"error": "internal error, see the log of the receiver"})

    def _answer(self, client: Client, answer: Mapping[str, Any]) -> None:
        if self._clients.get(client.sock.fileno()) is not client:
            return  # it is gone
        client.waits = False
        client.output += _encode(answer)
        try:
            self._send(client)
        except OSError:
            self._drop(client)

    def _send(self, client: Client) -> None:
        """As much as the client takes now. Raises OSError if it is gone."""
        with suppress(BlockingIOError):
            del client.output[: client.sock.send(client.output)]
        events = selectors.EVENT_READ | selectors.EVENT_WRITE if client.output else selectors.EVENT_READ
        self._selector.modify(client.sock, events, self._on_ready)

    def _drop(self, client: Client) -> None:
        self._selector.unregister(client.sock)
        del self._clients[client.sock.fileno()]
        client.sock.close()


def _encode(answer: Mapping[str, Any]) -> bytes:
    return json.dumps({"version": __version__, **answer}).encode() + b"\n"


def _refuse(sock: socket.socket, why: str) -> None:
    with suppress(OSError), sock:
        sock.send(_encode({"error": why}))


def _may_control(sock: socket.socket) -> bool:
    """Whether the peer is root, or the receiver's own user."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the mode of the socket decides alone
    try:
        _, user, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    except OSError:
        return False
    return user in (_ROOT, os.geteuid())
