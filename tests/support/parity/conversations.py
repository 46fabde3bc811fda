"""Whole conversations with a receiver, and the lines that it logs meanwhile, made comparable."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from contextlib import suppress

from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.parity.proposals import context, request
from support.programs.receivers import Receiver
from support.protocol.pdus import (
    ABORT,
    ASSOCIATE_AC,
    ECHO_RQ,
    P_DATA,
    RELEASE_RP,
    RELEASE_RQ,
    Command,
    command_set,
    data_pdus,
    pdu,
    store_rq,
)
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION

Step = bytes | int
"""Bytes to send; or the PDU to wait for, unless an A-ABORT or the end of the connection comes instead."""

END = 0
SHUT = -1
"""Closes the sending side: DCMTK dcmrecv, where it does not answer, waits for that."""
REQUEST = request(context(1, VERIFICATION), context(3, CT, EXPLICIT_LE))
OPEN: tuple[Step, ...] = (REQUEST, ASSOCIATE_AC)
RELEASE: tuple[Step, ...] = (pdu(RELEASE_RQ, bytes(4)), RELEASE_RP)
ABORTING = pdu(ABORT, bytes(4))
INSTANCE = "1.2.3.4"
DATA = instance_of(CT, INSTANCE)
_MARKER = "MARKER"


def command(elements: Command, context_id: int = 1) -> bytes:
    return b"".join(data_pdus(context_id, [command_set(elements)], is_command=True))


def store(data: bytes = DATA, *, elements: Command | None = None, last: bool = True) -> bytes:
    """A C-STORE-RQ with its data set, on context 3."""
    head = command(elements or store_rq(CT, INSTANCE, 8), 3)
    return head + b"".join(data_pdus(3, [data], is_command=False, last=last))


ECHO: tuple[Step, ...] = (command(ECHO_RQ), P_DATA)
STORE: tuple[Step, ...] = (store(), P_DATA)


def log_of(receiver: Receiver, steps: Sequence[Step]) -> list[str]:
    """Hold the conversation and close the connection; the lines logged because of it, as `comparable`."""
    before = len(receiver.log)
    with RawAssociation(receiver.port) as association:
        for step in steps:
            if isinstance(step, bytes):
                with suppress(ConnectionError):
                    association.send(step)
            elif step == SHUT:
                with suppress(OSError):  # reset already
                    association.socket.shutdown(socket.SHUT_WR)
            else:
                while association.read_pdu()[0] not in (step, ABORT, END):
                    pass
    return _lines(_log_until_marker(receiver, association.local_port)[before:])


def start_log_of(receiver: Receiver) -> list[str]:
    """The lines of the start of a receiver without associations yet."""
    return _lines(_log_until_marker(receiver, 0))


def _log_until_marker(receiver: Receiver, port: int) -> str:
    """The log before a C-ECHO made now. DCMTK dcmrecv serves one association at a time, and ours logs the end of an
    association before it closes the connection, so no line of the conversation comes after that."""
    if port:
        receiver.wait_until_over(port)
    with RawAssociation(receiver.port, [(VERIFICATION, [IMPLICIT_LE])], calling=_MARKER) as association:
        association.echo()
        association.release()
    receiver.wait_until_over(association.local_port)
    until(lambda: _is_complete(receiver.log), "the end of the association in the log")
    log = receiver.log
    # at -d DCMTK dcmrecv logs the connection before it knows the titles
    for first in ("D: Association Received: ", f"I: Association Received 127.0.0.1: {_MARKER}"):
        found = log.rfind(first)
        if found >= 0:
            return log[:found]
    return log  # the levels are above info: the echo has left no lines


def _is_complete(log: str) -> bool:
    """DCMTK dcmrecv closes a connection before it logs that at -d."""
    return "\nD: " not in log or log.endswith("D: +++++++++++++++++++++++++++++\n")


_INSIDE = re.compile(
    r"D: (DcmDataset::|DcmFileFormat::|DcmDataDictionary|DUL: |setting network |Parsing an A-ASSOCIATE"
    r"|P-DATA-TF|A-(ABORT|RELEASE|ASSOCIATE)|hook |connection with |C-ECHO )"
)
"""Lines of each program at -d about its own internals, beside the events and dumps that are compared."""

OWN = re.compile(r"(Association from |connection from |[CN]-[A-Z-]+ .*from |  by ).+(@| \()")
"""Lines of ours that name the sender, beside a line of DCMTK dcmrecv that does not."""

_NATURE = (
    (re.compile(r"^(.: Our Implementation [^:]*:) .*"), r"\1"),
    (re.compile(r"^D: \$dcm(tk|recv): .*"), "D: version"),
)


def _lines(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not _INSIDE.match(line)]
    for pattern, replacement in _NATURE:
        lines = [pattern.sub(replacement, line) for line in lines]
    return lines
