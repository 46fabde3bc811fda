"""What hooks see of an instance, and what they save of it."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from pydicom.filereader import dcmread

from dcmrecv_core import Instance
from dcmrecv_core.api.errors import HookFailure, NameTakenError, StorageError
from support.data.datasets import Node
from support.plugins import ASSOCIATION, hooks
from support.publishing import Calls, names
from support.receiving import (
    INSTANCE,
    LARGE_SEQUENCE,
    LARGE_VALUE,
    PIXELS,
    UNKNOWN,
    data_set,
    in_receive,
    in_syntax,
    receiver,
    send,
    stored_data,
)
from support.uids import BIG_ENDIAN, CT, DEFLATED, EXPLICIT_LE, IMPLICIT_LE, MR

MEMORY = pytest.mark.parametrize("memory", [None, 4000, 16], ids=["in memory", "spooled", "spooled at once"])
SYNTAXES = pytest.mark.parametrize("syntax", [EXPLICIT_LE, IMPLICIT_LE, BIG_ENDIAN, DEFLATED])


def test_plain_attributes(tmp_path: Path) -> None:
    def look(instance: Instance) -> tuple[object, ...]:
        instance.state["seen"] = True
        return (
            *(instance.sop_class_uid, instance.sop_instance_uid, instance.transfer_syntax_uid),
            *(instance.association, instance.modality_prefix, instance.size, instance.attempt, instance.state),
        )

    data = data_set()
    values, _ = in_receive(receiver(tmp_path), data, look)
    assert values == (CT, INSTANCE, EXPLICIT_LE, ASSOCIATION, "CT", len(data), 0, {"seen": True})


@pytest.mark.parametrize(("sop_class", "prefix"), [(MR, "MR"), ("1.2.3", "UNKNOWN")])
def test_modality_prefix_is_that_of_the_command(tmp_path: Path, sop_class: str, prefix: str) -> None:
    value, _ = in_receive(receiver(tmp_path), data_set(), lambda i: i.modality_prefix, sop_class=sop_class)
    assert value == prefix


@MEMORY
@SYNTAXES
def test_elements(tmp_path: Path, memory: int | None, syntax: str) -> None:
    def look(instance: Instance) -> dict[str, Any]:
        return {
            "keyword": instance.get("SeriesDate"),
            "tag": instance.get(0x00080060),
            "text": str(instance.get("PatientName")),
            "absent": instance.get("StudyDate", "none"),
            "raw": instance.raw("Modality").value,  # type: ignore[union-attr]
            "raw absent": instance.raw("StudyDate"),
            "pixels": len(instance.get("PixelData", b"")),
            "header": sorted(element.keyword for element in instance.header),
            "name": str(instance.header.PatientName),
        }

    values, outcome = in_receive(receiver(tmp_path, memory=memory), in_syntax(syntax), look, syntax=syntax)
    assert outcome.status == 0
    assert values.pop("header")[-1] == "SpecificCharacterSet"
    assert values == {
        "keyword": "20200102",
        "tag": "CT",
        "text": "Müller^Jörg",
        "absent": "none",
        "raw": b"CT",
        "raw absent": None,
        "pixels": len(PIXELS),
        "name": "Müller^Jörg",
    }


@pytest.mark.parametrize("mode", [{"storage_mode": "bit-preserving"}, {}])
def test_elements_of_what_was_not_checked(tmp_path: Path, mode: dict[str, Any]) -> None:
    syntax = EXPLICIT_LE if mode else UNKNOWN
    data = in_syntax(IMPLICIT_LE if syntax == UNKNOWN else EXPLICIT_LE)
    values, _ = in_receive(
        receiver(tmp_path, **mode), data, lambda i: (i.get("SeriesDate"), i.header.Modality), syntax=syntax
    )
    assert values == ("20200102", "CT")


def test_what_is_no_data_set_has_no_elements(tmp_path: Path) -> None:
    values, outcome = in_receive(
        receiver(tmp_path, storage_mode="bit-preserving"), b"\xff" * 99, lambda i: (i.get("SeriesDate"), len(i.header))
    )
    assert values == (None, 0)
    assert stored_data(outcome.location) == b"\xff" * 99


def test_an_unknown_keyword(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        in_receive(receiver(tmp_path), data_set(), lambda i: i.get("PatientsNaem"))


def test_large_values_are_not_in_the_header(tmp_path: Path) -> None:
    def look(instance: Instance) -> tuple[bool, bytes]:
        sequence = instance.get("ModalityLUTSequence")
        return "ModalityLUTSequence" in instance.header, sequence[0].LUTData

    values, _ = in_receive(receiver(tmp_path), data_set(LARGE_SEQUENCE), look)
    assert values == (False, LARGE_VALUE)


@MEMORY
@SYNTAXES
def test_open_is_the_file_as_stored(tmp_path: Path, memory: int | None, syntax: str) -> None:
    def look(instance: Instance) -> tuple[bytes, bytes, str]:
        with instance.open() as file:
            whole = file.read()
            file.seek(-10, os.SEEK_END)
            end = file.read(4) + file.read()
            file.seek(0)
            return whole, end, dcmread(file).PatientID if "PatientID" in dcmread(io.BytesIO(whole)) else ""

    data = in_syntax(syntax)
    (whole, end, _), outcome = in_receive(receiver(tmp_path, memory=memory), data, look, syntax=syntax)
    assert outcome.location is not None
    assert Path(outcome.location).read_bytes() == whole
    assert whole.endswith(data) and end == data[-10:]


@SYNTAXES
def test_pydicom_reads_what_is_opened(tmp_path: Path, syntax: str) -> None:
    def look(instance: Instance) -> str:
        with instance.open() as file:
            return str(dcmread(file).SOPInstanceUID)

    assert in_receive(receiver(tmp_path), in_syntax(syntax), look, syntax=syntax)[0] == INSTANCE


def test_open_is_read_in_any_portions(tmp_path: Path) -> None:
    def look(instance: Instance) -> bytes:
        with instance.open() as file:
            assert file.seekable() and file.tell() == 0
            portions = [file.read(7)]
            while portions[-1]:
                portions.append(file.read(333))
            return b"".join(portions)

    portions, outcome = in_receive(receiver(tmp_path, memory=100), data_set(), look)
    assert outcome.location is not None
    assert portions == Path(outcome.location).read_bytes()


# save


@MEMORY
def test_saving_twice_makes_two_files(tmp_path: Path, memory: int | None) -> None:
    def save_copy(instance: Instance) -> str:
        return instance.save("copies/first", "overwrite")

    data = data_set()
    first, outcome = in_receive(receiver(tmp_path, memory=memory), data, save_copy)
    assert (first, outcome.location) == (f"{tmp_path}/copies/first", f"{tmp_path}/CT.{INSTANCE}")
    assert outcome.status == 0
    assert stored_data(first) == stored_data(outcome.location) == data
    assert not Path(first).samefile(tmp_path / f"CT.{INSTANCE}")
    Path(first).write_bytes(b"")
    assert stored_data(outcome.location) == data


@pytest.mark.parametrize("path", ["a/b", "{}/a/b", "a//./b"])
def test_paths_that_may_be_saved_to(tmp_path: Path, path: str) -> None:
    saved, _ = in_receive(receiver(tmp_path), data_set(), lambda i: i.save(path.format(tmp_path)))
    assert saved == f"{tmp_path}/a/b"


@pytest.mark.parametrize("path", ["../x", "/x", "{}/../x", "{}2/x", "a/", "", "a\0"])
def test_paths_outside(tmp_path: Path, path: str) -> None:
    root = tmp_path / "out"
    with pytest.raises(HookFailure):
        in_receive(receiver(root), data_set(), lambda i: i.save(path.format(root)))
    assert names(tmp_path) == [f"out/CT.{INSTANCE}"]


def test_saving_obeys_the_chosen_name_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    place = receiver(tmp_path)
    with pytest.raises(NameTakenError) as caught:
        in_receive(place, data_set(), lambda i: i.save("a", "refuse"))
    assert caught.value.status == 0x0111
    with pytest.raises(ValueError, match="on_exists"):
        in_receive(receiver(tmp_path), data_set(), lambda i: i.save("a", "destroy"))  # type: ignore[arg-type]
    assert (tmp_path / "a").read_bytes() == b"old"
    saved, _ = in_receive(receiver(tmp_path, on_duplicate="overwrite"), data_set(), lambda i: i.save("a"))
    assert saved == f"{tmp_path}/a"
    assert stored_data(saved) == data_set()


def test_a_slow_disk_is_not_the_plugins_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = receiver(tmp_path)
    timer = place.timer
    timer.limit = 1
    seen: list[int] = []

    def slow(*args: object) -> bool:
        for _ in range(10):
            timer.tick()
        seen.append(timer.flag[0])
        return False

    Calls(monkeypatch).fail("fsync", 0, slow)
    assert send(place, data_set()).status == 0
    assert seen and not any(seen)


def test_a_plugin_stores_elsewhere_outside_of_its_time_limit(tmp_path: Path) -> None:
    def write(instance: Instance) -> str:
        with instance.outside_time_limit():
            for _ in range(10):
                place.timer.tick()
            seen.append(place.timer.flag[0])
        seen.append(place.timer.flag[0])
        return "s3://bucket/key"

    def too_slow(instance: Instance) -> str:
        with pytest.raises(ZeroDivisionError), instance.outside_time_limit():
            raise ZeroDivisionError
        for _ in range(10):
            place.timer.tick()
        return "s3://bucket/key"

    seen: list[int] = []
    for hook, status in ((write, 0), (too_slow, 0x0110)):
        place = receiver(tmp_path, hooks(write=hook))
        place.timer.limit = 1
        assert send(place, data_set()).status == status
    assert seen[0] == 0 and seen[1] != 0


def test_a_full_disk_in_a_hook_is_the_senders_business(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Calls(monkeypatch).fail("writev", 28)
    with pytest.raises(StorageError):
        in_receive(receiver(tmp_path), data_set(), lambda i: i.save("a"))
    place = receiver(tmp_path, hooks(receive=lambda instance: instance.save("a")))
    assert send(place, data_set()).status == 0xA700


@pytest.mark.parametrize("memory", [None, 16])
def test_file_meta_information(tmp_path: Path, memory: int | None) -> None:
    """From the data set, where absent from the command; also if its UIDs come when the file is begun already."""
    data = data_set()
    outcome = send(receiver(tmp_path, memory=memory), data, sop_class="1.2.3", instance="9.8.7")
    assert outcome.location == f"{tmp_path}/UNKNOWN.9.8.7"
    meta = dcmread(outcome.location).file_meta
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (CT, INSTANCE)
    assert stored_data(outcome.location) == data
    bare = Node(0x00080060, "CS", b"CT")
    without = b"".join(part for part in [data_set()[:0]]) + _encode(bare)
    outcome = send(receiver(tmp_path, memory=memory), without, sop_class="1.2.3", instance="9.8.7")
    meta = dcmread(outcome.location or "").file_meta
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == ("1.2.3", "9.8.7")


def _encode(*nodes: Node) -> bytes:
    from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE
    from support.data.datasets import encode

    return encode(nodes, EXPLICIT_LITTLE)


def test_file_meta_information_with_bit_preserving(tmp_path: Path) -> None:
    place = receiver(tmp_path, storage_mode="bit-preserving")
    meta = dcmread(send(place, data_set(), sop_class="1.2.3", instance="9.8.7").location or "").file_meta
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == ("1.2.3", "9.8.7")
    assert meta.SourceApplicationEntityTitle == "SCANNER"
