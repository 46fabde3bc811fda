"""How long a session waits for its peer: rates, and associations that have to make room, with scripted peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.api.outcomes import Ended
from dcmrecv_core.net.admission import Activity, AdmissionTable, Slot
from dcmrecv_core.net.connection import CALL_TIMEOUT
from dcmrecv_core.net.worker import session as session_module
from dcmrecv_core.net.worker.deadlines import PeerDeadlines
from dcmrecv_core.settings.settings import Settings
from support.protocol.pdus import ABORT, read_pdus
from support.protocol.scripted_connection import Clock, FakeConnection
from support.protocol.scripted_worker import ECHO, RELEASE, Make, ScriptedWorker, responses, store


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    clock = Clock()
    monkeypatch.setattr(session_module, "time", clock)
    return lambda **settings: ScriptedWorker(tmp_path, clock, **settings)


def deadlines(**settings: Any) -> tuple[PeerDeadlines, Slot]:
    slot = AdmissionTable(1).take(0.0)[1]
    slot.begin("10.0.0.1", 0.0, handshake=False)
    return PeerDeadlines(Settings(**settings), slot), slot


# --min-rate


def test_a_rate_is_judged_after_a_whole_window_and_not_before() -> None:
    limits, _ = deadlines(progress_timeout=3, min_rate=64)
    assert limits.after_wait_inside(2.9, 1) is None
    exceeded = limits.after_wait_inside(0.2, 1)
    assert exceeded is not None
    assert exceeded.why == "less than 64 bytes a second for 3 s inside messages (--min-rate)"


def test_each_window_is_judged_by_itself() -> None:
    limits, _ = deadlines(progress_timeout=3, min_rate=64)
    assert limits.after_wait_inside(3.0, 192) is None
    assert limits.after_wait_inside(2.0, 1) is None
    assert limits.after_wait_inside(1.0, 190) is not None


def test_a_peer_that_is_not_waited_for_is_never_too_slow() -> None:
    limits, _ = deadlines(progress_timeout=3)
    for _ in range(10_000):
        assert limits.after_wait_inside(0.0, 1) is None


def test_a_silent_peer_is_not_called_slow() -> None:
    limits, _ = deadlines(progress_timeout=3)
    assert limits.after_wait_inside(5.0, 0) is None


def test_without_a_rate_nobody_is_too_slow() -> None:
    limits, _ = deadlines(progress_timeout=3, min_rate=None)
    assert limits.after_wait_inside(100.0, 1) is None


def dribble(message: bytes) -> list[bytes | None]:
    """A byte each 1.5 seconds."""
    return [step for byte in message for step in (None, None, None, bytes([byte]))]


def test_fault_14_a_byte_now_and_then_does_not_keep_a_message_open(make: Make) -> None:
    worker = make(progress_timeout=3)
    connection = worker.play(*dribble(store(1)))
    assert read_pdus(connection.sent)[1:] == [(ABORT, bytes((0, 0, 2, 0)))]
    assert worker.summary.ended == Ended.FAILED
    assert worker.summary.seconds < 10
    assert worker.files == []


def test_fault_14_small_messages_do_not_keep_an_association_open(make: Make) -> None:
    """Each of them takes less than a window."""
    worker = make(progress_timeout=60)
    slowly = [step for echo in range(100) for step in (ECHO[:40], *dribble(ECHO[40:50]), ECHO[50:])]
    connection = worker.play(*slowly)
    assert read_pdus(connection.sent)[-1][0] == ABORT
    assert worker.summary.seconds < 200


def test_fault_14_slow_is_slow_with_responses_unread_too(make: Make) -> None:
    """The receiver waits in another call then."""
    worker = make(progress_timeout=3)
    worker.play(ECHO * 20, *dribble(store(1)), room=300)
    assert worker.summary.ended == Ended.FAILED
    assert worker.summary.seconds < 15


def test_pauses_between_messages_do_not_count(make: Make) -> None:
    worker = make(progress_timeout=3)
    pauses = [step for number in range(1, 6) for step in (*[None] * 200, store(number))]
    connection = worker.play(*pauses, RELEASE)
    assert [status for _, status in responses(connection.sent)] == 5 * [0]


def test_time_in_hooks_does_not_count(make: Make) -> None:
    worker = make(progress_timeout=3)
    said = store(1)

    def slow_hook(instance: object) -> None:
        worker.clock.now += 100

    worker.recorder.verdict = slow_hook
    connection = worker.play(said[:-4], *(said[-4 + number :][:1] for number in range(4)), store(2), RELEASE)
    assert [status for _, status in responses(connection.sent)] == [0, 0]


# --idle-eviction


class Evicting(FakeConnection):
    """A quiet peer; the supervisor asks for its place at a time."""

    def __init__(self, worker: ScriptedWorker, script: list[Any], at: float, newcomer: str = "10.0.0.2") -> None:
        super().__init__(worker.clock, script)
        self.slot = worker.shared.slot
        self.slot.begin("10.0.0.1", worker.clock.now, handshake=False)
        self.number = self.slot.number
        self.newcomer = newcomer
        self.at = worker.clock.now + at
        self.shown: list[float] = []

    def receive_into(self, view: memoryview) -> int | None:
        if self.clock.now >= self.at:
            self.slot.evict(self.number, self.newcomer)
        self.shown.append(self.slot.place.waiting_since)
        return super().receive_into(view)


def test_fault_14_a_silent_association_makes_room(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    worker = make(idle_eviction=60)
    connection = Evicting(worker, [ECHO], at=70.0)
    worker.run(connection)
    assert read_pdus(connection.sent)[-1] == (ABORT, bytes((0, 0, 2, 0)))
    assert worker.summary.seconds == pytest.approx(70, abs=2 * CALL_TIMEOUT)
    assert worker.summary.ended == Ended.FAILED
    assert (
        "aborting association with RAWSCU (10.0.0.1) to ANY: no message for 70 s, and 10.0.0.2 needs its place"
        in caplog.text
    )
    assert worker.shared.slot.place.activity is Activity.ENDING


@pytest.mark.parametrize("seconds", [60, None])
def test_the_supervisor_says_when_a_silent_association_makes_room(make: Make, seconds: int | None) -> None:
    """After a reload its settings are newer than the worker's."""
    worker = make(idle_eviction=seconds)
    worker.run(Evicting(worker, [ECHO], at=1.0))
    assert worker.summary.ended == Ended.FAILED
    assert worker.summary.seconds == pytest.approx(1, abs=2 * CALL_TIMEOUT)


def test_a_silent_association_stays_if_nobody_needs_its_place(make: Make) -> None:
    worker = make(idle_eviction=60)
    connection = Evicting(worker, [ECHO, *[None] * 1000, ECHO, RELEASE], at=1.0, newcomer="")
    worker.run(connection)
    assert [status for _, status in responses(connection.sent)] == 2 * [0]


def test_an_association_whose_next_message_is_there_stays(make: Make) -> None:
    worker = make(idle_eviction=60)
    connection = Evicting(worker, [ECHO, *[None] * 130], at=65.0)
    connection.script.extend([ECHO, RELEASE])  # it is in the socket when the last wait ends
    connection.at = worker.clock.now + 65.0
    worker.run(connection)
    assert [status for _, status in responses(connection.sent)] == 2 * [0]


def test_a_request_for_another_association_is_not_obeyed(make: Make) -> None:
    worker = make(idle_eviction=60)
    connection = Evicting(worker, [ECHO, *[None] * 1000, ECHO, RELEASE], at=70.0)
    connection.number += 1
    worker.run(connection)
    assert [status for _, status in responses(connection.sent)] == 2 * [0]


def test_the_supervisor_sees_since_when_the_next_message_is_waited_for(make: Make) -> None:
    worker = make()
    began = worker.clock.now
    said = store(1)
    connection = Evicting(worker, [ECHO, None, None, said[:40], None, None, said[40:], None, RELEASE], at=1e6)
    worker.run(connection)
    assert connection.shown == [0, 0, began, began, 0, 0, 0, 0, pytest.approx(began + 2.0)]
