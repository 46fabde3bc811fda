"""The journal in PostgreSQL, as a worker writes it; tests/unit/delivery has its reader."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.storage.journals.database import SharedJournalWriter


def test_without_a_database_there_is_no_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The reason is logged once, and the sender does not get it."""
    writer = SharedJournalWriter("postgresql://dcmrecv:geheim@/x?host=/nowhere", tmp_path)
    for _ in range(2):
        with pytest.raises(StorageError) as failure:
            writer.make_room()
        assert failure.value.comment == "The journal's database cannot be used"
    with pytest.raises(StorageError):
        writer.append(b"record", b"a1")
    writer.end_association()
    writer.close()
    [line] = caplog.messages
    assert line.startswith("instances are refused until the journal's database can be used: ")
    assert "/nowhere" in line
    assert "geheim" not in line


def test_without_a_state_directory_there_is_no_name(tmp_path: Path) -> None:
    writer = SharedJournalWriter("postgresql://", tmp_path / "none")
    with pytest.raises(StorageError, match="No name of the node in the state directory: No such file or directory"):
        writer.append(b"record", b"a1")
