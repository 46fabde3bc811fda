"""Responses: their contents, their fragments, and that other implementations can read them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.filereader import read_dataset
from pynetdicom.dimse_messages import C_ECHO_RSP, C_STORE_RSP, DIMSEMessage
from pynetdicom.pdu import P_DATA_TF

from dcmrecv_core.proto.dimse import Command, encode_response
from support.protocol import pdus
from support.protocol.acceptor_runs import Run, established
from support.protocol.pdus import hexa
from support.uids import CT, VERIFICATION


def primitive(message: DIMSEMessage, stream: bytes) -> Any:
    """The messages that pynetdicom reads from P-DATA-TF PDUs."""
    for kind, body in pdus.read_pdus(stream):
        assert kind == pdus.P_DATA
        p_data = P_DATA_TF()
        p_data.decode(pdus.pdu(kind, body))
        message.decode_msg(p_data.to_primitive())
    return message.message_to_primitive()


@pytest.mark.parametrize("instance", ["1.2.3", "1.2.34", "1." + "2" * 62])
@pytest.mark.parametrize("status", [0x0000, 0xA700, 0xB000, 0xC000, 0x0110])
def test_pynetdicom_reads_store_response(instance: str, status: int) -> None:
    stream = pdus.message(3, pdus.store_rq(CT, instance, 0xFFFE), b"data")
    response = primitive(C_STORE_RSP(), established(stream, status=status).answers)
    assert response.MessageIDBeingRespondedTo == 0xFFFE
    assert response.Status == status
    assert response.AffectedSOPClassUID == CT
    assert response.AffectedSOPInstanceUID == instance


def test_pynetdicom_reads_echo_response() -> None:
    response = primitive(C_ECHO_RSP(), established(pdus.echo(1)).answers)
    assert (response.MessageIDBeingRespondedTo, response.Status) == (1, 0)
    assert response.AffectedSOPClassUID == VERIFICATION


def test_pydicom_reads_comment_and_offending_elements() -> None:
    request = Command(0x0001, 5, True, CT.encode(), b"1.2.3")
    encoded = encode_response(request, 0xA900, "Class differs", (0x00080016, 0x7FE00010))
    dataset = read_dataset(io.BytesIO(encoded), is_implicit_VR=True, is_little_endian=True)
    assert dataset.CommandGroupLength == len(encoded) - 12
    assert dataset.CommandField == 0x8001
    assert dataset.MessageIDBeingRespondedTo == 5
    assert dataset.CommandDataSetType == 0x0101
    assert dataset.Status == 0xA900
    assert dataset.OffendingElement == [0x00080016, 0x7FE00010]
    assert dataset.ErrorComment == "Class differs"
    assert (dataset.AffectedSOPClassUID, dataset.AffectedSOPInstanceUID) == (CT, "1.2.3")
    tags = [element.tag for element in dataset]
    assert tags == sorted(tags)


def test_bytes_of_a_response() -> None:
    assert established(pdus.store()).answers == hexa("""
        04 00 00000070                     ; P-DATA-TF
        0000006c 03 03                     ; PDV on context 3: command, last
        0000 0000 04000000 5e000000        ; group length 94
        0000 0200 1a000000 312e322e3834302e31303030382e352e312e342e312e312e32 00 ; CT, padded
        0000 0001 02000000 0180            ; C-STORE-RSP
        0000 2001 02000000 0700            ; to message 7
        0000 0008 02000000 0101            ; no data set
        0000 0009 02000000 0000            ; Success
        0000 0010 0c000000 312e322e332e342e352e36 00 ; 1.2.3.4.5.6, padded
    """)


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("even", b"even"),
        ("odd", b"odd "),
        ("x" * 65, b"x" * 64),
        ("a\\b", b"a/b "),
        ("caf\xe9 \u20ac", b"caf? ?"),
        ("two\nlines\0", b"two?lines?"),
    ],
)
def test_comment_is_a_valid_long_string(comment: str, expected: bytes) -> None:
    encoded = encode_response(Command(0x0001, 5, True), 0x0110, comment)
    assert pdus.parse_command(encoded)[0x0902] == expected


@pytest.mark.parametrize("raw", [b"1.2\0", b"1.2 ", b"1.2\0junk", b"\xff\xfe", b"1.2.3\0"])
def test_class_and_instance_are_echoed_as_received(raw: bytes) -> None:
    stream = pdus.message(3, pdus.STORE_RQ | {0x0002: raw, 0x1000: raw}, b"data")
    done = Run().feed_all([pdus.request() + stream])
    [(_, elements)] = pdus.read_commands(done.answers)
    padded = raw + bytes(len(raw) % 2)
    assert (elements[0x0002], elements[0x1000]) == (padded, padded)


@settings(max_examples=60, deadline=None)
@given(limit=st.integers(8, 200), instance=st.integers(1, 10**40), status=st.integers(0, 65535))
def test_response_fits_the_peers_maximum(limit: int, instance: int, status: int) -> None:
    elements = pdus.store_rq(CT, f"1.{instance}", 3)
    run = Run(status=status).feed_all([pdus.request(user=[pdus.max_length(limit)]) + pdus.message(3, elements, b"d")])
    parts = []
    for _, body in pdus.read_pdus(run.answers):
        assert len(body) <= limit
        [(number, control, fragment)] = pdus.read_pdvs(body)
        assert number == 3
        assert fragment and len(fragment) % 2 == 0
        parts.append(control)
    assert parts == [1] * (len(parts) - 1) + [3]
    response = primitive(C_STORE_RSP(), run.answers)
    assert response.AffectedSOPInstanceUID == f"1.{instance}"


@pytest.mark.parametrize("limit", [None, 0, 131072, 0xFFFFFFFF])
def test_response_is_not_cut_without_need(limit: int | None) -> None:
    user = [] if limit is None else [pdus.max_length(limit)]
    run = Run().feed_all([pdus.request(user=user) + pdus.store()])
    assert len(list(pdus.read_pdus(run.answers))) == 1
