"""The commands `dcmrecv-index rescan` and `find`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from dcmrecv_core.testing import fake_instance, sample_dataset
from dcmrecv_index.commands import main
from dcmrecv_index.database import checked_url, upsert
from dcmrecv_index.record import record_of
from dcmrecv_index.rescan import record_of_file
from dcmrecv_index.rows import rows_of

Find = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def find(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Find:
    """The rows that `find` with these arguments prints as JSON."""

    def run(*arguments: str) -> list[dict[str, Any]]:
        capsys.readouterr()
        assert main(["find", "--json", "--directory", str(tmp_path), *arguments]) == 0
        rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return rows

    return run


def store(directory: Path, name: str, **elements: Any) -> Path:
    instance = fake_instance(sample_dataset(**elements), output_directory=directory)
    return Path(instance.save(name))


def rescan(directory: Path, *arguments: str) -> None:
    assert main(["rescan", str(directory), *arguments]) == 0


def test_a_file_gives_the_same_record_as_the_hook(tmp_path: Path) -> None:
    instance = fake_instance(sample_dataset(PatientName="M\u00fcller"), output_directory=tmp_path)
    location = instance.save("x")
    told = record_of(instance, location, os.stat(location).st_mtime_ns)
    found = record_of_file(Path(location))
    assert found is not None
    assert rows_of(found) == rows_of(told)


@pytest.mark.parametrize(
    "odd",
    [
        "09000110 5858 0000 ffffffff feff00e0 ffffffff feff0de000000000 feffdde000000000",
        "0900 0110 0000 0400 41424344",
        "0900 0110 5351 0000 04000000 4e4f4e45",
        "feff 0de0 0000 0000",
        "feff dde0 0400 0000",
    ],
    ids=["VR of the future", "no VR", "no items", "item delimiter", "delimiter with a length"],
)
def test_fault_18_a_file_with_an_odd_place_gives_the_same_record(tmp_path: Path, odd: str) -> None:
    """The patient comes after it."""
    instance = fake_instance(sample_dataset(PatientName="Doe^Jane", PatientID="P1"), output_directory=tmp_path)
    path = Path(instance.save("x"))
    content = path.read_bytes()
    place = content.index(b"\x10\0\x10\0PN")
    path.write_bytes(content[:place] + bytes.fromhex(odd) + content[place:])
    found = record_of_file(path)
    assert found is not None
    assert found.elements == record_of(instance, str(path), 0).elements
    assert (found.elements["PatientID"], found.elements["PatientName"]) == ("P1", "Doe^Jane")


def test_a_uid_that_a_plugin_has_changed_is_the_index_s(tmp_path: Path) -> None:
    instance = fake_instance(sample_dataset(SOPInstanceUID="1.2.3"), output_directory=tmp_path, in_receive=True)
    header = instance.copy_header()
    header.SOPInstanceUID = "2.25.4711"
    instance.replace_header(header)
    location = instance.save("image.dcm")
    told, found = record_of(instance, location, 0), record_of_file(Path(location))
    assert found is not None
    assert told.sop_instance_uid == found.sop_instance_uid == "2.25.4711"


def test_what_a_plugin_has_removed_is_not_in_the_index(tmp_path: Path) -> None:
    """By the hook and from the file; wherever it was in the data set."""
    sent = sample_dataset(
        SOPInstanceUID="1.2.3.1966",
        StudyInstanceUID="1.2.4.1966",
        SeriesInstanceUID="1.2.5.1966",
        SpecificCharacterSet="ISO_IR 192",
        **dict.fromkeys(("PatientID", "PatientName", "StudyDescription", "SeriesDescription"), b"1966\xfc\\1966"),
        **dict.fromkeys(("PatientBirthDate", "StudyDate", "SeriesDate"), "19660203"),
        **dict.fromkeys(("AccessionNumber", "StudyID", "IssuerOfPatientID", "BodyPartExamined"), "1966"),
        ReferringPhysicianName="1966",
    )
    instance = fake_instance(sent, output_directory=tmp_path, in_receive=True)
    assert record_of(instance, "image.dcm", 0).to_line().count(b"1966") > 10
    header = instance.copy_header()
    kept = {"SOPClassUID", "Modality"}
    for element in list(header):
        if element.keyword not in kept:
            del header[element.tag]
    header.PatientID = "pseudonym"
    header.SOPInstanceUID = "2.25.1"
    instance.replace_header(header, keep_unseen=False)
    location = instance.save("image.dcm")
    told, found = record_of(instance, location, 0), record_of_file(Path(location))
    assert found is not None
    for record in (told, found):
        assert "1966" not in record.to_line().decode()
        assert "1966" not in str(rows_of(record))


def test_rescan_finds_dicom_files(tmp_path: Path, find: Find) -> None:
    store(tmp_path, "a", SOPInstanceUID="1.1")
    store(tmp_path, "deep/er/b", SOPInstanceUID="1.2", SeriesInstanceUID="1.9", Modality="MR")
    store(tmp_path, ".dcmrecv/not-this", SOPInstanceUID="1.3")
    (tmp_path / "readme.txt").write_text("no DICOM")
    (tmp_path / "broken").write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\xff\x00")
    (tmp_path / "broken link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    rescan(tmp_path)
    rows = find("--level", "instance")
    assert [(row["sop_instance_uid"], row["location"]) for row in rows] == [
        ("1.1", str(tmp_path / "a")),
        ("1.2", str(tmp_path / "deep/er/b")),
    ]


def test_rescan_keeps_rows_of_a_later_time(tmp_path: Path, engine: Engine, find: Find) -> None:
    instance = fake_instance(output_directory=tmp_path)
    location = instance.save("x")
    with engine.begin() as connection:
        upsert(connection, [record_of(instance, location, os.stat(location).st_mtime_ns + 10**9)])
    before = find("--level", "instance")
    rescan(tmp_path)
    assert find("--level", "instance") == before


def test_prune(tmp_path: Path, find: Find) -> None:
    gone = store(tmp_path, "gone", SOPInstanceUID="1.1", StudyInstanceUID="1.8", SeriesInstanceUID="1.8.1")
    moved = store(tmp_path, "moved", SOPInstanceUID="1.2")
    rescan(tmp_path)
    gone.unlink()
    os.utime(moved.rename(tmp_path / "elsewhere"), (1, 1))
    rescan(tmp_path)
    assert len(find()) == 2, "without --prune no row is removed"
    rescan(tmp_path, "--prune")
    [row] = find("--level", "instance")
    assert row["location"] == str(tmp_path / "elsewhere")


def test_prune_leaves_other_directories_alone(tmp_path: Path, find: Find) -> None:
    url = f"sqlite:///{tmp_path}/.dcmrecv/index.sqlite"
    for name in ("a_b", "axb"):
        store(tmp_path, f"{name}/x", SOPInstanceUID=f"1.{len(name)}{ord(name[1])}").unlink()
        store(tmp_path, f"{name}/x", SOPInstanceUID=f"1.{len(name)}{ord(name[1])}")
    rescan(tmp_path)
    (tmp_path / "a_b/x").unlink()
    (tmp_path / "axb/x").unlink()
    rescan(tmp_path / "a_b", "--prune", "--url", url)
    [row] = find("--level", "instance")
    assert row["location"] == str(tmp_path / "axb/x")


def test_prune_is_case_sensitive(tmp_path: Path, find: Find) -> None:
    for number, name in enumerate(("a", "A")):
        store(tmp_path, f"{name}/x", SOPInstanceUID=f"1.{number}")
    rescan(tmp_path)
    for name in ("a", "A"):
        (tmp_path / name / "x").unlink()
    rescan(tmp_path / "a", "--prune")
    [row] = find("--level", "instance")
    assert row["location"] == str(tmp_path / "A/x")


def test_a_directory_below_the_output_directory(tmp_path: Path, engine: Engine, find: Find) -> None:
    store(tmp_path, "deep/er/a", SOPInstanceUID="1.1")
    rescan(tmp_path / "deep" / "er")
    assert not (tmp_path / "deep" / "er" / ".dcmrecv").exists()
    assert len(find()) == len(find("--directory", str(tmp_path / "deep"))) == 1


def test_a_state_directory_elsewhere(tmp_path: Path, find: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCMRECV_INDEX_URL", "sqlite:////nowhere/to/be/found")
    store(tmp_path, "out/a", SOPInstanceUID="1.1")
    rescan(tmp_path / "out", "--state-dir", str(tmp_path / "state"))
    assert (tmp_path / "state" / "index.sqlite").exists()
    assert len(find("--state-dir", str(tmp_path / "state"))) == 1


@pytest.fixture
def three(tmp_path: Path) -> None:
    store(
        tmp_path, "1", SOPInstanceUID="1.1", PatientName="Doe^Jane", StudyInstanceUID="1.8", SeriesInstanceUID="1.8.1"
    )
    store(
        tmp_path, "2", SOPInstanceUID="1.2", PatientName="Doe^Jane", StudyInstanceUID="1.8", SeriesInstanceUID="1.8.2"
    )
    store(
        tmp_path,
        "3",
        SOPInstanceUID="1.3",
        PatientID="100%",
        PatientName="Roe^Jim",
        StudyInstanceUID="1.9",
        SeriesInstanceUID="1.9.1",
        Modality="MR",
        StudyDate="20210304",
        AccessionNumber="B_7",
    )
    rescan(tmp_path)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), ["1.1", "1.2", "1.3"]),
        (("--patient-id", "4711"), ["1.1", "1.2"]),
        (("--patient-id", "471"), []),
        (("--patient-name", "*J?m"), ["1.3"]),
        (("--patient-name", "*j?m"), []),
        (("--patient-name", "[DR]oe*"), []),
        (("--patient-id", "100%"), ["1.3"]),
        (("--patient-id", "1%*"), []),
        (("--accession-number", "?_7"), ["1.3"]),
        (("--accession-number", "_*"), []),
        (("--study-date", "2020*"), ["1.1", "1.2"]),
        (("--study-instance-uid", "1.8"), ["1.1", "1.2"]),
        (("--series-instance-uid", "1.8.2"), ["1.2"]),
        (("--sop-instance-uid", "1.3"), ["1.3"]),
        (("--modality", "MR"), ["1.3"]),
        (("--modality", "MR", "--patient-id", "4711"), []),
    ],
)
def test_filters(find: Find, arguments: tuple[str, ...], found: list[str]) -> None:
    assert sorted(row["sop_instance_uid"] for row in find("--level", "instance", *arguments)) == found


@pytest.mark.usefixtures("three")
def test_levels(find: Find) -> None:
    assert sorted((row["study_instance_uid"], row["instances"]) for row in find()) == [("1.8", 2), ("1.9", 1)]
    assert len(find("--level", "series")) == 3


@pytest.mark.usefixtures("three")
def test_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(tmp_path, "4", SOPInstanceUID="1.4", PatientID="E\x1b[31m", StudyInstanceUID="1.7", SeriesInstanceUID="1.7.1")
    rescan(tmp_path)
    capsys.readouterr()
    assert main(["find", "--directory", str(tmp_path)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["patient_id", "patient_name", "study_date"]
    assert {line[head.index("study_date") :].split()[0] for line in lines} == {"20200102", "20210304"}
    assert any(line.startswith("E?[31m") for line in lines)


def test_find_makes_no_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", "--directory", str(tmp_path)]) == 1
    assert "there is no index" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_rescan_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rescan", str(tmp_path / "missing"), "--url", f"sqlite:///{tmp_path}/x"]) == 1
    assert "missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["nonsense:SECRET", "mysql://u:SECRET@h/d", "sqlite://", "postgresql+asyncpg://u:SECRET@h/d"]
)
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ValueError, match=r"not|needs") as caught:
        checked_url(url)
    assert "SECRET" not in str(caught.value)
