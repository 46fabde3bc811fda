"""One target is down, one hangs, and in the third one event always fails: all else is delivered all the same. When that
is repaired, the rest follows, in the order of storing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dcmrecv_core.testing import until
from support.programs.receivers import Start
from support.promises.deliveries import NOTES, TurnedClock, data_of, events, notes
from support.promises.promises import promise
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(43)

SITE = (
    NOTES
    + """\
@hookimpl
def delivery_targets():
    return ["up", "down", "hangs"]

@hookimpl
def deliver(event, target):
    repaired = (HOME / "repaired").exists()
    if target == "down" and not repaired:
        raise ConnectionRefusedError(111, "Connection refused")
    if target == "up" and event.sop_instance_uid == "1.2.1.5" and not repaired:
        raise ValueError("always")
    while target == "hangs" and not (HOME / "repaired").exists():
        time.sleep(0.1)
    note("event", target, event.id, event.sop_instance_uid, event.recovered)

@hookimpl
def completion_targets():
    return ["up", "hangs"]

@hookimpl
def study_completed(study, target):
    while target == "hangs" and not (HOME / "repaired").exists():
        time.sleep(0.1)
    note("study", target, study.study_instance_uid)
"""
)


def uids(home: Path, target: str) -> list[str]:
    return [event.uid for event in events(home) if event.target == target]


def test_a_failing_event_and_targets_that_are_down(
    ours: Start, directory: Path, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    clock = TurnedClock(directory / "clock")
    receiver = ours("-pm", "-v", "--plugin", "site.py", files={"site.py": SITE}, env=clock.variables)
    home = receiver.directory
    studies, slices = count(5, 50), 10
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        for number in range(slices):
            for study in range(studies):
                uid = f"1.2.{study}.{number}"
                assert association.store(CT, uid, data_of(uid, f"1.2.{study}")) == 0
        association.release()
    everything = {f"1.2.{study}.{number}" for study in range(studies) for number in range(slices)}
    held_up = {f"1.2.1.{number}" for number in range(5, slices)}
    until(lambda: set(uids(home, "up")) >= everything - held_up, "all others", log=lambda: receiver.log)
    clock.turn(3600)
    receiver.wait_for_log("again in 2 s")
    assert set(uids(home, "up")) == everything - held_up
    assert uids(home, "down") == uids(home, "hangs") == []
    completed = {("up", f"1.2.{study}") for study in range(studies)}
    until(lambda: {(target, uid) for target, uid, _ in notes(home, "study")} == completed, "the studies of one target")
    (home / "repaired").touch()
    clock.turn(3600)
    for target in ("up", "down", "hangs"):
        until(lambda target=target: set(uids(home, target)) == everything, target, log=lambda: receiver.log)
        for study in range(studies):
            of_study = [uid for uid in uids(home, target) if uid.startswith(f"1.2.{study}.")]
            assert of_study == [f"1.2.{study}.{number}" for number in range(slices)]
    figure(f"{len(everything)} instances: {len(held_up)} held up by one event, none by targets that are down or hang")
