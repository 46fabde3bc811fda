"""What becomes of an instance whose name is taken: by equal content, by another of the same instance, by another
instance, by what is no DICOM file; and each source of the policy."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import Instance, Name
from dcmrecv_core.receive.pipeline import InstanceReceiver, Outcome
from support.data.datasets import Node
from support.plugins import hooks
from support.receiving import INSTANCE, PIXELS, UNKNOWN, data_set, in_syntax, receiver, send, stored_data
from support.uids import DEFLATED, EXPLICIT_LE, IMPLICIT_LE

FILE = f"CT.{INSTANCE}"
FIRST, SECOND, THIRD = (data_set(Node(0x0008103E, "LO", text)) for text in (b"first ", b"second", b"third "))
OTHER_INSTANCE = "1.2.3.4.6"
OTHER = FIRST.replace(INSTANCE.encode(), OTHER_INSTANCE.encode())
OTHER_AGAIN = SECOND.replace(INSTANCE.encode(), OTHER_INSTANCE.encode())
MARK = f"~{hashlib.sha256(OTHER_INSTANCE.encode()).hexdigest()[:8]}"
POLICIES = ("replace-same", "overwrite", "rename", "keep", "refuse")
PLAIN = hooks(choose_filename=lambda: "x.dcm")


def stored(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file() and ".dcmrecv" not in path.parts)
    return {str(path.relative_to(root)): stored_data(str(path)) for path in files}


def send_other(place: InstanceReceiver, data: bytes = OTHER) -> Outcome:
    return send(place, data, instance=OTHER_INSTANCE)


# The same instance


@pytest.mark.parametrize(
    ("action", "statuses", "files"),
    [
        ("replace-same", [0, 0, 0], {FILE: FIRST}),
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
@pytest.mark.parametrize("action", POLICIES)
def test_equal_content_is_not_written_twice(tmp_path: Path, action: Any, memory: int | None) -> None:
    place = receiver(tmp_path, on_duplicate=action, memory=memory)
    first = send(place, FIRST)
    inode = os.stat(str(first.location)).st_ino
    assert send(place, FIRST) == first
    assert os.stat(str(first.location)).st_ino == inode
    assert list(stored(tmp_path)) == [FILE]


@pytest.mark.parametrize("on_exists", [None, *POLICIES, "retry"])
def test_nor_when_a_plugin_has_said_what_to_do(tmp_path: Path, on_exists: Any) -> None:
    place = receiver(tmp_path, hooks(choose_filename=lambda: Name("x", on_exists)))
    first = send(place, FIRST)
    inode = os.stat(str(first.location)).st_ino
    assert send(place, FIRST) == first
    assert os.stat(str(first.location)).st_ino == inode


def test_dcmrecv_s_own_names_are_written_again_without_a_look(tmp_path: Path) -> None:
    place = receiver(tmp_path)
    inodes = {os.stat(str(send(place, FIRST).location)).st_ino for _ in range(2)}
    assert len(inodes) == 2


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


def test_deflated_data_are_compared_as_they_came(tmp_path: Path) -> None:
    place = receiver(tmp_path, on_duplicate="refuse")
    assert [send(place, in_syntax(DEFLATED), syntax=DEFLATED).status for _ in range(2)] == [0, 0]


# Another instance


@pytest.mark.parametrize(
    ("action", "status", "files"),
    [
        (None, 0, {"x.dcm": FIRST, f"x{MARK}.dcm": OTHER}),
        ("replace-same", 0, {"x.dcm": FIRST, f"x{MARK}.dcm": OTHER}),
        ("keep", 0, {"x.dcm": FIRST, f"x{MARK}.dcm": OTHER}),
        ("rename", 0, {"x.dcm": FIRST, "x~2.dcm": OTHER}),
        ("refuse", 0x0111, {"x.dcm": FIRST}),
        ("overwrite", 0, {"x.dcm": OTHER}),
    ],
)
@pytest.mark.parametrize("by", ["option", "name", "save"])
def test_fault_2_another_instance_has_the_name(
    tmp_path: Path, by: str, action: Any, status: int, files: dict[str, bytes]
) -> None:
    """A `write` that only saves obeys the option as well."""
    said = Name("x.dcm", action) if by == "name" else "x.dcm"
    more = {"write": lambda instance, path: instance.save(path)} if by == "save" else {}
    plugin = hooks(choose_filename=lambda: said, **more)
    place = receiver(tmp_path, plugin, on_duplicate=None if by == "name" else action)
    assert [send(place, FIRST).status, send_other(place).status] == [0, status]
    assert stored(tmp_path) == files


@pytest.mark.parametrize("memory", [None, 100], ids=["in memory", "spooled"])
def test_each_finds_its_own_file_again(tmp_path: Path, memory: int | None) -> None:
    place = receiver(tmp_path, PLAIN, memory=memory)
    for outcome in (send(place, FIRST), send_other(place), send(place, SECOND), send_other(place, OTHER_AGAIN)):
        assert outcome.status == 0
    assert stored(tmp_path) == {"x.dcm": SECOND, f"x{MARK}.dcm": OTHER_AGAIN}
    assert send_other(place, OTHER_AGAIN).location == f"{tmp_path}/x{MARK}.dcm"


# Data sets that repeat one UID, which is wrong

WRONG = [FIRST.replace(b"first", b"%5d" % number) for number in range(4)]
"""All say that they are INSTANCE."""


def mark(uid: str, digits: int = 32) -> str:
    return f"~{hashlib.sha256(uid.encode()).hexdigest()[:digits]}"


def send_wrong(place: InstanceReceiver, number: int, data: bytes) -> int:
    return send(place, data, instance=f"1.2.{number}").status


@pytest.mark.parametrize("action", [None, "replace-same", "keep"])
@pytest.mark.parametrize("memory", [None, 100], ids=["in memory", "spooled"])
def test_instances_whose_data_sets_repeat_one_uid(tmp_path: Path, action: Any, memory: int | None) -> None:
    """Their commands tell them apart; each finds its own file when it is sent again."""
    place = receiver(tmp_path, PLAIN, on_duplicate=action, memory=memory)
    files = {"x.dcm": WRONG[1], f"x{mark('1.2.2')}.dcm": WRONG[2], f"x{mark('1.2.3')}.dcm": WRONG[3]}
    for _ in range(2):
        assert [send_wrong(place, number, WRONG[number]) for number in (1, 2, 3)] == [0, 0, 0]
        assert stored(tmp_path) == files


def test_a_changed_one_replaces_what_bears_its_mark_only(tmp_path: Path) -> None:
    place = receiver(tmp_path, PLAIN)
    for number, data in ((1, 1), (2, 2), (2, 3), (1, 0)):
        assert send_wrong(place, number, WRONG[data]) == 0
    first, second = mark("1.2.1"), mark("1.2.2")
    assert stored(tmp_path) == {"x.dcm": WRONG[1], f"x{second}.dcm": WRONG[3], f"x{first}.dcm": WRONG[0]}


def test_a_wrong_uid_under_a_mark_of_another_instance(tmp_path: Path) -> None:
    """Nothing is known of what is there."""
    place = receiver(tmp_path, PLAIN)
    (tmp_path / f"x{mark('1.2.2')}.dcm").write_bytes(b"another's")
    assert [send_wrong(place, number, WRONG[number]) for number in (1, 2)] == [0, 0]
    second = hashlib.sha256(b"1.2.2").hexdigest()[32:]
    assert stored_data(f"{tmp_path}/x~{second}.dcm") == WRONG[2]


@pytest.mark.parametrize(("uid", "files"), [("1.2.3.4.7", 2), ("command", 1)])
def test_what_a_plugin_makes_of_a_wrong_uid(tmp_path: Path, uid: str, files: int) -> None:
    """A UID that is derived from a wrong one is no better; the command's tells instances apart again."""

    def receive(instance: Instance) -> None:
        header = instance.copy_header()
        header.SOPInstanceUID = instance.sop_instance_uid if uid == "command" else uid
        instance.replace_header(header)

    place = receiver(tmp_path, hooks(receive=receive, choose_filename=lambda: "x"))
    assert [send_wrong(place, 1, WRONG[number]) for number in (1, 2)] == [0xB000] * 2
    assert len(stored(tmp_path)) == files


def test_a_uid_that_a_plugin_has_changed_is_the_instance_s(tmp_path: Path) -> None:
    def receive(instance: Instance) -> None:
        header = instance.copy_header()
        header.SOPInstanceUID = "1.2.3.4.7"
        instance.replace_header(header)

    place = receiver(tmp_path, hooks(receive=receive, choose_filename=lambda: "x"))
    assert [send(place, data).status for data in (FIRST, SECOND)] == [0xB000] * 2
    assert list(stored(tmp_path)) == ["x"]


def test_the_name_with_the_mark_may_be_taken_too(tmp_path: Path) -> None:
    place = receiver(tmp_path, hooks(choose_filename=lambda instance: instance.get("StationName", "x.dcm")))
    named = data_set(Node(0x00081010, "SH", f"x{MARK}.dcm".encode()))
    digest = hashlib.sha256(OTHER_INSTANCE.encode()).hexdigest()
    assert [send(place, data).status for data in (named, FIRST)] == [0, 0]
    for data in (OTHER, OTHER_AGAIN):
        assert send_other(place, data).status == 0
        assert stored(tmp_path) == {"x.dcm": FIRST, f"x{MARK}.dcm": named, f"x~{digest[8:16]}.dcm": data}


def test_a_warning_names_sender_instance_and_both_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = receiver(tmp_path, PLAIN)
    send(place, FIRST)
    assert caplog.messages == []
    send_other(place)
    assert caplog.messages == [
        f"SCANNER@192.0.2.7, SOP instance {OTHER_INSTANCE}: {tmp_path}/x.dcm is SOP instance {INSTANCE}, so it is "
        f"{tmp_path}/x{MARK}.dcm"
    ]


def make_link(path: Path) -> None:
    path.symlink_to(path.parent / "nothing")


def make_broken(path: Path) -> None:
    path.write_bytes(bytes(128) + b"DICM\2\0\0\0UL\4\0\xff\xff\xff\xff\2\0\2\0UI\xff\xff1.2.3")


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "directory": Path.mkdir,
    "FIFO": os.mkfifo,
    "dangling link": make_link,
    "another's file": lambda path: path.write_bytes(b"another's"),
    "empty file": Path.touch,
    "broken meta": make_broken,
}


@pytest.mark.parametrize("plant", UNREADABLE.values(), ids=list(UNREADABLE))
@pytest.mark.parametrize("action", [None, *POLICIES])
def test_fault_4_what_is_no_dicom_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, action: Any, plant: Callable[[Path], object]
) -> None:
    """It is not waited for, not followed, and replaced only under "overwrite"."""
    plant(tmp_path / "x.dcm")
    before = os.lstat(tmp_path / "x.dcm")
    outcome = send_other(receiver(tmp_path, PLAIN, on_duplicate=action))
    if action == "overwrite" and not (tmp_path / "x.dcm").is_dir():
        assert (outcome.status, stored_data(outcome.location)) == (0, OTHER)
        return
    expected = {"refuse": 0x0111, "keep": 0xA700, "overwrite": 0xA700}
    assert outcome.status == expected.get(action, 0)
    assert os.path.samestat(os.lstat(tmp_path / "x.dcm"), before)
    assert not os.path.lexists(tmp_path / "nothing")
    if not outcome.status:
        assert outcome.location == f"{tmp_path}/x{'~2' if action == 'rename' else MARK}.dcm"
        assert stored_data(outcome.location) == OTHER
    if action not in ("rename", "overwrite"):
        assert any(OTHER_INSTANCE in text and f"{tmp_path}/x.dcm" in text for text in caplog.messages)


# Keeping


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def cut_before_pixel_data(path: Path, padding: int = 0) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\xe0\x7f\x10\0OW")] + bytes(padding))


def cut_before_patient(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\x10\0\x10\0PN")])


def of_unknown_encoding(path: Path, data: bytes) -> None:
    content = path.read_bytes()
    length = int.from_bytes(content[140:144], "little")
    meta = content[144 : 144 + length].replace(EXPLICIT_LE.encode() + b"\0", f"{UNKNOWN}1234567890123".encode()[:20])
    path.write_bytes(content[:144] + meta + data)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (torn, 0xA700),
        (lambda path: path.write_bytes(b""), 0xA700),
        (cut_before_pixel_data, 0xA700),
        (cut_before_patient, 0xA700),
        (lambda path: cut_before_pixel_data(path, len(PIXELS) + 12), 0xA700),
        (lambda path: of_unknown_encoding(path, FIRST), 0),
        (lambda path: of_unknown_encoding(path, FIRST[:-1]), 0xA700),
        (lambda path: of_unknown_encoding(path, b""), 0xA700),
    ],
    ids=[
        "torn",
        "empty",
        "cut before Pixel Data",
        "cut between elements",
        "zeros from Pixel Data on",
        "unknown encoding",
        "unknown encoding, torn",
        "unknown encoding, no data set",
    ],
)
@pytest.mark.parametrize("memory", [None, 100], ids=["in memory", "spooled"])
def test_fault_4_only_a_whole_file_is_kept(
    tmp_path: Path, change: Callable[[Path], object], status: int, memory: int | None
) -> None:
    """The sender has the whole of what was torn, and sends it again."""
    place = receiver(tmp_path, on_duplicate="keep", memory=memory)
    path = Path(str(send(place, FIRST).location))
    change(path)
    before = path.read_bytes()
    assert send(place, FIRST).status == status
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [FILE]


def test_keeping_says_what_it_drops(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    plugin = hooks(
        stored=lambda outcome: told.append(outcome.how), not_stored=lambda outcome: told.append(outcome.comment)
    )
    place = receiver(tmp_path, plugin, on_duplicate="keep")
    assert not any(send(place, data).dropped for data in (FIRST, FIRST))
    assert "dropping" not in caplog.text
    assert send(place, SECOND) == Outcome(0, location=f"{tmp_path}/{FILE}", dropped=True)
    assert caplog.messages[-1] == (
        f"SCANNER@192.0.2.7, SOP instance {INSTANCE}: another content has this name, dropping this one: "
        f"{tmp_path}/{FILE}"
    )
    assert stored(tmp_path) == {FILE: FIRST}
    assert told == ["new", "kept", "Another content of this instance is kept"]


def test_a_copy_that_is_dropped_is_not_the_instance(tmp_path: Path) -> None:
    told: list[str] = []

    def receive(instance: Instance) -> None:
        instance.save("copy", "keep")

    plugin = hooks(receive=receive, stored=lambda outcome: told.append(outcome.how))
    place = receiver(tmp_path, plugin)
    assert not any(send(place, data).dropped for data in (FIRST, SECOND))
    assert stored(tmp_path) == {FILE: SECOND, "copy": FIRST}
    assert told == ["new", "replaced"]


def test_what_is_dropped_and_then_stored_is_not_dropped(tmp_path: Path) -> None:
    states: list[Any] = []

    def write(instance: Instance, path: str) -> str:
        instance.save(path, "keep")
        return instance.save(path, "overwrite")

    plugin = hooks(write=write, stored=lambda instance: states.append(instance.state.get("dropped")))
    place = receiver(tmp_path, PLAIN, plugin)
    assert not any(send(place, data).dropped for data in (FIRST, SECOND))
    assert stored(tmp_path) == {"x.dcm": SECOND}
    assert states == [None, None]


# Who decides


@pytest.mark.parametrize("action", ["keep", "refuse", "rename"])
def test_what_a_name_says_goes_before_the_option(tmp_path: Path, action: Any) -> None:
    def choose_filename(instance: Any) -> Name:
        return Name(f"x{instance.attempt}", on_exists="retry")

    place = receiver(tmp_path, hooks(choose_filename=choose_filename), on_duplicate=action)
    assert [send(place, data).status for data in (FIRST, SECOND)] == [0, 0]
    assert stored(tmp_path) == {"x0": FIRST, "x1": SECOND}


@pytest.mark.parametrize(
    ("name", "action", "expected"),
    [
        (Name("x"), None, "replace-same"),
        (Name("x"), "keep", "keep"),
        (Name("x", "refuse"), "keep", "refuse"),
        (Name("x", by_default="overwrite"), None, "overwrite"),
        (Name("x", by_default="overwrite"), "keep", "keep"),
        (Name("x", "rename", by_default="overwrite"), "keep", "rename"),
    ],
)
def test_fault_5_write_knows_what_counts(tmp_path: Path, name: Name, action: Any, expected: str) -> None:
    seen: list[str] = []

    def write(instance: Instance, path: str) -> str:
        seen.append(instance.on_exists)
        return instance.save(path)

    plugin = hooks(choose_filename=lambda: name, write=write)
    assert send(receiver(tmp_path, plugin, on_duplicate=action), FIRST).status == 0
    assert seen == [expected]


@pytest.mark.parametrize("action", [None, "overwrite"])
def test_a_path_of_the_plugin_s_own_is_not_dcmrecv_s(tmp_path: Path, action: Any) -> None:
    """What dcmrecv's scheme does of itself is for the name that it has chosen."""
    place = receiver(tmp_path, hooks(write=lambda instance: instance.save("x.dcm")), on_duplicate=action)
    assert [send(place, FIRST).status, send_other(place).status] == [0, 0]
    apart = {"x.dcm": FIRST, f"x{MARK}.dcm": OTHER}
    assert stored(tmp_path) == (apart if action is None else {"x.dcm": OTHER})


def test_fault_2_a_layout_that_does_not_tell_instances_apart(tmp_path: Path) -> None:
    place = receiver(tmp_path, layout="{PatientName}/{Modality}.dcm")
    uids = [f"1.2.3.4.{number}" for number in range(1, 10)]
    data = {uid: FIRST.replace(INSTANCE.encode(), uid.encode()) for uid in uids}
    for _ in range(2):
        assert [send(place, data[uid], instance=uid).status for uid in uids] == [0] * 9
        assert sorted(stored(tmp_path).values()) == sorted(data.values())


# Data sets that a layout cannot read

PATIENTS = {f"1.2.3.{number}": b"\x10\0\x20\0LO\xff\xff" + b"patient %d" % number for number in range(6)}


def test_fault_2_data_sets_that_a_layout_cannot_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = receiver(tmp_path, storage_mode="bit-preserving", layout="{PatientID}/{StudyInstanceUID}/{Modality}.dcm")
    for uid, data in PATIENTS.items():
        caplog.clear()
        assert send(place, data, instance=uid).status == 0
        told = [text for text in caplog.messages if "cannot be read to its end" in text]
        assert len(told) == 1 and told[0].startswith(f"SCANNER@192.0.2.7, SOP instance {uid}: ")
    assert sorted(stored(tmp_path).values()) == sorted(PATIENTS.values())


@pytest.mark.parametrize("names", [{}, {"layout": "{SOPInstanceUID}"}], ids=["+fd", "layout"])
def test_a_plugin_that_leaves_a_wrong_uid_alone(tmp_path: Path, names: dict[str, Any]) -> None:
    """Command and data set name different instances: the names are those without the plugin."""

    def receive(instance: Instance) -> None:
        header = instance.copy_header()
        header.PatientName = "coerced"
        instance.replace_header(header)

    apart = []
    for number, plugins in enumerate(([], [hooks(receive=receive)])):
        place = receiver(tmp_path / str(number), *plugins, **names)
        statuses = [send_wrong(place, instance, WRONG[instance]) for instance in (1, 2)]
        assert statuses == [0xB000 if plugins else 0] * 2
        apart.append(sorted(stored(tmp_path / str(number))))
    assert apart[0] == apart[1]
    assert len(apart[0]) == 2
