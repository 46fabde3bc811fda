"""A plugin that notes what it is told after storing, receivers with it, and what it noted."""

from __future__ import annotations

import os
import random
import re
import signal
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE
from dcmrecv_core.delivery.clock import TURNED_BY
from dcmrecv_core.testing import sample_dataset, until
from dcmrecv_core.testing.fakes import encode
from support.programs.receivers import Receiver, start_ours, system_program

NOTES = """\
import os
import pathlib
import time

from dcmrecv_core import hookimpl

HOME = pathlib.Path(__file__).parent

def note(*words):
    line = " ".join(map(str, (*words, os.getpid()))) + "\\n"
    fd = os.open(HOME / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, line.encode())
    os.close(fd)

"""

DELIVERS = (
    NOTES
    + """\
@hookimpl
def deliver(event, target):
    with event.open() as file:
        assert file.read(132).endswith(b"DICM")
    time.sleep(0.003)  # so that most kills come in the middle of a call
    while (HOME / "hold").exists():
        (HOME / "held").touch()
        time.sleep(0.003)
    note("event", target, event.id, event.sop_instance_uid, event.recovered)
"""
)

TAKES_MANY = (
    NOTES
    + """\
@hookimpl
def deliver(event, target):
    deliver_many([event], target)

@hookimpl
def deliver_many(events, target):
    for event in events:
        time.sleep(0.003)
        note("many", event.sop_instance_uid)
"""
)


class Event(NamedTuple):
    """A note of `DELIVERS`."""

    target: str
    id: str
    uid: str
    recovered: bool


def notes(home: Path, kind: str) -> list[list[str]]:
    """The words of the notes of a kind, without that; the last is the process id."""
    try:
        lines = (home / "notes").read_text().split("\n")[:-1]
    except FileNotFoundError:
        return []
    return [line.split(" ")[1:] for line in lines if line.startswith(f"{kind} ")]


def events(home: Path) -> list[Event]:
    return [Event(target, id, uid, recovered == "True") for target, id, uid, recovered, _ in notes(home, "event")]


class EventReader:
    """Reads the notes of `DELIVERS` in `home` as they come."""

    def __init__(self, home: Path) -> None:
        self._path = home / "notes"
        self._position = 0

    def read(self) -> list[Event]:
        """Those that were added since."""
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._position)
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._position += len(whole)
            words = [line.split(" ") for line in whole.decode().splitlines() if line.startswith("event ")]
            return [Event(target, id, uid, recovered == "True") for _, target, id, uid, recovered, _ in words]
        return []


def check_ids(found: list[Event]) -> None:
    """Each id is that of one instance, and each instance stored once has one id."""
    uids: dict[str, set[str]] = defaultdict(set)
    for event in found:
        uids[event.id].add(event.uid)
    assert [id for id, of in uids.items() if len(of) > 1] == []


def process_of(receiver: Receiver, title: str) -> int | None:
    """The child with this title, None while there is none."""
    found = re.findall(rf"{re.escape(title)}: started \(process (\d+)\)", receiver.log)
    return int(found[-1]) if found and int(found[-1]) in receiver.workers() else None


def kill_process(receiver: Receiver, title: str) -> None:
    """SIGKILL to a child, as soon as there is one."""
    with suppress(ProcessLookupError):  # it ends by itself just now
        os.kill(until(lambda: process_of(receiver, title), title, log=lambda: receiver.log), signal.SIGKILL)


def kill_worker(receiver: Receiver, chance: random.Random) -> None:
    """SIGKILL to a worker."""
    with suppress(ProcessLookupError):  # it ends by itself just now
        os.kill(chance.choice(sorted(until(receiver.workers, "a worker"))), signal.SIGKILL)


def kill_in_a_call(receiver: Receiver, title: str) -> None:
    """SIGKILL to the process that calls `DELIVERS`, in the middle of a call."""
    hold, held = receiver.directory / "hold", receiver.directory / "held"
    held.unlink(missing_ok=True)
    hold.touch()
    until(held.exists, "a call", log=lambda: receiver.log)
    kill_process(receiver, title)
    hold.unlink()


def start_after_power_cut(program: Path, home: Path, output: Path, *arguments: object) -> Receiver:
    """A receiver on the files of an image, in another boot of the system; `home` has its plugin."""
    (home / "out").symlink_to(output)
    boot = home / "boot_id"
    boot.write_text(f"{os.urandom(4).hex()}-0000-4000-8000-000000000000\n")
    script = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
    prefix = [system_program("unshare"), "--mount", "sh", "-c", script, boot]
    return start_ours(program, home, *arguments, prefix=prefix)


def data_of(uid: str, study: str = "1.2.3", series: str = "") -> bytes:
    """A data set in explicit VR little endian."""
    series = series or f"{study}.1"
    dataset = sample_dataset(SOPInstanceUID=uid, StudyInstanceUID=study, SeriesInstanceUID=series)
    return encode(dataset, EXPLICIT_LITTLE)


class TurnedClock:
    """The clock of deliveries of one receiver; its environment has `variables`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seconds = 0.0
        self.variables: Mapping[str, str] = {TURNED_BY: str(path)}

    def turn(self, seconds: float) -> None:
        """As if so much time had passed."""
        self._seconds += seconds
        new = self._path.with_suffix(".new")
        new.write_text(str(self._seconds))
        new.replace(self._path)
