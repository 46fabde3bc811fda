"""The listening sockets: bound here, or passed in (LISTEN_FDS) by systemd or by the program that this one replaces."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcmrecv_core.api.errors import ListenError
from dcmrecv_core.settings.settings import Settings

if TYPE_CHECKING:
    from dcmrecv_core.net.upgrade.predecessor import Predecessor

log = logging.getLogger("dcmrecv.net")

_FIRST_FD = 3  # sd_listen_fds(3)
_BACKLOG = 1024
_DEAD_PEER_OPTIONS = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 60_000}
"""Seconds, for the last one milliseconds. By name, because not every system has all of them."""

_SO_ATTACH_FILTER = 26
_WITHOUT_SYN = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the byte of the flags
        (0x45, 0, 1, 0x02),  # is SYN set?
        (0x06, 0, 0, 0),  # drop the segment
        (0x06, 0, 0, 0xFFFFFFFF),  # keep it
    )
)
"""A filter (classic BPF) of what comes to a TCP socket: no requests for connections."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """The listening sockets; `inherited`: systemd keeps copies."""

    sockets: list[socket.socket]
    inherited: bool = False

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Address and port of each."""
        return tuple(each.getsockname()[:2] for each in self.sockets)

    def defer_new(self) -> None:
        """Leave new requests for connections unanswered: what waits can be accepted, and nothing comes after it that
        the end would reset. Who asks meanwhile asks again after a second. Only on Linux."""
        if sys.platform != "linux":
            return
        filter_ = ctypes.create_string_buffer(_WITHOUT_SYN, len(_WITHOUT_SYN))
        program = struct.pack("HP", len(_WITHOUT_SYN) // 8, ctypes.addressof(filter_))
        for listener in self.sockets:
            with suppress(OSError):
                listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def close(self) -> None:
        """Accept nothing more; the port is free, although workers have copies."""
        if not self.inherited:
            for listener in self.sockets:
                listener.shutdown(socket.SHUT_RDWR)
        self.close_copies()

    def close_copies(self) -> None:
        """Close this process's copies."""
        while self.sockets:
            self.sockets.pop().close()


def inherited_count() -> int:
    """Number of sockets that systemd passes in (LISTEN_FDS, if LISTEN_PID is this process)."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return 0
    count = os.environ.get("LISTEN_FDS", "")
    return int(count) if count.isdecimal() else 0


def open_listeners(settings: Settings, predecessor: Predecessor | None = None) -> Listeners:
    """The listening sockets. Raises ListenError (exit code 64) with DCMTK's text."""
    count = inherited_count()
    if count:
        for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
            os.environ.pop(name, None)
        sockets = [_use_inherited(fd) for fd in range(_FIRST_FD, _FIRST_FD + count)]
        if settings.port is not None and settings.port not in map(_port_of, sockets):
            log.warning("ignoring port %d: using the sockets passed in", settings.port)
        return Listeners(sockets, inherited=predecessor is None or predecessor.inherited)
    listener = bind(settings)
    try:
        listener.listen(_BACKLOG)
    except OSError as error:  # another program has begun to listen since
        listener.close()
        raise _listen_error(settings.port or 0, error) from error
    _set_options(listener)
    return Listeners([listener])


def _use_inherited(fd: int) -> socket.socket:
    listener = None
    try:
        listener = socket.socket(fileno=fd)
        listener.set_inheritable(False)
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(errno.EINVAL, "not a listening socket")
        _set_options(listener)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise ListenError(f"cannot start SCP and listen on inherited socket {fd}: {error.strerror}") from error
    return listener


def _port_of(listener: socket.socket) -> int | None:
    return listener.getsockname()[1] if listener.family in (socket.AF_INET, socket.AF_INET6) else None


def bind(settings: Settings) -> socket.socket:
    """A socket bound to the port, which does not listen yet. Raises ListenError."""
    port = settings.port or 0
    listener = None
    try:
        family, address = _address(settings)
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, settings.ip_version != "any")
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        if error.errno in (errno.EACCES, errno.EPERM):
            log.error("No privileges to open this network port (%d)", port)
            raise ListenError(f"cannot start SCP and listen on port {port}: Insufficient port privileges") from error
        raise _listen_error(port, error) from error
    return listener


def _listen_error(port: int, error: OSError) -> ListenError:
    reason = error.strerror or str(error)
    return ListenError(f"cannot start SCP and listen on port {port}: TCP Initialization Error: {reason}")


def _address(settings: Settings) -> tuple[socket.AddressFamily, Any]:
    """The address to listen on: `--bind`, or all. Raises OSError if it is invalid or of another IP version."""
    families = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6, "any": socket.AF_UNSPEC}
    family = families[settings.ip_version]
    host = settings.bind or ("0.0.0.0" if family == socket.AF_INET else "::")
    if ":" in host:
        family = socket.AF_INET6  # -i4 is the default: an IPv6 address to bind needs no -i6
    found = socket.getaddrinfo(host, settings.port or 0, family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
    return found[0][0], found[0][4]


def _set_options(listener: socket.socket) -> None:
    """Set options that accepted sockets inherit, which saves system calls for each connection."""
    listener.setblocking(False)
    # with Nagle's algorithm a response waits for the sender's delayed acknowledgement: 44 ms an instance
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _DEAD_PEER_OPTIONS.items():
        if hasattr(socket, name):
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
