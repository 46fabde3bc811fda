"""Host names for the log, as DCMTK dcmrecv shows them, looked up without delaying an association.

DCMTK asks the resolver before each association: a name server that does not respond delays all senders.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from queue import Full, Queue

_MAX_KNOWN = 1024
_MAX_QUEUED = 64


def _look_up(address: str) -> str:
    return socket.gethostbyaddr(address)[0]


def name_without_lookup(address: str) -> str:
    """ "localhost" for a loopback address; any other address unchanged."""
    return "localhost" if address.startswith("127.") or address == "::1" else address


class HostNames:
    """Host names by address, looked up in a daemon thread, which the first lookup starts.

    If `look_up` raises OSError or ValueError, the address is shown instead. Names are kept as long as the process runs.
    """

    def __init__(self, look_up: Callable[[str], str] = _look_up) -> None:
        self._look_up = look_up
        self._known: dict[str, str] = {}
        self._queue: Queue[str] = Queue(_MAX_QUEUED)
        self._thread: threading.Thread | None = None

    def name(self, address: str) -> str:
        """The host's name up to the first dot; its address until the lookup has ended, and if there is no name."""
        known = self._known.get(address) or name_without_lookup(address)
        if known == address and address not in self._known:
            self._request_lookup(address)
        return known

    def _request_lookup(self, address: str) -> None:
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[address] = ""  # lookup requested
        try:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="host names", daemon=True)
                self._thread.start()
            self._queue.put_nowait(address)
        except (Full, RuntimeError):  # RuntimeError: the system starts no more threads
            del self._known[address]

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # the main thread handles them
        while True:
            address = self._queue.get()
            try:
                self._known[address] = self._look_up(address).partition(".")[0]
            except (OSError, ValueError):  # ValueError: an invalid name (UnicodeError)
                continue
