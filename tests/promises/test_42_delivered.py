"""Workers, the journal process, delivery processes and the supervisor are killed while senders store; then all that was
acknowledged must have been delivered. The same after power cuts: the image of the file system is copied, and a receiver
in another boot of the system goes on from the copy.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.programs.environment import write_files
from support.programs.receivers import Receiver, Start, create_listener, start_ours
from support.promises.deliveries import (
    DELIVERS,
    TAKES_MANY,
    Event,
    EventReader,
    check_ids,
    events,
    kill_in_a_call,
    kill_process,
    kill_worker,
    notes,
    process_of,
    start_after_power_cut,
)
from support.promises.disk_image import Image
from support.promises.promises import promise
from support.promises.senders import Sender, sending

pytestmark = promise(42)

JOURNAL, DELIVERY, OF_MANY = (
    "journal process",
    "delivery process of site/default",
    "delivery process of many/default",
)
ARGUMENTS = ("-pm", "-v", "--plugin", "site.py")


def until_nothing_is_missing(missing: set[str], read: Callable[[], Iterable[str]], receiver: Receiver) -> None:
    """Wait until all of it was read: as long as there is one more within 30 s."""
    wanted = len(missing)

    def one_less() -> bool:
        count = len(missing)
        missing.difference_update(read())
        return not missing or len(missing) < count

    while missing:
        what = f"one more of {len(missing)} of {wanted} instances is delivered"
        until(one_less, what, 30, log=lambda: f"{sorted(missing)[:20]}\n{receiver.log}")


def until_delivered(home: Path, wanted: set[str], receiver: Receiver, before: Iterable[Event] = ()) -> None:
    """Wait until all that is wanted was delivered, now or before."""
    reader = EventReader(home)
    missing = wanted - {event.uid for event in before}
    until_nothing_is_missing(missing, lambda: [event.uid for event in reader.read()], receiver)


def taken_by_many(home: Path) -> set[str]:
    return {uid for uid, _ in notes(home, "many")}


@pytest.mark.timeout(1200)
def test_whatever_is_killed(
    program: Path, directory: Path, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    home = directory / "ours"
    write_files(home, {"site.py": DELIVERS, "many.py": TAKES_MANY})
    arguments = (*ARGUMENTS, "--plugin", "many.py")
    chance = random.Random(42)
    kills = count(10, 120)
    with create_listener() as listener:
        receiver = start_ours(program, home, *arguments, listener=listener)
        try:
            with sending(listener.getsockname()[1], count(4, 8)) as senders:
                for number in range(kills):
                    time.sleep(chance.uniform(0.2, 0.8))  # the senders go on meanwhile
                    match number % 5:
                        case 0:
                            kill_worker(receiver, chance)
                        case 1:
                            kill_process(receiver, JOURNAL)
                        case 2:
                            kill_in_a_call(receiver, DELIVERY)
                        case 3:
                            kill_process(receiver, OF_MANY)
                        case 4:
                            receiver.kill()
                            receiver = start_ours(program, home, *arguments, listener=listener)
            acknowledged = {uid for sender in senders for uid in sender.acknowledged}
            until_delivered(home, acknowledged, receiver)
            until_nothing_is_missing(set(acknowledged), lambda: taken_by_many(home), receiver)
        finally:
            receiver.kill()
    found = events(home)
    check_ids(found)
    assert not any(event.recovered for event in found), "the power was not cut"
    again = len(found) - len({event.id for event in found})
    figure(f"{kills} kills: 0 of {len(acknowledged)} missing, {again} delivered again")


@pytest.mark.timeout(1200)
def test_after_power_cuts(
    ours: Start,
    program: Path,
    directory: Path,
    image: Callable[..., Image],
    count: Callable[[int, int], int],
    figure: Callable[[str], None],
) -> None:
    disk = image(directory / "ours0" / "out")
    receiver = ours(*ARGUMENTS, files={"site.py": DELIVERS})
    chance = random.Random(42)
    everybody: list[Sender] = []
    recovered = acknowledged = 0
    cuts = count(2, 20)
    for cut in range(cuts):
        with sending(receiver.port, 4, first=len(everybody)) as senders:
            everybody += senders
            time.sleep(chance.uniform(0.3, 2.0))  # some of it is flushed
            with disk.after_power_cut(receiver) as found:
                wanted = {uid for sender in everybody for uid in sender.acknowledged}
                before = events(receiver.directory)
                home = directory / f"after{cut}"
                write_files(home, {"site.py": DELIVERS})
                again = start_after_power_cut(program, home, found, *ARGUMENTS)
                try:
                    until_delivered(home, wanted, again, before)
                    assert again.stop() == 0
                finally:
                    again.kill()
                later = events(home)
                check_ids([*before, *later])
                recovered += sum(event.recovered for event in later)
                acknowledged = len(wanted)
    assert recovered, "each cut comes less than a second after a flush, so the journal loses something"
    figure(f"{cuts} power cuts: 0 of {acknowledged} missing, {recovered} recovered")


def test_only_what_is_flushed_is_delivered(
    ours: Start, directory: Path, image: Callable[..., Image], count: Callable[[int, int], int]
) -> None:
    """An id that was delivered is the same after a power cut, and not that of a recovered event."""
    disk = image(directory / "ours0" / "out")
    receiver = ours(*ARGUMENTS, files={"site.py": DELIVERS})
    with sending(receiver.port, 4):
        until(lambda: len(events(receiver.directory)) > 50, "some are delivered")
        with disk.after_power_cut(receiver) as found:
            journal = b"".join(path.read_bytes() for path in (found / ".dcmrecv" / "journal").glob("*.journal"))
            store = b"".join(path.read_bytes() for path in (found / ".dcmrecv").glob("delivery.sqlite*"))
            delivered = events(receiver.directory)
            for event in delivered:
                assert event.id.encode() in store or event.uid.encode() in journal, event


def test_it_goes_on_after_each_start(ours: Start, program: Path) -> None:
    receiver = ours(*ARGUMENTS, files={"site.py": DELIVERS})
    with sending(receiver.port, 1) as senders:
        until(lambda: process_of(receiver, JOURNAL), "the journal process")
    assert receiver.stop() == 0
    acknowledged = set(senders[0].acknowledged)
    again = start_ours(program, receiver.directory, *ARGUMENTS)
    try:
        until_delivered(receiver.directory, acknowledged, again)
        assert again.stop() == 0
    finally:
        again.kill()
