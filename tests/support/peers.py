"""Peers for tests of limits: their addresses, and a request of each."""

from __future__ import annotations

import socket

from dcmrecv_core.net.handover import Handover

A, B, C, D = (f"10.0.0.{number}" for number in range(1, 5))


def request_of(address: str, request: bytes = b"", *, tls: bool = False) -> Handover:
    """A complete request; its socket has no descriptor."""
    sock = socket.socket.__new__(socket.socket)
    return Handover(sock, request, address, 1, tls_deadline=1.0 if tls else None)
