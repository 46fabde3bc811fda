"""Requests of every kind, each with its own Message ID and UIDs; the responses, and the answer to the association
request, are decoded by pynetdicom, pydicom and DCMTK's dcmdump, and compared with the requests."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pynetdicom.dimse_messages import C_ECHO_RSP, C_STORE_RSP
from pynetdicom.dsutils import decode
from pynetdicom.pdu import A_ASSOCIATE_AC, P_DATA_TF

from support.data.datasets import instance_of
from support.programs.receivers import Start, dcmtk
from support.promises.promises import promise
from support.protocol.pdus import P_DATA, Command, associate_rq, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, MR, VERIFICATION

pytestmark = [promise(16), pytest.mark.filterwarnings("ignore:The value length:UserWarning")]
"""A UID that is too long is returned unchanged, and pydicom warns about it."""

STORAGE, ECHO = 1, 3
CONTEXTS = [(CT, [EXPLICIT_LE]), (VERIFICATION, [IMPLICIT_LE])]
UID = "1.2.826.0.1.3680043.9.9999.8.1"
GOOD, BAD = instance_of(CT, UID), b"This is no data set at all."


def with_(changes: Command, instance: str = UID) -> Command:
    return {**store_rq(CT, instance), **changes}


REQUESTS: dict[str, tuple[Command, bytes | None]] = {
    "stored": (with_({}), GOOD),
    "stored, UID of odd length": (with_({}, "1.2.3.44"), instance_of(CT, "1.2.3.44")),
    "stored, UID padded with a blank": (with_({0x1000: b"1.2.3.45 "}), instance_of(CT, "1.2.3.45")),
    "stored, UID of 64 characters": (with_({}, "1." + "2" * 62), instance_of(CT, "1." + "2" * 62)),
    "stored, another class": (with_({0x0002: MR}), instance_of(MR, UID)),
    "stored, move originator": (with_({0x1030: b"MOVE", 0x1031: 1}), GOOD),
    "not understood": (with_({}), BAD),
    "ends in a value": (with_({}), GOOD[:-1]),
    "UID too long": (with_({}, "1." + "2" * 63), GOOD),
    "no data set": (with_({0x0800: 0x0101}), None),
    "C-FIND": (with_({0x0100: 0x0020}), GOOD),
    "N-CREATE": (with_({0x0100: 0x0140, 0x0800: 0x0101}), None),
    "echo": ({0x0002: VERIFICATION, 0x0100: 0x0030, 0x0800: 0x0101}, None),
}
KINDS = {0x8001: C_STORE_RSP, 0x8030: C_ECHO_RSP}


def ask(association: RawAssociation, command: Command, data: bytes | None, message_id: int) -> list[bytes]:
    """The bodies of the P-DATA-TFs of the response."""
    context_id = ECHO if command[0x0100] == 0x0030 else STORAGE
    association.request({**command, 0x0110: message_id}, data, context_id=context_id)
    bodies: list[bytes] = []
    while not bodies or not bodies[-1][5] & 2:
        kind, body = association.read_pdu()
        assert kind == P_DATA
        assert struct.unpack_from(">IB", body) == (len(body) - 4, context_id)
        bodies.append(body)
    return bodies


def check_with_pynetdicom(bodies: list[bytes], command: Command, message_id: int) -> None:
    """Both its PDU decoder and its command decoder, which is pydicom's."""
    for body in bodies:
        data = P_DATA_TF()
        data.decode(struct.pack(">BxI", P_DATA, len(body)) + body)
        assert len(data.presentation_data_value_items) == 1
    found = decode(BytesIO(b"".join(body[6:] for body in bodies)), True, True)
    assert found.CommandField == 0x8000 | int(command[0x0100])
    assert found.MessageIDBeingRespondedTo == message_id
    assert found.CommandDataSetType == 0x0101
    assert found.CommandGroupLength == len(b"".join(body[6:] for body in bodies)) - 12
    assert [element.tag for element in found] == sorted(element.tag for element in found)
    for tag, name in ((0x0002, "AffectedSOPClassUID"), (0x1000, "AffectedSOPInstanceUID")):
        if tag in command:
            asked = command[tag]
            text = asked.decode() if isinstance(asked, bytes) else str(asked)
            assert str(found[name].value).strip("\0 ") == text.strip("\0 ")
    if found.CommandField in KINDS:
        KINDS[found.CommandField]().command_set = found
    assert len(found.get("ErrorComment", "")) <= 64
    assert found.Status == 0 or found.ErrorComment


def dumped(path: Path, data: bytes) -> dict[str, str]:
    """Keyword to value, as DCMTK reads the command set."""
    path.write_bytes(data)
    done = dcmtk("dcmdump", "-f", "-ti", "-Un", path)
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^\(0000,....\) .. =?\[?(.*?)\]? +# +\d+, *\d (\w+)$", done.stdout, re.MULTILINE)
    return {keyword: value for value, keyword in lines}


@pytest.mark.parametrize("maximum", [0, 8, 128, 16384])
def test_responses(
    ours: Start, directory: Path, maximum: int, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    receiver = ours("-pm", "--no-fsync")
    responses = 0
    with RawAssociation(receiver.port, CONTEXTS, max_pdu=maximum) as association:
        for round_ in range(count(2, 200)):
            for number, (command, data) in enumerate(REQUESTS.values()):
                message_id = (round_ * 977 + number * 4099) % 65536
                bodies = ask(association, command, data, message_id)
                assert not maximum or max(map(len, bodies)) <= maximum
                check_with_pynetdicom(bodies, command, message_id)
                if not round_:
                    check_with_dcmtk(directory / "command", bodies, command, message_id)
                responses += 1
        association.release()
    figure(f"all of {responses} responses for each of 4 maximum lengths")


def check_with_dcmtk(path: Path, bodies: list[bytes], command: Command, message_id: int) -> None:
    found = dumped(path, b"".join(body[6:] for body in bodies))
    assert found["CommandField"] == str(0x8000 | int(command[0x0100]))
    assert found["MessageIDBeingRespondedTo"] == str(message_id)
    assert found["CommandDataSetType"] == "257"
    for tag, keyword in ((0x0002, "AffectedSOPClassUID"), (0x1000, "AffectedSOPInstanceUID")):
        if tag in command:
            asked = command[tag]
            assert found[keyword].strip(" ") == (asked.decode() if isinstance(asked, bytes) else str(asked)).strip(" ")


def test_answers_to_association_requests(ours: Start, config: Path) -> None:
    """Rejected contexts, too."""
    receiver = ours("-xf", config, "default")
    with RawAssociation(receiver.port) as association:
        association.send(request_of_many())
        kind, body = association.read_pdu()
        answer = A_ASSOCIATE_AC()
        answer.decode(struct.pack(">BxI", kind, len(body)) + body)
        assert answer.encode() == struct.pack(">BxI", kind, len(body)) + body
        association.abort()
    results = {item.presentation_context_id: item.result_reason for item in answer.presentation_context}
    assert (len(results), set(results.values())) == (128, {0, 3})


def request_of_many() -> bytes:
    return associate_rq([(CT if number % 2 else "1.2.3.4.5", [EXPLICIT_LE]) for number in range(128)])
