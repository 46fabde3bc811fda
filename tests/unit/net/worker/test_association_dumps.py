"""Dumps of associations: cases that the parity suite cannot compare, because DCMTK hides less or fails earlier."""

from __future__ import annotations

import struct

import pytest

from dcmrecv_core.logs.records import escape_controls
from dcmrecv_core.net.worker import association_dumps as dumps
from dcmrecv_core.proto.associate import decode_associate_rq
from support.protocol.pdus import associate_rq, item, pdu
from support.uids import CT, IMPLICIT_LE, VERIFICATION

REQUEST = associate_rq([(VERIFICATION, [IMPLICIT_LE])])


FIELD = b"\0\6secret"


def with_user(*items: bytes) -> bytes:
    """The request, with these items appended to its user information."""
    head, user = REQUEST[6 : REQUEST.rindex(b"\x50\0")], REQUEST[REQUEST.rindex(b"\x50\0") + 4 :]
    return pdu(1, head + item(0x50, user, *items))


def shown(data: bytes) -> bytes:
    """The dumped bytes, hidden ones as NUL."""
    octets = "".join(line for line in dumps.request_bytes(data).splitlines() if line.startswith("  ")).split()
    return bytes(0 if octet == "**" else int(octet, 16) for octet in octets)


@pytest.mark.parametrize(
    "data",
    [
        with_user(item(0x58, b"\2\0", FIELD, FIELD)),
        with_user(item(0x58, b"\3\0", FIELD, b"\0\0")),
        with_user(item(0x58, b"\2\0", FIELD), item(0x58, b"\2\0", FIELD)),
        REQUEST + item(0x58, b"\2\0", FIELD),
        with_user(item(0x58, b"\2\0", FIELD)[:-1]),
        pdu(1, REQUEST[6:].replace(b"\x50\0\0", b"\x50\0\xf0") + item(0x58, b"\2\0", FIELD)),
        pdu(1, REQUEST[6:74] + b"\x50" + FIELD),
    ],
    ids=["password", "ticket", "twice", "out-of-place", "item-cut-off", "frame-overrun", "no-items-at-all"],
)
def test_no_dump_shows_credentials(data: bytes) -> None:
    assert b"secre" in data
    assert b"secre" not in shown(data)
    assert shown(data)[:74] == data[:74]


@pytest.mark.parametrize(("length", "lines"), [(80, 1 + 5 + 1), (81, 1 + 6), (600, 2 + 32 + 1)])
def test_lines_of_bytes(length: int, lines: int) -> None:
    """As in DCMTK, an empty line follows a full last line."""
    found = dumps.request_bytes(struct.pack(">BxI", 1, length - 6) + bytes(length - 6)).split("\n")
    assert len(found) == lines
    assert (found[-1] == "") is (min(length, 512) % 16 == 0)
    assert ("Only dumping 512 bytes." in found) is (length > 512)


def test_all_text_of_a_peer_is_escaped() -> None:
    evil = "A\nE: B"
    data = associate_rq([(evil, [evil])], calling=evil, called=evil)
    data = data.replace(b"RAWSCU", evil.encode()).replace(b"1.2.3.4", b"1\n2\r3.4")
    dump = dumps.association("A-ASSOCIATE-RQ", decode_associate_rq(data[6:]), 16384)
    assert dump.count(escape_controls(evil)) == 5
    assert all(line == escape_controls(line) for line in dump.split("\n"))
    assert not [line for line in dump.split("\n") if line.startswith(("E: ", "2"))]


def test_an_identity_of_an_unknown_kind_shows_lengths_only() -> None:
    request = decode_associate_rq(with_user(item(0x58, b"\x09\0", FIELD, FIELD))[6:])
    dump = dumps.association("A-ASSOCIATE-RQ", request, 16384)
    assert "  Second value (not dumped), length: 6" in dump
    assert "secret" not in dump


@pytest.mark.parametrize(
    ("identity", "lines"),
    [
        (b"\1\1" + FIELD + b"\0\0", ["  Authentication mode 1: Username", "  Username: [secret]"]),
        (
            b"\2\0" + FIELD + b"\0\2pw",
            ["  Authentication mode 2: Username/Password", "  Username: [secret]", "  Password: [not dumped]"],
        ),
        (
            b"\3\0" + FIELD + b"\0\0",
            ["  Authentication mode 3: Kerberos", "  Kerberos Service Ticket (not dumped) length: 6"],
        ),
        (b"\4\0" + FIELD + b"\0\0", ["  Authentication mode 4: SAML", "  SAML Assertion (not dumped) length: 6"]),
        (b"\5\0" + FIELD + b"\0\0", ["  Authentication mode 5: JWT", "  JSON Web Token (not dumped) length: 6"]),
    ],
    ids=["name", "password", "kerberos", "saml", "token"],
)
def test_identities(identity: bytes, lines: list[str]) -> None:
    dump = dumps.association("A-ASSOCIATE-RQ", decode_associate_rq(with_user(item(0x58, identity))[6:]), 16384)
    wanted = f"  Positive Response requested: {'Yes' if identity[1] else 'No'}"
    found = dump.split("\n")
    start = found.index("Requested User Identity Negotiation:")
    assert found[start + 1 : start + 2 + len(lines)] == [*lines, wanted]
    assert "pw" not in dump


@pytest.mark.parametrize(
    ("uid", "line"), [(CT, "  =CTImageStorage (1.2.840.10008.5.1.4.1.1.2)"), ("1.9", "  =Unknown-UID (1.9)")]
)
def test_extended_negotiation(uid: str, line: str) -> None:
    extended = item(0x56, struct.pack(">H", len(uid)), uid.encode(), b"\1\xff")
    dump = dumps.association("A-ASSOCIATE-RQ", decode_associate_rq(with_user(extended)[6:]), 16384)
    found = dump.split("\n")
    assert found[found.index(line) + 1] == "    [0x01, 0xff]"
