"""What the store in SQLite knows of the files of the journal."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import FileState
from support.deliveries import event


def test_how_far_files_were_read(tmp_path: Path) -> None:
    with closing(SqliteStore.open(str(tmp_path))) as store:
        store.take_in([event("e1")], {"f": FileState(17, "a1"), "g": FileState(3)}, 0, 12.5)
        store.forget_files(["g"])
    with closing(SqliteStore.open(str(tmp_path), make=False)) as other:
        assert other.files() == {"f": FileState(17, "a1")}
        assert other.noted("flushed") == "12.5"
