"""How long a C-ECHO of another peer takes meanwhile."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from support.protocol.raw_sender import RawAssociation
from support.uids import IMPLICIT_LE, VERIFICATION

WITHIN = 1.0
PATIENCE = 10.0
"""Seconds to wait for a receiver that does not keep this promise."""


def echo_seconds(port: int, timeout: float = PATIENCE) -> float:
    """From the connection to the end of the association; raises OSError or AssertionError if it is not served."""
    start = time.monotonic()
    with RawAssociation(port, [(VERIFICATION, [IMPLICIT_LE])], timeout=timeout) as association:
        assert association.echo() == 0, "no C-ECHO-RSP with Success"
        association.release()
    return time.monotonic() - start


def told(port: int) -> str:
    """The same in words, for a receiver that may not answer."""
    with contextlib.suppress(OSError, AssertionError):
        return f"answers after {echo_seconds(port):.1f} s"
    return f"no service within {PATIENCE:.0f} s"


@contextlib.contextmanager
def idle_connections(port: int, often: int, said: bytes = b"") -> Iterator[None]:
    """So many open connections that have sent these bytes; fewer if the receiver accepts no more within 2 s."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(TimeoutError):
            for _ in range(often):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=2)).sendall(said)
        yield
