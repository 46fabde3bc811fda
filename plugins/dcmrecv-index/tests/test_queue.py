"""The queue: no line is lost or read twice, whichever process is killed at any point."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from dcmrecv_index.queue import QueueWriter, queue_files, read_lines, remove_if_finished


def lines(path: Path, position: int = 0) -> list[bytes]:
    return [line for line, _ in read_lines(path, position)]


def test_a_file_is_kept_while_its_writer_lives_and_removed_afterwards(tmp_path: Path) -> None:
    writer = QueueWriter(tmp_path / "queue")
    assert queue_files(tmp_path / "queue") == []
    writer.append(b"one\n")
    [path] = queue_files(tmp_path / "queue")
    assert not remove_if_finished(path, 4)
    writer.append(b"two\n")
    writer.close()
    assert not remove_if_finished(path, 4), "there is a line after the position"
    assert lines(path, 4) == [b"two\n"]
    assert remove_if_finished(path, 8)
    assert queue_files(tmp_path / "queue") == []


def test_rotation(tmp_path: Path) -> None:
    writer = QueueWriter(tmp_path, rotate_size=8)
    for number in range(5):
        writer.append(b"%03d\n" % number)
    assert [lines(path) for path in queue_files(tmp_path)] == [[b"000\n", b"001\n"], [b"002\n", b"003\n"], [b"004\n"]]


def test_a_killed_writer_leaves_complete_lines_and_no_lock(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        writer = QueueWriter(tmp_path)
        writer.append(b"whole\n")
        writer.append(b"to")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    [path] = queue_files(tmp_path)
    assert lines(path) == [b"whole\n"]
    assert remove_if_finished(path, 6)


def test_a_line_is_never_appended_to_a_part_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = QueueWriter(tmp_path)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:2]))
        with pytest.raises(OSError, match="full"):
            writer.append(b"torn\n")
    writer.append(b"whole\n")
    assert [lines(path) for path in queue_files(tmp_path)] == [[], [b"whole\n"]]


def test_a_file_that_was_removed_as_finished_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the writer's open and its lock, the reader may find an empty file without a lock, and remove it."""
    real = os.open
    removed = []

    def opened(path: Path, *arguments: int) -> int:
        fd = real(path, *arguments)
        if not removed:
            removed.append(path)
            os.unlink(path)
        return fd

    writer = QueueWriter(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opened)
        writer.append(b"line\n")
    [path] = queue_files(tmp_path)
    assert path != removed[0]
    assert lines(path) == [b"line\n"]
