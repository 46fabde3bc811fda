"""What other plugins may ask the index."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import PluginSettings, StoredEvent
from dcmrecv_core.testing import fake_event, sample_dataset
from dcmrecv_index import IndexPlugin
from dcmrecv_index.kept import Index, KeptInstance


def settings_in(directory: Path, url: str | None = None) -> PluginSettings:
    return PluginSettings(state_directory=directory / ".dcmrecv", all_options={"index": {"index_url": url}})


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[IndexPlugin]:
    plugin = IndexPlugin()
    plugin.delivery_started(PluginSettings(options={"index_url": None}, state_directory=tmp_path / ".dcmrecv"))
    yield plugin
    plugin.delivery_stopping()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(settings_in(tmp_path))
    yield index
    index.close()


def event(uid: str, at: int, **fields: Any) -> StoredEvent:
    return fake_event(sample_dataset(SOPInstanceUID=uid), received_at=datetime.fromtimestamp(at, UTC), **fields)


def test_what_is_there_and_what_is_not(plugin: IndexPlugin, index: Index) -> None:
    told = event("1.2.3", 100, digest="xxh128:47")
    plugin.deliver_many([told], "default")
    found = index.find("1.2.3")
    assert found is not None
    assert found == KeptInstance(
        "1.2.3",
        told.sop_class_uid,
        told.transfer_syntax_uid,
        found.location,
        told.size,
        "xxh128:47",
        told.calling_ae_title,
    )
    assert found.location.endswith(told.location)
    assert index.find("1.2.4") is None
    assert index.find("1.2.4", "ab") is None


def test_the_one_that_was_sent_under_another_uid(plugin: IndexPlugin, index: Index) -> None:
    plugin.deliver_many([event("9.1", 100, original_uid_hash="ab", digest="xxh128:1")], "default")
    assert index.find("1.2.3") is None
    first = index.find("1.2.3", "ab")
    assert first is not None and first.sop_instance_uid == "9.1"
    plugin.deliver_many([event("9.2", 200, original_uid_hash="ab")], "default")
    plugin.deliver_many([event("1.2.3", 150)], "default")
    latest = index.find("1.2.3", "ab")
    assert latest is not None and latest.sop_instance_uid == "9.2"


def test_without_the_plugin_or_its_database(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no plugin called 'index'"):
        Index(PluginSettings(state_directory=tmp_path))
    (tmp_path / "text").write_text("This is no database. " * 50)
    with pytest.raises(OSError, match="the index cannot be used: file is not a database"):
        Index(settings_in(tmp_path, f"sqlite:///{tmp_path}/text")).find("1.2.3")
