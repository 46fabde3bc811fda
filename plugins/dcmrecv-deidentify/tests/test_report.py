"""The report of an association, the list of pseudonyms, and what --explain says."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import EncapsulatedPDFStorage
from treated import Site, element, with_elements

from dcmrecv_core import Ended, Summary
from dcmrecv_core.testing import fake_association, fake_instance, sample_dataset
from dcmrecv_deidentify.pseudonyms.pairs import Pair, PairList

SITES = Callable[..., Site]
SUMMARY = Summary(stored=2, refused=1, discarded=0, bytes=1, seconds=1.0, ended=Ended.RELEASED)


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    (tmp_path / "reports").mkdir()
    return tmp_path / "reports"


def read_pairs(path: Path) -> list[dict[str, str]]:
    """The whole lines of a list."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def read(directory: Path) -> list[dict[str, Any]]:
    assert all(name.endswith(".json") and not name.startswith(".") for name in os.listdir(directory))
    return [json.loads(path.read_text()) for path in sorted(directory.iterdir())]


def test_a_report(site: SITES, reports: Path) -> None:
    made = site("retain-uids", deidentify_report=reports)
    association = fake_association(id="a/1")
    private = element(0x00091001, "LO", "Secret")
    for dataset in (sample_dataset(PatientName="Secret"), with_elements([private]), sample_dataset()):
        made.plugin.receive(fake_instance(dataset, association=association, in_receive=True))
    document = sample_dataset(SOPClassUID=EncapsulatedPDFStorage)
    made.plugin.receive(fake_instance(document, association=association, in_receive=True))
    made.plugin.association_ended(association, SUMMARY)
    [report] = read(reports)
    assert report["association"]["id"] == "a/1"
    assert report["association"]["ended"] == "released"
    assert report["options"] == ["retain-uids"]
    assert report["edition"] == "2026c"
    assert report["instances"] == {"deidentified": 3, "stored": 2, "refused": 1}
    assert report["refused"] == [{"status": "0122", "reason": "not de-identified: encapsulated", "count": 1}]
    counts = {(row["element"], row["action"], row["why"]): row["count"] for row in report["elements"]}
    assert counts["(0010,0010) PatientName", "hash", "profile"] == 3
    assert counts["others", "remove", "private"] == 1
    assert "Secret" not in json.dumps(report)


def test_each_association_has_its_own(site: SITES, reports: Path) -> None:
    made = site(deidentify_report=reports)
    for name in ("1", "2"):
        association = fake_association(id=name)
        made.plugin.receive(fake_instance(association=association, in_receive=True))
        made.plugin.association_ended(association, SUMMARY)
    assert [report["instances"]["deidentified"] for report in read(reports)] == [1, 1]


def test_nothing_without_a_directory(site: SITES) -> None:
    made = site()
    made.plugin.association_ended(fake_association(), SUMMARY)
    assert sorted(os.listdir(made.directory)) == ["key", "output"]


def test_no_directory_for_reports(site: SITES, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--deidentify-report"):
        site(deidentify_report=tmp_path / "nowhere")


def test_the_list(site: SITES, tmp_path: Path) -> None:
    path = tmp_path / "list"
    made = site(deidentify_list=path)
    result = made.store(PatientID="4711", AccessionNumber="A1", StudyInstanceUID="1.2.3")
    made.store(PatientID="4711", AccessionNumber="A1", StudyInstanceUID="1.2.3")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = {(row["what"], row["original"]): row["new"] for row in read_pairs(path)}
    assert found["patient", "4711"] == result.dataset.PatientID
    assert found["accession", "A1"] == result.dataset.AccessionNumber
    assert found["study", "1.2.3"] == result.dataset.StudyInstanceUID
    assert len(path.read_text().splitlines()) == 3


def test_a_restart_adds_nothing_twice(tmp_path: Path, site: SITES) -> None:
    path = tmp_path / "list"
    for _ in range(2):
        site(deidentify_list=path).store()
    text = path.read_text()
    assert len(set(text.splitlines())) == len(text.splitlines())


@pytest.mark.parametrize("place", ["output/list", "link/list"])
def test_the_list_is_not_handed_out(site: SITES, tmp_path: Path, place: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "output")
    with pytest.raises(ValueError, match="below the output directory"):
        site(deidentify_list=tmp_path / place)


def test_the_list_is_not_the_key(site: SITES, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "key")
    for name in ("key", "link"):
        with pytest.raises(ValueError, match="is the key"):
            site(deidentify_list=tmp_path / name)


def test_others_can_read_the_list(site: SITES, tmp_path: Path) -> None:
    (tmp_path / "list").touch(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        site(deidentify_list=tmp_path / "list")


def _add(path: str, output: str, name: int) -> None:
    pairs = PairList(Path(path), output)
    for number in range(50):
        pairs.add([Pair("patient", b"%d" % number, b"P%d" % number), Pair("study", b"%d.%d" % (name, number), b"U")])


def test_several_workers(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    path = tmp_path / "list"
    workers = [
        get_context("fork").Process(target=_add, args=(str(path), str(tmp_path / "output"), name)) for name in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    lines = path.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 50 + 4 * 50


def test_a_torn_line_stays_alone(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    path = tmp_path / "list"
    path.touch(0o600)
    path.write_bytes(b'{"what": "pat')
    PairList(path, str(tmp_path / "output")).add([Pair("patient", b"1", b"P")])
    assert read_pairs(path) == [{"what": "patient", "original": "1", "new": "P"}]


def test_a_full_disk_refuses_the_instance(site: SITES, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = site(deidentify_list=tmp_path / "list")

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("dcmrecv_deidentify.pseudonyms.pairs.os.fsync", full)
    refusal = made.judge()
    assert refusal is not None
    assert refusal.status == 0xA700
    assert (tmp_path / "list").read_bytes() == b""
    monkeypatch.undo()
    made.store()
    assert len(read_pairs(tmp_path / "list")) >= 2


def test_explain(site: SITES, tmp_path: Path) -> None:
    class Explained(type(fake_instance())):  # type: ignore[misc]
        __slots__ = ()
        explained: list[str] = []  # noqa: RUF012

    inner = [element(0x00100010, "PN", "Secret")]
    dataset = with_elements([element(0x00081140, "SQ", [inner]), element(0x00091001, "LO", "Secret")])
    instance = fake_instance(dataset, in_receive=True)
    instance.__class__ = Explained
    assert site(deidentify_list=tmp_path / "list").plugin.receive(instance) is None
    said = Explained.explained
    assert "> (0010,0010) PatientName: hash (profile)" in said
    assert "(0009,1001) private: remove (private)" in said
    assert "(0028,0010) Rows: keep (not in the table)" in said
    assert "Secret" not in "".join(said)
    assert (tmp_path / "list").read_bytes() == b""
