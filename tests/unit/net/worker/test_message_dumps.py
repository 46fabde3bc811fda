"""Dumps of messages: cases that the parity suite cannot compare."""

from __future__ import annotations

import pytest

from dcmrecv_core.net.worker import message_dumps
from dcmrecv_core.proto.dimse import decode_command
from support.protocol.pdus import Command, command_set, store_rq
from support.uids import CT


@pytest.mark.parametrize(
    ("elements", "line"),
    [
        (store_rq("1.2\n3", "1.2"), "Affected SOP Class UID        : 1.2\\n3"),
        ({**store_rq(CT, "1.2"), 0x1030: b"A\x1b[2J"}, "Move Originator AE Title      : A\\x1b[2J"),
        ({**store_rq(CT, "1.2"), 0x0700: 9}, "Priority                      : unknown (0009)"),
        ({0x0100: 0x0020, 0x0110: 7, 0x0700: 0, 0x0800: 1}, "Message Type                  : C-FIND RQ"),
        ({**store_rq(CT, "1.2"), 0x1031: 258}, "Move Originator ID            : 258"),
        ({0x0100: 0x0FFF, 0x0120: 7, 0x0800: 0x0101}, "Message ID Being Responded To : 7"),
        ({0x0100: 0x0031, 0x0110: 7, 0x0800: 0x0101}, "Message Type                  : command 0031 RQ"),
    ],
    ids=["class-escaped", "title-escaped", "priority", "find", "originator", "cancel", "unknown"],
)
def test_requests(elements: Command, line: str) -> None:
    dump = message_dumps.request(1, decode_command(command_set(elements)))
    assert line in dump.split("\n")


@pytest.mark.parametrize(
    ("status", "dumped", "named"),
    [
        (0x0110, "0x0110: Processing failure", "Failure: ProcessingFailure"),
        (0xA900, "0xa900: Error: Data Set does not match SOP Class", "Error: DataSetDoesNotMatchSOPClass"),
        (0xB123, "0xb123: Unknown Status: 0xb123", "Warning: B123"),
        (0xC123, "0xc123: Unknown Status: 0xc123", "Error: C123"),
    ],
    ids=lambda value: f"{value:04X}" if isinstance(value, int) else "",
)
def test_statuses(status: int, dumped: str, named: str) -> None:
    command = decode_command(command_set(store_rq(CT, "1.2")))
    lines = message_dumps.response(1, command, status, "no\nroom").split("\n")
    assert f"DIMSE Status                  : {dumped}" in lines
    assert "Error Comment                 : no\\nroom" in lines
    assert message_dumps.status_name(status) == named
