"""Which studies go, and which stay."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from archive import Archive

from dcmrecv_core.testing import fake_association
from dcmrecv_index.database import connect, index_file
from dcmrecv_index.rescan import rescan
from dcmrecv_retention import limits, rounds
from dcmrecv_retention.limits import Disk


def test_studies_that_are_too_old(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    archive.store("1", study="1.1", days=31)
    archive.store("2", study="1.1", days=40)
    archive.store("3", study="1.2", days=29)
    assert archive.once(keep_days=30)
    assert archive.files == archive.indexed == ["3"]
    assert archive.studies == ["1.2"]
    assert archive.aside == []
    [line] = caplog.messages
    assert line.startswith("study 1.1 is removed: --keep-days 30; 2 instances, ")
    assert not archive.once(keep_days=30)


def test_a_file_system_that_is_not_mounted(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    """With the state directory elsewhere, the index would forget all of its old studies."""
    for number in range(3):
        archive.store(str(number), study=f"1.{number}", days=31)
    for path in archive.output.glob("*.dcm"):
        path.rename(archive.state / path.name)
    assert not archive.once(keep_days=30)
    assert archive.indexed == ["0", "1", "2"]
    assert caplog.messages[-1].startswith("nothing is removed: no file of 3 old studies is there. Is the file system")
    (archive.state / "1.dcm").rename(archive.output / "1.dcm")
    assert archive.once(keep_days=30)
    assert archive.indexed == []


def test_one_new_instance_keeps_its_study(archive: Archive) -> None:
    archive.store("1", days=31)
    archive.store("2", days=29)
    assert not archive.once(keep_days=30)
    assert archive.files == ["1", "2"]


def test_the_oldest_while_there_is_too_much(archive: Archive) -> None:
    sizes = [archive.store(str(number), study=f"1.{number}", days=9 - number).size for number in range(4)]
    assert archive.once(max_disk=Disk(bytes=sum(sizes[2:])))
    assert archive.files == ["2", "3"]
    assert not archive.once(max_disk=Disk(bytes=sum(sizes[2:])))


def test_the_oldest_while_the_file_system_is_too_full(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    size = archive.store("1", study="1.1", days=3).size
    archive.store("2", study="1.2", days=2)
    archive.store("3", study="1.3", days=1)
    space = SimpleNamespace(f_frsize=size, f_blocks=110, f_bfree=20, f_bavail=10)  # 90 of 100 are used
    monkeypatch.setattr(limits.os, "statvfs", lambda path: space)
    assert not archive.once(max_disk=Disk(percent=90))
    assert archive.once(max_disk=Disk(percent=89))
    assert archive.files == ["2", "3"]


def test_without_the_option_nothing_is_removed(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    archive.store("1", days=31)
    with archive.rounds(keep_days=30, delete=False) as made:
        assert not made.round()
        assert not made.round()
    assert archive.files == archive.indexed == ["1"]
    [line] = caplog.messages  # once
    assert line.startswith("study 1.2 would be removed: --keep-days 30; 1 instances")
    assert archive.waits == []


def test_all_old_studies_in_portions(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "AT_ONCE", 2)
    for number in range(5):
        archive.store(str(number), study=f"1.{number}", days=40)

    class Ended(Exception):
        pass

    def stop() -> None:
        if archive.waits[-1] == rounds.ROUND_SECONDS:
            raise Ended

    archive.meanwhile = stop
    with archive.rounds(keep_days=30) as made, pytest.raises(Ended):
        made.run()
    assert archive.files == archive.indexed == []
    assert archive.waits == [rounds.SETTLE_SECONDS] * 3 + [rounds.ROUND_SECONDS]


# What is never removed


def test_what_is_unfinished(archive: Archive) -> None:
    archive.store("1", days=31)
    archive.unfinished = {"1.2"}
    assert not archive.once(keep_days=30)
    assert archive.files == ["1"]


def test_what_a_commitment_is_asked_for(archive: Archive) -> None:
    archive.store("1", days=31)
    archive.requested = {"1"}
    assert not archive.once(keep_days=30)
    assert archive.files == ["1"]


def test_the_next_study_goes_instead(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    size = archive.store("1", study="1.1", days=3).size
    archive.store("2", study="1.2", days=2)
    archive.store("3", study="1.3", days=1)
    archive.unfinished = {"1.1"}
    assert archive.once(max_disk=Disk(bytes=2 * size))
    assert archive.files == ["1", "3"]
    archive.unfinished = {"1.1", "1.3"}
    assert not archive.once(max_disk=Disk(bytes=size))
    assert caplog.messages[-1] == "more is used than --max-disk allows, and no other study may be removed"


def test_what_a_rescan_has_found(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    """Copied in by an administrator: the receiver did not write it."""
    archive.store("1", study="1.1", days=31)
    archive.store("2", study="1.2", days=31, indexed=False)
    database = connect(index_file(archive.state))
    rescan(database, archive.output)
    database.close()
    assert archive.once(keep_days=30)
    assert archive.files == archive.indexed == ["2"]
    assert f"study 1.2 is kept: {archive.output}/2.dcm was found by a rescan" in caplog.messages[0]


def test_what_comes_back_after_a_power_cut(archive: Archive) -> None:
    archive.store("1", days=31, calling_ae_title=None, called_ae_title=None, peer_address=None, recovered=True)
    assert not archive.once(keep_days=30)


def _change(path: Path) -> None:
    path.write_bytes(path.read_bytes())  # the same, written later


def _other_instance(path: Path) -> None:
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b"UI\x02\x001\0", b"UI\x02\x009\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _longer(path: Path) -> None:
    status = path.stat()
    path.write_bytes(path.read_bytes() + b"\xfc\xff\xfc\xffOB\0\0\0\0\0\0")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _torn(path: Path) -> None:
    status = path.stat()
    path.write_bytes(path.read_bytes()[:140])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (_change, "was changed after it had been received"),
        (_other_instance, "is not instance 1"),
        (_longer, "has another size"),
        (_torn, "is not instance 1"),
        (_link, "cannot be opened"),
        (_directory, "is no file"),
    ],
)
def test_files_that_are_not_the_ones_written(
    archive: Archive, caplog: pytest.LogCaptureFixture, act: object, words: str
) -> None:
    path = Path(archive.store("1", days=31).location)
    archive.store("2", days=31)
    act(path)  # type: ignore[operator]
    before = sorted(os.listdir(archive.output))
    assert not archive.once(keep_days=30)
    assert sorted(os.listdir(archive.output)) == before
    assert archive.indexed == ["1", "2"]
    assert words in caplog.text


def test_what_lies_elsewhere(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    event = archive.store("1", days=31, indexed=False)
    moved = elsewhere / "1.dcm"
    os.rename(event.location, moved)
    from dataclasses import replace

    archive.index.index([replace(event, location=str(moved))])
    assert not archive.once(keep_days=30)
    assert moved.exists()


def test_files_that_are_gone_already(archive: Archive) -> None:
    os.unlink(archive.store("1", days=31).location)
    archive.store("2", days=31)
    assert archive.once(keep_days=30)
    assert archive.files == archive.indexed == []


def test_studies_in_conflict(archive: Archive) -> None:
    """An instance that names the study of another patient: people have to look at it."""
    from dcmrecv_core.testing import fake_event, sample_dataset

    archive.store("1", days=31)
    stray = sample_dataset(
        SOPInstanceUID="2", StudyInstanceUID="1.2", SeriesInstanceUID="1.2.1", PatientID="another one"
    )
    event = fake_event(stray, output_directory=archive.output)
    os.utime(event.location, (1, 1))
    archive.index.index([event])
    with archive.rounds(keep_days=30) as made:
        made._database.execute("UPDATE instances SET received = 1000000000")
        assert not made.round()


def test_without_a_study_uid(archive: Archive) -> None:
    archive.store("1", study="", days=31)
    assert not archive.once(keep_days=30)
    assert archive.files == ["1"]


def test_who_sent_it_is_not_looked_at(archive: Archive) -> None:
    archive.store("1", days=31, calling_ae_title="", called_ae_title="", peer_address="")
    assert archive.once(keep_days=30)


def test_files_are_read_once(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.store("1", days=31)
    looks = []
    monkeypatch.setattr(rounds, "what_is_wrong", lambda *_: looks.append(1) or "no")
    with archive.rounds(keep_days=30) as made:
        made.round()
        made.round()
    assert len(looks) == 1


def test_no_patient_is_named(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    archive.store("1", days=31, patient_id="4711-secret")
    archive.once(keep_days=30)
    assert "secret" not in caplog.text and "Doe" not in caplog.text
    assert fake_association().calling_ae_title not in caplog.text
