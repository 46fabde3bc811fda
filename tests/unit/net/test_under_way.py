"""What a worker is doing, for the line about its end."""

from __future__ import annotations

import os

from dcmrecv_core.net.admission import AdmissionTable
from dcmrecv_core.net.under_way import UnderWay

ADDRESS = "10.0.0.1"
LONGEST = "fe80:1234:5678:9abc:def0:1234:123.123.123.123"


def test_peer_and_instance_as_far_as_they_are_known() -> None:
    under_way = UnderWay()
    assert under_way.describe() == ""
    under_way.begin_connection(ADDRESS)
    assert under_way.describe() == " (10.0.0.1)"
    under_way.begin_association("SENDER")
    assert under_way.describe() == " (SENDER@10.0.0.1)"
    under_way.begin_instance(b"1.2.3.456")
    assert under_way.describe() == " (SENDER@10.0.0.1, SOP instance 1.2.3.456)"
    under_way.uid[0] = 0
    assert under_way.describe() == " (SENDER@10.0.0.1)"
    under_way.begin_instance(b"1.2")
    assert under_way.describe() == " (SENDER@10.0.0.1, SOP instance 1.2)"
    under_way.clear()
    assert under_way.describe() == ""
    under_way.begin_connection(LONGEST)
    assert under_way.describe() == f" ({LONGEST})", "nothing of the last association"


def test_long_and_odd_values() -> None:
    under_way = UnderWay()
    under_way.begin_connection(ADDRESS)
    under_way.begin_association(16 * "Ä")
    under_way.begin_instance(b"1" * 65)
    assert under_way.describe() == f" ({8 * 'Ä'}@10.0.0.1, SOP instance {64 * '1'})"
    under_way.begin_instance(b"\xff")
    assert under_way.describe().endswith("SOP instance \ufffd)")


def test_it_crosses_processes_and_a_new_worker_begins_without() -> None:
    board = AdmissionTable(2)
    _, other = board.take(1.0)
    number, heartbeat = board.take(1.0)
    pid = os.fork()
    if not pid:
        heartbeat.under_way.begin_connection(ADDRESS)
        heartbeat.under_way.begin_association("SENDER")
        heartbeat.under_way.begin_instance(b"1.2")
        os._exit(0)
    os.waitpid(pid, 0)
    assert heartbeat.under_way.describe() == " (SENDER@10.0.0.1, SOP instance 1.2)"
    assert other.under_way.describe() == ""
    board.give_back(number)
    assert board.take(2.0)[1].under_way.describe() == ""
