"""Directories below the output directory: made on demand, kept open, never left for a foreign place."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import HookFailure, OutputDirectoryError, StorageError
from dcmrecv_core.storage import directories as module
from dcmrecv_core.storage.directories import Directories, check_output_directory, split_path
from support.publishing import Calls

OTHER_USER = 65534


def same(fd: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(fd), path.stat())


def test_an_output_directory_that_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert check_output_directory(str(tmp_path), "out") == f"{tmp_path}/out"
    assert os.path.samefile(check_output_directory(str(tmp_path), None), tmp_path)


@pytest.mark.parametrize(
    ("given", "wrong", "place"),
    [
        ("absent", "does not exist", "{start}/absent"),
        ("./a/../absent", "does not exist", "{start}/absent"),
        ("/absent", "does not exist", None),
        ("file", "does not exist", "{start}/file: it is a file, not a directory"),
        ("/dev/null", "does not exist", "/dev/null: it is a file, not a directory"),
        ("file/", "does not exist", "{start}/file: Not a directory"),
        ("file/out", "does not exist", "{start}/file/out: Not a directory"),
        ("unreadable", "does not exist", "{start}/unreadable: it is there, but user {user} may not read it"),
        ("read-only", "is not writable", "{start}/read-only: user {user} may not write in it"),
        ("/sys", "is not writable", "/sys: its file system is mounted read-only"),
    ],
)
def test_fault_24_an_output_directory_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, wrong: str, place: str | None
) -> None:
    (tmp_path / "file").touch()
    for name in ("a", "unreadable", "read-only"):
        (tmp_path / name).mkdir()

    def access(path: str, mode: int) -> bool:  # root may do everything
        return not (("unreadable" in path and mode & os.R_OK) or mode & os.W_OK)

    class Mounted:
        f_flag = os.ST_RDONLY if given.startswith("/sys") else 0

    monkeypatch.setattr(module.os, "access", access)
    monkeypatch.setattr(module.os, "statvfs", lambda path: Mounted)
    with pytest.raises(OutputDirectoryError) as caught:
        check_output_directory(str(tmp_path), given)
    expected = [f"cannot specify output directory: Directory {wrong}"]
    if place:
        expected.append("  at " + place.format(start=tmp_path, user=os.geteuid()))
    assert str(caught.value).splitlines() == expected


def test_missing_directories_are_made(tmp_path: Path) -> None:
    root = tmp_path / "out" / "put"
    directory = Directories(str(root)).get(("a", "b"))
    assert same(directory.fd, root / "a" / "b")
    assert directory.path == f"{root}/a/b"
    assert not directory.on_other_mount


def test_mode_is_that_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        Directories(str(tmp_path)).get(("a",))
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o700), (0o002, 0o770), (0o007, 0o770), (0o000, 0o777)])
def test_who_cannot_write_hidden_files_cannot_read_them(tmp_path: Path, umask: int, mode: int) -> None:
    """A plugin may take out of an instance who the patient is; the hidden file of a large one still has it."""
    before = os.umask(umask)
    try:
        Directories(str(tmp_path)).get(module.TEMPORARY_PARTS)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / ".dcmrecv" / "tmp").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / ".dcmrecv").stat().st_mode) == 0o777 & ~umask


def test_an_open_directory_is_used_again(tmp_path: Path) -> None:
    directories = Directories(str(tmp_path))
    assert directories.get(("a",)) is directories.get(("a",))


def test_few_descriptors_for_many_directories(tmp_path: Path) -> None:
    directories = Directories(str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    for number in range(100):
        directories.get((f"{number}", "below"))
    assert len(os.listdir("/proc/self/fd")) - before < 80
    del directories
    assert len(os.listdir("/proc/self/fd")) == before


def test_who_holds_a_directory_keeps_it(tmp_path: Path) -> None:
    """Its descriptor must not become another directory's while somebody is about to link into it."""
    directories = Directories(str(tmp_path))
    held = directories.get(("a",))
    for number in range(100):
        directories.get((f"{number}",))
    (tmp_path / "99").rmdir()
    directories.get(("99",))
    assert same(held.fd, tmp_path / "a")


@pytest.mark.parametrize("gone", ["a/b", "a", "."])
def test_what_was_removed_is_made_again(tmp_path: Path, gone: str) -> None:
    root = tmp_path / "out"
    directories = Directories(str(root))
    directories.get(("a", "b"))
    (root / gone).rename(tmp_path / "moved")
    assert same(directories.get(("a", "b")).fd, root / "a" / "b")


def test_a_removed_directory_does_not_hold_others_back(tmp_path: Path) -> None:
    directories = Directories(str(tmp_path))
    directories.get(("a", "b"))
    (tmp_path / "a" / "b").rmdir()
    (tmp_path / "a").rmdir()
    assert same(directories.get(("a", "c")).fd, tmp_path / "a" / "c")


@pytest.mark.parametrize("owner", [0, OTHER_USER], ids=["root", "foreign"])
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_links_are_followed_if_ours(tmp_path: Path, owner: int, relative: bool) -> None:
    root, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (root / "a").symlink_to("../elsewhere" if relative else elsewhere)
    os.lchown(root / "a", owner, -1)
    directories = Directories(str(root))
    if owner == OTHER_USER:
        with pytest.raises(HookFailure, match="foreign link") as caught:
            directories.get(("a", "b"))
        assert caught.value.status == 0x0110
        assert list(elsewhere.iterdir()) == []
    else:
        assert same(directories.get(("a", "b")).fd, elsewhere / "b")


def test_a_link_planted_between_mkdir_and_open_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, elsewhere, make = tmp_path / "out", tmp_path / "elsewhere", os.mkdir
    root.mkdir()
    elsewhere.mkdir()
    directories = Directories(str(root))
    directories.get(())

    def make_and_plant(name: str, mode: int, *, dir_fd: int) -> None:
        make(name, mode, dir_fd=dir_fd)
        (root / name).rmdir()
        (root / name).symlink_to(elsewhere)
        os.lchown(root / name, OTHER_USER, -1)

    monkeypatch.setattr(os, "mkdir", make_and_plant)
    with pytest.raises(StorageError):
        directories.get(("a", "b"))
    assert list(elsewhere.iterdir()) == []


def test_a_link_planted_later_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "out"
    directories = Directories(str(root))
    directories.get(("a",))
    (root / "a").rmdir()
    (root / "a").symlink_to("/tmp")
    os.lchown(root / "a", OTHER_USER, -1)
    with pytest.raises(HookFailure):
        directories.get(("a",))


def test_a_link_to_where_it_was_moved_is_not_followed(tmp_path: Path) -> None:
    """It is the directory that is open, but who leads to it now is a stranger."""
    root = tmp_path / "out"
    directories = Directories(str(root))
    directories.get(("a", "b"))
    (root / "a").rename(tmp_path / "moved")
    (root / "a").symlink_to(tmp_path / "moved")
    os.lchown(root / "a", OTHER_USER, -1)
    with pytest.raises(HookFailure):
        directories.get(("a", "b"))
    with pytest.raises(HookFailure):
        directories.get(("a",))


def test_a_link_of_ours_is_followed_once_until_it_changes(tmp_path: Path) -> None:
    root = tmp_path / "out"
    for place in (root, tmp_path / "one", tmp_path / "other"):
        place.mkdir()
    (root / "a").symlink_to(tmp_path / "one")
    directories = Directories(str(root))
    directory = directories.get(("a",))
    assert directories.get(("a",)) is directory
    (root / "a").unlink()
    (root / "a").symlink_to(tmp_path / "other")
    assert same(directories.get(("a",)).fd, tmp_path / "other")
    (tmp_path / "other").rename(tmp_path / "was")
    (tmp_path / "other").mkdir()
    assert same(directories.get(("a",)).fd, tmp_path / "other")


NON_ROOT = """
import os, sys
from dcmrecv_core.api.errors import StatusError
from dcmrecv_core.storage.directories import Directories
os.setgid(65534); os.setuid(65534)
directories = Directories(sys.argv[1])
for name in ("own", "roots", "foreign", "closed"):
    try:
        directories.get((name,))
        print(name, "followed")
    except StatusError as error:
        print(name, f"{error.status:04X}")
"""


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that other users can enter; pytest keeps its own closed."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        yield Path(path)


def test_as_another_user(open_to_all: Path) -> None:
    """Links of root and of our own user are followed; a directory without permission is out of resources."""
    target = open_to_all / "target"
    target.mkdir()
    for name, owner in (("own", OTHER_USER), ("roots", 0), ("foreign", 1)):
        (open_to_all / name).symlink_to(target)
        os.lchown(open_to_all / name, owner, -1)
    (open_to_all / "closed").mkdir(mode=0o700)
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", NON_ROOT, open_to_all],
        env={"PYTHONPATH": paths, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stdout.split() == ["own", "followed", "roots", "followed", "foreign", "0110", "closed", "A700"], done


@pytest.mark.parametrize("plant", [Path.touch, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_directory(tmp_path: Path, plant: object) -> None:
    assert callable(plant)
    plant(tmp_path / "a")
    with pytest.raises(StorageError):
        Directories(str(tmp_path)).get(("a", "b"))


@pytest.mark.parametrize("function", ["mkdir", "open"])
@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.EMFILE], ids=errno.errorcode.get)
def test_faults_are_out_of_resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, code: int) -> None:
    directories = Directories(str(tmp_path))
    directories.get(())
    with monkeypatch.context() as patch:
        Calls(patch).fail(function, code)
        with pytest.raises(StorageError) as caught:
            directories.get(("a",))
        assert caught.value.status == 0xA700
    directories.get(("a",))


def test_two_processes_make_one_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directories = Directories(str(tmp_path))
    directories.get(())
    make = os.mkdir

    def make_first(name: str, mode: int, *, dir_fd: int) -> None:
        make(name, mode, dir_fd=dir_fd)
        make(name, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", make_first)
    assert same(directories.get(("a",)).fd, tmp_path / "a")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("x", ((), "x")),
        ("a//b/x", (("a", "b"), "x")),
        ("out/a/x", (("a",), "x")),
        ("./out/x", (("out",), "x")),
        ("a*/b~0123abcd", (("a*",), "b~0123abcd")),
    ],
)
def test_paths_inside(path: str, place: tuple[tuple[str, ...], str]) -> None:
    assert split_path(path, "out") == place


def test_absolute_paths_inside() -> None:
    assert split_path("/data/out/a/x", "/data/out") == (("a",), "x")


@pytest.mark.parametrize(
    "path", ["", "a/", "..", "../x", "a/../x", "/x", "/etc/x", "/data/out2/x", "/data/out/../x", "a\0"]
)
def test_paths_that_lead_elsewhere(path: str) -> None:
    with pytest.raises(HookFailure):
        split_path(path, "/data/out")


def test_a_relative_root_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    directories = Directories("out", str(tmp_path))
    monkeypatch.chdir(tmp_path / "elsewhere")
    first = directories.get(("a",))
    assert directories.get(("a",)) is first
    assert first.path == "out/a"
    assert os.path.samestat(os.fstat(first.fd), os.stat(tmp_path / "out" / "a"))
