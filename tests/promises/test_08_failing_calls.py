"""strace, attached to a worker, makes each system call of a store in turn fail with EIO, ENOSPC and EDQUOT: for small,
large and repeated instances, in new directories, and where the file system has no unnamed files. Then no call fails,
but each writes or copies only half of what it was given: the rest must follow.

Two failures do no harm and are answered with Success: a descriptor that cannot be closed after everything was flushed
and has its name, and a log line that cannot be written. If the directory cannot be flushed after a file was replaced,
the new file stays: it is complete, and the old one is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.data.stored_files import stored_file
from support.programs.receivers import Receiver, Start
from support.promises.promises import promise
from support.promises.strace import FLUSHING, NAMING
from support.promises.ways_to_disk import FILES, WAYS, Trial, Way, flat, large

pytestmark = promise(8)

ERRORS = ("EIO", "ENOSPC", "EDQUOT")

HALF_WRITES = {
    "half_writes.py": """\
import os
from dcmrecv_core import hookimpl

write, pwrite, sendfile = os.write, os.pwrite, os.sendfile

def half(data):
    return bytes(data)[: (len(data) + 1) // 2]

@hookimpl
def worker_started(settings):
    os.write = lambda fd, data: write(fd, half(data))
    os.writev = lambda fd, buffers: write(fd, half(b"".join(buffers)))
    os.pwrite = lambda fd, data, offset: pwrite(fd, half(data), offset)
    os.pwritev = lambda fd, buffers, offset, flags=0: pwrite(fd, half(b"".join(buffers)), offset)
    os.sendfile = lambda to, fd, offset, count: sendfile(to, fd, offset, (count + 1) // 2)

@hookimpl
def receive(instance):
    if "COPY" in os.environ:
        instance.save_copy(f"copies/{instance.sop_instance_uid}")
"""
}
"""A plugin: each call writes only half of what it was given, as a call on a disk that is nearly full may."""

HALVES = 8
"""Writes, at least, that a small instance then needs; else the plugin would not prove anything."""

COPIED = Way((), large, flat)
"""With COPY in the environment: the spooled data set gets the name of the copy, and is copied for its own name."""


def contents(receiver: Receiver) -> dict[str, bytes]:
    return {name: (receiver.output / name).read_bytes() for name in receiver.files()}


def check(trial: Trial, point: tuple[str, int], error: str) -> bool:
    """Make the call fail; False if it was not called so often this time."""
    before = contents(trial.receiver)
    name, number = point
    done = trial.store(f"inject={name}:error={error}:when={number}")
    failed = next((index for index, call in enumerate(done.calls) if call.error == error), -1)
    if done.status == 0:
        assert stored_file(done.path).data == done.data
        if failed < 0:
            return False
        assert name == "close" or done.calls[failed].arguments.startswith("2<"), f"{point} is not reported"
        return True
    assert done.status == 0xA700
    assert 0 < len(done.comment) <= 64
    after = contents(trial.receiver)
    is_replaced = done.path.name in before and stored_file(done.path).data == done.data
    if name in FLUSHING and is_replaced:
        after[done.path.name] = before[done.path.name]  # the flush was that of the directory
    assert after == before
    rest = {call.name for call in done.calls[failed + 1 :]}
    assert not rest.intersection(NAMING), "it went on to give the file a name"
    assert name not in FLUSHING or not rest.intersection(FLUSHING), "a flush was tried again"
    return True


@pytest.mark.parametrize("way", WAYS)
def test_each_call_fails(
    ours: Start, directory: Path, count: Callable[[int, int], int], figure: Callable[[str], None], way: str
) -> None:
    receiver = ours("-pm", *WAYS[way].arguments, files=FILES)
    trial = Trial(receiver, WAYS[way], directory / "trace")
    faults = [(point, error) for point in trial.points() for error in ERRORS[: count(1, len(ERRORS))]]
    failed = []
    for point, error in faults:
        if check(trial, point, error):
            failed.append((point[0], error))
        trial.store_well()
    trial.association.release()
    assert list((receiver.output / ".dcmrecv").rglob("*.tmp")) == []
    # how often some calls are made depends on how the network cuts the data
    assert set(failed) == {(name, error) for (name, _), error in faults}
    figure(f"{way}: {len(failed)} of {len(failed)} errors")


@pytest.mark.parametrize("way", [*WAYS, "copied"])
def test_each_call_writes_half(
    ours: Start, directory: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None], way: str
) -> None:
    if way == "copied":
        monkeypatch.setenv("COPY", "1")
    how = (WAYS | {"copied": COPIED})[way]
    receiver = ours("-pm", *how.arguments, "--plugin", "half_writes", files=FILES | HALF_WRITES)
    trial = Trial(receiver, how, directory / "trace")
    trial.settle()
    done = trial.store_well()
    trial.association.release()
    name = "sendfile" if way == "copied" else "write"
    assert sum(call.name == name for call in done.calls) >= HALVES
    figure("each call writes half: stored whole")
