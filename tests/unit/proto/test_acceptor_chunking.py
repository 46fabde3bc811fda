"""The same messages result however bytes arrive and however a sender packs them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.proto import events
from support.protocol import pdus
from support.protocol.acceptor_runs import Run
from support.protocol.pdus import P_DATA, command_set, packed, pdu, pdv
from support.uids import CT, EXPLICIT_LE
from support.without_compiled import in_python


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.one_of(st.integers(0, 40), st.integers(0, 20000)), min_size=1, max_size=4),
    buffer=st.one_of(st.integers(16, 64), st.integers(16, 65536)),
    largest=st.one_of(st.integers(130, 300), st.just(16384)),
    receive=st.one_of(st.integers(1, 20), st.integers(1, 70000)),
)
def test_any_packing_gives_the_same_messages(
    seed: int, sizes: list[int], buffer: int, largest: int, receive: int
) -> None:
    rng = random.Random(seed)
    data = [rng.randbytes(size) for size in sizes]
    stream = pdus.request()
    for message_id, content in enumerate(data):
        stream += packed(rng, 3, pdus.store_rq(message_id=message_id), content, largest) + pdus.echo(message_id)
    stream += pdus.release_rq()
    run, position = Run(buffer), 0
    while position < len(stream):
        count = rng.randint(1, receive)
        run.feed(stream[position : position + count])
        position += count
    expected: list[tuple[object, ...]] = [("requested", "RAWSCU", "ANY")]
    for message_id, content in enumerate(data):
        uids = (CT, pdus.INSTANCE, EXPLICIT_LE)
        expected += [("store", 3, message_id, *uids), ("data", content), ("echo", 1, message_id)]
    expected.append(("released", False))
    assert [entry for entry in run.log if entry[0] != "notice"] == expected
    *messages, release = pdus.read_pdus(run.answers)
    assert release == (pdus.RELEASE_RP, bytes(4))
    assert pdus.statuses(b"".join(pdu(*message) for message in messages)) == [
        answer for number in range(len(data)) for answer in ((3, 0x8001, number, 0), (1, 0x8030, number, 0))
    ]


def test_64_stores_sent_at_once_are_answered_in_order() -> None:
    stream = b"".join(pdus.store(number, bytes([number]) * 1000) for number in range(64))
    run = Run(1 << 20).feed_all([pdus.request() + stream + pdus.release_rq()])
    assert [entry[1] for entry in run.log if entry[0] == "data"] == [bytes([number]) * 1000 for number in range(64)]
    responses = run.answers[: -len(pdus.release_rq())]
    assert pdus.statuses(responses) == [(3, 0x8001, number, 0) for number in range(64)]


@pytest.mark.parametrize("size", [16, 17, 100, 4096])
def test_a_full_buffer_always_gets_room_again(size: int) -> None:
    """`feed` fills it to the last byte each time."""
    data = bytes(range(256)) * 40
    run = Run(size).feed_all([pdus.request() + pdus.store(1, data) + pdus.store(2, b"") + pdus.echo()])
    assert [entry[1] for entry in run.log if entry[0] == "data"] == [data, b""]
    assert run.log[-1] == ("echo", 1, 7)


@pytest.mark.usefixtures("in_python")
def test_one_event_for_all_bytes_of_a_receive() -> None:
    """Fragments do not wait for the end of their PDV or PDU, and are views of the buffer, not copies."""
    run = Run(1 << 16)
    run.feed(pdus.request())
    run.feed(pdu(P_DATA, pdv(3, 3, command_set(pdus.STORE_RQ))))
    stream = b"".join(pdu(P_DATA, pdv(3, 0, bytes([number]) * 1000)) for number in range(10))[:-300]
    acceptor = run.acceptor
    free = acceptor.get_buffer()
    free[: len(stream)] = stream
    acceptor.buffer_updated(len(stream))
    event = acceptor.next_event()
    assert [len(fragment) for fragment in event.fragments] == [1000] * 9 + [700]  # type: ignore[union-attr]
    assert acceptor.next_event() is None
    free[:] = b"!" * len(free)
    assert event.fragments[0][:3] == b"!!!"  # type: ignore[union-attr]


@pytest.mark.parametrize("compiled", [True, False])
def test_what_came_before_a_fault_is_there(compiled: bool) -> None:
    """The log says how many bytes had arrived, however many of them came at once with the fault."""

    def arrived() -> tuple[list[int], type[events.Event] | None]:
        acceptor = Run().feed_all([pdus.request()]).acceptor
        stream = pdu(P_DATA, pdv(3, 3, command_set(pdus.STORE_RQ)))
        stream += pdu(P_DATA, pdv(3, 0, bytes(100)) + pdv(3, 0, bytes(20))) + pdu(P_DATA, pdv(5, 0, b"!!"))
        acceptor.get_buffer()[: len(stream)] = stream
        acceptor.buffer_updated(len(stream))
        found = list(iter(acceptor.next_event, None))
        data = [event for event in found if isinstance(event, events.DataReceived)]
        assert not any(event.last for event in data)
        return [len(fragment) for event in data for fragment in event.fragments], type(found[-1])

    assert (arrived() if compiled else in_python(arrived)) == ([100, 20], events.Failed)
