"""Requests for associations: contexts, their ids and UIDs, application context, protocol version, AE titles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.parity.answers import ACCEPTED, Accepted, Closed, Rejected
from support.parity.associations import ABORTED, UNREADABLE, Request, compare_answers
from support.parity.proposals import ECHO, abstract_syntax, context, context_of, request, request_of, transfer_syntax
from support.parity.rules import by_rule
from support.protocol.pdus import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    ASSOCIATE_RQ,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    USER,
    application_context,
    item,
    pdu,
    pdv,
)
from support.uids import BIG_ENDIAN, CT, EXPLICIT_LE, FIND, IMPLICIT_LE, JPEG, VERIFICATION

REFUSED = (1, 3, IMPLICIT_LE)
NOTHING_ACCEPTABLE = Rejected(1, 1, 1)
BOTH_ACCEPTED = Accepted((ACCEPTED, (3, 0, IMPLICIT_LE)))
WRONG_APPLICATION_CONTEXT = "Ours rejects permanently (1/1/2), because the same request would never be accepted."
PADDED = "Ours ignores blanks around a UID, because some senders pad with them."
TWICE = "Ours aborts, because a message could belong to either of the two (PS3.8 9.3.2.2)."
NAMELESS = "Ours aborts, because a context must name its abstract syntax (PS3.8 9.3.2.2)."
BLANK_TITLE = "Ours accepts, because some senders leave a title blank; DCMTK dcmrecv waits for the peer to close."
ANSWERED_FIRST = "Ours says A-ABORT before it closes the connection (PS3.8 9.2.3, AA-1)."
LONG_UID = "Ours answers, because a long UID does no harm; DCMTK dcmrecv waits for the peer to close."

CONTEXTS = (
    Request(rule="Verification is accepted", request=request(), echo=True),
    Request(
        rule="our transfer syntax order counts",
        request=request(context(1, VERIFICATION, IMPLICIT_LE, BIG_ENDIAN, EXPLICIT_LE)),
    ),
    Request(
        rule="contexts of one class are decided one by one",
        request=request(context(1, CT, BIG_ENDIAN), context(3, CT, JPEG, IMPLICIT_LE), context(5, CT, JPEG)),
    ),
    Request(rule="a transfer syntax proposed twice", request=request(context(1, CT, BIG_ENDIAN, BIG_ENDIAN))),
    Request(rule="unknown abstract syntax", request=request(context(1, FIND), context(3, VERIFICATION))),
    Request(rule="no context is acceptable", request=request(context(1, FIND), context(3, CT, JPEG))),
    Request(rule="no context is proposed", request=request_of(application_context(), item(0x50, *USER))),
    Request(rule="without a profile Verification only", profile="", request=request(reserved=b"\1" * 32)),
    Request(
        rule="without a profile implicit little endian only",
        profile="",
        request=request(context(1, VERIFICATION, EXPLICIT_LE), context(3, VERIFICATION, EXPLICIT_LE, IMPLICIT_LE)),
    ),
    Request(rule="without a profile no storage", profile="", request=request(context(1, CT), context(3, VERIFICATION))),
    Request(rule="even context id", request=request(context(2, VERIFICATION))),
    Request(rule="context id zero", request=request(context(0, VERIFICATION))),
    Request(
        rule="context id proposed for two classes",
        request=request(context(1, VERIFICATION), context(1, CT)),
        differs=TWICE,
        ours=ABORTED,
        theirs=Accepted(),
    ),
    Request(
        rule="context id proposed for a known and an unknown class",
        request=request(context(1, VERIFICATION), context(1, FIND)),
        differs=TWICE,
        ours=ABORTED,
        theirs=NOTHING_ACCEPTABLE,
    ),
    Request(rule="128 contexts", request=request(*(context(number, CT) for number in range(1, 256, 2)))),
    Request(rule="256 contexts", request=request(*(context(number, CT) for number in range(256)))),
    Request(
        rule="128 contexts with 38 transfer syntaxes",
        request=request(
            *(
                context(number, CT, *(f"1.2.840.10008.1.2.4.{syntax}" for syntax in range(51, 88)), IMPLICIT_LE)
                for number in range(1, 256, 2)
            )
        ),
    ),
    Request(
        rule="context without a transfer syntax",
        request=request(context_of(1, abstract_syntax(VERIFICATION)), context(3, VERIFICATION)),
        differs=UNREADABLE,
        ours=ABORTED,
        theirs=Closed(),
    ),
    Request(
        rule="context without an abstract syntax",
        request=request(context_of(1, transfer_syntax(IMPLICIT_LE)), context(3, VERIFICATION)),
        differs=NAMELESS,
        ours=ABORTED,
        theirs=Accepted((REFUSED, (3, 0, IMPLICIT_LE))),
    ),
    Request(
        rule="empty abstract syntax",
        request=request(context(1, ""), context(3, VERIFICATION)),
        differs=NAMELESS,
        ours=ABORTED,
        theirs=Accepted((REFUSED, (3, 0, IMPLICIT_LE))),
    ),
    Request(rule="empty transfer syntax", request=request(context(1, VERIFICATION, ""), context(3, VERIFICATION))),
    Request(
        rule="two abstract syntaxes in a context",
        request=request(
            context_of(1, abstract_syntax(VERIFICATION), abstract_syntax(CT), transfer_syntax(BIG_ENDIAN)),
            context_of(3, abstract_syntax(VERIFICATION), abstract_syntax(FIND), transfer_syntax(BIG_ENDIAN)),
        ),
    ),
    Request(
        rule="transfer syntax before the abstract syntax",
        request=request(context_of(1, transfer_syntax(IMPLICIT_LE), abstract_syntax(VERIFICATION))),
    ),
    Request(
        rule="unknown item in a context",
        request=request(context_of(1, abstract_syntax(VERIFICATION), item(0x99, b"new"), transfer_syntax(IMPLICIT_LE))),
    ),
    Request(
        rule="reserved bytes of a context",
        request=request(
            item(0x20, b"\1\xff\xff\xff", abstract_syntax(VERIFICATION), transfer_syntax(IMPLICIT_LE)),
        ),
    ),
)

UIDS = (
    Request(
        rule="abstract syntax padded with NUL",
        request=request(context(1, VERIFICATION.encode() + b"\0")),
        echo=True,
    ),
    Request(
        rule="transfer syntax padded with NUL", request=request(context(1, VERIFICATION, IMPLICIT_LE.encode() + b"\0"))
    ),
    Request(rule="abstract syntax ends at a NUL", request=request(context(1, VERIFICATION.encode() + b"\0.1"))),
    Request(
        rule="abstract syntax padded with a blank",
        request=request(context(1, VERIFICATION + " "), context(3, VERIFICATION)),
        differs=PADDED,
        ours=BOTH_ACCEPTED,
        theirs=Accepted((REFUSED, (3, 0, IMPLICIT_LE))),
    ),
    Request(
        rule="blank before an abstract syntax",
        request=request(context(1, " " + VERIFICATION), context(3, VERIFICATION)),
        differs=PADDED,
        ours=BOTH_ACCEPTED,
        theirs=Accepted((REFUSED, (3, 0, IMPLICIT_LE))),
    ),
    Request(
        rule="transfer syntax padded with a blank",
        request=request(context(1, VERIFICATION, IMPLICIT_LE + " "), context(3, VERIFICATION)),
        differs=PADDED,
        ours=BOTH_ACCEPTED,
        theirs=Accepted(((1, 4, IMPLICIT_LE), (3, 0, IMPLICIT_LE))),
    ),
    Request(
        rule="transfer syntax of 64 characters",
        request=request(context(1, VERIFICATION, "1." + "2" * 62), context(3, VERIFICATION)),
    ),
    Request(
        rule="abstract syntax of 65 characters",
        request=request(context(1, "1." + "2" * 63), context(3, VERIFICATION)),
        differs=LONG_UID,
        ours=Accepted((REFUSED, (3, 0, IMPLICIT_LE))),
        theirs=Closed(),
    ),
)

APPLICATION_CONTEXTS = (
    Request(
        rule="application context missing",
        request=request(application=()),
        differs=WRONG_APPLICATION_CONTEXT,
        ours=Rejected(1, 1, 2),
        theirs=Rejected(2, 1, 2),
    ),
    Request(
        rule="application context wrong",
        request=request(application=[application_context("1.2.3")]),
        differs=WRONG_APPLICATION_CONTEXT,
        ours=Rejected(1, 1, 2),
        theirs=Rejected(2, 1, 2),
    ),
    Request(
        rule="application context empty",
        request=request(application=[application_context("")]),
        differs=WRONG_APPLICATION_CONTEXT,
        ours=Rejected(1, 1, 2),
        theirs=Rejected(2, 1, 2),
    ),
    Request(
        rule="application context counts before contexts",
        request=request(context(1, FIND), application=[application_context("1.2.3")]),
        differs=WRONG_APPLICATION_CONTEXT,
        ours=Rejected(1, 1, 2),
        theirs=Rejected(2, 1, 2),
    ),
    Request(
        rule="application context padded with NUL",
        request=request(application=[application_context(b"1.2.840.10008.3.1.1.1\0")]),
    ),
    Request(
        rule="application context padded with a blank",
        request=request(application=[application_context("1.2.840.10008.3.1.1.1 ")]),
        differs=PADDED,
        ours=Accepted(),
        theirs=Rejected(2, 1, 2),
    ),
    Request(
        rule="of two application contexts the last one counts",
        request=request(application=[application_context("1.2.3"), application_context()]),
    ),
)

VERSIONS = (
    Request(rule="protocol version 0", request=request(version=0)),
    Request(rule="protocol version without bit 0", request=request(version=0xFFFE)),
    Request(rule="protocol version with bit 0 and others", request=request(version=0xFFFF)),
    Request(rule="protocol version counts before the application context", request=request(version=2, application=())),
    Request(rule="protocol version counts before contexts", request=request(context(1, FIND), version=2)),
)

TITLES = (
    Request(
        rule="titles come back as received", request=request(called=b"ABCDEFGHIJKLMNOP", calling=b"abcdefghijklmnop")
    ),
    Request(rule="titles with leading blanks", request=request(called=b"  ANY", calling=b"  RAW")),
    Request(rule="titles padded with NUL", request=request(called=b"ANY".ljust(16, b"\0"), calling=b"R\0")),
    Request(rule="titles end at a NUL", request=request(called=b"ANY\0REST", calling=b"RAW\0REST")),
    Request(rule="titles with control characters", request=request(called=b"A\nB\x1b[2J", calling=b"x\r\ty")),
    Request(rule="titles with other bytes", request=request(called=b"\xff\x80A\\B", calling="ÄÖÜ".encode())),
    Request(
        rule="called title blank",
        request=request(called=b""),
        differs=BLANK_TITLE,
        ours=Accepted(called=b" " * 16),
        theirs=Closed(),
    ),
    Request(
        rule="calling title blank",
        request=request(calling=b""),
        differs=BLANK_TITLE,
        ours=Accepted(calling=b" " * 16),
        theirs=Closed(),
    ),
    Request(
        rule="called title of NULs",
        request=request(called=bytes(16)),
        differs=BLANK_TITLE,
        ours=Accepted(called=b" " * 16),
        theirs=Closed(),
    ),
    Request(
        rule="calling title begins with NUL",
        request=request(calling=b"\0RAW"),
        differs=BLANK_TITLE,
        ours=Accepted(calling=b" " * 16),
        theirs=Closed(),
    ),
    Request(rule="-aet refuses no peer", profile="", arguments=("-aet", "STORE"), request=request(called=b"OTHER")),
    Request(rule="-uca accepts any title", profile="", arguments=("-uca",), request=request(called=b"OTHER")),
)

FRAMING = (
    Request(rule="reserved bytes of a request", request=b"\1\xff" + request(reserved=b"\xff" * 32)[2:]),
    Request(rule="unknown item in a request", request=request(more=item(0x99, b"new"))),
    Request(
        rule="user information before contexts",
        request=request_of(item(0x50, *USER), *ECHO, application_context()),
    ),
    Request(
        rule="half an item header after the last item",
        request=request(more=b"\0\0"),
        differs=UNREADABLE,
        ours=ABORTED,
        theirs=Closed(),
    ),
    Request(
        rule="item that runs past the request",
        request=request(more=b"\x99\0\0\x10ab"),
        differs=UNREADABLE,
        ours=ABORTED,
        theirs=Closed(),
    ),
)

NO_REQUESTS = (
    Request(rule="first PDU is A-ASSOCIATE-RJ", request=pdu(ASSOCIATE_RJ, bytes(4))),
    Request(rule="first PDU is A-RELEASE-RP", request=pdu(RELEASE_RP, bytes(4))),
    Request(rule="first PDU is A-ASSOCIATE-AC", request=pdu(ASSOCIATE_AC, bytes(68))),
    Request(rule="first PDU is P-DATA-TF", request=pdu(P_DATA, pdv(1, 3, b"abcd"))),
    Request(rule="first PDU is A-RELEASE-RQ", request=pdu(RELEASE_RQ, bytes(4))),
    Request(rule="first PDU is A-ABORT", request=pdu(ABORT, bytes(4))),
    Request(rule="connection closed without a byte", request=b""),
    Request(rule="connection closed inside a PDU header", request=b"\1\0\0"),
    Request(rule="connection closed inside a request", request=request()[:100]),
    Request(rule="request of 600 KB", request=request(more=item(0x99, bytes(60000)) * 10)),
    *(
        Request(rule=rule, request=sent, differs=ANSWERED_FIRST, ours=ABORTED, theirs=Closed())
        for rule, sent in (
            ("first PDU has an unknown type", pdu(9, bytes(4))),
            ("HTTP instead of DICOM", b"GET / HTTP/1.1\r\n\r\n"),
            ("request shorter than its fixed part", pdu(ASSOCIATE_RQ, bytes(67))),
            ("request announces 4 GiB", b"\1\0\xff\xff\xff\xff"),
        )
    ),
)

ROWS = (*NO_REQUESTS, *CONTEXTS, *UIDS, *APPLICATION_CONTEXTS, *VERSIONS, *TITLES, *FRAMING)


@by_rule(ROWS)
def test_request(row: Request, profiles: Path, both: Callable[..., Any]) -> None:
    compare_answers(row, profiles, both)
