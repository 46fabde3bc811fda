"""The compiled part collects the same requests as the reader in Python reads."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.api.verdicts import SupportedContext
from dcmrecv_core.proto import events, regular_requests
from dcmrecv_core.proto.acceptor import Acceptor
from support.fuzz.differential_targets import conversed
from support.protocol import pdus
from support.protocol.acceptor_runs import Run, make
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


def test_the_rest_of_a_request_is_waited_for_until_it_is_asked_for() -> None:
    stream = pdus.store(1, bytes(1000))
    acceptor = accepted().acceptor
    assert not acceptor.collecting
    assert receive(acceptor, stream[:500]) == []
    assert acceptor.collecting and acceptor.mid_message
    acceptor.read_piecemeal()
    assert not acceptor.collecting
    store, data = iter(acceptor.next_event, None)
    assert isinstance(store, events.StoreRequested) and isinstance(data, events.DataReceived) and not data.last
    [rest] = receive(acceptor, stream[500:])
    assert isinstance(rest, events.DataReceived) and rest.last
    assert receive(acceptor, stream[:500]) == []  # the next one is collected again
    assert [type(event) for event in receive(acceptor, stream[500:])] == [events.StoreRequested, events.DataReceived]


def test_where_a_request_begins_does_not_count_as_its_length() -> None:
    acceptor = accepted(1 << 14).acceptor
    found = receive(acceptor, pdus.store(1, bytes(10_000)) + pdus.store(2, bytes(1000))[:500])
    assert [type(event) for event in found] == [events.StoreRequested, events.DataReceived]
    assert acceptor.collecting, "the second one, in the upper half of the buffer"


def test_what_was_collected_is_told_before_the_end() -> None:
    acceptor = accepted().acceptor
    assert receive(acceptor, pdus.store(1, bytes(1000))[:500]) == []
    acceptor.receive_eof()
    store, data, closed = iter(acceptor.next_event, None)
    assert isinstance(store, events.StoreRequested)
    assert isinstance(data, events.DataReceived) and not data.last
    assert closed == events.Closed(True)


def test_reading_piecemeal_with_nothing_collected_changes_nothing() -> None:
    acceptor = accepted().acceptor
    acceptor.read_piecemeal()
    assert receive(acceptor, pdus.store(1, bytes(1000))[:500]) == []
    assert acceptor.collecting


def test_a_request_too_long_for_the_buffer_comes_piecemeal() -> None:
    content = bytes(range(256)) * 50
    run = accepted(4096)
    run.feed(pdus.store(1, content) + pdus.store(2, b"ab"))
    assert [entry[1] for entry in run.log if entry[0] == "data"] == [content, b"ab"]


def test_what_is_not_regular_is_not_moved() -> None:
    stream = bytearray(pdus.store(1, bytes(1000)) + pdu(P_DATA, pdv(3, 3, b"no command")))
    for start in range(6, len(stream)):
        before = bytes(stream)
        found = regular_requests.gather(stream, start, len(stream), 16384, CONTEXTS)
        assert not isinstance(found, tuple) and bytes(stream) == before


@pytest.mark.parametrize(("start", "end"), [(0, 10**6), (10**6, 10**6 + 100), (-50, 100)])
def test_bounds_of_the_buffer_are_kept(start: int, end: int) -> None:
    stream = pdus.store(1, bytes(100))
    with pytest.raises(IndexError):
        regular_requests.gather(bytearray(stream[:-10]), start, end, 16384, CONTEXTS)


def test_the_acceptor_without_the_parts_collects_nothing() -> None:
    acceptor = in_python(make)
    assert not acceptor.collecting
    acceptor.read_piecemeal()
    assert not acceptor.collecting


@pytest.mark.parametrize("count", [511, 512, 513])
def test_many_fragments_come_piecemeal(count: int) -> None:
    """Each receive reads all fragments again: there is a maximum, so that one byte cannot cost much."""
    stream = pdu(P_DATA, pdv(3, 3, command_set(pdus.STORE_RQ)))
    stream += pdu(P_DATA, b"".join(pdv(3, 0, b"") for _ in range(count - 1)))
    found = regular_requests.gather(bytearray(stream), 0, len(stream), 16384, CONTEXTS)
    assert found is regular_requests.INCOMPLETE
    stream += pdu(P_DATA, pdv(3, 2, b"data"))
    assert isinstance(regular_requests.gather(bytearray(stream), 0, len(stream), 16384, CONTEXTS), tuple) == (
        count <= 512
    )
    assert conversed(REQUEST + stream, []) == in_python(lambda: conversed(REQUEST + stream, []))


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
