"""Rows whose input is bytes sent on an association; their outcome is answers, association and files."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from support.data.datasets import instance_of
from support.parity.answers import Aborted, Accepted, Answer, Released, Response, next_answer
from support.parity.proposals import context, request
from support.parity.rules import Row, compare
from support.parity.storing import taken_files
from support.programs.receivers import Receiver
from support.protocol.pdus import ABORT, ECHO_RQ, P_DATA, RELEASE_RQ, Command, command_set, pdu, pdv, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, FIND, IMPLICIT_LE, MR, PRIVATE_CLASS, PRIVATE_SYNTAX, VERIFICATION

STORAGE, ECHO, OTHER, PRIVATE, REFUSED, UNKNOWN = 1, 3, 5, 7, 9, 99
"""Context ids: storage of CT, Verification, storage of MR, a private class in a private syntax, one that is refused,
one that is not proposed."""

PROPOSAL = request(
    context(STORAGE, CT, EXPLICIT_LE),
    context(ECHO, VERIFICATION),
    context(OTHER, MR, IMPLICIT_LE),
    context(PRIVATE, PRIVATE_CLASS, PRIVATE_SYNTAX),
    context(REFUSED, FIND),
)
INSTANCE = "1.2.826.0.1.3680043.9.9999.5.1"
DATA = instance_of(CT, INSTANCE)
STORE = store_rq(CT, INSTANCE)
NAME = f"CT.{INSTANCE}"

OFFENDING_ELEMENT, ERROR_COMMENT = 0x0901, 0x0902
_ALWAYS = {0x0000, 0x0002, 0x0100, 0x0120, 0x0800, 0x0900, 0x1000}

BIT_PRESERVING = ("+B",)


def p_data(*pdvs: bytes) -> bytes:
    return pdu(P_DATA, b"".join(pdvs))


def command(elements: Command = STORE, context_id: int = STORAGE) -> bytes:
    return p_data(pdv(context_id, 3, command_set(elements)))


def data(fragment: bytes = DATA, context_id: int = STORAGE, *, last: bool = True) -> bytes:
    return p_data(pdv(context_id, 2 * last, fragment))


def with_(changes: Command, elements: Command = STORE) -> Command:
    return {**elements, **changes}


def without(*numbers: int, elements: Command = STORE) -> Command:
    return {number: value for number, value in elements.items() if number not in numbers}


class Outcome(NamedTuple):
    """The receiver's answers to a message, and the data sets that it stored, by file name."""

    said: tuple[Answer, ...]
    files: dict[str, bytes]

    @property
    def brief(self) -> Brief:
        """The short form of an outcome, for rows."""
        statuses = [answer for answer in self.said if isinstance(answer, Response)]
        last = self.said[-1]
        if isinstance(last, Released) and statuses and statuses[-1].elements[0x0100] == b"\x30\x80":
            assert statuses.pop().status == 0
        optional = {number for answer in statuses for number in answer.elements.keys() - _ALWAYS}
        return Brief(tuple(answer.status for answer in statuses), last, tuple(self.files), tuple(sorted(optional)))


class Brief(NamedTuple):
    """Statuses of the responses before the C-ECHO that shows that the association goes on; how it ended; the names of
    the files; elements of the responses that are not always there."""

    statuses: tuple[int, ...]
    end: Answer
    files: tuple[str, ...] = ()
    elements: tuple[int, ...] = ()


STORED = Brief((0x0000,), Released(), (NAME,))
ANSWERED = Brief((), Released())
"""The C-ECHO was answered, and nothing happened before."""


def refused(status: int, *elements: int) -> Brief:
    """A failure status, the association goes on."""
    return Brief((status,), Released(), (), (*elements, ERROR_COMMENT))


def aborted(source: int = 0, reason: int = 0, *files: str) -> Brief:
    return Brief((), Aborted(source, reason), files)


@dataclass(frozen=True, kw_only=True, slots=True)
class Message(Row):
    """Bytes sent after an A-ASSOCIATE-AC, to programs with these arguments; `ours` and `theirs` are `Brief`.

    `then` says how the sender goes on: a C-ECHO, unless the answer is A-ABORT, and the release; the release at once; an
    A-ABORT; the end of our side of the connection. `before` is stored first.
    """

    kind: ClassVar[str] = "message"
    sent: bytes
    arguments: tuple[str, ...] = ()
    then: Literal["echo", "release", "abort", "close"] = "echo"
    responses: int = 1
    before: bytes = b""


def in_both_modes(
    rule: str,
    sent: bytes,
    differs: str = "",
    ours: Brief | None = None,
    theirs: Brief | None = None,
    **details: Any,
) -> Iterator[Message]:
    """The same row for normal mode and for --bit-preserving."""
    for mode, arguments in (("", ()), (", bit preserving", BIT_PRESERVING)):
        yield Message(
            rule=rule + mode, sent=sent, arguments=arguments, differs=differs, ours=ours, theirs=theirs, **details
        )


def compare_messages(row: Message, profiles: Path, both: Callable[..., Any]) -> None:
    """Send it to both programs and compare the outcomes: all of them, or the row's short form where they differ."""
    receivers = both("-xf", profiles, "Default", *row.arguments)
    ours, theirs = (_outcome(receiver, row) for receiver in receivers)
    if row.differs:
        compare(row, ours.brief, theirs.brief)
    else:
        compare(row, ours, theirs)


def outcome_of(receiver: Receiver, sent: bytes) -> Outcome:
    """The answers to a message and a C-ECHO; the files stay."""
    return Outcome(_send(receiver, sent, "echo", 1), {})


def _outcome(receiver: Receiver, row: Message) -> Outcome:
    if row.before:
        _send(receiver, row.before, "echo", 1)
    said = _send(receiver, row.sent, row.then, row.responses)
    _send(receiver, b"", "release", 0)  # DCMTK dcmrecv serves one association at a time
    return Outcome(said, {name: file.data for name, file in taken_files(receiver).items()})


def _send(receiver: Receiver, sent: bytes, then: str, responses: int) -> tuple[Answer, ...]:
    with RawAssociation(receiver.port) as association:
        association.send(PROPOSAL)
        assert isinstance(next_answer(association), Accepted)
        association.send(sent)
        if then == "release":
            association.send(pdu(RELEASE_RQ, bytes(4)))
        elif then == "abort":
            association.send(pdu(ABORT, bytes(4)))
        elif then == "close":
            association.socket.shutdown(socket.SHUT_WR)
        said = []
        while True:
            answer = next_answer(association)
            said.append(answer)
            if not isinstance(answer, Response):
                return tuple(said)
            if then == "echo" and len(said) == responses:
                association.send(p_data(pdv(ECHO, 3, command_set(ECHO_RQ))))
            elif then == "echo" and len(said) == responses + 1:
                association.send(pdu(RELEASE_RQ, bytes(4)))
