"""strace, attached to a worker, lets one system call after the other of a store fail with EIO, ENOSPC and EDQUOT: of
small, large and repeated instances, in new directories, and where unnamed files are missing.

Two failures do no harm, and are answered with Success: a descriptor that cannot be closed when everything has been
flushed and has its name, and a log line that cannot be written. When the directory cannot be flushed after a file was
replaced, the new one stays: it is complete, and the old one is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count as counted
from pathlib import Path
from typing import NamedTuple

import pytest

from promises import promise
from rawscu import EXPLICIT_LE, RawAssociation, status_of, store_rq
from receivers import Receiver, Start, until
from samples import CT, identification, instance_of, pixel_data, stored_file
from syscalls import COMMIT_PATH, FLUSHING, Call, parse, traced

pytestmark = promise(8)

ERRORS = ("EIO", "ENOSPC", "EDQUOT")
ERROR_COMMENT = 0x0902
CONTEXTS = [(CT, [EXPLICIT_LE])]
HARMLESS = ("close",)

WITHOUT_UNNAMED_FILES = """\
import errno, os
from dcmrecv_core import hookimpl

open_ = os.open

def without_unnamed(path, flags, *args, **kwargs):
    if flags & os.O_TMPFILE == os.O_TMPFILE:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    return open_(path, flags, *args, **kwargs)

os.open = without_unnamed

@hookimpl
def worker_started(settings):
    pass
"""


class Way(NamedTuple):
    """A way to the disk: options of the receiver, the instance that is sent the `number`th time, its file."""

    arguments: tuple[str, ...]
    instance: Callable[[int], tuple[str, bytes]]
    name: Callable[[str], str]


def small(number: int) -> tuple[str, bytes]:
    uid = f"1.2.3.{number}"
    return uid, instance_of(CT, uid)


def large(number: int) -> tuple[str, bytes]:
    uid = f"1.2.3.{number}"
    return uid, identification(CT, uid) + pixel_data(2 << 20)


def again(number: int) -> tuple[str, bytes]:
    return "1.2.3", identification(CT, "1.2.3") + pixel_data(256 * number)


def flat(uid: str) -> str:
    return f"CT.{uid}"


def nested(uid: str) -> str:
    return f"{uid}/CT/file"


NEW_DIRECTORIES = ("--layout", "{SOPInstanceUID}/CT/file")
HIDDEN = ("--plugin", "without_unnamed")

WAYS = {
    "small": Way((), small, flat),
    "large": Way((), large, flat),
    "repeated": Way((), again, flat),
    "bit preserving": Way(("+B",), large, flat),
    "new directories": Way(NEW_DIRECTORIES, small, nested),
    "hidden files": Way(HIDDEN, small, flat),
    "hidden files, large, repeated": Way(HIDDEN, lambda number: ("1.2.3", large(number)[1]), flat),
}


class Trial:
    """One receiver, one association, one worker, to which things are done."""

    def __init__(self, receiver: Receiver, association: RawAssociation, way: Way, trace: Path) -> None:
        self.receiver = receiver
        self.association = association
        self.worker = receiver.worker_serving(association.local_port)
        self.way = way
        self.trace = trace
        self._numbers = counted(1)

    def store(self, *injections: str) -> tuple[int | None, bytes, Path, bytes, list[Call]]:
        """Status and comment; the file and what should be in it; the calls up to the response."""
        uid, data = self.way.instance(next(self._numbers))
        with traced(self.worker, self.trace, *injections):
            self.association.request(store_rq(CT, uid), data)
            response = self.association.response()
        calls = parse(self.trace)
        until_response = next((number for number, call in enumerate(calls) if call.is_response), len(calls))
        comment = response.get(ERROR_COMMENT, b"")
        path = self.receiver.output / self.way.name(uid)
        return status_of(response), comment, path, data, calls[:until_response]

    def store_well(self) -> list[Call]:
        status, _, path, data, calls = self.store()
        assert status == 0
        assert stored_file(path).data == data
        return calls


def points(calls: list[Call]) -> list[tuple[str, int]]:
    """Each call of the way to the disk, by name and number."""
    made = Counter(call.name for call in calls if call.name in COMMIT_PATH)
    return [(name, number) for name, often in sorted(made.items()) for number in range(1, often + 1)]


def check(trial: Trial, point: tuple[str, int], error: str) -> None:
    before = {name: (trial.receiver.output / name).read_bytes() for name in trial.receiver.files()}
    name, number = point
    status, comment, path, data, calls = trial.store(f"inject={name}:error={error}:when={number}")
    failed = next(index for index, call in enumerate(calls) if call.error == error)
    target = calls[failed].arguments
    if status == 0:
        assert name in HARMLESS or target.startswith("2<"), f"{calls[failed]} is not reported"
        assert stored_file(path).data == data
        return
    assert status == 0xA700
    assert 0 < len(comment) <= 64
    after = {name: (trial.receiver.output / name).read_bytes() for name in trial.receiver.files()}
    if name in FLUSHING and path.name in before:  # of the directory: the new file is complete
        after[path.name] = before[path.name] if stored_file(path).data == data else after[path.name]
    assert after == before
    if name in FLUSHING:
        assert [call for call in calls[failed + 1 :] if call.name in FLUSHING] == [], "a flush was tried again"
    assert not any(call.name in ("linkat", "renameat") for call in calls[failed + 1 :]), "it went on to name the file"


@pytest.mark.parametrize("way", WAYS)
def test_each_call_fails(
    ours: Start, directory: Path, count: Callable[[int, int], int], figure: Callable[[str], None], way: str
) -> None:
    files = {"without_unnamed.py": WITHOUT_UNNAMED_FILES}
    receiver = ours("-pm", *WAYS[way].arguments, files=files)
    with RawAssociation(receiver.port, CONTEXTS) as association:
        trial = Trial(receiver, association, WAYS[way], directory / "trace")
        for _ in range(2):  # the first opens directories, the second those for hidden files
            trial.store_well()
        faults = [(point, error) for point in points(trial.store_well()) for error in ERRORS[: count(1, len(ERRORS))]]
        for point, error in faults:
            check(trial, point, error)
            trial.store_well()
        association.release()
    until(lambda: not list(receiver.output.rglob("*.tmp")), "no hidden files")
    figure(f"{way}: {len(faults)} of {len(faults)} errors")
