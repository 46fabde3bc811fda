"""How messages are cut into PDVs and PDUs: valid ways, and those that break the protocol."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.data.datasets import element, identification
from support.parity.answers import Closed, Released
from support.parity.messages import (
    BIT_PRESERVING,
    DATA,
    ECHO,
    ECHO_RQ,
    INSTANCE,
    STORAGE,
    STORE,
    STORED,
    Brief,
    Message,
    aborted,
    command,
    compare_messages,
    data,
    in_both_modes,
    p_data,
    with_,
)
from support.parity.proposals import request
from support.parity.rules import by_rule
from support.protocol.pdus import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    command_set,
    pdu,
    pdv,
)
from support.uids import CT

COMMAND_SET = command_set(STORE)
FITTING = 16384 - 6 - 12 - len(identification(CT, INSTANCE))
"""Length of pixel data that makes a data set which fills a PDU of the announced length."""

SAYS_WHY = "Ours names source and reason in its A-ABORT (PS3.8 9.3.8)."
EVERY_FRAGMENT = "Ours stores it, because PDVs of any lengths may share a PDU (PS3.8 annex E.1); DCMTK dcmrecv aborts."
ODD = "Ours stores it with a warning, because some senders send odd fragments; DCMTK dcmrecv aborts."
LENGTH = "Ours aborts, because the length of these PDUs is fixed (PS3.8 9.3.6)."


def filled(length: int) -> bytes:
    return identification(CT, INSTANCE) + element(0x7FE00010, "OW", bytes(length))


def broken(rule: str, sent: bytes, reason: int = 6, **details: Any) -> tuple[Message, ...]:
    """Both abort, ours with a reason."""
    return tuple(in_both_modes(rule, sent, SAYS_WHY, aborted(2, reason), aborted(), **details))


FRAGMENTS = (
    *in_both_modes("two PDVs in a PDU", command() + p_data(pdv(1, 0, DATA[:100]), pdv(1, 2, DATA[100:]))),
    *in_both_modes(
        "PDVs of equal lengths in a PDU",
        command()
        + p_data(pdv(1, 0, DATA[:200]), pdv(1, 0, DATA[200:400]), pdv(1, 0, DATA[400:600]))
        + data(DATA[600:]),
    ),
    *in_both_modes(
        "PDVs of unequal lengths in a PDU",
        command() + p_data(pdv(1, 0, DATA[:100]), pdv(1, 0, DATA[100:250]), pdv(1, 2, DATA[250:])),
        EVERY_FRAGMENT,
        STORED,
        aborted(),
    ),
    *in_both_modes("command and data set in a PDU", p_data(pdv(1, 3, COMMAND_SET), pdv(1, 2, DATA))),
    *in_both_modes(
        "command and two fragments in a PDU",
        p_data(pdv(1, 3, COMMAND_SET), pdv(1, 0, DATA[:100]), pdv(1, 2, DATA[100:])),
        EVERY_FRAGMENT,
        STORED,
        aborted(),
    ),
    *in_both_modes("empty fragments", command() + data(b"", last=False) + data(last=False) + data(b"")),
    *in_both_modes(
        "command in many fragments",
        b"".join(p_data(pdv(1, 1, COMMAND_SET[start : start + 10])) for start in range(0, 60, 10))
        + p_data(pdv(1, 3, COMMAND_SET[60:]))
        + data(),
    ),
    *in_both_modes(
        "empty last fragment of a command", p_data(pdv(1, 1, COMMAND_SET)) + p_data(pdv(1, 3, b"")) + data()
    ),
    *in_both_modes("command without group length", p_data(pdv(1, 3, COMMAND_SET[12:])) + data()),
    *in_both_modes(
        "command with wrong group length", p_data(pdv(1, 3, COMMAND_SET[:8] + b"\5\0\0\0" + COMMAND_SET[12:])) + data()
    ),
    *in_both_modes(
        "command elements out of order",
        p_data(pdv(1, 3, b"".join(command_set({key: STORE[key]})[12:] for key in sorted(STORE, reverse=True))))
        + data(),
    ),
    *in_both_modes(
        "command element repeated", p_data(pdv(1, 3, COMMAND_SET + command_set({0x1000: "1.2.9"})[12:])) + data()
    ),
    *in_both_modes(
        "command of more than 64 KiB",
        b"".join(
            p_data(pdv(1, 1, command_set(with_({0x0902: b"A" * 100000}))[start : start + 16000]))
            for start in range(0, 96000, 16000)
        )
        + p_data(pdv(1, 3, command_set(with_({0x0902: b"A" * 100000}))[96000:]))
        + data(),
        "Ours aborts, because no command is that long, and memory for a peer is limited.",
        aborted(2, 6),
        STORED,
    ),
    *in_both_modes(
        "reserved bits of the control header",
        p_data(pdv(1, 0xFF, COMMAND_SET)) + p_data(pdv(1, 0xFE, DATA)),
    ),
    *in_both_modes("reserved byte of a P-DATA-TF", b"\4\xff" + command()[2:] + b"\4\xff" + data()[2:]),
    *in_both_modes("requests sent before the answers", (command() + data()) * 2, responses=2),
    *in_both_modes(
        "fragments of odd lengths", command() + data(DATA[:101], last=False) + data(DATA[101:]), ODD, STORED, aborted()
    ),
    *in_both_modes(
        "command fragments of odd lengths",
        p_data(pdv(1, 1, COMMAND_SET[:21]), pdv(1, 3, COMMAND_SET[21:])) + data(),
        ODD,
        STORED,
        aborted(),
    ),
    *in_both_modes("PDU of the announced length", command() + data(filled(FITTING))),
)

BROKEN = (
    *broken("PDU longer than announced", command() + data(filled(FITTING + 2))),
    *broken("PDU of 2 GiB", command() + b"\4\0\x7f\xff\xff\xff"),
    *broken("PDU of 4 GiB", command() + b"\4\0\xff\xff\xff\xff"),
    *broken("PDV that runs past its PDU", command() + pdu(P_DATA, struct.pack(">IBB", 500, 1, 2) + b"abcd")),
    *broken("PDV of length 0", command() + pdu(P_DATA, bytes(4))),
    *broken("PDV of length 1", command() + pdu(P_DATA, struct.pack(">IB", 1, 1))),
    *broken("PDV of 4 GiB", command() + pdu(P_DATA, b"\xff\xff\xff\xff\1\2abcd")),
    *broken("P-DATA-TF without a PDV", command() + pdu(P_DATA, b"")),
    *broken("P-DATA-TF of three bytes", command() + pdu(P_DATA, bytes(3))),
    *broken("data set without a command", data(), 5),
    *broken("command inside the data set", command() + data(DATA[:100], last=False) + command(), 5),
    *broken(
        "command inside the data set, same PDU",
        command() + p_data(pdv(1, 0, DATA[:100]), pdv(1, 3, command_set(ECHO_RQ))),
        5,
    ),
    *broken("unknown PDU type", pdu(0x2A, b"abcd"), 1),
    *broken("unknown PDU type inside a message", command() + pdu(0x2A, b"abcd"), 1),
)

UNEXPECTED = (
    *in_both_modes("second A-ASSOCIATE-RQ", request()),
    *in_both_modes("A-ASSOCIATE-AC inside an association", pdu(ASSOCIATE_AC, bytes(68))),
    *in_both_modes("A-ASSOCIATE-RJ inside an association", pdu(ASSOCIATE_RJ, b"\0\1\1\1")),
    *in_both_modes("A-RELEASE-RP inside an association", pdu(RELEASE_RP, bytes(4))),
    Message(
        rule="A-RELEASE-RQ of eight bytes",
        sent=pdu(RELEASE_RQ, bytes(8)),
        differs=LENGTH,
        ours=aborted(2, 6),
        theirs=Brief((), Released()),
    ),
    Message(
        rule="A-ABORT of eight bytes",
        sent=pdu(ABORT, bytes(8)),
        differs=LENGTH,
        ours=aborted(2, 6),
        theirs=Brief((), Closed()),
    ),
)

PARTIAL = command() + data(DATA[:300], last=False)
ENDINGS = (
    *in_both_modes("A-RELEASE-RQ without a message", b"", then="release"),
    *in_both_modes("A-ABORT without a message", b"", then="abort"),
    *in_both_modes("connection closed without a message", b"", then="close"),
    *in_both_modes("message after A-RELEASE-RQ", pdu(RELEASE_RQ, bytes(4)) + command(ECHO_RQ, ECHO)),
    *in_both_modes("A-RELEASE-RQ inside a data set", PARTIAL, then="release"),
    *in_both_modes("A-RELEASE-RQ after a command", command(), then="release"),
    *in_both_modes("A-RELEASE-RQ inside a command", p_data(pdv(STORAGE, 1, COMMAND_SET[:20])), then="release"),
    *in_both_modes("A-ABORT inside a data set", PARTIAL, then="abort"),
    *in_both_modes("connection closed inside a data set", PARTIAL, then="close"),
    *in_both_modes(
        "connection closed inside a PDU",
        command() + data()[:100],
        "Ours sends no A-ABORT to a peer that has closed (PS3.8 9.2.3, AA-4).",
        Brief((), Closed()),
        aborted(),
        then="close",
    ),
    *in_both_modes("A-RELEASE-RQ right after a data set", command() + data(), then="release"),
    *in_both_modes("A-ABORT right after a data set", command() + data(), then="abort"),
    *in_both_modes("connection closed right after a data set", command() + data(), then="close"),
    Message(rule="interrupted re-send", before=command() + data(), sent=PARTIAL, then="abort"),
    Message(
        rule="interrupted re-send, bit preserving",
        before=command() + data(),
        sent=PARTIAL,
        then="abort",
        arguments=BIT_PRESERVING,
        differs="Ours keeps the stored instance until its successor is complete.",
        ours=Brief((), Closed(), (f"CT.{INSTANCE}",)),
        theirs=Brief((), Closed()),
    ),
)

ROWS = (*FRAGMENTS, *BROKEN, *UNEXPECTED, *ENDINGS)


@by_rule(ROWS)
def test_fragments(row: Message, profiles: Path, both: Callable[..., Any]) -> None:
    compare_messages(row, profiles, both)
