"""Other protocols on a DICOM port, and the AE titles of a request of which no more is known."""

from __future__ import annotations

import pytest

from dcmrecv_core.proto.first_bytes import MOST, protocol_of, titles_of
from support.protocol.pdus import associate_rq
from support.uids import IMPLICIT_LE, VERIFICATION

REQUEST = associate_rq([(VERIFICATION, [IMPLICIT_LE])], calling="CT1", called="ARCHIVE")

BEGINNINGS = {
    "HTTP": (b"GET / ", b"HEAD /", b"POST /", b"PUT /x", b"OPTIONS ", b"CONNECT ", b"PRI * HTTP/2.0"),
    "the PROXY protocol, version 1": (b"PROXY TCP4 ",),
    "the PROXY protocol, version 2": (b"\r\n\r\n\0\r\nQUIT\n",),
    "SSH": (b"SSH-2.0-x",),
    "HL7 (MLLP)": (b"\x0bMSH|^~\\&", b"\x0b"),
    "TLS": (b"\x16\x03\x01", b"\x16\x03"),
}


@pytest.mark.parametrize(
    ("name", "data"), [(name, data) for name, beginnings in BEGINNINGS.items() for data in beginnings]
)
def test_a_header_is_enough_to_name_a_protocol(name: str, data: bytes) -> None:
    assert protocol_of(data) == protocol_of(bytearray(data[:6])) == name


def test_four_bytes_of_a_longer_word_are_enough() -> None:
    assert [protocol_of(b"HEAD /"[:length]) for length in range(1, 6)] == ["", "", "", "HTTP", "HTTP"]


@pytest.mark.parametrize("data", [b"", REQUEST, b"\x16", b"\x16\x02", b"GE", b"GETS", b"\r\n", b"PUTT", bytes(80)])
def test_other_bytes_are_not_named(data: bytes) -> None:
    assert protocol_of(data) == ""


def test_titles() -> None:
    assert titles_of(REQUEST) == titles_of(REQUEST[:MOST]) == titles_of(bytearray(REQUEST[:42])) == ("CT1", "ARCHIVE")


@pytest.mark.parametrize("data", [b"", b"\1", REQUEST[:10], b"\2" + REQUEST[1:]])
def test_what_has_no_titles(data: bytes) -> None:
    assert titles_of(data) == ("", "")


@pytest.mark.parametrize("length", range(6, 80))
def test_titles_of_a_part_raise_nothing(length: int) -> None:
    titles_of(REQUEST[:length])
    titles_of(b"\1" + bytes(range(80, 160))[:length])
