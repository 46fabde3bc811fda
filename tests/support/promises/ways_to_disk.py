"""The ways of an instance to the disk, each with the options of the receiver that lead to it."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

from support.data.datasets import identification, instance_of, pixel_data
from support.data.stored_files import stored_file
from support.programs.receivers import Receiver
from support.promises.strace import COMMIT_PATH, Call, parse, traced
from support.protocol.pdus import status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

CONTEXTS = [(CT, [EXPLICIT_LE])]
ERROR_COMMENT = 0x0902

FILES = {
    "without_unnamed.py": """\
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
}
"""Plugins that some ways need."""


class Way(NamedTuple):
    """Options of the receiver, UID and data of the instance that is sent the `number`th time, its file by its UID."""

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
    return "1.2.3", identification(CT, "1.2.3") + pixel_data(256 * (number % 100 + 1))


def large_again(number: int) -> tuple[str, bytes]:
    return "1.2.3", identification(CT, "1.2.3") + pixel_data((2 << 20) + 256 * number)


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
    "repeated, replace-same": Way(("--layout", "CT.{SOPInstanceUID}"), again, flat),
    "hidden files": Way(HIDDEN, small, flat),
    "hidden files, large, repeated": Way(HIDDEN, large_again, flat),
}


def connect(receiver: Receiver, way: Way) -> tuple[RawAssociation, int]:
    """An association, and the worker that serves it. Until it has answered something, a worker that is being forked
    may hold the socket as well."""
    association = RawAssociation(receiver.port, CONTEXTS)
    assert association.store(CT, *way.instance(0)) == 0
    return association, receiver.worker_serving(association.local_port)


class Stored(NamedTuple):
    """The result of a store: `status`, None if the connection ended; the file and the data it should have; the calls up
    to the response."""

    status: int | None
    comment: bytes
    path: Path
    data: bytes
    calls: list[Call]


class Trial:
    """One association with one worker, for injected faults."""

    def __init__(self, receiver: Receiver, way: Way, trace: Path) -> None:
        self.receiver = receiver
        self.way = way
        self.association, self._worker = connect(receiver, way)
        self._trace = trace
        self._numbers = count(1)

    def store(self, *injections: str) -> Stored:
        """Store the next instance while strace records its calls and may inject a fault."""
        uid, data = self.way.instance(next(self._numbers))
        with traced(self._worker, self._trace, *injections):
            with suppress(ConnectionError):  # the worker has been killed
                self.association.request(store_rq(CT, uid), data)
            response = self.association.response()
        calls = parse(self._trace)
        end = next((number for number, call in enumerate(calls) if call.is_response), len(calls))
        path = self.receiver.output / self.way.name(uid)
        return Stored(status_of(response), response.get(ERROR_COMMENT, b""), path, data, calls[:end])

    def store_well(self) -> Stored:
        """Store the next instance, without a fault."""
        done = self.store()
        assert done.status == 0
        assert stored_file(done.path).data == done.data
        return done

    def kill(self) -> None:
        """SIGKILL to the worker."""
        os.kill(self._worker, signal.SIGKILL)

    def reconnect(self) -> None:
        """Go on with a new worker."""
        self.association.socket.close()
        self.association, self._worker = connect(self.receiver, self.way)

    def settle(self) -> None:
        """Let the worker find its directories: with the first instance those for files, then those for hidden files."""
        for _ in range(2):
            self.store_well()

    def points(self) -> list[tuple[str, int]]:
        """Each call of the commit path, by name and number, as the last instance had it. One more or less is usual: how
        many writes there are depends on how the data set comes."""
        self.settle()
        made = Counter(call.name for call in self.store_well().calls if call.name in COMMIT_PATH)
        return [(name, number) for name, often in sorted(made.items()) for number in range(1, often + 1)]
