"""What is written of an instance, and when."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import Discard, Refuse, Warn
from dcmrecv_core.api.settings import UID_HASH_KEY
from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE
from dcmrecv_core.receive.journaling import Journal, JournalingReceiver
from dcmrecv_core.receive.pipeline import Outcome
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.journals import files
from dcmrecv_core.storage.journals.boot import now
from dcmrecv_core.storage.journals.records import HOW, Kind, Record, read_records
from dcmrecv_core.storage.journals.state_files import make_key
from dcmrecv_core.storage.temporary import Capabilities
from dcmrecv_core.testing import fake_association, sample_dataset
from dcmrecv_core.testing.fakes import encode
from support.plugins import hooks, load
from support.uids import CT, DEFLATED, EXPLICIT_LE

Send = Callable[..., Outcome]


class Worker:
    """Receives what is sent to it, with a plugin."""

    def __init__(self, directory: Path, plugin: Any, **settings: Any) -> None:
        self.settings = Settings(
            output_directory=str(directory / "out"), state_dir=str(directory / "state"), **settings
        )
        (directory / "out").mkdir(exist_ok=True)
        (directory / "state").mkdir(exist_ok=True)
        plugins = load(plugin)
        plugins.add_builtins(self.settings)
        plugins.configure(self.settings)
        self.journal = Journal(self.settings.state_directory, flush=self.settings.journal_flush)
        self.receiver = JournalingReceiver(self.journal, self.settings, plugins, Capabilities())

    def send(self, uid: str = "1.2.3", *, title: str = "CT1", **elements: Any) -> Outcome:
        data = encode(sample_dataset(SOPInstanceUID=uid, **elements), EXPLICIT_LITTLE)
        association = fake_association(calling_ae_title=title, id=f"of {title}")
        reception = self.receiver.begin(association, CT, uid, EXPLICIT_LE, 7)
        reception.write([memoryview(data)], last=True)
        return reception.finish()

    def records(self) -> list[Record]:
        paths = sorted((self.settings.state_directory / "journal").glob("*.journal"))
        return [read.record for path in paths for read in read_records(path.read_bytes()) if read.record]


@pytest.fixture
def worker(tmp_path: Path) -> Callable[..., Worker]:
    def make(settings: dict[str, Any] | None = None, **functions: Callable[..., Any]) -> Worker:
        return Worker(tmp_path, hooks(deliver=lambda event: None, **functions), **(settings or {}))

    return make


def test_a_stored_instance_has_a_record(worker: Callable[..., Worker]) -> None:
    site = worker()
    outcome = site.send("1.2.3")
    assert outcome.status == 0
    [record] = site.records()
    expected = sample_dataset()
    assert record.kind is Kind.STORED
    assert record.location.decode() == outcome.location
    assert HOW[record.how] == "new"
    assert (record.sop_class_uid, record.sop_instance_uid, record.transfer_syntax_uid) == (
        CT.encode(),
        b"1.2.3",
        EXPLICIT_LE.encode(),
    )
    assert record.study_instance_uid.rstrip(b"\0").decode() == expected.StudyInstanceUID
    assert record.series_instance_uid.rstrip(b"\0").decode() == expected.SeriesInstanceUID
    assert (record.patient_id, record.modality, record.specific_character_set) == (b"4711", b"CT", b"ISO_IR 192")
    assert (record.calling_ae_title, record.called_ae_title) == (b"CT1", b"ANY-SCP")
    assert (record.peer_address, record.association_id) == (b"127.0.0.1", b"of CT1")
    assert record.original_uid_hash == b""
    assert record.size > 0
    assert record.received > 1_600_000_000 * 10**9
    assert 0 < record.published <= now()


def test_each_association_has_its_own(worker: Callable[..., Worker]) -> None:
    site = worker()
    for title in ("CT1", "CT2", "CT1"):
        site.send(f"1.{title[-1]}", title=title)
    assert [each.calling_ae_title for each in site.records()] == [b"CT1", b"CT2", b"CT1"]


def test_kept_and_replaced_ones_have_one(worker: Callable[..., Worker]) -> None:
    site = worker({"layout": "{SOPInstanceUID}"})
    site.send()
    site.send()
    site.send(PatientID="0815")
    assert [HOW[each.how] for each in site.records()] == ["new", "kept", "replaced"]


def test_warnings_have_one(worker: Callable[..., Worker]) -> None:
    site = worker(receive=lambda instance: Warn(0xB007))
    assert site.send().status == 0xB007
    assert len(site.records()) == 1


@pytest.mark.parametrize("verdict", [Refuse(0xA900), Discard()])
def test_what_is_not_stored_has_none(worker: Callable[..., Worker], verdict: Any) -> None:
    site = worker(receive=lambda instance: verdict)
    site.send()
    assert site.records() == []


def test_what_is_ignored_has_none(worker: Callable[..., Worker]) -> None:
    site = worker({"ignore": True})
    assert site.send().status == 0
    assert site.records() == []


def test_another_content_that_is_kept_out_has_none(worker: Callable[..., Worker]) -> None:
    site = worker({"on_duplicate": "keep"})
    site.send()
    assert site.send(PatientID="0815").dropped
    assert len(site.records()) == 1


def test_a_changed_uid_is_known_by_its_hash(worker: Callable[..., Worker], tmp_path: Path) -> None:
    def receive(instance: Any) -> None:
        header = instance.copy_header()
        header.SOPInstanceUID = "9.9"
        instance.replace_header(header)

    site = worker(receive=receive)
    site.send("1.2.3")
    [record] = site.records()
    assert record.sop_instance_uid == b"9.9"
    key = make_key(tmp_path / "state" / UID_HASH_KEY)
    assert record.original_uid_hash == hmac.digest(key, b"1.2.3", hashlib.sha256)
    settings = site.settings.own("site")
    assert settings.original_uid_hash("1.2.3") == record.original_uid_hash.hex()
    (tmp_path / "state" / UID_HASH_KEY).unlink()
    assert settings.original_uid_hash("1.2.3") is None


@pytest.mark.parametrize("flush", [True, False])
def test_a_record_is_flushed_if_that_is_wanted(
    worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch, flush: bool
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fdatasync", flushed.append)
    worker({"journal_flush": flush}).send()
    assert len(flushed) == flush


def test_a_record_is_flushed_if_the_instance_is_no_file(
    worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fdatasync", flushed.append)
    site = worker(write=lambda instance, path: "s3://bucket/1")
    site.send()
    [record] = site.records()
    assert record.location == b"s3://bucket/1"
    assert len(flushed) == 1


def test_without_room_nothing_is_stored(
    worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def full(fd: int, offset: int, length: int) -> None:
        raise OSError(28, "No space left on device")

    site = worker()
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        outcome = site.send()
    assert (outcome.status, outcome.location) == (0xA700, None)
    assert list((tmp_path / "out").iterdir()) == []
    assert "refused with status A700: No room in the state directory: No space left on device" in caplog.text
    assert site.send().status == 0


def test_a_record_that_cannot_be_written_refuses_the_instance(
    worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    site = worker(not_stored=lambda outcome: told.append(outcome.status), stored=lambda: told.append(0))
    with monkeypatch.context() as patch:
        patch.setattr(files, "_write", lambda fd, record: os.close(-1))
        assert site.send().status == 0xA700
    assert told == [0xA700]


def test_what_cannot_be_read_is_stored_all_the_same(tmp_path: Path) -> None:
    site = Worker(tmp_path, hooks(deliver=lambda event: None), storage_mode="bit-preserving")
    reception = site.receiver.begin(fake_association(), CT, "1.2.3", DEFLATED, 7)
    reception.write([memoryview(b"no deflated stream")], last=True)
    assert reception.finish().status == 0
    [record] = site.records()
    assert (record.sop_instance_uid, record.study_instance_uid) == (b"1.2.3", b"")
