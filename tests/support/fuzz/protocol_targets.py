"""Fuzz targets: associations as bytes, and command sets."""

from __future__ import annotations

import random
import zlib

from dcmrecv_core.api.errors import RemoteProtocolError
from dcmrecv_core.proto.dimse import decode_command, encode_response
from support.protocol import pdus
from support.protocol.sample_conversation import CONVERSATION, REQUEST, survives
from support.uids import CT

ELEMENTS = pdus.STORE_RQ | {0x0120: 3, 0x1030: b"MOVE", 0x1031: 9}


def fuzz_pdus(data: bytes) -> None:
    """The first byte says whether a valid request precedes the rest, and whether we are strict."""
    options, stream = data[:1] or b"\0", data[1:]
    if options[0] & 1:
        stream = REQUEST + stream
    survives(stream, random.Random(zlib.crc32(data)), strict=bool(options[0] & 2))


def pdu_seeds() -> list[bytes]:
    rest = CONVERSATION[len(REQUEST) :]
    whole = [bytes([options]) + CONVERSATION for options in (0, 2)]
    parts = [pdus.echo(1), pdus.store(2, bytes(300)), pdus.release_rq(), pdus.abort(0, 0), rest]
    return [*whole, *(bytes([options]) + part for part in parts for options in (1, 3))]


def fuzz_command(data: bytes) -> None:
    """A readable command can be answered, and the response can be read."""
    try:
        command = decode_command(data)
    except RemoteProtocolError as error:
        assert (error.source, error.reason) == (2, 6)
        return
    assert len(command.sop_class_uid) <= len(data)
    response = pdus.parse_command(encode_response(command, 0xC000, "comment", (0x00080018,)))
    assert int.from_bytes(response[0x0120], "little") == command.message_id
    assert response.get(0x0002, b"")[: len(command.sop_class)] == command.sop_class
    assert response.get(0x1000, b"")[: len(command.sop_instance)] == command.sop_instance


def command_seeds() -> list[bytes]:
    return [
        pdus.command_set(pdus.ECHO_RQ),
        pdus.command_set(pdus.STORE_RQ),
        pdus.command_set(ELEMENTS),
        pdus.command_set({0x0100: 0x0FFF, 0x0120: 3, 0x0800: 0x0101}),
        pdus.command_set({0x0002: CT, 0x0100: 0x8001, 0x0120: 3, 0x0800: 0x0101, 0x0900: 0xA700, 0x0902: b"why "}),
    ]
