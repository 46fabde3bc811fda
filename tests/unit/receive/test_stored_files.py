"""Opening and removing what was stored, by its location; reading its elements."""

from __future__ import annotations

import io
import os
import random
from contextlib import suppress
from pathlib import Path

import pytest

from dcmrecv_core import (
    RawElement,
    examine_stored,
    open_stored,
    read_elements,
    read_header,
    remove_stored,
    stored_place,
)
from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE
from dcmrecv_core.storage import directories
from dcmrecv_core.storage.file_meta import file_prefix
from support.data.datasets import Node, deflate, encode
from support.uids import CT, DEFLATED, EXPLICIT_LE


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "out"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "x").write_bytes(b"stored")
    (tmp_path / "secret").write_bytes(b"secret")
    return root


def content(location: str, root: str, start: str = "") -> bytes | None:
    opened = open_stored(location, root, start)
    if opened is None:
        return None
    with opened:
        return opened.read()


def test_a_stored_file(root: Path) -> None:
    location = f"{root}/a/b/x"
    assert content(location, str(root)) == b"stored"
    assert content("out/a/b/x", "out", str(root.parent)) == b"stored"
    assert content(location, "out", str(root.parent)) == b"stored"
    assert content("out/a/b/x", str(root), str(root.parent)) == b"stored", "as it was called before"
    assert content(location, "./out/", str(root.parent)) == b"stored"
    assert content(location, ".", str(root)) == b"stored"
    assert remove_stored(location, str(root)) is True
    assert remove_stored(location, str(root)) is True, "it is gone"
    with pytest.raises(FileNotFoundError):
        content(location, str(root))
    assert remove_stored(f"{root}/none/x", str(root)) is True
    assert not (root / "none").exists()


@pytest.mark.parametrize(
    "location",
    ["s3://bucket/x", "a/b/x", "{root}", "{root}/../secret", "{root}/a/../../secret", "{root}2/x", "/etc/passwd", ""],
)
def test_what_is_not_in_the_output_directory(root: Path, location: str) -> None:
    place = location.format(root=root)
    assert content(place, str(root)) is None
    assert content(place, str(root), "/") is None
    assert content("s3://bucket/x", str(root), str(root)) is None
    assert remove_stored(place, str(root)) is None
    assert (root.parent / "secret").exists()


def test_links_do_not_lead_outside(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "link").symlink_to(root.parent / "secret")
    with pytest.raises(OSError):
        content(f"{root}/link", str(root))
    (root / "up").symlink_to(root.parent)
    assert content(f"{root}/up/secret", str(root)) == b"secret", "our own link, an administrator's"
    monkeypatch.setattr(directories.os, "geteuid", lambda: 4711)
    os.lchown(root / "up", 4712, -1)
    for act in (open_stored, remove_stored):
        with pytest.raises(PermissionError, match="A foreign link is in the way"):
            act(f"{root}/up/secret", str(root))
    assert (root.parent / "secret").exists()
    assert remove_stored(f"{root}/link", str(root)) is True
    assert (root.parent / "secret").exists(), "the link is removed, not what it leads to"


def test_no_regular_file(root: Path) -> None:
    os.mkfifo(root / "fifo")
    for name in ("fifo", "a"):
        with pytest.raises(OSError, match="Not a regular file"):
            content(f"{root}/{name}", str(root))
    with pytest.raises(OSError):
        remove_stored(f"{root}/a", str(root))
    assert not [
        name for name in os.listdir("/proc/self/fd") if os.path.realpath(f"/proc/self/fd/{name}").startswith(str(root))
    ]


def test_fault_18_elements_after_an_odd_place(tmp_path: Path) -> None:
    """An element without a VR, as the receiver stores it."""
    head = encode([Node(0x00080018, "UI", b"1.2\0")], EXPLICIT_LITTLE) + b"\x09\0\x01\x10\0\0\4\0ABCD"
    tail = encode([Node(0x00100020, "LO", b"P1"), Node(0x7FE00010, "OW", bytes(20))], EXPLICIT_LITTLE)
    path = tmp_path / "x"
    path.write_bytes(file_prefix(CT, "1.2", EXPLICIT_LE) + head + tail)
    with path.open("rb") as file:
        found = read_elements(file, (0x00100020, 0x00091001, 0x00100010), 3)
    assert found == {0x00100020: RawElement("LO", b"P1"), 0x00091001: RawElement("\0\0", b"ABC")}


def test_elements_after_the_pixel_data(tmp_path: Path) -> None:
    """As `Instance.raw` finds them, unless the data set breaks off."""
    head = encode([Node(0x00080018, "UI", b"1.2\0"), Node(0x7FE00010, "OW", bytes(20))], EXPLICIT_LITTLE)
    tail = encode([Node(0x00100020, "LO", b"P1")], EXPLICIT_LITTLE)
    tags = (0x00080018, 0x00100020, 0x7FE00010)
    path = tmp_path / "x"
    for content, expected in (
        (head + tail, {0x00100020: RawElement("LO", b"P1"), 0x7FE00010: RawElement("OW", b"\0\0\0\0")}),
        (head + tail[:-1], {}),
    ):
        path.write_bytes(file_prefix(CT, "1.2", EXPLICIT_LE) + content)
        with path.open("rb") as file:
            assert read_elements(file, tags, 4) == {0x00080018: RawElement("UI", b"1.2\0"), **expected}


def test_deflated_data_that_break_off_within_a_value(tmp_path: Path) -> None:
    comments = random.Random(4711).randbytes(60000)
    nodes = [Node(0x00100020, "LO", b"P1"), Node(0x00104000, "LT", comments), Node(0x00200010, "SH", b"S1")]
    path = tmp_path / "x"
    path.write_bytes(file_prefix(CT, "1.2", DEFLATED) + deflate(encode(nodes, EXPLICIT_LITTLE))[:59000])
    with path.open("rb") as file:
        assert read_elements(file, (0x00104000, 0x00100020), 1 << 20) == {0x00100020: RawElement("LO", b"P1")}


def test_elements_of_no_dicom_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content in (b"no DICOM", file_prefix(CT, "1.2", EXPLICIT_LE)[:-5]):
        path.write_bytes(content)
        with path.open("rb") as file, pytest.raises(ValueError):
            read_elements(file, (0x00100020,), 10)


def test_elements_of_a_data_set_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content in (file_prefix(CT, "1.2", EXPLICIT_LE), file_prefix(CT, "1.2", DEFLATED) + b"\xff" * 20):
        path.write_bytes(content)
        with path.open("rb") as file:
            assert read_elements(file, (0x00100020,), 10) == {}


def test_the_header_of_a_file(tmp_path: Path) -> None:
    """As `Instance.header`: read-only, without pixel data and large values, odd values as bytes."""
    path = tmp_path / "x"
    nodes = [
        Node(0x00080018, "UI", b"1.2\0"),
        Node(0x00100020, "LO", b"P1"),
        Node(0x00204000, "UT", bytes(70000)),
        Node(0x00280010, "US", b"odd"),
        Node(0x7FE00010, "OW", bytes(8)),
    ]
    path.write_bytes(file_prefix(CT, "1.2", EXPLICIT_LE) + encode(nodes, EXPLICIT_LITTLE))
    with path.open("rb") as file:
        header = read_header(file)
    assert [element.keyword for element in header] == ["SOPInstanceUID", "PatientID", "Rows"]
    assert (header.PatientID, header["Rows"].value) == ("P1", b"odd")
    with pytest.raises(TypeError, match="copy_header"):
        header.PatientID = "P2"


def test_what_is_no_file_of_the_system(tmp_path: Path) -> None:
    """What a plugin opens elsewhere: bytes in memory, a pipe."""
    data = file_prefix(CT, "1.2", EXPLICIT_LE) + encode([Node(0x00100020, "LO", b"P1")], EXPLICIT_LITTLE)
    assert read_header(io.BytesIO(data)).PatientID == "P1"
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert read_elements(pipe, (0x00100020,), 10) == {0x00100020: RawElement("LO", b"P1")}


def test_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").touch()
    with stored_place(f"{tmp_path}/a/x", str(tmp_path)) as place:
        assert place is not None
        directory, name = place
        os.rename(name, tmp_path / "moved", src_dir_fd=directory)
    assert (tmp_path / "moved").exists()
    with stored_place("s3://bucket/x", str(tmp_path)) as place:
        assert place is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(directory)


@pytest.mark.parametrize("title", [None, "CT1", "CT12", ""])
def test_one_changed_bit_of_a_stored_file_is_noticed(title: str | None) -> None:
    uids = CT, "1.2.3.4", EXPLICIT_LE
    prefix, data = file_prefix(*uids, title), encode([Node(0x00100020, "LO", b"4711")], EXPLICIT_LITTLE)
    whole = prefix + data
    stored = examine_stored(io.BytesIO(whole))
    assert (stored.sop_class_uid, stored.sop_instance_uid, stored.transfer_syntax_uid) == uids
    assert stored.size == len(data)
    version = whole.index(b"DCMRECV_PY_") + len(b"DCMRECV_PY_")
    for place in {*range(len(whole))} - {*range(version, version + 3)}:
        for bit in range(8):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            with suppress(ValueError):
                assert examine_stored(io.BytesIO(changed)) != stored, (place, bit)
    for length in range(len(whole)):
        with suppress(ValueError):
            assert examine_stored(io.BytesIO(whole[:length])) != stored


def test_files_of_other_versions_are_known() -> None:
    whole = file_prefix(CT, "1.2.3", EXPLICIT_LE) + b"data"
    later = whole.replace(b"DCMRECV_PY_100", b"DCMRECV_PY_123")
    assert later != whole
    assert examine_stored(io.BytesIO(later)) == examine_stored(io.BytesIO(whole))
