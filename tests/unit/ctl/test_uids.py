"""`dcmrecvctl hash-uid`."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmrecv_core.api.settings import UID_HASH_KEY
from dcmrecv_core.ctl.main import main
from dcmrecv_core.logs.hashed_uids import hashed_uid
from dcmrecv_core.storage.journals.state_files import make_key


def test_as_in_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = make_key(tmp_path / UID_HASH_KEY)
    assert main(["hash-uid", "1.2.3", "2.25.77", "--state-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{hashed_uid(key, '1.2.3')}\n{hashed_uid(key, '2.25.77')}\n"


def test_without_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--state-dir", str(tmp_path), "hash-uid", "1.2.3"]) == 1
    assert capsys.readouterr().err.startswith("dcmrecvctl: the key cannot be read: ")
    assert not list(tmp_path.iterdir())
