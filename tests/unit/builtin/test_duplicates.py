"""`--on-duplicate`: what becomes of an instance whose name is taken, by equal or other content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_builtin import file_writer, layout
from dcmrecv_builtin.duplicates import numbered
from dcmrecv_core import Name, Settings
from support.data.datasets import Node
from support.plugins import hooks
from support.receiving import INSTANCE, data_set, in_syntax, receiver, send, stored_data
from support.uids import DEFLATED, EXPLICIT_LE, IMPLICIT_LE

FILE = f"CT.{INSTANCE}"
FIRST, SECOND, THIRD = (data_set(Node(0x0008103E, "LO", text)) for text in (b"first ", b"second", b"third "))


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(layout, "_layout", None)
    yield
    file_writer.configure(Settings())


def stored(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and ".dcmrecv" not in path.parts)
    return {str(path.relative_to(root)): stored_data(str(path)) for path in files}


@pytest.mark.parametrize(
    ("action", "statuses", "files"),
    [
        ("overwrite", [0, 0, 0], {FILE: FIRST}),
        ("keep", [0, 0, 0], {FILE: FIRST}),
        ("refuse", [0, 0x0111, 0], {FILE: FIRST}),
        ("rename", [0, 0, 0], {FILE: FIRST, FILE + "~2": SECOND}),
    ],
)
def test_another_content_and_the_first_again(
    tmp_path: Path, action: Any, statuses: list[int], files: dict[str, bytes]
) -> None:
    place = receiver(tmp_path, on_duplicate=action)
    assert [send(place, data).status for data in (FIRST, SECOND, FIRST)] == statuses
    assert stored(tmp_path) == files


def test_overwriting(tmp_path: Path) -> None:
    place = receiver(tmp_path)
    assert [send(place, data).status for data in (FIRST, SECOND)] == [0, 0]
    assert stored(tmp_path) == {FILE: SECOND}


@pytest.mark.parametrize("memory", [None, 100], ids=["in memory", "spooled"])
@pytest.mark.parametrize("action", ["overwrite", "keep", "rename", "refuse"])
def test_equal_content_is_not_written_twice(tmp_path: Path, action: Any, memory: int | None) -> None:
    place = receiver(tmp_path, on_duplicate=action, memory=memory)
    first = send(place, FIRST)
    inode = os.stat(str(first.location)).st_ino
    assert send(place, FIRST) == first
    assert os.stat(str(first.location)).st_ino == inode
    assert list(stored(tmp_path)) == [FILE]


def test_every_content_of_a_name_is_stored_once(tmp_path: Path) -> None:
    place = receiver(
        tmp_path, on_duplicate="rename", layout="{PatientName}/{SOPInstanceUID}.dcm", filename_extension=".x"
    )
    for data in (FIRST, SECOND, THIRD, SECOND, FIRST, THIRD):
        assert send(place, data).status == 0
    start = f"Müller^Jörg/{INSTANCE}.dcm"
    assert stored(tmp_path) == {f"{start}.x": FIRST, f"{start}~2.x": SECOND, f"{start}~3.x": THIRD}


def test_only_the_data_set_counts_not_who_stored_it(tmp_path: Path) -> None:
    place = receiver(tmp_path, on_duplicate="refuse")
    path = Path(str(send(place, FIRST).location))
    content = path.read_bytes()
    index = content.index(b"\x02\x00\x13\x00SH") + 8
    path.write_bytes(content[:index] + b"X" + content[index + 1 :])
    assert send(place, FIRST).status == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(EXPLICIT_LE.encode() + b"\0", IMPLICIT_LE.encode() + b".2"),
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: b"x" * len(content),
        lambda content: b"",
    ],
    ids=["transfer syntax", "one bit", "shorter", "longer", "no DICOM file", "empty"],
)
def test_other_content(tmp_path: Path, change: Any) -> None:
    place = receiver(tmp_path, on_duplicate="refuse")
    path = Path(str(send(place, FIRST).location))
    path.write_bytes(change(path.read_bytes()))
    assert send(place, FIRST).status == 0x0111


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    place = receiver(tmp_path, on_duplicate="refuse")
    os.mkfifo(tmp_path / FILE)
    assert send(place, FIRST).status == 0x0111
    (tmp_path / FILE).unlink()
    (tmp_path / "elsewhere").write_bytes(b"x")
    (tmp_path / FILE).symlink_to("elsewhere")
    assert send(place, FIRST).status == 0x0111


def test_deflated_data_are_compared_as_they_came(tmp_path: Path) -> None:
    place = receiver(tmp_path, on_duplicate="refuse")
    assert [send(place, in_syntax(DEFLATED), syntax=DEFLATED).status for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("action", ["keep", "refuse", "rename"])
def test_schemes_with_an_on_exists_of_their_own_decide_themselves(tmp_path: Path, action: Any) -> None:
    def choose_filename(instance: Any) -> Name:
        return Name(f"x{instance.attempt}", on_exists="retry")

    place = receiver(tmp_path, hooks(choose_filename=choose_filename), on_duplicate=action)
    assert [send(place, FIRST).status for _ in range(2)] == [0, 0]
    assert sorted(stored(tmp_path)) == ["x0", "x1"]


def test_a_plugin_s_plain_names_obey(tmp_path: Path) -> None:
    place = receiver(tmp_path, hooks(choose_filename=lambda: "x"), on_duplicate="rename")
    assert [send(place, data).status for data in (FIRST, SECOND)] == [0, 0]
    assert stored(tmp_path) == {"x": FIRST, "x~2": SECOND}


@pytest.mark.parametrize(
    ("name", "extension", "expected"),
    [
        ("a.dcm", "", "a~2.dcm"),
        ("CT.1.2.3", "", "CT.1.2.3~2"),
        ("CT.1.2.3.ima", ".ima", "CT.1.2.3~2.ima"),
        ("CT.1.2dcm", "dcm", "CT.1.2~2dcm"),
        ("a.9", ".9", "a~2.9"),
        ("a.b.dcm", ".x", "a.b~2.dcm"),
    ],
)
def test_the_number_stands_before_the_extension(name: str, extension: str, expected: str) -> None:
    assert numbered(f"out.d/{name}", 2, extension) == f"out.d/{expected}"


def test_numbered_names_fit() -> None:
    names = {os.path.basename(numbered(f"out/{'x' * 251}.dcm", number, "")) for number in range(2, 20)}
    assert {len(name) for name in names} == {255}
    assert len(names) == 18


def test_keeping_says_what_it_drops(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = receiver(tmp_path, on_duplicate="keep")
    for data in (FIRST, FIRST):
        assert send(place, data).status == 0
    assert "dropping" not in caplog.text
    assert send(place, SECOND).status == 0
    assert f"{INSTANCE}: another content has this name, dropping this one" in caplog.text
    assert stored(tmp_path) == {FILE: FIRST}
