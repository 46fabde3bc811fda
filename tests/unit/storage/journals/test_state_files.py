"""The key of hashed UIDs and the name of a node: made once, and durable then."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.storage.journals.state_files import NODE, make_key, node_of


def test_the_key_is_made_once(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    assert len(key) == 32
    assert make_key(tmp_path / "key") == key
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_node_keeps_its_name(tmp_path: Path) -> None:
    name = node_of(tmp_path)
    assert len(name) == 12
    assert node_of(tmp_path) == name
    assert [path.name for path in tmp_path.iterdir()] == [NODE]
    (tmp_path / NODE).write_text("other\n")
    assert node_of(tmp_path) == "other"


def test_another_process_may_be_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def too_late(source: Any, target: Any) -> None:
        Path(target).write_bytes(b"theirs")
        link(source, target)

    monkeypatch.setattr(os, "link", too_late)
    assert make_key(tmp_path / "key") == b"theirs"
    assert node_of(tmp_path) == "theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", NODE]


def test_file_and_name_are_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: flushed.append(os.readlink(f"/proc/self/fd/{fd}")))
    make_key(tmp_path / "key")
    assert flushed == [str(tmp_path / f"key.{os.getpid()}"), str(tmp_path)]
