"""C-STORE-RQ and C-STORE-RSP as bytes (PS3.7 section 9.3.1): command sets, always Implicit VR Little Endian.

Not by pynetdicom, which refuses UIDs that it finds invalid: what a sender named so was stored, and is sent on so.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_STORE_RQ, _STORE_RSP = 0x0001, 0x8001
_MEDIUM = 0
_HAS_DATA_SET = 1
"""Command Data Set Type: anything but 0101H."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a C-STORE-RSP says."""

    message_id: int
    status: int
    comment: str = ""

    def __str__(self) -> str:
        return f"status {self.status:04X}" + f" ({self.comment})" * bool(self.comment)


def store_request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """The command set of a C-STORE-RQ."""
    body = b"".join(
        (
            _uid(0x0002, sop_class_uid),
            _number(0x0100, _STORE_RQ),
            _number(0x0110, message_id),
            _number(0x0700, _MEDIUM),
            _number(0x0800, _HAS_DATA_SET),
            _uid(0x1000, sop_instance_uid),
        )
    )
    return _element(0x0000, struct.pack("<I", len(body))) + body


def store_response(command: bytes) -> Response | None:
    """What a command set says; None if it is no C-STORE-RSP with a status."""
    values: dict[int, bytes] = {}
    place = 0
    while place + 8 <= len(command):
        group, element, length = struct.unpack_from("<HHI", command, place)
        if group != 0 or length > len(command) - place - 8:
            return None
        values[element] = command[place + 8 : place + 8 + length]
        place += 8 + length
    kind, message_id, status = (_read(values.get(element, b"")) for element in (0x0100, 0x0120, 0x0900))
    if kind != _STORE_RSP or message_id is None or status is None:
        return None
    comment = values.get(0x0902, b"").decode("ascii", "replace").strip(" \0")
    return Response(message_id, status, "".join(char if char.isprintable() else "?" for char in comment))


def _read(value: bytes) -> int | None:
    return int.from_bytes(value, "little") if len(value) == 2 else None


def _number(element: int, value: int) -> bytes:
    return _element(element, struct.pack("<H", value))


def _uid(element: int, uid: str) -> bytes:
    value = uid.encode("ascii", "replace")
    return _element(element, value + b"\0" * (len(value) % 2))


def _element(element: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, element, len(value)) + value
