"""The compiled part collects the same requests as the reader in Python reads."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.api.verdicts import SupportedContext
from dcmrecv_core.proto import events, regular_requests
from dcmrecv_core.proto.acceptor import Acceptor
from dcmrecv_core.proto.dimse import Command, encode_response
from dcmrecv_core.proto.pdu import encode_message
from support.fuzz.differential_targets import conversed
from support.protocol import pdus
from support.protocol.acceptor_runs import Run
from support.protocol.pdus import P_DATA, command_set, pdu, pdv
from support.protocol.sample_conversation import REQUEST
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, MR
from support.without_compiled import in_python

CONTEXTS = {3: (CT, EXPLICIT_LE)}


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    elements=st.dictionaries(
        st.sampled_from([0x0002, 0x0100, 0x0110, 0x0120, 0x0700, 0x0800, 0x1000, 0x1030, 0x1031]),
        st.one_of(
            st.sampled_from([CT, MR, pdus.INSTANCE, "1..2", "1.2.", "", "1" * 65, b"1.2\0\0", b" 1.2"]),
            st.integers(0, 65535),
            st.binary(max_size=5),
        ),
    ),
    strict=st.booleans(),
)
def test_any_command_has_the_same_outcome(seed: int, elements: Any, strict: bool) -> None:
    rng = random.Random(seed)
    sound = dict(pdus.STORE_RQ)
    for number in rng.sample(sorted(elements), rng.randint(0, min(2, len(elements)))):
        sound[number] = elements[number]
    stream = REQUEST + pdus.message(3, sound, b"data") + pdus.echo()
    assert conversed(stream, [], strict=strict) == in_python(lambda: conversed(stream, [], strict=strict))


def accepted(size: int = 1 << 16) -> Run:
    run = Run(size)
    run.feed(pdus.request())
    return run


def receive(acceptor: Acceptor, data: bytes) -> list[events.Event]:
    acceptor.get_buffer()[: len(data)] = data
    acceptor.buffer_updated(len(data))
    return list(iter(acceptor.next_event, None))


def test_a_whole_request_has_one_fragment() -> None:
    content = random.Random(1).randbytes(20000)
    stream = pdu(P_DATA, pdv(3, 3, command_set(pdus.STORE_RQ)))
    for start in range(0, 20000, 1000):
        stream += pdu(P_DATA, pdv(3, 2 if start == 19000 else 0, content[start : start + 1000]))
    [store, data] = receive(accepted().acceptor, stream)
    assert isinstance(store, events.StoreRequested) and isinstance(data, events.DataReceived)
    assert store.command.sop_instance_uid == pdus.INSTANCE and store.command.encoded == command_set(pdus.STORE_RQ)
    assert data.last and [bytes(fragment) for fragment in data.fragments] == [content]


@pytest.mark.parametrize("packed", [False, True], ids=["in PDUs of their own", "in one PDU"])
def test_a_request_is_announced_when_its_command_set_is_complete(packed: bool) -> None:
    command = pdv(3, 3, command_set(pdus.STORE_RQ))
    parts = [pdv(3, 0, bytes(500)), pdv(3, 2, bytes(500))]
    items = [command + parts[0], parts[1]] if packed else [command, *parts]
    stream = b"".join(pdu(P_DATA, item) for item in items)
    acceptor = accepted().acceptor
    assert receive(acceptor, stream[:50]) == []
    [store] = receive(acceptor, stream[50:500])
    assert isinstance(store, events.StoreRequested) and store.command.sop_instance_uid == pdus.INSTANCE
    assert receive(acceptor, stream[500:900]) == [] and acceptor.mid_message
    [data] = receive(acceptor, stream[900:])
    assert (
        isinstance(data, events.DataReceived)
        and data.last
        and [bytes(each) for each in data.fragments] == [bytes(1000)]
    )
    assert not acceptor.mid_message
    store, data = receive(acceptor, stream)  # the next one comes as a whole
    assert isinstance(data, events.DataReceived) and data.last


def test_what_has_arrived_of_a_data_set_is_told_at_its_end() -> None:
    stream = pdus.store(1, bytes(1000))
    for end, arrived in ((len(stream) - 1, 999), (len(stream) - 990, 10)):
        acceptor = accepted().acceptor
        assert [type(event) for event in receive(acceptor, stream[:end])] == [events.StoreRequested]
        assert acceptor.read_rest() == arrived and acceptor.read_rest() == 0
        acceptor.receive_eof()
        assert list(iter(acceptor.next_event, None)) == [events.Closed(True)]
    assert accepted().acceptor.read_rest() == 0


def test_a_data_set_that_turns_out_not_to_be_regular_comes_in_pieces() -> None:
    stream = pdu(P_DATA, pdv(3, 3, command_set(pdus.STORE_RQ))) + pdu(P_DATA, pdv(3, 0, b"ab"))
    acceptor = accepted().acceptor
    assert [type(event) for event in receive(acceptor, stream)] == [events.StoreRequested]
    notice, data = receive(acceptor, pdu(P_DATA, pdv(3, 0, b"c")))
    assert isinstance(data, events.DataReceived) and [bytes(each) for each in data.fragments] == [b"ab", b"c"]
    assert isinstance(notice, events.Notice) and not data.last
    [data] = receive(acceptor, pdu(P_DATA, pdv(3, 2, b"d")))
    assert isinstance(data, events.DataReceived) and data.last


def test_where_a_request_begins_does_not_count_as_its_length() -> None:
    acceptor = accepted(1 << 14).acceptor
    second = pdus.store(2, bytes(1000))
    found = receive(acceptor, pdus.store(1, bytes(10_000)) + second[:500])
    assert [type(event) for event in found] == [events.StoreRequested, events.DataReceived, events.StoreRequested]
    [data] = receive(acceptor, second[500:])
    assert isinstance(data, events.DataReceived) and data.last, "waited for, in the upper half of the buffer"


def test_a_request_too_long_for_the_buffer_comes_piecemeal() -> None:
    content = bytes(range(256)) * 50
    run = accepted(4096)
    run.feed(pdus.store(1, content) + pdus.store(2, b"ab"))
    assert [entry[1] for entry in run.log if entry[0] == "data"] == [content, b"ab"]


def request_in(stream: bytearray, start: int, end: int) -> object:
    return regular_requests.read_request(stream, memoryview(stream), start, end, 16384, CONTEXTS)


def data_set_in(stream: bytearray, start: int, end: int) -> object:
    return regular_requests.read_data_set(stream, memoryview(stream), start, end, 0, 16384, 3)


def test_what_is_not_regular_is_not_moved() -> None:
    stream = bytearray(pdus.store(1, bytes(1000)) + pdu(P_DATA, pdv(3, 3, b"no command")))
    for start in range(6, len(stream)):
        before = bytes(stream)
        assert request_in(stream, start, len(stream)) is None
        data_set_in(stream, start, len(stream))
        assert bytes(stream) == before


@pytest.mark.parametrize("read", [request_in, data_set_in])
@pytest.mark.parametrize(("start", "end"), [(0, 10**6), (10**6, 10**6 + 100), (-50, 100), (50, 40)])
def test_bounds_of_the_buffer_are_kept(read: Callable[[bytearray, int, int], object], start: int, end: int) -> None:
    with pytest.raises(IndexError):
        read(bytearray(pdus.store(1, bytes(100))[:-10]), start, end)


def test_without_the_parts_data_sets_come_in_pieces() -> None:
    acceptor = in_python(accepted).acceptor
    _, data = receive(acceptor, pdus.store(1, bytes(1000))[:500])
    assert isinstance(data, events.DataReceived) and not data.last
    assert acceptor.read_rest() == 0


@pytest.mark.parametrize("count", [511, 512, 513])
def test_many_fragments_come_in_pieces(count: int) -> None:
    """Each receive reads all fragments again: there is a maximum, so that one byte cannot cost much."""
    stream = pdu(P_DATA, b"".join(pdv(3, 0, b"") for _ in range(count - 1)))
    assert data_set_in(bytearray(stream), 0, len(stream)) is regular_requests.INCOMPLETE
    stream += pdu(P_DATA, pdv(3, 2, b"data"))
    assert isinstance(data_set_in(bytearray(stream), 0, len(stream)), tuple) == (count <= 512)
    stream = REQUEST + pdu(P_DATA, pdv(3, 3, command_set(pdus.STORE_RQ))) + stream
    assert conversed(stream, []) == in_python(lambda: conversed(stream, []))


@pytest.mark.parametrize("length", [65000, 70000])
def test_a_command_has_a_largest_length(length: int) -> None:
    stream = REQUEST + pdus.message(3, pdus.STORE_RQ | {0x5110: bytes(length)}, b"data")
    options = {"size": 1 << 18, "max_pdu": 1 << 17}
    assert conversed(stream, [], **options) == in_python(lambda: conversed(stream, [], **options))


@pytest.mark.parametrize("length", [63, 64, 65, 72])
def test_a_sop_class_has_a_largest_length(length: int) -> None:
    uid = ("1." * 40)[: length - 1] + "1"
    supported = [SupportedContext(uid, (IMPLICIT_LE,))]
    stream = pdus.request([pdus.context(3, uid, IMPLICIT_LE)])
    stream += pdus.message(3, pdus.STORE_RQ | {0x0002: uid}, b"data")
    outcome = conversed(stream, [], supported=supported)
    assert outcome == in_python(lambda: conversed(stream, [], supported=supported))
    assert ("data", b"data") in outcome[0] if length <= 64 else ("refused", 3, 7, 0x0122) in outcome[0]


@settings(max_examples=500, deadline=None)
@given(
    uids=st.tuples(st.binary(max_size=66), st.binary(max_size=66)),
    numbers=st.tuples(st.sampled_from([0x0001, 0x0030]), st.integers(0, 65535)),
    status=st.integers(0, 65535),
    context_id=st.integers(0, 255),
    max_length=st.one_of(st.just(0), st.integers(8, 300), st.integers(0, 2**32 - 1)),
)
def test_a_response_is_the_same(
    uids: tuple[bytes, bytes], numbers: tuple[int, int], status: int, context_id: int, max_length: int
) -> None:
    command = Command(*numbers, True, *uids)
    whole = encode_message(context_id, encode_response(command, status), 0, command=True)
    made = regular_requests.encode_response(context_id, command, status, max_length)
    if max(map(len, uids)) > 64 or 0 < max_length < len(whole) - 6:
        assert made is None
    else:
        assert made == whole
