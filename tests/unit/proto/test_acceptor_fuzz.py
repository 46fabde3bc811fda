"""Garbage and near-garbage: `proto/` raises declared errors only, and stays usable."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.api.errors import RemoteProtocolError
from dcmrecv_core.proto.associate import decode_associate_rq
from dcmrecv_core.proto.dimse import Command, decode_command
from support.fuzz.mutants import mutated
from support.protocol import pdus
from support.protocol.pdus import P_DATA, pdu, pdv
from support.protocol.sample_conversation import CONVERSATION, REQUEST, survives
from support.uids import CT


@pytest.mark.parametrize("seed", range(10))
def test_mutated_conversations(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(300):
        survives(mutated(rng, CONVERSATION), rng, strict=rng.random() < 0.5)


@settings(max_examples=100, deadline=None)
@given(garbage=st.binary(max_size=200), after=st.sampled_from([b"", REQUEST, REQUEST + pdus.store()[:150]]))
def test_garbage(garbage: bytes, after: bytes) -> None:
    survives(after + garbage, random.Random(len(garbage)))


@settings(max_examples=100, deadline=None)
@given(bodies=st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=90)), max_size=6))
def test_well_framed_garbage(bodies: list[tuple[int, bytes]]) -> None:
    survives(REQUEST + b"".join(pdu(kind, body) for kind, body in bodies), random.Random(0))


@settings(max_examples=150, deadline=None)
@given(
    numbers=st.lists(
        st.tuples(st.sampled_from([1, 3, 5, 7]), st.integers(0, 3), st.sampled_from([b"", b"ab", *map(bytes, (20,))])),
        max_size=8,
    ),
    fields=st.lists(st.sampled_from([0x0001, 0x0030, 0x0FFF, 0x8001, 0x0020]), max_size=3),
)
def test_pdvs_in_any_order(numbers: list[tuple[int, int, bytes]], fields: list[int]) -> None:
    values = [pdv(*number) for number in numbers]
    for place, field in enumerate(fields):
        command = pdus.command_set({0x0002: CT, 0x0100: field, 0x0110: 1, 0x0120: 1, 0x0800: place % 2, 0x1000: "1.2"})
        values.insert(2 * place, pdv(3, 3, command))
    survives(REQUEST + b"".join(pdu(P_DATA, value) for value in values), random.Random(1))


def test_request_decoder_raises_declared_errors_only() -> None:
    rng = random.Random(7)
    for _ in range(4000):
        try:
            decode_associate_rq(mutated(rng, REQUEST[6:]))
        except RemoteProtocolError as error:
            assert (error.source, error.reason) == (0, 0)


@pytest.mark.parametrize("length", range(len(REQUEST) - 6))
def test_request_cut_anywhere(length: int) -> None:
    """A cut between items leaves a request with fewer of them; any other is an error."""
    try:
        request = decode_associate_rq(REQUEST[6 : 6 + length])
    except RemoteProtocolError as error:
        assert (error.source, error.reason) == (0, 0)
    else:
        assert len(request.contexts) <= 3


ELEMENTS = pdus.STORE_RQ | {0x0120: 3, 0x1030: b"MOVE", 0x1031: 9}
VALUES = (b"", b"\0", b"\1\0", b"\1\1", b"\xff\xff", b"\0\0\0\0", b"1.2\0", b"A" * 65, bytes(300))


def read(data: bytes) -> Command | None:
    try:
        return decode_command(data)
    except RemoteProtocolError as error:
        assert (error.source, error.reason) == (2, 6)
        return None


@pytest.mark.parametrize("number", ELEMENTS)
def test_each_command_element_dropped_doubled_retyped(number: int) -> None:
    required = number in (0x0100, 0x0110)
    dropped = read(pdus.command_set({key: value for key, value in ELEMENTS.items() if key != number}))
    assert (dropped is None) is required
    whole = pdus.command_set(ELEMENTS)
    once, twice = read(whole), read(whole + pdus.element(number, b"\2\2"))
    assert once and twice and twice._replace(encoded=b"") == once._replace(encoded=b"")  # the first counts
    for value in VALUES:
        retyped = read(pdus.command_set(ELEMENTS | {number: value}))
        assert (retyped is None) is (number in (0x0100, 0x0110, 0x0800) and len(value) < 2)
        survives(REQUEST + pdus.message(3, ELEMENTS | {number: value}, b"data"), random.Random(2))


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=120))
def test_command_decoder_raises_declared_errors_only(data: bytes) -> None:
    read(data)
    read(pdus.command_set(ELEMENTS)[: len(data)] + data)
