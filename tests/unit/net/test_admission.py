"""The admission table: what crosses processes, who counts as one peer, and requests to give up an association."""

from __future__ import annotations

import os

import pytest

from dcmrecv_core.net.admission import Activity, AdmissionTable, Door, Slot, peer_key


@pytest.fixture
def slot() -> Slot:
    return AdmissionTable(1).take(0.0)[1]


def test_a_heartbeat_crosses_processes() -> None:
    table = AdmissionTable(2)
    _, other = table.take(1.0)
    number, slot = table.take(5.0)
    assert (slot.last_beat, slot.in_hook, slot.overdue) == (5.0, False, False)
    pid = os.fork()
    if not pid:
        slot.beat(123456.75)
        slot.flag[0] = 1
        os._exit(0)
    os.waitpid(pid, 0)
    assert (slot.last_beat, slot.in_hook, slot.overdue) == (123456.75, True, False)
    slot.flag[0] = 127
    slot.mark_overdue()
    assert (slot.hook, slot.in_hook, slot.overdue) == (127, True, True)
    slot.flag[0] = 0
    assert (slot.in_hook, slot.overdue) == (False, False), "the end of a hook is the end of its being overdue"
    assert (other.last_beat, other.in_hook) == (1.0, False)
    slot.mark_overdue()
    table.give_back(number)
    assert table.take(7.0)[0] == number
    assert (slot.last_beat, slot.in_hook, slot.overdue) == (7.0, False, False)


def test_an_association_crosses_processes(slot: Slot) -> None:
    assert slot.place[1:] == (Activity.IDLE, 0, 0.0, 0.0, bytes(8))
    pid = os.fork()
    if not pid:
        slot.flag[0] = 1
        slot.begin("10.0.0.1", 12.5, handshake=True)
        slot.wait_since(13.25)
        os._exit(0)
    os.waitpid(pid, 0)
    assert slot.place == (slot, Activity.HANDSHAKE, 1, 12.5, 13.25, peer_key("10.0.0.1"))


def test_an_association_from_its_beginning_to_its_end(slot: Slot) -> None:
    slot.begin("10.0.0.1", 1.0, handshake=False)
    slot.wait_since(2.0)
    slot.become(Activity.ENDING)
    assert slot.place[1:] == (Activity.ENDING, 1, 1.0, 0.0, peer_key("10.0.0.1"))
    slot.become(Activity.IDLE)
    slot.begin("10.0.0.2", 3.0, handshake=False)
    assert slot.place[1:] == (Activity.SERVING, 2, 3.0, 0.0, peer_key("10.0.0.2"))


def test_a_request_to_give_up_reaches_only_its_association(slot: Slot) -> None:
    longest = "fe80:1234:5678:9abc:def0:1234:123.123.123.123%"
    slot.begin("10.0.0.1", 1.0, handshake=False)
    assert slot.newcomer == ""
    slot.evict(1, longest)
    assert slot.newcomer == longest[:46]
    slot.evict(1, "10.0.0.2")
    assert slot.newcomer == "10.0.0.2"
    slot.evict(0, "")
    assert slot.newcomer == ""
    slot.evict(1, "10.0.0.2")
    slot.rest()
    slot.begin("10.0.0.3", 2.0, handshake=False)
    assert slot.newcomer == ""


def test_a_new_worker_has_nothing_of_the_one_before() -> None:
    table = AdmissionTable(1)
    number, slot = table.take(0.0)
    slot.begin("10.0.0.1", 1.0, handshake=False)
    slot.evict(1, "10.0.0.2")
    table.give_back(number)
    _, slot = table.take(5.0)
    assert slot.place[1:] == (Activity.IDLE, 0, 0.0, 0.0, bytes(8))
    slot.begin("10.0.0.1", 6.0, handshake=False)
    assert slot.newcomer == ""


@pytest.mark.parametrize(
    ("address", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::1", "0.0.0.1", False),
        ("127.0.0.1", "::7f00:1", False),
    ],
)
def test_who_counts_as_one_peer(address: str, other: str, same: bool) -> None:
    assert (peer_key(address) == peer_key(other)) is same
    assert len(peer_key(address)) == 8


def test_the_table_as_a_whole() -> None:
    table = AdmissionTable(3)
    taken = [table.take(0.0) for _ in range(3)]
    (_, first), (number, second), _ = taken
    assert (table.busy, table.places(), table.requests_wait) == (0, [], False)
    first.begin("10.0.0.1", 1.0, handshake=False)
    second.begin("10.0.0.2", 2.0, handshake=True)
    assert table.busy == 2
    assert {place.peer for place in table.places()} == {peer_key("10.0.0.1"), peer_key("10.0.0.2")}
    first.rest()
    assert [place.slot for place in table.places()] == [second]
    table.give_back(number)
    assert (table.busy, table.places()) == (0, []), "its worker was killed"


def test_that_requests_wait_crosses_processes() -> None:
    table = AdmissionTable(2)
    table.take(0.0)[1].begin("10.0.0.1", 1.0, handshake=False)
    table.requests_wait = True
    pid = os.fork()
    if not pid:
        os._exit(table.requests_wait and table.busy)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    table.requests_wait = False
    assert not table.requests_wait


def test_the_peer_of_a_worker_that_is_killed_is_known(slot: Slot) -> None:
    slot.begin("10.0.0.1", 1.0, handshake=False)
    assert slot.under_way.describe() == " (10.0.0.1)"
    slot.rest()
    assert slot.under_way.describe() == ""
    assert slot.activity is Activity.IDLE


def test_the_door_crosses_processes() -> None:
    table = AdmissionTable(2)
    assert table.door is Door.OPEN
    for door in (Door.SHUT, Door.OPEN, Door.CLOSED):
        table.door = door
        table.requests_wait = True
        pid = os.fork()
        if not pid:
            os._exit(table.door)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == door
        table.requests_wait = False
        assert table.door is door
