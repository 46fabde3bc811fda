"""Requests on disk."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_commitment import folder as module
from dcmrecv_commitment.folder import Folder, is_same_transaction, key_of
from dcmrecv_commitment.requests import Asked, Reference
from dcmrecv_core import StatusError

ASKED = Asked("CT1", "ARCHIVE", "9.1", (Reference("1.2", "1.2.3"), Reference("1.2", "1.2.4")))
OTHER = Asked("CT1", "ARCHIVE", "9.1", (Reference("1.2", "1.2.5"),))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "state" / "commitment")


def names(folder: Folder) -> list[str]:
    return [name for of_title in folder.by_title().values() for name in of_title]


def test_it_is_read_as_it_was_written(folder: Folder, tmp_path: Path) -> None:
    assert names(folder) == []
    folder.keep(ASKED)
    [name] = names(folder)
    kept = folder.read(name)
    assert kept is not None and kept.asked == ASKED
    assert folder.by_title() == {key_of("CT1"): [name]}
    path = tmp_path / "state" / "commitment" / name
    assert path.stat().st_mode & 0o777 == 0o600
    folder.remove(kept)
    assert names(folder) == []
    folder.remove(kept)
    assert folder.read(name) is None


def make_older(path: Path, seconds: int) -> None:
    """The clock of a file system may stand still between two requests."""
    at = path.stat().st_mtime - seconds
    os.utime(path, (at, at))


def test_sent_again_it_is_the_same_and_another_one_is_not(folder: Folder, tmp_path: Path) -> None:
    for age, asked in ((20, ASKED), (10, OTHER)):
        make_older(tmp_path / "state" / "commitment" / folder.keep(asked), age)
    folder.keep(ASKED)
    first, second = names(folder)
    read = [folder.read(first), folder.read(second)]
    assert [kept and kept.asked for kept in read] == [ASKED, OTHER]
    assert is_same_transaction(first, second) and not is_same_transaction(first, first)
    folder.keep(Asked("CT1", "ARCHIVE", "9.2", OTHER.references))
    assert not any(is_same_transaction(first, name) for name in names(folder)[2:])


def test_one_that_is_sent_again_while_it_is_answered_is_answered_again(folder: Folder) -> None:
    folder.keep(ASKED)
    [name] = names(folder)
    kept = folder.read(name)
    assert kept is not None
    folder.keep(ASKED)
    folder.remove(kept)
    assert names(folder) == [name]


def test_it_is_durable_before_it_is_answered(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    monkeypatch.setattr(Path, "rename", lambda path, to: (done.append("rename"), rename(path, to)))
    folder.keep(ASKED)
    temporary, renamed, directory, above = done
    assert temporary.endswith(f".{os.getpid()}")
    assert (renamed, Path(directory).name, Path(above).name) == ("rename", "commitment", "state")


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 0x0213), (errno.EROFS, 0x0110)])
def test_one_that_cannot_be_kept(folder: Folder, monkeypatch: pytest.MonkeyPatch, number: int, status: int) -> None:
    def fails(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StatusError) as error:
        folder.keep(ASKED)
    assert error.value.status == status
    assert names(folder) == []


def test_too_many(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OPEN", 1)
    folder.keep(ASKED)
    folder.keep(ASKED)
    with pytest.raises(StatusError) as error:
        folder.keep(OTHER)
    assert error.value.status == 0x0213
    folder.keep(replace(ASKED, title="MR1"))  # one peer that takes no reports holds up no other


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"title": "CT1", "called": "", "transaction_uid": "9", "references": [1]}']
)
def test_a_damaged_one_is_put_aside(
    folder: Folder, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    folder.keep(ASKED)
    [name] = names(folder)
    path = tmp_path / "state" / "commitment" / name
    path.write_text(text)
    assert folder.read(name) is None
    assert names(folder) == []
    assert f"put aside as {name}.damaged" in caplog.text
    assert path.with_name(f"{name}.damaged").read_text() == text
