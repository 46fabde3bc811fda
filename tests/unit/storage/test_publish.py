"""Files appear whole, durable and under names that were free, or not at all."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import NameTakenError, StorageError
from dcmrecv_core.api.verdicts import OnExists
from dcmrecv_core.storage.existing import Existing, find_existing
from dcmrecv_core.storage.temporary import Capabilities
from support.publishing import (
    HIDDEN,
    Calls,
    Mount,
    content,
    is_directory,
    is_file,
    names,
    publisher,
    spooled,
    store_often,
    stored,
    without_links,
    without_renameat2,
    without_unnamed_files,
)

STEPS = ("writev", "fsync", "link", "rename", "unlink")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


# The order


def test_write_flush_link_flush(tmp_path: Path, calls: Calls) -> None:
    place = publisher(tmp_path)
    place.publish((), "first", "overwrite", content())
    calls.record(*STEPS)
    assert place.publish((), "a", "overwrite", content()) == (f"{tmp_path}/a", "new")
    assert calls.made == ["writev", "fsync", "link", "fsync directory"]
    assert (tmp_path / "a").read_bytes() == stored()


def unnamed(directory: Path) -> list[str]:
    """What this process has open on files without a name in `directory`."""
    links = [os.readlink(entry.path) for entry in os.scandir("/proc/self/fd") if os.path.islink(entry.path)]
    return [link for link in links if link.startswith(f"{directory}/#")]


def test_what_was_prepared_is_used_once(tmp_path: Path, calls: Calls) -> None:
    place = publisher(tmp_path)
    place.open_spare()
    assert unnamed(tmp_path) == []  # its directory is not known yet
    place.publish((), "first", "overwrite", content())
    place.open_spare()
    place.open_spare()
    assert len(unnamed(tmp_path)) == 1
    calls.record("open")
    place.publish((), "second", "overwrite", content())
    assert calls.made == [] and unnamed(tmp_path) == []
    place.publish((), "third", "overwrite", content())
    assert calls.made == ["open"]
    assert [(tmp_path / name).read_bytes() for name in ("first", "second", "third")] == [stored()] * 3


def test_what_was_prepared_elsewhere_is_closed(tmp_path: Path) -> None:
    place = publisher(tmp_path)
    place.publish(("a",), "first", "overwrite", content())
    place.open_spare()
    assert len(unnamed(tmp_path / "a")) == 1
    place.publish(("b",), "second", "overwrite", content())
    assert unnamed(tmp_path / "a") == []
    place.open_spare()
    os.rename(tmp_path / "b", tmp_path / "c")
    place.publish(("b",), "third", "overwrite", content())
    assert (names(tmp_path / "b"), names(tmp_path / "c")) == (["third"], ["second"])
    place.open_spare()
    place.idle()
    assert unnamed(tmp_path / "b") == []
    place.open_spare()
    assert unnamed(tmp_path / "b") == []


def test_what_was_prepared_is_closed_in_the_end(tmp_path: Path) -> None:
    place = publisher(tmp_path)
    place.publish((), "first", "overwrite", content())
    place.open_spare()
    assert len(unnamed(tmp_path)) == 1
    place.close()
    assert unnamed(tmp_path) == []


def test_a_name_that_cannot_be_given_is_not_tried_again(tmp_path: Path, calls: Calls) -> None:
    failures = iter([True])
    calls.fail("link", errno.EIO, lambda *args, **kwargs: next(failures, False))
    with pytest.raises(StorageError, match="Input/output error"):
        publisher(tmp_path).publish((), "a", "overwrite", content())
    assert names(tmp_path) == []


@pytest.mark.parametrize("on_exists", ["rename", "keep"])
def test_what_was_received_into_a_file_is_closed_by_its_owner(tmp_path: Path, on_exists: OnExists) -> None:
    place = publisher(tmp_path)
    received, file = spooled(place, b"new")
    place.publish((), "a", on_exists, received)
    assert os.fstat(file.fd).st_size == len(stored()), "it is open"
    file.close()
    assert (tmp_path / "a").read_bytes() == stored()


def test_nothing_is_said_of_what_cannot_be_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = publisher(tmp_path)
    place.publish((), "first", "overwrite", content())
    with monkeypatch.context() as patch:
        patch.setattr("dcmrecv_core.storage.publish.open_unnamed", failing(errno.ENOSPC))
        place.open_spare()
        with pytest.raises(StorageError, match="No space left"):
            place.publish((), "second", "overwrite", content())
    place.publish((), "second", "overwrite", content())
    assert names(tmp_path) == ["first", "second"]


def failing(code: int) -> Callable[..., int]:
    def fail(*args: object) -> int:
        raise OSError(code, os.strerror(code))

    return fail


def test_overwriting_is_one_rename(tmp_path: Path, calls: Calls) -> None:
    place = publisher(tmp_path)
    place.publish((), "a", "overwrite", content(b"old"))
    calls.record(*STEPS)
    place.publish((), "a", "overwrite", content())
    assert calls.made == ["writev", "fsync", "link", "link", "rename", "fsync directory"]
    assert (tmp_path / "a").read_bytes() == stored()


def test_without_fsync_nothing_is_flushed(tmp_path: Path, calls: Calls) -> None:
    calls.record(*STEPS)
    publisher(tmp_path, fsync=False).publish((), "a", "overwrite", content())
    assert calls.made == ["writev", "link"]


def test_a_spooled_file_is_only_flushed_and_linked(tmp_path: Path, calls: Calls) -> None:
    place = publisher(tmp_path)
    data, file = spooled(place, b"large")
    calls.record(*STEPS)
    place.publish((), "a", "overwrite", data)
    file.close()
    assert calls.made == ["fsync", "link", "fsync directory"]
    assert (tmp_path / "a").read_bytes() == stored(b"large")


def test_a_new_directory_is_flushed_with_its_ancestors_once(tmp_path: Path, calls: Calls) -> None:
    place = publisher(tmp_path)
    calls.record("fsync")
    place.publish(("a", "b"), "x", "overwrite", content())
    assert calls.made == ["fsync", *["fsync directory"] * 3]
    calls.made.clear()
    place.publish(("a", "b"), "y", "overwrite", content())
    assert calls.made == ["fsync", "fsync directory"]


def test_mode_is_that_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        publisher(tmp_path).publish(("d",), "a", "overwrite", content())
        publisher(tmp_path, capabilities=HIDDEN).publish(("d",), "b", "overwrite", content())
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("d", "d/a", "d/b")] == [0o750, 0o640, 0o640]


# Taken names


@pytest.fixture(params=["unnamed", "hidden", "no links"])
def kind(request: pytest.FixtureRequest, calls: Calls) -> Capabilities:
    """What the file system can do."""
    if request.param == "no links":
        without_links(calls)
    return Capabilities() if request.param == "unnamed" else HIDDEN


def test_overwrites_with_a_warning(tmp_path: Path, kind: Capabilities, caplog: pytest.LogCaptureFixture) -> None:
    place = publisher(tmp_path, capabilities=kind)
    place.publish((), "a", "overwrite", content(b"old"))
    assert caplog.messages == []
    with (tmp_path / "a").open("rb") as reader:
        place.publish((), "a", "overwrite", content(), who=lambda: "CT1")
        assert reader.read() == stored(b"old"), "whoever reads the old file keeps it"
    assert caplog.messages == [f"file already exists, overwriting: {tmp_path}/a\n  by CT1"]
    assert (tmp_path / "a").read_bytes() == stored()
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("on_exists", "status"), [("keep", 0xA700), ("retry", 0xA700), ("refuse", 0x0111)], ids=["keep", "retry", "refuse"]
)
@pytest.mark.parametrize("moment", ["before", "meanwhile"])
def test_taken_names(
    tmp_path: Path,
    kind: Capabilities,
    monkeypatch: pytest.MonkeyPatch,
    on_exists: OnExists,
    status: int,
    moment: str,
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    if moment == "meanwhile":  # the name is taken between the first look and the link
        looks: list[str] = []

        def look_too_early(name: str, fd: int) -> Existing | None:
            looks.append(name)
            return None if len(looks) == 1 else find_existing(name, fd)

        monkeypatch.setattr("dcmrecv_core.storage.taken.find_existing", look_too_early)
    place = publisher(tmp_path, capabilities=kind)
    with pytest.raises(StorageError if on_exists == "keep" else NameTakenError) as caught:
        place.publish((), "a", on_exists, content())
    assert caught.value.status == status
    if isinstance(caught.value, NameTakenError):
        assert caught.value.path == f"{tmp_path}/a"
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_spooled_file_may_be_tried_under_another_name(tmp_path: Path, kind: Capabilities) -> None:
    place = publisher(tmp_path, capabilities=kind)
    (tmp_path / "a").write_bytes(b"old")
    data, file = spooled(place, b"large")
    with pytest.raises(NameTakenError):
        place.publish((), "a", "retry", data)
    place.publish((), "b", "retry", data)
    place.publish(("d",), "c", "retry", data)
    file.close()
    assert names(tmp_path) == ["a", "b", "d/c"]
    assert (tmp_path / "b").read_bytes() == (tmp_path / "d/c").read_bytes() == stored(b"large")
    assert not (tmp_path / "b").samefile(tmp_path / "d/c")


@pytest.mark.parametrize("on_exists", ["keep", "overwrite"])
def test_a_name_that_is_too_long(tmp_path: Path, kind: Capabilities, on_exists: OnExists) -> None:
    with pytest.raises(StorageError, match="File name too long"):
        publisher(tmp_path, capabilities=kind).publish((), "a" * 256, on_exists, content())
    assert names(tmp_path) == []


def test_a_name_that_cannot_be_looked_up(tmp_path: Path, calls: Calls) -> None:
    """Then it is not known whether the name is free."""
    place = publisher(tmp_path)
    place.publish((), "a", "overwrite", content(b"old"))
    calls.fail("stat", errno.EIO, lambda path, **more: path == "a")
    with pytest.raises(StorageError, match="Cannot look up file"):
        place.publish((), "a", "keep", content())
    assert (tmp_path / "a").read_bytes() == stored(b"old")


def make_link_out(path: Path) -> None:
    path.symlink_to(path.parent / "outside")


@pytest.mark.parametrize("plant", [os.mkfifo, make_link_out, Path.mkdir], ids=["fifo", "link", "directory"])
def test_planted_names(tmp_path: Path, kind: Capabilities, plant: Callable[[Path], None]) -> None:
    """A FIFO and a link give way to the file, and are not opened; a directory does not."""
    (tmp_path / "outside").write_bytes(b"old")
    plant(tmp_path / "a")
    place = publisher(tmp_path, capabilities=kind)
    if (tmp_path / "a").is_dir():
        with pytest.raises(StorageError):
            place.publish((), "a", "overwrite", content())
    else:
        place.publish((), "a", "overwrite", content())
        assert stat.S_ISREG((tmp_path / "a").lstat().st_mode)
        assert (tmp_path / "a").read_bytes() == stored()
    assert (tmp_path / "outside").read_bytes() == b"old"
    assert set(names(tmp_path)) <= {"a", "outside"}


def test_a_file_system_that_can_only_overwrite(tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    without_links(calls)
    without_renameat2(monkeypatch)
    place = publisher(tmp_path, capabilities=Capabilities(unnamed=False, noclobber=False))
    place.publish((), "a", "overwrite", content(b"old"))
    place.publish((), "a", "overwrite", content())
    assert (tmp_path / "a").read_bytes() == stored()
    with pytest.raises(StorageError):
        place.publish((), "b", "retry", content())
    assert names(tmp_path) == ["a"]


# Faults

CODES = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO)


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("function", ["open", "writev", "link"])
def test_a_fault_leaves_nothing(tmp_path: Path, calls: Calls, function: str, code: int) -> None:
    place = publisher(tmp_path)
    place.publish((), "old", "overwrite", content(b"old"))
    calls.fail(function, code)
    for name in ("a", "old"):
        with pytest.raises(StorageError) as caught:
            place.publish((), name, "overwrite", content())
        assert caught.value.status == 0xA700
        assert len(caught.value.comment) <= 64
        assert isinstance(caught.value.__cause__, OSError) and caught.value.__cause__.errno == code
    assert names(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == stored(b"old")


def test_a_failed_rename_leaves_nothing(tmp_path: Path, calls: Calls, kind: Capabilities) -> None:
    place = publisher(tmp_path, capabilities=kind)
    place.publish((), "a", "overwrite", content(b"old"))
    calls.fail("rename", errno.EIO)
    with pytest.raises(StorageError):
        place.publish((), "a", "overwrite", content())
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == stored(b"old")


def test_a_failed_close_is_no_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What counts is flushed by then; the descriptor is gone all the same."""
    place = publisher(tmp_path)
    original = os.close

    def close_and_fail(fd: int) -> None:
        original(fd)
        raise OSError(errno.EIO, "Input/output error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "close", close_and_fail)
        place.publish((), "a", "overwrite", content())
    assert (tmp_path / "a").read_bytes() == stored()
    assert "cannot close" in caplog.text


@pytest.mark.parametrize("name", ["new", "old"])
def test_a_failed_flush_of_the_file(tmp_path: Path, calls: Calls, name: str) -> None:
    place = publisher(tmp_path)
    place.publish((), "old", "overwrite", content(b"old"))
    calls.fail("fsync", errno.EIO, is_file)
    with pytest.raises(StorageError):
        place.publish((), name, "overwrite", content())
    assert calls.made == ["fsync"]
    assert names(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == stored(b"old")


def test_a_failed_flush_is_never_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount: Mount) -> None:
    """The kernel has dropped what it could not write: whatever is stored of this file later is not to be trusted."""
    place = publisher(tmp_path)
    mount(tmp_path / "other", "-t", "tmpfs", "tmpfs")
    data, file = spooled(place, b"large")
    with monkeypatch.context() as patch:
        Calls(patch).fail("fsync", errno.EIO, is_file)
        with pytest.raises(StorageError):
            place.publish((), "a", "overwrite", data)
    calls = Calls(monkeypatch)
    calls.record("fsync", "link")
    for parts in ((), ("other",)):
        with pytest.raises(StorageError):
            place.publish(parts, "b", "overwrite", data)
    file.close()
    assert calls.made == []
    assert names(tmp_path) == []


def test_a_failed_flush_of_the_directory(tmp_path: Path, calls: Calls) -> None:
    """What is new is taken back; what was overwritten stays, for it is complete and the old one is gone."""
    place = publisher(tmp_path)
    place.publish((), "old", "overwrite", content(b"old"))
    calls.fail("fsync", errno.EIO, is_directory)
    for name in ("new", "old"):
        with pytest.raises(StorageError):
            place.publish((), name, "overwrite", content())
    assert calls.made == ["fsync", "fsync directory"] * 2
    assert names(tmp_path) == ["old"]
    assert (tmp_path / "old").read_bytes() == stored()


def test_a_failed_flush_removes_no_other_file(tmp_path: Path, calls: Calls) -> None:
    """Another process has overwritten what is new, and perhaps its sender has heard of success."""

    def overwritten(fd: int) -> bool:
        if is_file(fd):
            return False
        (tmp_path / "theirs").write_bytes(b"theirs")
        (tmp_path / "theirs").replace(tmp_path / "a")
        return True

    place = publisher(tmp_path)
    calls.fail("fsync", errno.EIO, overwritten)
    with pytest.raises(StorageError):
        place.publish((), "a", "overwrite", content())
    assert (tmp_path / "a").read_bytes() == b"theirs"


def test_a_failed_flush_of_an_ancestor_is_remembered(tmp_path: Path, calls: Calls) -> None:
    place = publisher(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path.stat().st_ino
        Calls(patch).fail("fsync", errno.EIO, lambda fd: os.fstat(fd).st_ino == root)
        with pytest.raises(StorageError):
            place.publish(("d",), "a", "overwrite", content())
    assert names(tmp_path) == []
    calls.record("fsync")
    place.publish(("d",), "a", "overwrite", content())
    assert calls.made == ["fsync", "fsync directory", "fsync directory"]


# Real file systems


def test_a_full_disk(tmp_path: Path, mount: Mount) -> None:
    root = mount(tmp_path / "small", "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    place = publisher(root)
    place.publish((), "a", "overwrite", content(b"old"))
    for name in ("a", "b"):
        with pytest.raises(StorageError, match="No space left"):
            place.publish((), name, "overwrite", content(bytes(100_000)))
    assert names(root) == ["a"]
    assert (root / "a").read_bytes() == stored(b"old")
    place.publish((), "b", "overwrite", content(bytes(10_000)))


def test_no_inodes(tmp_path: Path, mount: Mount) -> None:
    root = mount(tmp_path / "small", "-t", "tmpfs", "-o", "nr_inodes=3", "tmpfs")
    place = publisher(root)
    place.publish((), "a", "overwrite", content())
    place.publish((), "b", "overwrite", content())
    with pytest.raises(StorageError):
        place.publish((), "c", "overwrite", content())
    assert names(root) == ["a", "b"]


def test_read_only_for_a_while(tmp_path: Path, mount: Mount) -> None:
    root = mount(tmp_path / "small", "-t", "tmpfs", "tmpfs")
    place = publisher(root)
    mount(root, "-o", "remount,ro")
    with pytest.raises(StorageError, match="Read-only"):
        place.publish((), "a", "overwrite", content())
    mount(root, "-o", "remount,rw")
    place.publish((), "a", "overwrite", content())
    assert names(root) == ["a"]


@pytest.mark.parametrize("bind", [False, True], ids=["other", "bind"])
def test_a_subdirectory_on_another_file_system(tmp_path: Path, mount: Mount, kind: Capabilities, bind: bool) -> None:
    """Nothing can be linked or renamed into it, even if it is the same file system mounted twice."""
    if bind:
        (tmp_path / "target").mkdir()
        mount(tmp_path / "other", "--bind", tmp_path / "target")
    else:
        mount(tmp_path / "other", "-t", "tmpfs", "tmpfs")
    place = publisher(tmp_path, capabilities=kind)
    for number in range(2):
        data, file = spooled(place, b"large %d" % number)
        place.publish(("other",), "a", "overwrite", data)
        file.close()
        assert (tmp_path / "other/a").read_bytes() == stored(b"large %d" % number)
        place.publish(("other", "below"), "b", "overwrite", content(b"%d" % number))
        assert (tmp_path / "other/below/b").read_bytes() == stored(b"%d" % number)
    assert names(tmp_path / "other") == ["a", "below/b"]


def test_without_unnamed_files(tmp_path: Path, calls: Calls) -> None:
    """A subdirectory's file system may lack what the output directory's has."""
    without_unnamed_files(calls)
    place = publisher(tmp_path)
    data, file = spooled(place, b"large")
    assert len(names(tmp_path / ".dcmrecv" / "tmp")) == 1
    place.publish((), "a", "overwrite", data)
    file.close()
    place.publish((), "b", "overwrite", content())
    assert names(tmp_path) == ["a", "b"]


def test_a_discarded_hidden_file_is_gone(tmp_path: Path) -> None:
    file = publisher(tmp_path, capabilities=HIDDEN).open_spool()
    assert len(names(tmp_path)) == 1
    file.close()
    assert names(tmp_path) == []


# Something moves meanwhile


def test_the_output_directory_comes_back(tmp_path: Path) -> None:
    root = tmp_path / "out"
    place = publisher(root)
    place.publish(("d",), "a", "overwrite", content())
    root.rename(tmp_path / "moved")
    place.publish(("d",), "b", "overwrite", content())
    assert names(tmp_path) == ["moved/d/a", "out/d/b"]


@pytest.mark.parametrize("by", ["us", "somebody"])
def test_an_output_directory_that_is_new_is_flushed_itself(tmp_path: Path, calls: Calls, by: str) -> None:
    """Whoever made it again, its name is in a directory above, up to the root of the file system; once is enough."""
    root = tmp_path / "out"
    place = publisher(root)
    place.publish((), "a", "overwrite", content())
    root.rename(tmp_path / "moved")
    if by == "somebody":
        root.mkdir()
    flushed: set[int] = set()
    calls.fail("fsync", errno.EIO, lambda fd: bool(flushed.add(os.fstat(fd).st_ino)))
    place.publish((), "b", "overwrite", content())
    assert {root.stat().st_ino, tmp_path.stat().st_ino, tmp_path.parent.stat().st_ino} <= flushed
    flushed.clear()
    place.publish(("d",), "c", "overwrite", content())
    assert tmp_path.stat().st_ino not in flushed


def test_what_is_above_the_output_directory_may_be_closed_to_us(tmp_path: Path, calls: Calls) -> None:
    calls.fail("open", errno.EACCES, lambda path, *rest, **more: path == "..")
    publisher(tmp_path / "out").publish((), "a", "overwrite", content())
    assert names(tmp_path) == ["out/a"]


@pytest.mark.parametrize("capabilities", [Capabilities(), HIDDEN], ids=["unnamed", "hidden"])
def test_hidden_files_have_lost_their_directory(tmp_path: Path, capabilities: Capabilities) -> None:
    """It is made again, and no open directory is mistaken for another meanwhile."""
    place = publisher(tmp_path, capabilities=capabilities)
    place.publish(("d",), "a", "overwrite", content(b"old"))
    place.publish(("d",), "a", "overwrite", content(b"older"))
    (tmp_path / ".dcmrecv" / "tmp").rename(tmp_path / "moved")
    place.publish(("d",), "a", "overwrite", content())
    assert (tmp_path / "d" / "a").read_bytes() == stored()
    assert names(tmp_path) == ["d/a"]


def test_a_directory_moves_while_a_file_is_spooled(tmp_path: Path) -> None:
    place = publisher(tmp_path, capabilities=HIDDEN)
    place.publish(("d",), "a", "overwrite", content())
    data, file = spooled(place, b"large")
    (tmp_path / "d").rename(tmp_path / "moved")
    place.publish(("d",), "b", "overwrite", data)
    file.close()
    assert names(tmp_path) == ["d/b", "moved/a"]


# Several processes


@pytest.mark.parametrize("on_exists", ["overwrite", "retry"])
def test_several_processes_store_one_name(tmp_path: Path, on_exists: OnExists) -> None:
    context = multiprocessing.get_context("spawn")
    start, failures = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=store_often, args=(str(tmp_path), letter, on_exists, start, failures))
        for letter in (b"a", b"b", b"c", b"d")
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert failures.empty()
    assert names(tmp_path) == sorted(f"a{number}" for number in range(50))
    for path in tmp_path.glob("a*"):
        data = path.read_bytes()
        assert data == data[:1] * 5000
