"""Host names for the log, as dcmrecv shows them, without a moment's wait for a resolver.

The original asks the resolver before each association, and a name server that does not answer holds everybody up.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable
from queue import Full, Queue

_MAX_KNOWN = 1024
_MAX_ASKED = 64


def _ask(address: str) -> str:
    return socket.gethostbyaddr(address)[0]


def at_once(address: str) -> str:
    """The name of this host, for which nobody has to be asked; any other host's is its address."""
    return "localhost" if address.startswith("127.") or address == "::1" else address


class HostNames:
    """Names by address; one daemon thread, started with the first question, asks for those that are not known yet.

    `ask` may raise OSError or ValueError: the address stays its own name then. Names are kept as long as the process.
    """

    def __init__(self, ask: Callable[[str], str] = _ask) -> None:
        self._ask = ask
        self._known: dict[str, str] = {}
        self._questions: Queue[str] = Queue(_MAX_ASKED)
        self._thread: threading.Thread | None = None

    def name(self, address: str) -> str:
        """The host's name up to the first dot; the address as long as the name is not known, or if there is none."""
        known = self._known.get(address) or at_once(address)
        if known == address and address not in self._known:
            self._begin_to_ask(address)
        return known

    def _begin_to_ask(self, address: str) -> None:
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[address] = ""  # asked
        try:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="host names", daemon=True)
                self._thread.start()
            self._questions.put_nowait(address)
        except (Full, RuntimeError):  # RuntimeError: the system has no thread for us
            del self._known[address]

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are for the thread that runs hooks
        while True:
            address = self._questions.get()
            try:
                self._known[address] = self._ask(address).partition(".")[0]
            except (OSError, ValueError):  # ValueError: a name that is none (UnicodeError)
                continue
