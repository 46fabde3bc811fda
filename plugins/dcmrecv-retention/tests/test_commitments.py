"""Which instances are asked for, as dcmrecv-commitment keeps its requests."""

from __future__ import annotations

from pathlib import Path

import pytest
from archive import Archive

from dcmrecv_commitment.folder import Folder
from dcmrecv_commitment.requests import Asked, Reference
from dcmrecv_index.database import connect, index_file
from dcmrecv_retention.commitments import requested_instances

CT = "1.2.840.10008.5.1.4.1.1.2"


def ask(state: Path, transaction: str, *uids: str) -> Path:
    """A request, as the package keeps it."""
    before = set((state / "commitment").glob("*"))
    references = tuple(Reference(CT, uid) for uid in uids)
    Folder(state / "commitment").keep(Asked("CT1", "ARCHIVE", transaction, references))
    [path] = {*(state / "commitment").glob("*")} - before
    return path


def requested(archive: Archive) -> set[str]:
    database = connect(index_file(archive.state))
    try:
        return set(requested_instances(archive.state, database, {"7": "hash of 7"}.get))
    finally:
        database.close()


def test_none(archive: Archive) -> None:
    assert requested(archive) == set()


def test_until_they_are_answered(archive: Archive) -> None:
    ask(archive.state, "a", "1", "2")
    path = ask(archive.state, "b", "3")
    assert requested(archive) == {"1", "2", "3"}
    path.unlink()
    assert requested(archive) == {"1", "2"}


def test_instances_that_are_stored_under_another_uid(archive: Archive) -> None:
    archive.store("1", original_uid_hash="hash of 7")
    ask(archive.state, "a", "7")
    assert requested(archive) == {"1", "7"}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"references": [1]}', '{"references": [["1"]]}', "\udc80"])
def test_damaged_requests(archive: Archive, text: str) -> None:
    path = ask(archive.state, "a", "1")
    path.write_text(text, "utf-8", "surrogateescape")
    ask(archive.state, "b", "2")
    assert requested(archive) == {"2"}


def test_such_a_study_is_kept(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcmrecv_retention.rounds.requested_instances", requested_instances)
    archive.store("1", study="1.1", days=31)
    archive.store("2", study="1.1", days=31)
    archive.store("3", study="1.2", days=31)
    path = ask(archive.state, "a", "2")
    assert archive.once(keep_days=30)
    assert archive.files == ["1", "2"]
    path.unlink()
    assert archive.once(keep_days=30)
    assert archive.files == []
