"""Rows whose input is one association request."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from support.parity.answers import Aborted, Accepted, Answer, next_answer
from support.parity.rules import Row, compare
from support.programs.receivers import Receiver
from support.protocol.pdus import ECHO_RQ
from support.protocol.raw_sender import RawAssociation

UNREADABLE = "Ours answers A-ABORT to a request that cannot be read (PS3.8 AA-1); DCMTK dcmrecv does not answer."
ABORTED = Aborted(0, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request(Row):
    """A request, and `arguments` of the programs after the profile, which "" leaves out.

    The outcome is the answer; with `echo` and an association also the response to a C-ECHO.
    """

    kind: ClassVar[str] = "association request"
    request: bytes
    profile: str = "Default"
    arguments: tuple[str, ...] = ()
    echo: bool = False


def compare_answers(row: Request, config: Path, both: Callable[..., Any]) -> None:
    """Send it to both programs and compare their answers."""
    profile = ("-xf", config, row.profile) if row.profile else ()
    ours, original = both(*profile, *row.arguments)
    compare(row, _answers(ours, row), _answers(original, row))


def _answers(receiver: Receiver, row: Request) -> Answer | tuple[Answer, Answer]:
    """Without a C-ECHO, the sending side is shut after the request: DCMTK dcmrecv, where it does not answer, then has
    nothing to wait for, and closes too."""
    with RawAssociation(receiver.port) as association:
        association.send(row.request)
        if not row.echo:
            with suppress(OSError):  # reset already; earlier answers can still be read
                association.socket.shutdown(socket.SHUT_WR)
        answer = next_answer(association)
        if not row.echo or not isinstance(answer, Accepted):
            return answer
        association.request(ECHO_RQ)
        response = next_answer(association)
        association.abort()
        return answer, response
