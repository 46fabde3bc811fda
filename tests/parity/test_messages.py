"""Wrong or unusual commands and data sets: their statuses, and whether the association goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.data.datasets import element, identification, pixel_data
from support.parity.answers import Released
from support.parity.messages import (
    BIT_PRESERVING,
    DATA,
    ECHO,
    ECHO_RQ,
    INSTANCE,
    OFFENDING_ELEMENT,
    OTHER,
    PRIVATE,
    REFUSED,
    STORAGE,
    STORE,
    STORED,
    UNKNOWN,
    Brief,
    Message,
    aborted,
    command,
    compare_messages,
    data,
    in_both_modes,
    p_data,
    refused,
    with_,
    without,
)
from support.parity.rules import by_rule
from support.protocol.pdus import command_set, pdv
from support.uids import CT, MR, PRIVATE_CLASS

PATIENT_ONLY = element(0x00100010, "PN", b"Doe^Jane")
PIXELS = identification(CT, INSTANCE) + pixel_data()

COMMENTED = "Ours adds an Error Comment to the status."
STATUS = "Ours answers with a status and an Error Comment instead of an abort, so that no other instance is lost."
SAYS_WHY = "Ours names source and reason in its A-ABORT (PS3.8 9.3.8)."
NOT_NEEDED = "Ours stores it, because it does not need the element; DCMTK dcmrecv aborts."
STORED_UNPARSED = "Ours stores it unchecked, because the sender's data win; DCMTK dcmrecv aborts."
UNNAMED = "Ours answers with a status instead of an abort: without a class there is no File Meta Information."
TRUNCATED = "Ours answers C000 instead of Success, because incomplete data must not be acknowledged."

DATA_SETS = (
    Message(rule="a data set is stored", sent=command() + data()),
    Message(rule="a data set is stored, bit preserving", sent=command() + data(), arguments=BIT_PRESERVING),
    Message(
        rule="data set ends in a value",
        sent=command() + data(DATA[:-10]),
        differs=STATUS,
        ours=refused(0xC000, OFFENDING_ELEMENT),
        theirs=aborted(),
    ),
    Message(
        rule="data set ends in a value, bit preserving",
        sent=command() + data(DATA[:-10]),
        arguments=BIT_PRESERVING,
    ),
    Message(
        rule="data set ends in an element header",
        sent=command() + data(DATA + b"\xfc\xff\xfc\xff"),
        differs=TRUNCATED,
        ours=refused(0xC000, OFFENDING_ELEMENT),
        theirs=STORED,
    ),
    Message(
        rule="data set ends in an element header, bit preserving",
        sent=command() + data(DATA + b"\xfc\xff\xfc\xff"),
        arguments=BIT_PRESERVING,
    ),
    Message(
        rule="data set of zeros",
        sent=command() + data(bytes(400)),
        differs="Ours answers C000, because this is no data set; DCMTK dcmrecv stores twelve bytes of it.",
        ours=refused(0xC000),
        theirs=STORED,
    ),
    Message(rule="data set of zeros, bit preserving", sent=command() + data(bytes(400)), arguments=BIT_PRESERVING),
    Message(
        rule="data set of garbage",
        sent=command() + data(b"\xff\xfe garbage " * 8),
        differs=STATUS,
        ours=refused(0xC000, OFFENDING_ELEMENT),
        theirs=aborted(),
    ),
    Message(
        rule="data set of garbage, bit preserving",
        sent=command() + data(b"\xff\xfe garbage " * 8),
        arguments=BIT_PRESERVING,
    ),
    Message(
        rule="empty data set",
        sent=command() + data(b""),
        differs=COMMENTED,
        ours=refused(0xC000),
        theirs=Brief((0xC000,), Released()),
    ),
    Message(rule="empty data set, bit preserving", sent=command() + data(b""), arguments=BIT_PRESERVING),
    *in_both_modes("data set without UIDs", command() + data(PATIENT_ONLY)),
    *in_both_modes("data set of another class", command() + data(identification(MR, INSTANCE))),
    *in_both_modes("data set of another instance", command() + data(identification(CT, "1.2.3"))),
    *in_both_modes(
        "data set in an unknown transfer syntax",
        command(with_({0x0002: PRIVATE_CLASS}), PRIVATE) + data(DATA, PRIVATE),
        differs=STORED_UNPARSED,
        ours=Brief((0,), Released(), (f"UNKNOWN.{INSTANCE}",)),
        theirs=aborted(),
    ),
)

COMMANDS = (
    *in_both_modes("class of the command differs from the context's", command(with_({0x0002: MR})) + data()),
    *in_both_modes("class of the command is no UID", command(with_({0x0002: "1.2.x"})) + data()),
    *in_both_modes(
        "C-STORE on the Verification context",
        command(context_id=ECHO) + data(identification(CT, INSTANCE, explicit=False), ECHO),
    ),
    *in_both_modes("C-ECHO on a storage context", command(ECHO_RQ, STORAGE)),
    *in_both_modes("C-ECHO of another class", command(with_({0x0002: CT}, ECHO_RQ), ECHO)),
    *in_both_modes("instance of 64 characters", command(with_({0x1000: "1." + "2" * 62})) + data()),
    *in_both_modes("instance padded with a blank", command(with_({0x1000: f"{INSTANCE[:-1]} "})) + data(PATIENT_ONLY)),
    *in_both_modes("Move Originator", command(with_({0x1030: b"MOVER ", 0x1031: 4})) + data()),
    *in_both_modes("unknown priority", command(with_({0x0700: 7})) + data()),
    *in_both_modes("data set type other than 0101", command(with_({0x0800: 0x0102})) + data()),
    *in_both_modes("elements that no C-STORE has", command(with_({0x0001: b"abcd", 0x5010: 5})) + data()),
    *in_both_modes("Message ID of four bytes", command(with_({0x0110: b"\1\0\0\0"})) + data()),
    *in_both_modes("C-STORE without a data set", command(with_({0x0800: 0x0101})), STATUS, refused(0x0212), aborted()),
    *in_both_modes("command without instance", command(without(0x1000)) + data(), STATUS, refused(0x0117), aborted()),
    *in_both_modes(
        "command with empty instance", command(with_({0x1000: ""})) + data(), STATUS, refused(0x0117), aborted()
    ),
    *in_both_modes(
        "instance of 65 characters",
        command(with_({0x1000: "1." + "2" * 63})) + data(),
        STATUS,
        refused(0x0117),
        aborted(),
    ),
    *in_both_modes(
        "class of 65 characters",
        command(with_({0x0002: "1." + "2" * 63})) + data(),
        STATUS,
        refused(0x0122),
        aborted(),
    ),
    Message(
        rule="command without class",
        sent=command(without(0x0002)) + data(),
        differs=NOT_NEEDED,
        ours=STORED,
        theirs=aborted(),
    ),
    Message(
        rule="command without class, bit preserving",
        sent=command(without(0x0002)) + data(),
        arguments=BIT_PRESERVING,
        differs=UNNAMED,
        ours=refused(0x0122, OFFENDING_ELEMENT),
        theirs=aborted(),
    ),
    Message(
        rule="command with empty class, none in the data set",
        sent=command(with_({0x0002: ""})) + data(PATIENT_ONLY),
        differs=COMMENTED,
        ours=refused(0xC000, OFFENDING_ELEMENT),
        theirs=Brief((0xC000,), Released()),
    ),
    Message(
        rule="command with empty class, bit preserving",
        sent=command(with_({0x0002: ""})) + data(),
        arguments=BIT_PRESERVING,
        differs=UNNAMED,
        ours=refused(0x0122, OFFENDING_ELEMENT),
        theirs=aborted(),
    ),
    *in_both_modes("command without priority", command(without(0x0700)) + data(), NOT_NEEDED, STORED, aborted()),
    *in_both_modes("command without data set type", command(without(0x0800)) + data(), NOT_NEEDED, STORED, aborted()),
    *in_both_modes(
        "command element of odd length",
        command(with_({0x1000: INSTANCE.encode() + b" "})) + data(),
        NOT_NEEDED,
        STORED,
        aborted(),
    ),
    *in_both_modes("command without Message ID", command(without(0x0110)), SAYS_WHY, aborted(2, 6), aborted()),
    *in_both_modes("command without Command Field", command(without(0x0100)), SAYS_WHY, aborted(2, 6), aborted()),
    *in_both_modes("empty Message ID", command(with_({0x0110: b""})), SAYS_WHY, aborted(2, 6), aborted()),
    *in_both_modes(
        "garbage instead of a command", p_data(pdv(1, 3, b"\xff\x13garbage!" * 4)), SAYS_WHY, aborted(2, 6), aborted()
    ),
    *in_both_modes("empty command", p_data(pdv(1, 3, b"")), SAYS_WHY, aborted(2, 6), aborted()),
    *in_both_modes(
        "command in explicit VR",
        p_data(pdv(1, 3, element(0x00000002, "UI", CT.encode()) + element(0x00000100, "US", b"\1\0"))),
        SAYS_WHY,
        aborted(2, 6),
        aborted(),
    ),
    *in_both_modes(
        "C-STORE response without a request",
        command({0x0002: CT, 0x0100: 0x8001, 0x0120: 3, 0x0800: 0x0101, 0x0900: 0, 0x1000: INSTANCE}),
        SAYS_WHY,
        aborted(2, 5),
        aborted(),
    ),
)

OTHER_SERVICES = (
    *(
        row
        for name, request in (
            ("C-FIND", {0x0002: CT, 0x0100: 0x0020, 0x0110: 3, 0x0700: 0, 0x0800: 0}),
            ("C-MOVE", {0x0002: CT, 0x0100: 0x0021, 0x0110: 3, 0x0600: b"A ", 0x0700: 0, 0x0800: 0}),
            ("C-GET", {0x0002: CT, 0x0100: 0x0010, 0x0110: 3, 0x0700: 0, 0x0800: 0}),
        )
        for row in in_both_modes(name, command(request) + data(PATIENT_ONLY), STATUS, refused(0x0211), aborted())
    ),
    *(
        row
        for name, request in (
            ("N-EVENT-REPORT", {0x0002: CT, 0x0100: 0x0100, 0x0110: 3, 0x0800: 0x0101, 0x1000: INSTANCE, 0x1002: 1}),
            ("N-GET", {0x0003: CT, 0x0100: 0x0110, 0x0110: 3, 0x0800: 0x0101, 0x1001: INSTANCE}),
            ("N-CREATE", {0x0002: CT, 0x0100: 0x0140, 0x0110: 3, 0x0800: 0x0101, 0x1000: INSTANCE}),
            ("a command that does not exist", {0x0002: CT, 0x0100: 0x0077, 0x0110: 3, 0x0800: 0x0101}),
        )
        for row in in_both_modes(name, command(request), STATUS, refused(0x0211), aborted())
    ),
    *in_both_modes(
        "C-CANCEL",
        command({0x0100: 0x0FFF, 0x0120: 3, 0x0800: 0x0101}),
        "Ours ignores it, because there is no operation that it could cancel.",
        Brief((), Released()),
        aborted(),
        then="release",
    ),
    *(
        row
        for name, request in (
            ("C-ECHO without class", without(0x0002, elements=ECHO_RQ)),
            ("C-ECHO without data set type", without(0x0800, elements=ECHO_RQ)),
        )
        for row in in_both_modes(
            name,
            command(request, ECHO),
            "Ours answers, because it does not need the element.",
            Brief((0,), Released()),
            aborted(),
        )
    ),
    *in_both_modes(
        "C-ECHO with a data set",
        command(with_({0x0800: 0}, ECHO_RQ), ECHO) + data(PATIENT_ONLY, ECHO),
        "Ours answers, and drops the data set.",
        Brief((0,), Released()),
        aborted(),
    ),
    *in_both_modes(
        "C-ECHO in an unknown transfer syntax",
        command(ECHO_RQ, PRIVATE),
        "Ours answers, because a command is always implicit VR little endian.",
        Brief((0,), Released()),
        aborted(),
    ),
)

CONTEXTS = (
    *in_both_modes(
        "command on a context that was not proposed", command(context_id=UNKNOWN), SAYS_WHY, aborted(2, 6), aborted()
    ),
    *in_both_modes("command on a refused context", command(context_id=REFUSED), SAYS_WHY, aborted(2, 6), aborted()),
    *in_both_modes(
        "data set on a context that was not proposed",
        command() + data(context_id=UNKNOWN),
        SAYS_WHY,
        aborted(2, 6),
        aborted(),
    ),
    *in_both_modes(
        "context changes in the data set",
        command() + data(DATA[:100], last=False) + data(DATA[100:], OTHER),
        SAYS_WHY,
        aborted(2, 6),
        aborted(),
    ),
    *in_both_modes(
        "context changes in the command",
        p_data(pdv(STORAGE, 1, command_set(STORE)[:20])) + p_data(pdv(OTHER, 3, command_set(STORE)[20:])),
        SAYS_WHY,
        aborted(2, 6),
        aborted(),
    ),
    Message(
        rule="data set on another accepted context",
        sent=command() + data(context_id=OTHER),
        differs=SAYS_WHY,
        ours=aborted(2, 6),
        theirs=aborted(),
    ),
    Message(
        rule="data set on another accepted context, bit preserving",
        sent=command() + data(context_id=OTHER),
        arguments=BIT_PRESERVING,
        differs="Ours stores nothing of an instance that it does not acknowledge.",
        ours=aborted(2, 6),
        theirs=aborted(0, 0, f"CT.{INSTANCE}"),
    ),
)

ROWS = (*DATA_SETS, *COMMANDS, *OTHER_SERVICES, *CONTEXTS)


@by_rule(ROWS)
def test_message(row: Message, profiles: Path, both: Callable[..., Any]) -> None:
    compare_messages(row, profiles, both)
