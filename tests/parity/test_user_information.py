"""Requests for associations: their user information items, and the answers to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.parity.answers import Aborted, Accepted, Closed, Response
from support.parity.associations import ABORTED, UNREADABLE, Request, compare_answers
from support.parity.proposals import ECHO, asking, context, extended, identity, request, request_of, role
from support.parity.rules import by_rule
from support.protocol.pdus import (
    COMMON_EXTENDED,
    EXTENDED,
    IDENTIFICATION,
    IDENTITY,
    IMPLEMENTATION_CLASS,
    IMPLEMENTATION_VERSION,
    MAX_LENGTH,
    ROLE,
    USER,
    WINDOW,
    application_context,
    counted,
    item,
    max_length,
)
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, JPEG, MR, SECONDARY_CAPTURE, ULTRASOUND, VERIFICATION

IDENTITY_RESPONSE = 0x59
WINDOW_ANSWER = "Ours answers 1/1, as PS3.7 D.3.3.3 wants it if a window is proposed."
IDENTITY_ANSWER = "Ours answers, as PS3.7 D.3.3.7 wants it if a positive response is asked for."
LENGTH_TOO_LONG = "Ours accepts, because the name of an implementation does not matter; DCMTK dcmrecv does not answer."
WHOLE_LENGTH = "Ours fills the announced length; DCMTK dcmrecv leaves six bytes of it unused."
ENOUGH = "Ours answers in tiny fragments; DCMTK dcmrecv leaves six bytes unused and aborts because they do not fit."
NO_ROOM = "Ours aborts at once: no fragment fits, so nothing could ever be answered."
ECHO_RESPONSE = {
    0x0000: b"\x42\0\0\0",
    0x0002: VERIFICATION.encode(),
    0x0100: b"\x30\x80",
    0x0120: b"\7\0",
    0x0800: b"\1\1",
    0x0900: b"\0\0",
}


def told(user: tuple[bytes, ...]) -> bytes:
    """A request with these user information items only."""
    return request(user=user)


def echo_in(*lengths: int) -> tuple[Accepted, Response]:
    """Accepted, and the response to the C-ECHO in fragments of these lengths."""
    return Accepted(), Response(1, ECHO_RESPONSE, lengths)


LENGTHS = (
    Request(rule="no maximum length", request=told(IDENTIFICATION), echo=True),
    Request(rule="maximum length 0", request=told((max_length(0), *IDENTIFICATION)), echo=True),
    Request(rule="largest maximum length", request=told((max_length(0xFFFFFFFF), *IDENTIFICATION)), echo=True),
    Request(rule="response fits into the maximum length", request=told((max_length(128), *IDENTIFICATION)), echo=True),
    Request(
        rule="response is fragmented",
        request=told((max_length(40), *IDENTIFICATION)),
        echo=True,
        differs=WHOLE_LENGTH,
        ours=echo_in(34, 34, 10),
        theirs=echo_in(28, 28, 22),
    ),
    Request(
        rule="odd maximum length",
        request=told((max_length(87), *IDENTIFICATION)),
        echo=True,
        differs=WHOLE_LENGTH,
        ours=echo_in(78),
        theirs=echo_in(68, 10),
    ),
    Request(
        rule="smallest maximum length",
        request=told((max_length(8), *IDENTIFICATION)),
        echo=True,
        differs=ENOUGH,
        ours=echo_in(*[2] * 39),
        theirs=(Accepted(), ABORTED),
    ),
    Request(
        rule="maximum length that has no room for anything",
        request=told((max_length(7), *IDENTIFICATION)),
        differs=NO_ROOM,
        ours=Aborted(2, 6),
        theirs=Accepted(),
    ),
    Request(rule="maximum length of two bytes", request=told((item(MAX_LENGTH, b"\x40\0"), *IDENTIFICATION))),
    Request(rule="maximum length of six bytes", request=told((item(MAX_LENGTH, b"\0\0\x40\0\0\0"), *IDENTIFICATION))),
    Request(rule="two maximum lengths", request=told((max_length(128), max_length(0), *IDENTIFICATION)), echo=True),
    Request(rule="-pdu is announced", profile="", arguments=("-pdu", "4096"), request=request()),
    Request(rule="odd -pdu is announced as even", profile="", arguments=("-pdu", "16385"), request=request()),
    Request(rule="largest -pdu", profile="", arguments=("-pdu", "131072"), request=request()),
)

IMPLEMENTATIONS = (
    Request(rule="no user information items", request=told(())),
    Request(rule="no user information", request=request_of(application_context(), *ECHO)),
    Request(rule="no implementation class UID", request=told((USER[0], IDENTIFICATION[1]))),
    Request(rule="no implementation version name", request=told((USER[0], IDENTIFICATION[0]))),
    Request(rule="empty implementation class UID", request=told((USER[0], item(IMPLEMENTATION_CLASS, b"")))),
    Request(rule="version name of 17 characters", request=told((*USER[:2], item(IMPLEMENTATION_VERSION, b"A" * 17)))),
    Request(
        rule="version name of 100 characters",
        request=told((*USER[:2], item(IMPLEMENTATION_VERSION, b"A" * 100))),
        differs=LENGTH_TOO_LONG,
        ours=Accepted(),
        theirs=Closed(),
    ),
    Request(
        rule="implementation class UID of 65 characters",
        request=told((USER[0], item(IMPLEMENTATION_CLASS, b"1." + b"2" * 63))),
        differs=LENGTH_TOO_LONG,
        ours=Accepted(),
        theirs=Closed(),
    ),
)

OTHERS = (
    Request(rule="user items in another order", request=told(USER[::-1])),
    Request(rule="reserved bytes of user items", request=told(tuple(part[:1] + b"\xff" + part[2:] for part in USER))),
    Request(rule="unknown user item", request=asking(item(0x5A, b"new"))),
    Request(
        rule="common extended negotiation",
        request=asking(item(COMMON_EXTENDED, counted(CT), counted("1.2.840.10008.4.2"), counted(""))),
    ),
    Request(
        rule="asynchronous operations window",
        request=asking(item(WINDOW, b"\0\5\0\7")),
        differs=WINDOW_ANSWER,
        ours=Accepted(user=((WINDOW, b"\0\1\0\1"),)),
        theirs=Accepted(),
    ),
    Request(rule="window of two bytes", request=asking(item(WINDOW, b"\0\5"))),
    Request(rule="user identity", request=asking(identity(1, response=False))),
    Request(
        rule="user identity with a response",
        request=asking(identity(1, response=True)),
        differs=IDENTITY_ANSWER,
        ours=Accepted(user=((IDENTITY_RESPONSE, b"\0\0"),)),
        theirs=Accepted(),
    ),
    Request(
        rule="user name and password with a response",
        request=asking(identity(2, response=True, secondary="pass")),
        differs=IDENTITY_ANSWER,
        ours=Accepted(user=((IDENTITY_RESPONSE, b"\0\0"),)),
        theirs=Accepted(),
    ),
    *(
        Request(rule=rule, request=asking(broken), differs=UNREADABLE, ours=ABORTED, theirs=Closed())
        for rule, broken in (
            ("user identity cut off", item(IDENTITY, b"\1\0\0\x20ab")),
            ("user identity of one byte", item(IDENTITY, b"\1")),
            ("role selection cut off", item(ROLE, b"\0\x40ab\1\1")),
            ("extended negotiation cut off", item(EXTENDED, b"\0\x40ab\1\1")),
            ("user item runs past its frame", b"\x5a\0\0\x20ab"),
        )
    ),
)

ENTRIES = {"none": ULTRASOUND, "SCU": CT, "SCP": MR, "BOTH": SECONDARY_CAPTURE}
ASKED = {"0/0": (0, 0), "SCP": (0, 1), "SCU": (1, 0), "both": (1, 1)}
NEVER_MORE = "Ours answers 0/0, because PS3.7 D.3.3.4 gives no role that was not asked for."
DEFAULT_ROLE = "Ours states the default role: SCU, not SCP."
TWO_ACCEPTED = ((1, 0, IMPLICIT_LE), (3, 0, IMPLICIT_LE))


def role_answer(sop_class: str, scu: int, scp: int) -> Accepted:
    return Accepted(TWO_ACCEPTED, ((ROLE, sop_class, bytes([scu, scp])),))


ROLE_DIFFERENCES: dict[tuple[str, str], tuple[str, Accepted, Accepted]] = {
    ("SCU", "0/0"): (NEVER_MORE, role_answer(CT, 0, 0), role_answer(CT, 1, 0)),
    ("SCP", "0/0"): (NEVER_MORE, role_answer(MR, 0, 0), role_answer(MR, 0, 1)),
    ("BOTH", "0/0"): (NEVER_MORE, role_answer(SECONDARY_CAPTURE, 0, 0), role_answer(SECONDARY_CAPTURE, 1, 1)),
    ("none", "SCU"): (DEFAULT_ROLE, role_answer(ULTRASOUND, 1, 0), Accepted(TWO_ACCEPTED)),
    ("none", "both"): (DEFAULT_ROLE, role_answer(ULTRASOUND, 1, 0), Accepted(TWO_ACCEPTED)),
}


def role_rows() -> tuple[Request, ...]:
    """Every entry of our profile with every role that can be proposed; Verification keeps the association."""
    rows = []
    for entry, sop_class in ENTRIES.items():
        contexts = context(1, sop_class), context(3, VERIFICATION)
        rows.append(Request(rule=f"role entry {entry}, not asked", profile="Roles", request=request(*contexts)))
        for name, asked in ASKED.items():
            differs, ours, theirs = ROLE_DIFFERENCES.get((entry, name), ("", None, None))
            rows.append(
                Request(
                    rule=f"role entry {entry}, asked for {name}",
                    profile="Roles",
                    request=request(*contexts, user=(*USER, role(sop_class, *asked))),
                    differs=differs,
                    ours=ours,
                    theirs=theirs,
                )
            )
    return tuple(rows)


ROLES = (
    *role_rows(),
    Request(rule="role refused in the only context", profile="Roles", request=request(context(1, MR))),
    Request(
        rule="role of a class without a common transfer syntax",
        profile="Roles",
        request=request(
            context(1, SECONDARY_CAPTURE, JPEG),
            context(3, VERIFICATION),
            user=(*USER, role(SECONDARY_CAPTURE, 1, 1)),
        ),
    ),
    Request(rule="role of a class that is not proposed", profile="Roles", request=asking(role(CT, 1, 1))),
    Request(
        rule="two roles for a class",
        profile="Roles",
        request=request(
            context(1, SECONDARY_CAPTURE),
            user=(*USER, role(SECONDARY_CAPTURE, 1, 0), role(SECONDARY_CAPTURE, 0, 1)),
        ),
    ),
    Request(
        rule="role for two contexts of a class",
        profile="Roles",
        request=request(
            context(1, SECONDARY_CAPTURE),
            context(3, SECONDARY_CAPTURE, EXPLICIT_LE),
            user=(*USER, role(SECONDARY_CAPTURE, 1, 1)),
        ),
        differs="Ours answers once, because a role belongs to the class (PS3.7 D.3.3.4).",
        ours=Accepted(
            ((1, 0, IMPLICIT_LE), (3, 0, EXPLICIT_LE)),
            ((ROLE, SECONDARY_CAPTURE, b"\1\1"),),
        ),
        theirs=Accepted(
            ((1, 0, IMPLICIT_LE), (3, 0, EXPLICIT_LE)),
            ((ROLE, SECONDARY_CAPTURE, b"\1\1"), (ROLE, SECONDARY_CAPTURE, b"\1\1")),
        ),
    ),
    Request(
        rule="role's class padded with NUL",
        profile="Roles",
        request=request(context(1, SECONDARY_CAPTURE), user=(*USER, role(SECONDARY_CAPTURE.encode() + b"\0", 1, 1))),
    ),
    Request(
        rule="role's class of 65 characters",
        profile="Roles",
        request=request(context(1, SECONDARY_CAPTURE), user=(*USER, role("1." + "2" * 63, 1, 1))),
    ),
    Request(
        rule="role without its two bytes",
        profile="Roles",
        request=request(context(1, SECONDARY_CAPTURE), user=(*USER, item(ROLE, counted(SECONDARY_CAPTURE)))),
        differs="Ours reads it as 0/0; DCMTK dcmrecv waits for the peer to close.",
        ours=Accepted(user=((ROLE, SECONDARY_CAPTURE, b"\0\0"),)),
        theirs=Closed(),
    ),
    Request(
        rule="role with more than its two bytes",
        profile="Roles",
        request=request(
            context(1, SECONDARY_CAPTURE), user=(*USER, item(ROLE, counted(SECONDARY_CAPTURE), b"\1\1\1\1"))
        ),
    ),
)

EXTENDED_NEGOTIATION = tuple(
    Request(rule=rule, profile="Extended", request=asked)
    for rule, asked in (
        ("extended negotiation is answered unasked", request(context(1, CT), context(3, VERIFICATION))),
        (
            "extended negotiation is answered whatever is asked",
            request(context(1, CT), user=(*USER, extended(CT, b"9"))),
        ),
        ("extended negotiation with no bytes", request(context(1, CT), user=(*USER, extended(CT, b"")))),
        ("extended negotiation of two classes", request(context(1, ULTRASOUND), context(3, CT))),
        ("extended negotiation of a rejected context", request(context(1, CT, JPEG), context(3, VERIFICATION))),
        ("extended negotiation of two contexts of a class", request(context(1, CT), context(3, CT, EXPLICIT_LE))),
        ("extended negotiation without an entry", request(context(1, MR), user=(*USER, extended(MR, b"1")))),
        ("extended negotiation of a class not proposed", asking(extended(CT, b"1"))),
        (
            "two extended negotiations of a class",
            request(context(1, CT), user=(*USER, *[extended(CT, b"1")] * 2)),
        ),
    )
)

ROWS = (*LENGTHS, *IMPLEMENTATIONS, *OTHERS, *ROLES, *EXTENDED_NEGOTIATION)


@by_rule(ROWS)
def test_user_information(row: Request, profiles: Path, both: Callable[..., Any]) -> None:
    compare_answers(row, profiles, both)
