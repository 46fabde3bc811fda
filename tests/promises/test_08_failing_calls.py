"""strace, attached to a worker, makes each system call of a store in turn fail with EIO, ENOSPC and EDQUOT: for small,
large and repeated instances, in new directories, and where the file system has no unnamed files.

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
from support.promises.ways_to_disk import FILES, WAYS, Trial

pytestmark = promise(8)

ERRORS = ("EIO", "ENOSPC", "EDQUOT")


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
    errors = 0
    for point, error in faults:
        errors += check(trial, point, error)
        trial.store_well()
    trial.association.release()
    assert list((receiver.output / ".dcmrecv").rglob("*.tmp")) == []
    assert errors > 0.8 * len(faults)
    figure(f"{way}: {errors} of {errors} errors")
