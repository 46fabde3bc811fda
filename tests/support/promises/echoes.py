"""A C-ECHO by another peer while something is going on: how long it takes."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from support.protocol.raw_sender import RawAssociation
from support.uids import IMPLICIT_LE, VERIFICATION

WITHIN = 1.0
PATIENCE = 10.0
"""Seconds that one waits for a peer which does not keep this promise."""


def echo_seconds(port: int, timeout: float = PATIENCE) -> float:
    """From the connection to the end of the association; raises OSError or AssertionError if it is not served."""
    start = time.monotonic()
    with RawAssociation(port, [(VERIFICATION, [IMPLICIT_LE])], timeout=timeout) as association:
        assert association.echo() == 0, "no C-ECHO-RSP with Success"
        association.release()
    return time.monotonic() - start


def told(port: int) -> str:
    """The same in words, of a receiver that may not answer."""
    with contextlib.suppress(OSError, AssertionError):
        return f"answers after {echo_seconds(port):.1f} s"
    return f"no service within {PATIENCE:.0f} s"


@contextlib.contextmanager
def idle_connections(port: int, often: int, said: bytes = b"") -> Iterator[None]:
    """So many open connections, each of which has said that much; fewer, if the receiver takes no more within 2 s."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(TimeoutError):
            for _ in range(often):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=2)).sendall(said)
        yield
