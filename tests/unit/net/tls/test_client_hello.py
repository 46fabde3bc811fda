"""The first bytes of a handshake."""

from __future__ import annotations

import struct

import pytest

from dcmrecv_core.api.errors import RemoteProtocolError
from dcmrecv_core.net.tls.client_hello import wanted_length

HELLO = struct.pack(">BHH", 22, 0x0301, 100) + bytes(100)


@pytest.mark.parametrize(
    ("head", "length"), [(b"", 5), (b"\x16", 5), (b"\x16\x03\x01\x00", 5), (HELLO[:5], 105), (HELLO, 105)]
)
def test_wanted_length(head: bytes, length: int) -> None:
    assert wanted_length(head) == length


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"\x01", "wrong version number"),
        (b"\x16\x02", "wrong version number"),
        (b"\x16\x03\x01\x40\x01", "packet length too long"),
        (b"\x16\x03\x01\x00\x00", "bad length"),
    ],
)
def test_streams_that_are_not_tls(head: bytes, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^TLS error: {reason}$"):
        wanted_length(head)
