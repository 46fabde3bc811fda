"""systemd's notification protocol (sd_notify); does nothing unless systemd has set NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket


class Notifier:
    """Sends to $NOTIFY_SOCKET. `watchdog_seconds` is half of the time that systemd allows between two WATCHDOG=1. If it
    `is_silent`, it sends nothing yet: another program is the main one of this service."""

    def __init__(self, *, is_silent: bool = False) -> None:
        self.is_silent = is_silent
        address = os.environ.pop("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        limit = os.environ.pop("WATCHDOG_USEC", "")
        ours = os.environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = int(limit) / 2e6 if self._address and ours and limit.isdecimal() else None

    def ready(self, status: str) -> None:
        self._send(f"READY=1\nSTATUS={status}")

    def draining(self, seconds: float | None) -> None:
        """Associations go on; a stop under way may take `seconds`, None: it has no end yet. STOPPING=1 comes later, as
        systemd would count the time for a stop from then on."""
        extension = "" if seconds is None else f"\nEXTEND_TIMEOUT_USEC={int(seconds * 1e6)}"
        self._send(f"STATUS=draining{extension}")

    def passed_on(self, pid: int) -> None:
        """Process `pid` is the main one from now on, and speaks to systemd itself."""
        self._send(f"MAINPID={pid}")
        self.is_silent = True

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self.is_silent or not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            try:
                sock.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)
            except OSError:
                return  # systemd is not listening
