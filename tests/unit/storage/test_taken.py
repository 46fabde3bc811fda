"""Names that change hands at the worst moment, and disks that fail there: nothing that was stored is lost."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.storage import handed_over, taken, temporary
from dcmrecv_core.storage.content import FileContent
from dcmrecv_core.storage.file_meta import file_prefix
from dcmrecv_core.storage.handed_over import OLD, HandedOver
from dcmrecv_core.storage.hidden import HiddenFiles
from dcmrecv_core.storage.publish import Publisher
from dcmrecv_core.storage.temporary import Capabilities
from support.data.datasets import instance_of
from support.publishing import HIDDEN, Calls, is_directory, names, publisher, without_links, without_renameat2
from support.uids import CT, EXPLICIT_LE

OURS, OTHER, THIRD = "1.2.3", "1.2.4", "1.2.5"


def instance(uid: str, data: bytes = b"data") -> FileContent:
    return FileContent(file_prefix("1.2", uid, EXPLICIT_LE), (data,))


def whole(uid: str, data: bytes = b"data") -> bytes:
    return file_prefix("1.2", uid, EXPLICIT_LE) + data


def marked(uid: str, start: int = 0) -> str:
    return f"a~{hashlib.sha256(uid.encode()).hexdigest()[start : start + 8]}.dcm"


def store(place: Publisher, uid: str, data: bytes = b"data") -> tuple[str, str]:
    path, how = place.publish((), "a.dcm", "replace-same", instance(uid, data), who=lambda: f"SENDER {uid}")
    return os.path.basename(path), how


def files(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in names(root)}


@pytest.fixture(params=["unnamed", "hidden", "no links"])
def kind(request: pytest.FixtureRequest, calls: Calls) -> Capabilities:
    """What the file system can do."""
    if request.param == "no links":
        without_links(calls)
    return Capabilities() if request.param == "unnamed" else HIDDEN


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


Exchange = Callable[[int, str, int, str], None]


@pytest.fixture
def before_exchange(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`before_exchange(first, second ...)`: each is called right before an exchange, one after the other."""
    original: Exchange = temporary.rename_exchange

    def plant(*actions: Callable[[], object]) -> None:
        left = list(actions)

        def exchange(source_fd: int, source: str, target_fd: int, target: str) -> None:
            if left:
                left.pop(0)()
            original(source_fd, source, target_fd, target)

        monkeypatch.setattr(temporary, "rename_exchange", exchange)
        monkeypatch.setattr(taken, "rename_exchange", exchange)

    return plant


def without_exchange(monkeypatch: pytest.MonkeyPatch, code: int = errno.EINVAL) -> None:
    def refuse(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(temporary, "rename_exchange", refuse)


# The ordinary cases


def test_the_order_of_a_new_name(tmp_path: Path, calls: Calls) -> None:
    """As for a name that is overwritten without a look: nothing is asked before."""
    place = publisher(tmp_path)
    place.publish((), "first", "replace-same", instance(OTHER))
    calls.record("lstat", "open", "pread", "writev", "fsync", "link", "rename", "unlink")
    assert store(place, OURS) == ("a.dcm", "new")
    assert calls.made == ["open", "writev", "fsync", "link", "fsync directory"]


def test_replaced_and_kept_apart(tmp_path: Path, kind: Capabilities) -> None:
    place = publisher(tmp_path, capabilities=kind)
    assert store(place, OURS) == ("a.dcm", "new")
    assert store(place, OTHER) == (marked(OTHER), "new")
    with (tmp_path / "a.dcm").open("rb") as reader:
        assert store(place, OURS, b"new") == ("a.dcm", "replaced")
        assert reader.read() == whole(OURS), "a reader of the old file keeps it"
    assert store(place, OTHER, b"new") == (marked(OTHER), "replaced")
    assert store(place, OTHER, b"new") == (marked(OTHER), "kept")
    assert files(tmp_path) == {"a.dcm": whole(OURS, b"new"), marked(OTHER): whole(OTHER, b"new")}


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EPERM])
def test_without_an_exchange(tmp_path: Path, kind: Capabilities, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    without_exchange(monkeypatch, code)
    place = publisher(tmp_path, capabilities=kind)
    assert [store(place, uid, data)[1] for uid in (OURS, OTHER) for data in (b"1", b"2")] == ["new", "replaced"] * 2
    assert files(tmp_path) == {"a.dcm": whole(OURS, b"2"), marked(OTHER): whole(OTHER, b"2")}


def test_a_file_system_that_can_only_overwrite(tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    without_links(calls)
    without_renameat2(monkeypatch)
    without_exchange(monkeypatch)
    place = publisher(tmp_path, capabilities=Capabilities(unnamed=False, noclobber=False))
    assert [store(place, uid, data)[0] for uid in (OURS, OTHER) for data in (b"1", b"2")] == [
        *["a.dcm"] * 2,
        *[marked(OTHER)] * 2,
    ]
    assert files(tmp_path) == {"a.dcm": whole(OURS, b"2"), marked(OTHER): whole(OTHER, b"2")}


def test_a_uid_is_compared_without_its_padding_only(tmp_path: Path) -> None:
    place = publisher(tmp_path)
    (tmp_path / "a.dcm").write_bytes(whole("1.2.3 "))
    assert store(place, "1.2.3", b"new") == ("a.dcm", "replaced")
    (tmp_path / "a.dcm").write_bytes(whole(" 1.2.3"))
    assert store(place, "1.2.3", b"new") == (marked("1.2.3"), "new")


def test_all_marks_are_taken(tmp_path: Path) -> None:
    place = publisher(tmp_path)
    for name in ("a.dcm", *(marked(OURS, start) for start in range(0, 64, 8))):
        (tmp_path / name).write_bytes(whole(OTHER))
    with pytest.raises(StorageError, match="No free file name found"):
        store(place, OURS)
    assert set(files(tmp_path).values()) == {whole(OTHER)}


# Others move files meanwhile


def test_fault_2_another_instance_came_under_the_name(
    tmp_path: Path, before_exchange: Callable[..., None], caplog: pytest.LogCaptureFixture, kind: Capabilities
) -> None:
    """Between our look and the exchange: it is handed over, and gets a name of its own."""
    place = publisher(tmp_path, capabilities=kind)
    store(place, OURS)
    (tmp_path / "theirs").write_bytes(whole(OTHER))
    before_exchange(lambda: os.replace(tmp_path / "theirs", tmp_path / "a.dcm"))
    assert store(place, OURS, b"new") == ("a.dcm", "replaced")
    assert files(tmp_path) == {"a.dcm": whole(OURS, b"new"), marked(OTHER): whole(OTHER)}
    assert caplog.messages[-1] == (
        f"SENDER {OURS}: {tmp_path}/a.dcm is SOP instance {OTHER} meanwhile, which is {tmp_path}/{marked(OTHER)} now"
    )


def test_its_own_names_are_taken_too(tmp_path: Path, before_exchange: Callable[..., None]) -> None:
    place = publisher(tmp_path)
    store(place, OURS)
    (tmp_path / marked(OTHER)).write_bytes(whole(THIRD))
    (tmp_path / marked(OTHER, 8)).write_bytes(whole(OTHER, b"older or newer: unknown"))
    (tmp_path / "theirs").write_bytes(whole(OTHER))
    before = files(tmp_path)
    before_exchange(lambda: os.replace(tmp_path / "theirs", tmp_path / "a.dcm"))
    store(place, OURS, b"new")
    del before["theirs"]
    assert files(tmp_path) == {**before, "a.dcm": whole(OURS, b"new"), marked(OTHER, 16): whole(OTHER)}


@pytest.mark.parametrize("what", ["file", "directory", "FIFO"])
def test_something_unreadable_came_under_the_name(
    tmp_path: Path, before_exchange: Callable[..., None], what: str
) -> None:
    def plant() -> None:
        (tmp_path / "a.dcm").unlink()
        if what == "directory":
            (tmp_path / "a.dcm").mkdir()
            (tmp_path / "a.dcm" / "inside").write_bytes(b"theirs")
        elif what == "FIFO":
            os.mkfifo(tmp_path / "a.dcm")
        else:
            (tmp_path / "a.dcm").write_bytes(b"theirs")

    place = publisher(tmp_path)
    store(place, OURS)
    before_exchange(plant)
    assert store(place, OURS, b"new") == ("a.dcm", "replaced")
    assert (tmp_path / "a.dcm").read_bytes() == whole(OURS, b"new")
    [other] = [path for path in tmp_path.iterdir() if path.name.startswith("a~")]
    if what != "FIFO":
        assert (other / "inside" if what == "directory" else other).read_bytes() == b"theirs"
    assert os.listdir(tmp_path / ".dcmrecv/tmp") == []


def test_the_same_instance_came_under_the_name(tmp_path: Path, before_exchange: Callable[..., None]) -> None:
    """Another worker was faster: the last one counts."""
    place, second = publisher(tmp_path), publisher(tmp_path)
    store(place, OURS)
    store(second, OURS, b"sweeps once what is hidden and seems to be left by this process")
    before_exchange(lambda: store(second, OURS, b"second"))
    assert store(place, OURS, b"new") == ("a.dcm", "replaced")
    assert files(tmp_path) == {"a.dcm": whole(OURS, b"new")}


def test_the_name_became_free(tmp_path: Path, before_exchange: Callable[..., None], kind: Capabilities) -> None:
    place = publisher(tmp_path, capabilities=kind)
    store(place, OURS)
    before_exchange(lambda: os.rename(tmp_path / "a.dcm", tmp_path / "moved"))
    assert store(place, OURS, b"new") == ("a.dcm", "new")
    assert files(tmp_path) == {"a.dcm": whole(OURS, b"new"), "moved": whole(OURS)}


def test_a_name_that_never_rests(tmp_path: Path, before_exchange: Callable[..., None]) -> None:
    place = publisher(tmp_path)
    store(place, OURS)
    shutil.copy(tmp_path / "a.dcm", tmp_path / "copy")
    find_existing = taken.find_existing

    def put_back(name: str, directory_fd: int | None = None) -> object:
        if name == "a.dcm":
            shutil.copy(tmp_path / "copy", tmp_path / "a.dcm")
        return find_existing(name, directory_fd)

    before_exchange(*[lambda: os.unlink(tmp_path / "a.dcm")] * 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taken, "find_existing", put_back)
        with pytest.raises(StorageError, match="keep changing"):
            store(place, OURS, b"new")
    assert files(tmp_path) == {"copy": whole(OURS)}


# Faults


def test_killed_between_exchange_and_unlink(tmp_path: Path, calls: Calls) -> None:
    """The predecessor is left under a hidden name, which the next start sweeps."""
    place = publisher(tmp_path)
    store(place, OURS)
    calls.fail("unlink", errno.EIO)
    assert store(place, OURS, b"new") == ("a.dcm", "replaced")
    [hidden] = [path for path in (tmp_path / ".dcmrecv/tmp").iterdir() if path.name.endswith(OLD)]
    assert (tmp_path / "a.dcm").read_bytes() == whole(OURS, b"new")
    assert hidden.read_bytes() == whole(OURS)


def test_what_was_killed_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = publisher(tmp_path)
    old, new = (instance_of(CT, OURS, series_date=date) for date in (b"20200102", b"20200103"))
    store(place, OURS, old)
    with monkeypatch.context() as patch:
        patch.setattr(HandedOver, "remove", lambda handed_over: None)
        store(place, OURS, new)
    [hidden] = [path for path in (tmp_path / ".dcmrecv/tmp").iterdir() if path.name.endswith(OLD)]
    os.utime(hidden, times=(0, 0))
    HiddenFiles(None, place.directories).place(place.directories.get((".dcmrecv", "tmp")))
    assert files(tmp_path) == {"a.dcm": whole(OURS, new)}


def test_a_failed_flush_of_the_directory_after_an_exchange(tmp_path: Path, calls: Calls) -> None:
    """What has the name is new and complete; the sender is to send it again."""
    place = publisher(tmp_path)
    store(place, OURS)
    calls.fail("fsync", errno.EIO, is_directory)
    with pytest.raises(StorageError):
        store(place, OURS, b"new")
    assert files(tmp_path) == {"a.dcm": whole(OURS, b"new")}


def test_a_failed_flush_of_the_directory_after_a_new_name(tmp_path: Path, calls: Calls) -> None:
    place = publisher(tmp_path)
    store(place, OURS)
    calls.fail("fsync", errno.EIO, is_directory)
    with pytest.raises(StorageError):
        store(place, OTHER)
    assert files(tmp_path) == {"a.dcm": whole(OURS)}


@pytest.mark.parametrize("function", ["open", "writev", "fsync", "link", "stat"])
@pytest.mark.parametrize("uid", [OURS, OTHER])
def test_a_fault_before_anything_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, uid: str
) -> None:
    place = publisher(tmp_path)
    store(place, OURS)
    with monkeypatch.context() as patch, pytest.raises(StorageError) as caught:
        Calls(patch).fail(function, errno.EIO)
        store(place, uid, b"new")
    assert caught.value.status == 0xA700
    assert files(tmp_path) == {"a.dcm": whole(OURS)}
    assert store(place, uid, b"new")[1] in ("new", "replaced")


def test_a_failed_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Capabilities) -> None:
    place = publisher(tmp_path, capabilities=kind)
    store(place, OURS)
    with monkeypatch.context() as patch, pytest.raises(StorageError):
        without_exchange(patch, errno.EIO)
        store(place, OURS, b"new")
    assert files(tmp_path) == {"a.dcm": whole(OURS)}
    assert store(place, OURS, b"new") == ("a.dcm", "replaced")


def test_what_is_there_cannot_be_read(tmp_path: Path, calls: Calls) -> None:
    """It is kept, whatever it is."""
    place = publisher(tmp_path)
    store(place, OURS)
    calls.fail("pread", errno.EIO)
    assert store(place, OURS, b"new") == (marked(OURS), "new")
    assert files(tmp_path) == {"a.dcm": whole(OURS), marked(OURS): whole(OURS, b"new")}


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO])
def test_what_is_there_cannot_be_opened_now(tmp_path: Path, calls: Calls, code: int) -> None:
    """Then its owner is not known, and the sender may ask again in a moment."""
    place = publisher(tmp_path)
    store(place, OURS)
    calls.fail("open", code, lambda path, *rest, **more: path == "a.dcm")
    with pytest.raises(StorageError):
        store(place, OURS, b"new")
    assert files(tmp_path) == {"a.dcm": whole(OURS)}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_what_was_handed_over_cannot_get_another_name(
    tmp_path: Path, before_exchange: Callable[..., None], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """It gets its own again, and our sender hears that we have not stored."""

    def refuse(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    place = publisher(tmp_path)
    store(place, OURS)
    (tmp_path / "theirs").write_bytes(whole(OTHER))
    before_exchange(lambda: os.replace(tmp_path / "theirs", tmp_path / "a.dcm"))
    with monkeypatch.context() as patch, pytest.raises(StorageError):
        patch.setattr(handed_over, "rename_noreplace", refuse)
        store(place, OURS, b"new")
    assert files(tmp_path) == {"a.dcm": whole(OTHER)}
    assert store(place, OURS, b"new") == (marked(OURS), "new")


def test_what_was_handed_over_can_go_nowhere(
    tmp_path: Path,
    before_exchange: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two faults in a race: the log says where it is."""

    def refuse(*args: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    place = publisher(tmp_path)
    store(place, OURS)
    (tmp_path / "theirs").write_bytes(whole(OTHER))
    before_exchange(lambda: os.replace(tmp_path / "theirs", tmp_path / "a.dcm"))
    monkeypatch.setattr(handed_over, "rename_noreplace", refuse)
    monkeypatch.setattr(taken, "rename_exchange", refuse)
    with pytest.raises(StorageError):
        store(place, OURS, b"new")
    [hidden] = [path for path in (tmp_path / ".dcmrecv/tmp").iterdir() if path.name.endswith(OLD)]
    assert hidden.read_bytes() == whole(OTHER)
    assert f"SENDER {OURS}: the file that was named a.dcm is now {hidden}" in caplog.text


# Keeping


def test_what_is_kept_is_flushed_and_its_name(tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "a.dcm").write_bytes(whole(OURS))
    calls.record("fsync")
    place = publisher(tmp_path)
    assert place.publish((), "a.dcm", "keep", instance(OURS)) == (f"{tmp_path}/a.dcm", "kept")
    assert calls.made == ["fsync", "fsync directory"]
    assert publisher(tmp_path, fsync=False).publish((), "a.dcm", "keep", instance(OURS)) == (
        f"{tmp_path}/a.dcm",
        "kept",
    )
    assert calls.made == ["fsync", "fsync directory"]


def test_what_is_kept_has_its_name_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that removes old files moves it away while it is compared and flushed."""
    (tmp_path / "a.dcm").write_bytes(whole(OURS))
    flush = os.fsync

    def moved_meanwhile(fd: int) -> None:
        flush(fd)
        if (tmp_path / "a.dcm").exists() and not (tmp_path / "aside").exists():
            (tmp_path / "a.dcm").rename(tmp_path / "aside")

    monkeypatch.setattr(os, "fsync", moved_meanwhile)
    assert publisher(tmp_path).publish((), "a.dcm", "keep", instance(OURS)) == (f"{tmp_path}/a.dcm", "new")
    assert files(tmp_path) == {"a.dcm": whole(OURS), "aside": whole(OURS)}


@pytest.mark.parametrize("fails", [is_directory, lambda fd: not is_directory(fd)], ids=["directory", "file"])
def test_what_is_kept_cannot_be_flushed(tmp_path: Path, calls: Calls, fails: Callable[[int], bool]) -> None:
    (tmp_path / "a.dcm").write_bytes(whole(OURS))
    calls.fail("fsync", errno.EIO, fails)
    with pytest.raises(StorageError):
        publisher(tmp_path).publish((), "a.dcm", "keep", instance(OURS))
    assert files(tmp_path) == {"a.dcm": whole(OURS)}


def test_what_is_to_be_kept_cannot_be_read_to_its_end(tmp_path: Path, calls: Calls) -> None:
    (tmp_path / "a.dcm").write_bytes(whole(OURS))
    calls.fail("pread", errno.EIO, lambda fd, size, offset: offset > 0)
    with pytest.raises(StorageError):
        publisher(tmp_path).publish((), "a.dcm", "keep", instance(OURS, b"new"))
    assert files(tmp_path) == {"a.dcm": whole(OURS)}
