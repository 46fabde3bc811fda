"""Copies into a folder: whole or not at all, under the same path, never in place of something else."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import StoredEvent, Undeliverable
from dcmrecv_core.testing import fake_event
from dcmrecv_forward import folder as module
from dcmrecv_forward.errors import NotSent, Unreachable
from dcmrecv_forward.folder import FolderSender


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir()
    return path


@pytest.fixture
def event(tmp_path: Path) -> StoredEvent:
    return fake_event(output_directory=tmp_path / "out" / "a" / "b")


@pytest.fixture
def sender(tmp_path: Path, target: Path) -> FolderSender:
    return FolderSender(target, str(tmp_path / "out"))


def files(path: Path) -> list[str]:
    return sorted(str(each.relative_to(path)) for each in path.rglob("*") if not each.is_dir())


def test_under_the_same_path(sender: FolderSender, event: StoredEvent, target: Path) -> None:
    sender.send(event)
    name = f"a/b/{event.sop_instance_uid}.dcm"
    assert files(target) == [name]
    assert (target / name).read_bytes() == Path(event.location).read_bytes()
    sender.send(event)
    assert files(target) == [name]


def test_a_relative_output_directory(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FolderSender(target, "out").send(fake_event(output_directory="out"))
    assert len(files(target)) == 1


def test_what_is_stored_elsewhere_gets_a_path_of_uids(sender: FolderSender, target: Path) -> None:
    event = fake_event(location="s3://bucket/key", study_instance_uid="1.2", series_instance_uid="")
    sender.send(event)
    outside = fake_event(location="/elsewhere/file", study_instance_uid="../..", series_instance_uid="x/y")
    sender.send(outside)
    assert f"1.2/none/{event.sop_instance_uid}.dcm" in files(target)
    assert len(files(target)) == 2


def test_another_content_is_not_replaced(sender: FolderSender, event: StoredEvent, target: Path) -> None:
    path = target / "a" / "b" / f"{event.sop_instance_uid}.dcm"
    path.parent.mkdir(parents=True)
    for content in (b"", b"other", Path(event.location).read_bytes() + b"x"):
        path.write_bytes(content)
        with pytest.raises(Undeliverable, match="exists, with another content"):
            sender.send(event)
        assert path.read_bytes() == content
    path.unlink()
    path.mkdir()
    with pytest.raises(Undeliverable, match="another content"):
        sender.send(event)


def test_one_that_appears_meanwhile_is_not_replaced(
    sender: FolderSender, event: StoredEvent, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = module._copy

    def slow(source: Any, to: Any) -> None:
        copy(source, to)
        (target / "a" / "b" / f"{event.sop_instance_uid}.dcm").write_bytes(b"other")

    monkeypatch.setattr(module, "_copy", slow)
    with pytest.raises(Undeliverable, match="another content"):
        sender.send(event)
    assert files(target) == [f"a/b/{event.sop_instance_uid}.dcm"]


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_help_of_the_file_system(
    sender: FolderSender, event: StoredEvent, target: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def cannot(*args: Any, **kwargs: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "copy_file_range", cannot)
    monkeypatch.setattr(os, "link", cannot)
    sender.send(event)
    [name] = files(target)
    assert (target / name).read_bytes() == Path(event.location).read_bytes()


def test_an_interrupted_copy_leaves_nothing(
    sender: FolderSender, event: StoredEvent, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(source: Any, to: Any) -> None:
        to.write(b"half")
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(module, "_copy", stopped)
        sender.send(event)
    assert files(target) == []


def test_a_killed_copy_is_taken_up_again(sender: FolderSender, event: StoredEvent, target: Path) -> None:
    sender.send(event)
    [name] = files(target)
    content = (target / name).read_bytes()
    (target / name).rename(target / "a" / "b" / module._part_name(event.id))
    sender.send(event)
    assert files(target) == [name] and (target / name).read_bytes() == content


def test_it_is_on_the_disk_before_it_counts(
    sender: FolderSender, event: StoredEvent, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy before it gets its name, then each directory in which a name is new."""
    steps: list[str] = []
    sync, link = os.fsync, os.link

    def record_sync(fd: int) -> None:
        steps.append(os.readlink(f"/proc/self/fd/{fd}"))
        sync(fd)

    def record_link(source: Any, to: Any) -> None:
        steps.append("link")
        link(source, to)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "link", record_link)
    sender.send(event)
    assert steps[0].endswith(".part") and steps[1] == "link"
    assert sorted(steps[2:]) == [str(target), str(target / "a"), str(target / "a" / "b")]


def test_a_folder_that_cannot_be_used(event: StoredEvent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = FolderSender(tmp_path / "none", str(tmp_path / "out"))
    with pytest.raises(Unreachable, match=r"none: no such directory"):
        sender.send(event)
    assert not (tmp_path / "none").exists()
    (tmp_path / "none").mkdir()

    def full(source: Any, to: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "_copy", full)
    with pytest.raises(Unreachable, match="No space left"):
        sender.send(event)
    assert files(tmp_path / "none") == []


def test_a_path_that_cannot_be(tmp_path: Path, target: Path) -> None:
    """Only this instance is concerned."""
    (target / "a").write_bytes(b"")
    event = fake_event(output_directory=tmp_path / "out" / "a")
    with pytest.raises(NotSent, match=r"Not a directory|File exists"):
        FolderSender(target, str(tmp_path / "out")).send(event)


def test_a_source_that_cannot_be_read_does_not_stop_all(
    sender: FolderSender, event: StoredEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(source: Any, to: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(module, "_copy", broken)
    with pytest.raises(NotSent, match="Input/output error"):
        sender.send(event)


def test_a_file_that_is_gone(sender: FolderSender, event: StoredEvent) -> None:
    Path(event.location).unlink()
    with pytest.raises(FileNotFoundError):
        sender.send(event)
