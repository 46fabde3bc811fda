"""How each deviation is answered: one case a rule, fed whole, byte by byte and with more bytes after it."""

from __future__ import annotations

from typing import Any

import pytest

from dcmrecv_core.proto.dimse import decode_command
from dcmrecv_core.proto.states import State
from support.protocol import pdus
from support.protocol.acceptor_runs import Run, established, run
from support.protocol.pdus import (
    ECHO_RQ,
    P_DATA,
    STORE_RQ,
    application_context,
    command_set,
    context,
    hexa,
    item,
    pdu,
    pdv,
)
from support.uids import APPLICATION_CONTEXT, CT, FIND, IMPLICIT_LE, MR, VERIFICATION

CONTEXTS = pdus.DEFAULT_CONTEXTS
USER = pdus.USER


def rj(result: int, source: int, reason: int) -> bytes:
    return hexa("03 00 00000004 00") + bytes([result, source, reason])


def without(elements: pdus.Command, *numbers: int) -> pdus.Command:
    return {number: value for number, value in elements.items() if number not in numbers}


BEFORE_ASSOCIATION: dict[str, tuple[bytes, bytes]] = {
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", pdus.abort(0, 0)),
    "TLS client hello": (hexa("16 03 01 02 00 01 00 01 fc 03 03"), pdus.abort(0, 0)),
    "request of 67 bytes": (hexa("01 00 00000043") + bytes(67), pdus.abort(0, 0)),
    "request of 4 GiB": (hexa("01 00 ffffffff"), pdus.abort(0, 0)),
    "request of 1 MiB and one byte": (hexa("01 00 00100001"), pdus.abort(0, 0)),
    "item overruns the PDU": (pdus.request(user=(), contexts=[hexa("20 00 0100 01 00 00 00")]), pdus.abort(0, 0)),
    "three bytes left after the last item": (
        pdu(pdus.ASSOCIATE_RQ, hexa("0001 0000") + bytes(64) + hexa("10 00 00")),
        pdus.abort(0, 0),
    ),
    "sub-item overruns its context": (
        pdus.request([item(0x20, hexa("01 00 00 00  30 00 0011 31"))]),
        pdus.abort(0, 0),
    ),
    "context of three bytes": (pdus.request([item(0x20, hexa("01 00 00"))]), pdus.abort(0, 0)),
    "user item overruns its frame": (pdus.request(user=[hexa("51 00 0008 00004000")]), pdus.abort(0, 0)),
    "role's UID overruns its item": (pdus.request(user=[hexa("54 00 0006 0009 312e 01 00")]), pdus.abort(0, 0)),
    "user identity of one byte": (pdus.request(user=[hexa("58 00 0001 01")]), pdus.abort(0, 0)),
    "user identity without second field": (pdus.request(user=[hexa("58 00 0005 01 00 0001 61")]), pdus.abort(0, 0)),
    "duplicate context id": (pdus.request([*CONTEXTS, context(1, CT, IMPLICIT_LE)]), pdus.abort(0, 0)),
    "context without abstract syntax": (pdus.request([context(1, None, IMPLICIT_LE)]), pdus.abort(0, 0)),
    "context without transfer syntax": (pdus.request([context(1, CT)]), pdus.abort(0, 0)),
    "context with empty abstract syntax": (pdus.request([context(1, "", IMPLICIT_LE)]), pdus.abort(0, 0)),
    "protocol version 2": (pdus.request(version=2), rj(1, 2, 2)),
    "protocol version 0": (pdus.request(version=0), rj(1, 2, 2)),
    "other application context": (pdus.request(application=[application_context("1.2.3")]), rj(1, 1, 2)),
    "no application context": (pdus.request(application=()), rj(1, 1, 2)),
    "maximum length 7": (pdus.request(user=[pdus.max_length(7)]), pdus.abort(2, 6)),
    "maximum length 1": (pdus.request(user=[pdus.max_length(1)]), pdus.abort(2, 6)),
}


@pytest.mark.parametrize(("stream", "answer"), BEFORE_ASSOCIATION.values(), ids=BEFORE_ASSOCIATION)
def test_no_association(stream: bytes, answer: bytes) -> None:
    done = run(stream)
    assert done.sent == answer
    assert done.acceptor.state is State.STA13
    assert done.log[-1][0] == ("failed" if answer[0] == pdus.ABORT else "rejected")


ACCEPTED_ANYWAY: dict[str, bytes] = {
    "protocol version 3": pdus.request(version=3),
    "reserved fields set": pdus.request(reserved=b"\xff" * 34),
    "unknown user items": pdus.request(user=[item(0x57, bytes(8)), item(0x5A, b"x"), item(0xFF), *USER]),
    "unknown items": pdus.request([item(0x11, b"?"), *CONTEXTS, item(0x99)]),
    "no maximum length": pdus.request(user=[]),
    "maximum length 0": pdus.request(user=[pdus.max_length(0)]),
    "maximum length of two bytes": pdus.request(user=[hexa("51 00 0002 4000")]),
    "maximum length of six bytes": pdus.request(user=[hexa("51 00 0006 00004000 0000")]),
    "window of three bytes": pdus.request(user=[item(0x53, bytes(3))]),
    "maximum length 8": pdus.request(user=[pdus.max_length(8)]),
    "UIDs padded with NUL": pdus.request([context(1, VERIFICATION + "\0", IMPLICIT_LE + "\0")]),
    "UIDs padded with blanks": pdus.request([context(1, VERIFICATION + " ", IMPLICIT_LE + "  ")]),
    "application context padded": pdus.request(application=[application_context(APPLICATION_CONTEXT + "\0")]),
    "128 contexts": pdus.request([context(2 * i + 1, VERIFICATION, IMPLICIT_LE) for i in range(128)]),
}


@pytest.mark.parametrize("stream", ACCEPTED_ANYWAY.values(), ids=ACCEPTED_ANYWAY)
def test_accepted_anyway(stream: bytes) -> None:
    done = run(stream)
    assert [entry[0] for entry in done.log] == ["requested"]
    assert pdus.accepted(done.sent[6:])[1] == (0, IMPLICIT_LE)
    assert done.acceptor.state is State.STA6


def test_request_without_user_information() -> None:
    body = bytes([0, 1, 0, 0]) + b"ANY".ljust(16) + b"RAWSCU".ljust(16) + bytes(32)
    body += application_context() + context(1, VERIFICATION, IMPLICIT_LE)
    assert pdus.accepted(run(pdu(pdus.ASSOCIATE_RQ, body)).sent[6:]) == {1: (0, IMPLICIT_LE)}


@pytest.mark.parametrize("number", [0, 2, 254])
def test_even_context_id(number: int) -> None:
    stream = pdus.request([context(number, VERIFICATION, IMPLICIT_LE)])
    lenient = run(stream + pdus.message(number, ECHO_RQ), tail=None)
    assert [entry[0] for entry in lenient.log] == ["notice", "requested", "echo"]
    assert pdus.statuses(lenient.answers) == [(number, 0x8030, 7, 0)]
    strict = run(stream, strict=True)
    assert (strict.log, strict.sent) == ([("failed", 0, 0)], pdus.abort(0, 0))


def test_titles_are_returned_up_to_a_nul() -> None:
    done = run(pdus.request(called=b"A NAME\0REST", calling=b"\0" * 16))
    assert done.log == [("requested", "", "A NAME")]
    assert done.sent[10:42] == b"A NAME" + b" " * 26


def shortened(stream: bytes) -> bytes:
    """A PDU whose length field is two less than its contents."""
    return stream[:2] + (int.from_bytes(stream[2:6], "big") - 2).to_bytes(4, "big") + stream[6:]


STORE = command_set(STORE_RQ)
BIG_COMMAND = command_set(STORE_RQ | {0x7000: bytes(65536)})
ABORTED: dict[str, tuple[bytes, int]] = {
    "unknown PDU type": (hexa("08 00 00000004 00000000"), 1),
    "unknown PDU type of 4 GiB": (hexa("ff 00 ffffffff"), 1),
    "second request": (pdus.request(), 2),
    "AC of 4 GiB": (hexa("02 00 ffffffff"), 2),
    "release request of two bytes": (hexa("05 00 00000002 0000"), 6),
    "P-DATA above the maximum": (hexa("04 00 00004001"), 6),
    "P-DATA of 4 GiB": (hexa("04 00 ffffffff 00000000 00 00"), 6),
    "P-DATA above the maximum within a data set": (
        pdu(P_DATA, pdv(3, 3, STORE)) + pdu(P_DATA, pdv(3, 0, b"ab")) + pdu(P_DATA, pdv(3, 0, bytes(16380))),
        6,
    ),
    "P-DATA without PDV": (hexa("04 00 00000000"), 6),
    "P-DATA of five bytes": (hexa("04 00 00000005 00000002 01"), 6),
    "three bytes after the PDV": (pdu(P_DATA, pdv(1, 1, b"ab") + bytes(3)), 6),
    "PDV of one byte": (pdu(P_DATA, pdv(3, 3, STORE)) + pdu(P_DATA, hexa("00000001 03 02")), 6),
    "PDV of zero bytes": (pdu(P_DATA, pdv(3, 3, STORE)) + pdu(P_DATA, hexa("00000000 03 02")), 6),
    "PDV past the PDU's end": (shortened(pdus.echo()), 6),
    "PDV of 4 GiB": (pdu(P_DATA, hexa("ffffffff 01 03 0000")), 6),
    "PDV that ends within its PDU's last PDV header": (pdu(P_DATA, hexa("00000002 01 01 00000002 01")), 6),
    "context never proposed": (pdus.message(7, STORE_RQ), 6),
    "context rejected": (pdus.message(5, STORE_RQ), 6),
    "context changes in the command": (pdu(P_DATA, pdv(3, 1, STORE[:50]) + pdv(1, 3, STORE[50:])), 6),
    "context changes before the data set": (pdu(P_DATA, pdv(3, 3, STORE) + pdv(1, 2, b"data")), 6),
    "context changes in the data set": (pdu(P_DATA, pdv(3, 3, STORE) + pdv(3, 0, b"da") + pdv(1, 2, b"ta")), 6),
    "data before the command": (pdu(P_DATA, pdv(3, 2, b"data")), 5),
    "data within the command": (pdu(P_DATA, pdv(3, 1, STORE[:50]) + pdv(3, 2, b"data")), 5),
    "command within the data": (pdu(P_DATA, pdv(3, 3, STORE) + pdv(3, 0, b"data") + pdv(3, 3, STORE)), 5),
    "data after a command without a data set": (pdus.echo() + pdu(P_DATA, pdv(1, 2, b"data")), 5),
    "response": (pdus.message(1, {0x0100: 0x8030, 0x0120: 7, 0x0800: 0x0101, 0x0900: 0}), 5),
    "command above 64 KiB": (
        b"".join(pdu(P_DATA, pdv(3, 1, BIG_COMMAND[i : i + 16000])) for i in range(0, len(BIG_COMMAND), 16000)),
        6,
    ),
    "no Command Field": (pdus.message(1, without(ECHO_RQ, 0x0100)), 6),
    "no Message ID": (pdus.message(1, without(ECHO_RQ, 0x0110)), 6),
    "empty command": (pdu(P_DATA, pdv(1, 3, b"")), 6),
    "command that is text": (pdu(P_DATA, pdv(1, 3, b"hello, is anybody here?")), 6),
    "command ends within an element's header": (pdu(P_DATA, pdv(1, 3, command_set(ECHO_RQ)[:-4])), 6),
    "command element of 4 GiB": (pdu(P_DATA, pdv(1, 3, hexa("0000 0001 ffffffff 3000"))), 6),
    "last command element ends too early": (pdu(P_DATA, pdv(3, 3, command_set(STORE_RQ)[:-1])), 6),
    "Command Field of one byte": (pdus.message(1, ECHO_RQ | {0x0100: b"0"}), 6),
    "Message ID empty": (pdus.message(1, ECHO_RQ | {0x0110: b""}), 6),
}


@pytest.mark.parametrize(("stream", "reason"), ABORTED.values(), ids=ABORTED)
def test_association_aborted(stream: bytes, reason: int) -> None:
    done = established(stream)
    assert done.log[-1] == ("failed", 2, reason)
    assert done.answers.endswith(pdus.abort(2, reason))
    assert [entry for entry in done.log if entry[0] == "data"] == []
    assert done.acceptor.state is State.STA13


LONG_UID = "1." + "2" * 63
FIND_RQ: pdus.Command = {0x0002: FIND, 0x0100: 0x0020, 0x0110: 9, 0x0700: 0, 0x0800: 0x0000}
CREATE: pdus.Command = {0x0002: CT, 0x0100: 0x0140, 0x0110: 10, 0x0800: 0x0101, 0x1000: "1.2"}
REFUSED: dict[str, tuple[bytes, bool, int, int, int]] = {
    #                                  bytes, strict, response's field, message id, status
    "C-FIND with data": (pdus.message(3, FIND_RQ, b"identifier"), False, 0x8020, 9, 0x0211),
    "N-CREATE without data": (pdus.message(3, CREATE), False, 0x8140, 10, 0x0211),
    "Command Field 0": (pdus.message(3, {0x0100: 0, 0x0110: 5}), False, 0x8000, 5, 0x0211),
    "C-STORE of no data set": (
        pdus.message(3, STORE_RQ | {0x0800: 0x0101}),
        False,
        0x8001,
        7,
        0x0212,
    ),
    "no SOP Instance UID": (pdus.message(3, without(STORE_RQ, 0x1000), b"data"), False, 0x8001, 7, 0x0117),
    "empty SOP Instance UID": (pdus.message(3, STORE_RQ | {0x1000: ""}, b"data"), False, 0x8001, 7, 0x0117),
    "SOP Instance UID of 65": (pdus.message(3, STORE_RQ | {0x1000: LONG_UID}, b"data"), False, 0x8001, 7, 0x0117),
    "SOP Class UID of 65": (pdus.message(3, STORE_RQ | {0x0002: LONG_UID}, b"data"), False, 0x8001, 7, 0x0122),
    "no SOP Instance UID, no data set": (
        pdus.message(3, {0x0100: 1, 0x0110: 7, 0x0800: 0x0101}),
        False,
        0x8001,
        7,
        0x0117,
    ),
    "unfit SOP Instance UID": (pdus.message(3, STORE_RQ | {0x1000: "1.2/../x"}, b"data"), True, 0x8001, 7, 0x0117),
    "empty component": (pdus.message(3, STORE_RQ | {0x1000: "1..2"}, b"data"), True, 0x8001, 7, 0x0117),
    "class of another context": (pdus.message(3, STORE_RQ | {0x0002: MR}, b"data"), True, 0x8001, 7, 0x0122),
    "no class": (pdus.message(3, without(STORE_RQ, 0x0002), b"data"), True, 0x8001, 7, 0x0122),
    "C-STORE on Verification": (pdus.message(1, STORE_RQ, b"data"), True, 0x8001, 7, 0x0122),
}


@pytest.mark.parametrize(("stream", "strict", "field", "message_id", "status"), REFUSED.values(), ids=REFUSED)
def test_request_refused(stream: bytes, strict: bool, field: int, message_id: int, status: int) -> None:
    """With a status; the association goes on."""
    done = established(stream + pdus.store(8), strict=strict)
    assert [entry[0] for entry in done.log] == ["refused", "store", "data"]
    number = done.log[0][1]
    assert done.log[0] == ("refused", number, message_id, status)
    assert pdus.statuses(done.answers) == [(number, field, message_id, status), (3, 0x8001, 8, 0)]
    [(_, refusal), _] = pdus.read_commands(done.answers)
    assert 0 < len(refusal[0x0902]) <= 64


LET_PASS: dict[str, tuple[bytes, bytes, bool]] = {
    #                                               bytes, data set, with a notice
    "unfit SOP Instance UID": (pdus.message(3, STORE_RQ | {0x1000: "1.2/../x"}, b"data"), b"data", True),
    "class of another context": (pdus.message(3, STORE_RQ | {0x0002: MR}, b"data"), b"data", True),
    "class UID of 64": (pdus.message(3, STORE_RQ | {0x0002: LONG_UID[:64]}, b"data"), b"data", True),
    "no class": (pdus.message(3, without(STORE_RQ, 0x0002), b"data"), b"data", True),
    "C-STORE on Verification": (pdus.message(1, STORE_RQ, b"data"), b"data", True),
    "odd fragments": (
        pdus.message(3, STORE_RQ) + pdu(P_DATA, pdv(3, 0, b"a")) + pdu(P_DATA, pdv(3, 2, b"bc")),
        b"abc",
        True,
    ),
    "instance UID of 64": (pdus.message(3, STORE_RQ | {0x1000: LONG_UID[:64]}, b"data"), b"data", False),
    "instance UID padded with blank": (pdus.message(3, STORE_RQ | {0x1000: "1.2 "}, b"data"), b"data", False),
    "leading zero": (pdus.message(3, STORE_RQ | {0x1000: "1.02"}, b"data"), b"data", False),
    "reserved control bits": (pdu(P_DATA, pdv(3, 0xFF, STORE) + pdv(3, 0xFE, b"data")), b"data", False),
    "command and data in one PDU": (pdu(P_DATA, pdv(3, 3, STORE) + pdv(3, 2, b"data")), b"data", False),
    "PDVs of different lengths": (
        pdu(P_DATA, pdv(3, 3, STORE) + pdv(3, 0, b"da") + pdv(3, 0, b"ta for") + pdv(3, 2, b" you")),
        b"data for you",
        False,
    ),
    "empty last fragment": (pdu(P_DATA, pdv(3, 3, STORE) + pdv(3, 0, b"data") + pdv(3, 2, b"")), b"data", False),
    "empty fragments everywhere": (
        pdu(P_DATA, pdv(3, 1, b"") + pdv(3, 1, STORE))
        + pdu(P_DATA, pdv(3, 3, b"") + pdv(3, 0, b""))
        + pdu(P_DATA, pdv(3, 2, b"")),
        b"",
        False,
    ),
    "no data at all": (pdu(P_DATA, pdv(3, 3, STORE)) + pdu(P_DATA, pdv(3, 2, b"")), b"", False),
    "no group length": (pdu(P_DATA, pdv(3, 3, STORE[12:]) + pdv(3, 2, b"data")), b"data", False),
    "wrong group length": (
        pdu(P_DATA, pdv(3, 3, hexa("0000 0000 04000000 ffffffff") + STORE[12:]) + pdv(3, 2, b"data")),
        b"data",
        False,
    ),
    "elements out of order": (
        pdu(P_DATA, pdv(3, 3, command_set(dict(reversed(STORE_RQ.items())), as_given=True)) + pdv(3, 2, b"data")),
        b"data",
        False,
    ),
    "PDU of exactly the maximum": (
        pdu(P_DATA, pdv(3, 3, STORE)) + pdu(P_DATA, pdv(3, 2, bytes(16378))),
        bytes(16378),
        False,
    ),
    "repeated elements: the first counts": (
        pdu(P_DATA, pdv(3, 3, STORE + pdus.element(0x0110, 99)) + pdv(3, 2, b"data")),
        b"data",
        False,
    ),
    "elements of other groups": (
        pdu(P_DATA, pdv(3, 3, pdus.element(0x0110, 99, group=8) + STORE) + pdv(3, 2, b"data")),
        b"data",
        False,
    ),
    "no data set type": (pdus.message(3, without(STORE_RQ, 0x0800), b"data"), b"data", False),
    "no priority": (pdus.message(3, without(STORE_RQ, 0x0700), b"data"), b"data", False),
    "move originator of any form": (
        pdus.message(3, STORE_RQ | {0x1030: b"MOV\0", 0x1031: b"1234"}, b"data"),
        b"data",
        False,
    ),
}


@pytest.mark.parametrize(("stream", "data", "noticed"), LET_PASS.values(), ids=LET_PASS)
def test_tolerated(stream: bytes, data: bytes, noticed: bool) -> None:
    done = established(stream)
    assert [entry[0] for entry in done.log if entry[0] != "notice"] == ["store", "data"]
    assert any(entry[0] == "notice" for entry in done.log) is noticed
    assert done.log[-1] == ("data", data)
    [(_, field, message_id, status)] = pdus.statuses(done.answers)
    assert (field, message_id, status) == (0x8001, 7, 0)


ECHOES: dict[str, bytes] = {
    "on a storage context": pdus.message(3, ECHO_RQ),
    "with a data set": pdus.message(1, ECHO_RQ | {0x0800: 0}, b"data"),
    "without data set type": pdus.message(1, without(ECHO_RQ, 0x0800)),
    "without class": pdus.message(1, without(ECHO_RQ, 0x0002)),
    "with numbers of four bytes": pdus.message(1, ECHO_RQ | {0x0100: hexa("30000000"), 0x0110: hexa("07000000")}),
    "with a class that is no UID": pdus.message(1, ECHO_RQ | {0x0002: b"\xff/\0\0"}),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("stream", ECHOES.values(), ids=ECHOES)
def test_echo(stream: bytes, strict: bool) -> None:
    done = established(stream, strict=strict)
    assert [entry[0] for entry in done.log] == ["echo"]
    assert [answer[1:] for answer in pdus.statuses(done.answers)] == [(0x8030, 7, 0)]


def test_blanks_around_a_uid_are_ignored() -> None:
    read = decode_command(command_set(STORE_RQ | {0x0002: b" 1.2 ", 0x1000: b" 1.3\0 4"}))
    assert (read.sop_class_uid, read.sop_instance_uid) == ("1.2", "1.3")
    assert (read.sop_class, read.sop_instance) == (b" 1.2 ", b" 1.3\0 4")  # returned as received


def test_cancel_is_ignored() -> None:
    cancel = pdus.message(3, {0x0100: 0x0FFF, 0x0120: 7, 0x0800: 0x0101})
    done = established(cancel + pdus.echo(8) + cancel)
    assert [entry[0] for entry in done.log] == ["notice", "echo", "notice"]
    assert pdus.statuses(done.answers) == [(1, 0x8030, 8, 0)]


def test_notice_of_odd_fragments_comes_once_a_message() -> None:
    data = b"".join(pdu(P_DATA, pdv(3, 0, b"x")) for _ in range(20)) + pdu(P_DATA, pdv(3, 2, b"y"))
    done = established((pdus.message(3, STORE_RQ) + data) * 2)
    assert [entry[0] for entry in done.log] == ["store", "notice", "data"] * 2


def test_message_id_may_be_used_again() -> None:
    done = established(pdus.store(7) + pdus.store(7))
    assert pdus.statuses(done.answers) == [(3, 0x8001, 7, 0)] * 2


RELEASE_RP = hexa("06 00 00000004 00000000")
HALF = pdus.store()[:-2]
ENDINGS: dict[str, tuple[bytes, Any, bytes, State]] = {
    "release": (pdus.echo() + pdus.release_rq(), ("released", False), RELEASE_RP, State.STA13),
    "release before the data": (
        pdu(P_DATA, pdv(3, 3, STORE)) + pdus.release_rq(),
        ("released", True),
        RELEASE_RP,
        State.STA13,
    ),
    "release within the data": (
        pdu(P_DATA, pdv(3, 3, STORE) + pdv(3, 0, b"data")) + pdus.release_rq(),
        ("released", True),
        RELEASE_RP,
        State.STA13,
    ),
    "release within the command": (
        pdu(P_DATA, pdv(3, 1, STORE)) + pdus.release_rq(),
        ("released", True),
        RELEASE_RP,
        State.STA13,
    ),
    "abort": (pdus.abort(2, 5), ("aborted", 2, 5), b"", State.STA1),
    "abort within the data": (
        pdu(P_DATA, pdv(3, 3, STORE) + pdv(3, 0, b"data")) + pdus.abort(0, 0),
        ("aborted", 0, 0),
        b"",
        State.STA1,
    ),
}


@pytest.mark.parametrize(("stream", "entry", "answer", "state"), ENDINGS.values(), ids=ENDINGS)
def test_ending(stream: bytes, entry: Any, answer: bytes, state: State) -> None:
    done = established(stream, tail=None)
    assert done.log[-1] == entry
    assert "data" not in [name for name, *_ in done.log]
    assert done.answers.endswith(answer)
    assert done.acceptor.state is state


def test_a_release_is_incomplete_until_its_last_byte() -> None:
    """The session must not give up then: the next byte may complete it."""
    run = Run()
    run.feed(pdus.request())
    assert not run.acceptor.mid_message
    for byte in pdus.release_rq()[:-1]:
        run.feed(bytes([byte]))
        assert run.acceptor.mid_message
    run.feed(pdus.release_rq()[-1:])
    assert not run.acceptor.mid_message


@pytest.mark.parametrize("length", range(1, len(pdus.store())))
def test_connection_lost_anywhere_in_a_message(length: int) -> None:
    done = Run().feed_all([pdus.request() + pdus.echo(), pdus.store()[:length]]).eof()
    assert done.log[-1] == ("closed", length >= 6)
    assert pdus.statuses(done.answers) == [(1, 0x8030, 7, 0)]
    assert done.acceptor.state is State.STA1


@pytest.mark.parametrize(
    "fault",
    [hexa("08 00 00000000"), hexa("04 00 ffffffff") + bytes(5000), pdus.pdu(P_DATA, bytes(3000)), pdus.request()],
    ids=["unknown", "too long", "no PDV", "request"],
)
@pytest.mark.parametrize(
    "more",
    [pdus.request() * 5, hexa("08 00 00000000") * 5, bytes(3000), b"\xff" * 3000, pdus.store() * 5, pdus.release_rq()],
    ids=["requests", "unknown", "zeros", "ones", "messages", "release"],
)
def test_after_an_abort_at_most_one_more_pdu_is_answered(fault: bytes, more: bytes) -> None:
    done = established(fault + more)
    aborts = [body for kind, body in pdus.read_pdus(done.answers) if kind == pdus.ABORT]
    assert len(aborts) == len(list(pdus.read_pdus(done.answers))) <= 2
    assert [entry[0] for entry in done.log] == ["failed"]
    assert done.acceptor.state is State.STA13


def test_rest_of_a_faulty_pdu_is_skipped_and_a_later_abort_is_read() -> None:
    faulty = pdu(P_DATA, pdv(99, 3, bytes(500)) + pdv(1, 3, bytes(500)))
    assert established(faulty + pdus.echo() + pdus.abort(0, 0)).acceptor.state is State.STA1


def test_nothing_is_delivered_after_our_own_abort() -> None:
    done = Run().feed_all(
        [pdus.request(), pdu(P_DATA, pdv(3, 3, STORE) + pdv(3, 0, b"data") + pdv(3, 2, b"more"))[:-3]]
    )
    done.acceptor.abort()
    done.feed(b"ore" + pdus.store() + pdus.abort(0, 0))
    assert [entry[0] for entry in done.log] == ["requested", "store"]
    assert done.answers == pdus.abort(2, 0)
    assert done.acceptor.state is State.STA1
