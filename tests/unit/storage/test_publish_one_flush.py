"""A new file and its name are made durable by one flush, where the file system is known to keep them in order."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.api.verdicts import OnExists
from dcmrecv_core.storage import directories, temporary
from support.publishing import Calls, content, is_file, names, publisher, stored

STEPS = ("writev", "fsync", "link", "rename", "unlink")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


@pytest.fixture
def one_flush(monkeypatch: pytest.MonkeyPatch, calls: Calls) -> Calls:
    """All file systems are taken for some with a journal; `write_out` is recorded."""
    monkeypatch.setattr(directories, "one_flush_suffices", lambda fd: True)

    def write_out(fd: int) -> None:
        calls.made.append("write out")

    monkeypatch.setattr(temporary, "write_out", write_out)
    return calls


def test_with_a_journal_one_flush_is_enough(tmp_path: Path, one_flush: Calls) -> None:
    """But not before the directory and those above it are durable."""
    place = publisher(tmp_path, strict_fsync=False)
    one_flush.record(*STEPS)
    place.publish(("d",), "first", "overwrite", content())
    assert one_flush.made == ["writev", "fsync", "link", *["fsync directory"] * 2]
    one_flush.made.clear()
    assert place.publish(("d",), "a", "overwrite", content()) == (f"{tmp_path}/d/a", "new")
    assert one_flush.made == ["writev", "write out", "link", "fsync"]
    assert (tmp_path / "d" / "a").read_bytes() == stored()


@pytest.mark.parametrize("on_exists", ["overwrite", "replace-same", "rename"])
def test_a_taken_name_needs_both_flushes(tmp_path: Path, one_flush: Calls, on_exists: OnExists) -> None:
    place = publisher(tmp_path, strict_fsync=False)
    place.publish((), "a", "overwrite", content(b"old"))
    one_flush.record("fsync")
    place.publish((), "a", on_exists, content())
    assert [call for call in one_flush.made if call != "write out"] == ["fsync", "fsync directory"]


def test_strict_needs_both_flushes_everywhere(tmp_path: Path, one_flush: Calls) -> None:
    place = publisher(tmp_path)
    place.publish((), "first", "overwrite", content())
    one_flush.record("fsync")
    place.publish((), "a", "overwrite", content())
    assert one_flush.made == ["fsync", "fsync directory"]


def test_data_that_cannot_be_written_out_get_no_name(
    tmp_path: Path, one_flush: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = publisher(tmp_path, strict_fsync=False)
    place.publish((), "first", "overwrite", content())

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(temporary, "write_out", fail)
    one_flush.record("link", "fsync")
    with pytest.raises(StorageError):
        place.publish((), "a", "overwrite", content())
    assert one_flush.made == []
    assert names(tmp_path) == ["first"]


def test_a_failed_single_flush_takes_the_name_back(tmp_path: Path, one_flush: Calls) -> None:
    place = publisher(tmp_path, strict_fsync=False)
    place.publish((), "first", "overwrite", content())
    one_flush.fail("fsync", errno.EIO, is_file)
    with pytest.raises(StorageError):
        place.publish((), "a", "overwrite", content())
    assert names(tmp_path) == ["first"]
