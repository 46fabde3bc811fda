"""Interleaved studies from several senders, workers and processes killed meanwhile, late arrivals: each study has one
completion for each revision, with all of its instances.
"""

from __future__ import annotations

import os
import random
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.testing import until
from support.programs.receivers import Receiver, Start
from support.promises.deliveries import NOTES, TurnedClock, data_of, kill_process, kill_worker, notes
from support.promises.promises import promise
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(44)

JOURNAL, STUDIES = "journal process", "delivery process of site/study_completed"

SITE = (
    NOTES
    + """\
@hookimpl
def study_completed(study):
    uids = ",".join(event.sop_instance_uid for event in study.instances)
    new = ",".join(event.sop_instance_uid for event in study.new)
    note("begun", study.id, study.study_instance_uid, study.revision)
    while (HOME / "busy").exists():
        time.sleep(0.05)
    note("study", study.id, study.study_instance_uid, study.revision, uids, new, ",".join(study.senders))
"""
)


class Completed(NamedTuple):
    """A note of a call that returned."""

    id: str
    revision: int
    uids: set[str]
    new: set[str]
    senders: list[str]


def completions(home: Path) -> dict[str, list[Completed]]:
    """By study, in the order of the calls."""
    found: dict[str, list[Completed]] = defaultdict(list)
    for id, study, revision, uids, new, senders, _ in notes(home, "study"):
        found[study].append(Completed(id, int(revision), set(uids.split(",")), set(new.split(",")), senders.split(",")))
    return found


def check(home: Path, expected: dict[str, list[set[str]]]) -> int:
    """Each study has exactly these revisions, each with one id, and a call was repeated only if its process died.

    Returns how many calls were repeated.
    """
    found = completions(home)
    for study, revisions in expected.items():
        by_revision = {each.revision: each for each in found[study]}
        assert sorted(by_revision) == list(range(1, len(revisions) + 1)), study
        assert len({each.id for each in found[study]}) == len(revisions), study
        for number, uids in enumerate(revisions, start=1):
            assert by_revision[number].uids == uids, (study, number)
            before = revisions[number - 2] if number > 1 else set()
            assert by_revision[number].new == uids - before, (study, number)
    assert found.keys() == expected.keys()
    begun = [(id, pid) for id, _, _, pid in notes(home, "begun")]
    ended = [(note[0], note[-1]) for note in notes(home, "study")]
    assert len(ended) == len({id for id, _ in ended}), "called again after it had returned"
    return len(begun) - len(ended)


def until_settled(receiver: Receiver, clock: TurnedClock, events: int) -> None:
    """Turn the clock on until so many events are taken in, no study is open, and no call is due."""

    def settled() -> bool:
        store = SqliteStore.open(str(receiver.output / ".dcmrecv"), make=False)
        try:
            if len(list(store.locations_since(0.0))) < events:
                return False
            if not store.quiet(1 << 62) and not any(state.waiting for state in store.states()):
                return True
        finally:
            store.close()
        clock.turn(700)
        return False

    until(settled, f"{events} events, all studies complete", 300, log=lambda: receiver.log)


def send(port: int, instances: Iterator[tuple[str, str]], title: str = "CT1") -> list[tuple[str, str]]:
    """Store instances of these studies in one association; returns those that were acknowledged."""
    acknowledged = []
    with RawAssociation(port, [(CT, [EXPLICIT_LE])], calling=title) as association:
        for study, uid in instances:
            if association.store(CT, uid, data_of(uid, study)) != 0:
                break
            acknowledged.append((study, uid))
        else:
            association.release()
    return acknowledged


@pytest.fixture
def clock(directory: Path) -> TurnedClock:
    return TurnedClock(directory / "clock")


@pytest.fixture
def receiver(ours: Start, clock: TurnedClock) -> Receiver:
    arguments = ("-pm", "-v", "--plugin", "site.py", "--study-timeout", "60", "--layout", "{SOPInstanceUID}")
    return ours(*arguments, files={"site.py": SITE}, env=clock.variables)


@pytest.mark.timeout(1200)
def test_interleaved_studies_with_crashes(
    receiver: Receiver, clock: TurnedClock, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    home = receiver.directory
    chance = random.Random(44)
    studies = [f"1.2.{number}" for number in range(count(40, 1000))]
    every = [(study, f"{study}.{number}") for number in range(3) for study in studies]
    for part in range(0, len(every), 30):
        waiting = every[part : part + 30]
        while waiting:  # a worker that was killed has not answered
            stored = send(receiver.port, iter(waiting))
            waiting = waiting[len(stored) :]
        if part % 90 == 60:
            kill_worker(receiver, chance)
            kill_process(receiver, JOURNAL)
            kill_process(receiver, STUDIES)
    assert completions(home) == {}, "nothing is complete before the clock is turned"
    expected = {study: [{f"{study}.{number}" for number in range(3)}] for study in studies}
    (home / "busy").touch()
    until(lambda: clock.turn(100) or notes(home, "begun"), "a call", log=lambda: receiver.log)
    kill_process(receiver, STUDIES)
    (home / "busy").unlink()
    until_settled(receiver, clock, len(every))
    repeated = check(home, expected)
    assert repeated >= 1, "the process was killed in a call"
    late, again = studies[::2], studies[1::2]
    send(receiver.port, ((study, f"{study}.9") for study in late))
    send(receiver.port, ((study, f"{study}.0") for study in again))  # equal: they complete nothing
    for study in late:
        expected[study].append(expected[study][0] | {f"{study}.9"})
    until_settled(receiver, clock, len(every) + len(studies))
    check(home, expected)
    figure(f"{len(studies)} studies, {len(late)} of them complete again, {repeated} calls repeated after a kill")


def test_one_study_in_six_associations(receiver: Receiver, clock: TurnedClock, figure: Callable[[str], None]) -> None:
    """Three senders, one of them slow (its slices come two time-outs apart), an abort in the middle, a worker and a
    delivery process killed: one revision with everything, and one more after a late slice."""
    home, study = receiver.directory, "1.2.7"
    stored: set[str] = set()
    expected: dict[str, list[set[str]]] = {}

    def store(association: RawAssociation, uid: str) -> None:
        assert association.store(CT, uid, data_of(uid, study)) == 0
        stored.add(uid)

    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])], calling="SLOW") as slow:
        for number in range(3):
            store(slow, f"1.2.7.1.{number}")
            for title, last in (("CT1", 4), ("CT2", 7))[: 2 if number else 1]:
                with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])], calling=title) as quick:
                    store(quick, f"1.2.7.{last}.{number}")
                    match number:
                        case 0:
                            quick.release()
                        case 1:
                            quick.abort()
                        case 2:
                            os.kill(receiver.worker_serving(quick.local_port), signal.SIGKILL)
                            kill_process(receiver, STUDIES)
            # a study of which no more is sent is complete at the next turn; the other one is not
            other = f"9.{number}"
            send(receiver.port, iter([(other, f"{other}.1")]))
            expected[other] = [{f"{other}.1"}]
            taken_in = len(stored) + len(expected)
            until(partial(_is_taken_in, receiver, taken_in), "it is taken in", log=lambda: receiver.log)
            clock.turn(120)
            until(partial(_is_complete, home, other), "the other is complete", log=lambda: receiver.log)
            # else the process is killed before that is noted, and the hook is called again
            until(partial(_is_quiet, receiver), "the call is noted as done", log=lambda: receiver.log)
            assert study not in completions(home)
        slow.release()
    until_settled(receiver, clock, len(stored) + len(expected))
    expected[study] = [set(stored)]
    assert check(home, expected) == 0, "the process was not killed in the call"
    [completed] = completions(home)[study]
    assert completed.senders == ["SLOW", "CT1", "CT2"]
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as late:
        store(late, "1.2.7.99")
        late.release()
    until_settled(receiver, clock, len(stored) + len(expected) - 1)
    expected[study].append(stored)
    check(home, expected)
    figure(f"{len(stored)} instances of one study in 6 associations: 1 completion, 1 more after a late one")


def _is_complete(home: Path, study: str) -> bool:
    return study in completions(home)


def _is_quiet(receiver: Receiver) -> bool:
    """Whether no call of the hook waits, or has returned and is not noted yet."""
    store = SqliteStore.open(str(receiver.output / ".dcmrecv"), make=False)
    try:
        return not any(state.waiting for state in store.states())
    finally:
        store.close()


def _is_taken_in(receiver: Receiver, number: int) -> bool:
    store = SqliteStore.open(str(receiver.output / ".dcmrecv"), make=False)
    try:
        return len(list(store.locations_since(0.0))) == number
    finally:
        store.close()
