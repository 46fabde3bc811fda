"""A file gets the name that it is to have, or it is said that it did not; what the file system can do is found out."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.storage.directories import Directories, Directory
from dcmrecv_core.storage.hidden import HiddenFiles, Tokens
from dcmrecv_core.storage.system_calls import rename_noreplace
from dcmrecv_core.storage.temporary import PROBE_NAME, Capabilities, Temporary, open_hidden
from support.publishing import HIDDEN, Calls, names, publisher, spooled, without_links, without_renameat2

OLD_STYLE = ".dcmrecv-host-01234567-4711-0.tmp"


def hidden_in(root: Path) -> tuple[Temporary, Directory, Path]:
    """A temporary with a hidden name, a directory for its real one, and what it is called now."""
    place = HiddenFiles().place(Directories(str(root / "tmp")).get(()))
    temporary = open_hidden(place)
    os.write(temporary.fd, b"ours")
    [path] = (root / "tmp").iterdir()
    return temporary, Directories(str(root)).get(()), path


def vanish(path: Path) -> None:
    path.unlink()


def become_another(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"half of another")


def without_proc(calls: Calls) -> None:
    calls.fail("link", errno.ENOENT, lambda source, *rest, **more: source.startswith("/proc"))


# By which name, of which file


@pytest.mark.parametrize("proc", ["proc", "no proc"])
@pytest.mark.parametrize("links", ["links", "no links"])
def test_a_hidden_file_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proc: str, links: str) -> None:
    if proc == "no proc":
        without_proc(Calls(monkeypatch))
    if links == "no links":
        without_links(Calls(monkeypatch))
    temporary, directory, _ = hidden_in(tmp_path)
    temporary.link(directory, "CT.1")
    temporary.close()
    assert names(tmp_path) == ["CT.1"]
    assert (tmp_path / "CT.1").read_bytes() == b"ours"


@pytest.mark.parametrize("happens", [vanish, become_another])
@pytest.mark.parametrize("way", ["proc", "no proc", "no links", "replace"])
def test_a_hidden_file_that_is_another_ones_now(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    happens: Callable[[Path], None],
    way: str,
) -> None:
    """Whatever removes a hidden file of ours, or puts another there: what we wrote gets the name, or nothing does."""
    temporary, directory, path = hidden_in(tmp_path)
    if way == "no proc":
        without_proc(Calls(monkeypatch))
    if way == "no links":
        without_links(Calls(monkeypatch))
    happens(path)
    left = [] if happens is vanish else [f"tmp/{path.name}"]
    with pytest.raises(OSError, match="its temporary file was removed or replaced") as raised:
        if way == "replace":
            temporary.replace(HiddenFiles().place(directory), directory, "CT.1")
        else:
            temporary.link(directory, "CT.1")
    temporary.close()
    assert raised.value.errno == errno.ESTALE
    assert f"tmp/{path.name} was removed or replaced by another process" in caplog.text
    assert names(tmp_path) == left, "nothing under the name, and what is another's stays"


def test_the_sender_hears_of_it(tmp_path: Path) -> None:
    """A700: it sends again."""
    place = publisher(tmp_path, capabilities=HIDDEN)
    content, file = spooled(place, b"ours")
    become_another(next((tmp_path / ".dcmrecv" / "tmp").iterdir()))
    with pytest.raises(StorageError, match="its temporary file was removed or replaced") as raised:
        place.publish((), "a", "overwrite", content)
    file.close()
    assert raised.value.status == 0xA700
    assert raised.value.comment == "Cannot store file: its temporary file was removed or replaced"
    assert not (tmp_path / "a").exists()


def swapped_after_check(path: Path, temporary: Temporary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file comes under the hidden name between the look at it and the link."""
    link = os.link

    def swap_and_link(source: str, *args: Any, **more: Any) -> None:
        if source == path.name:
            become_another(path)
        link(source, *args, **more)

    monkeypatch.setattr(os, "link", swap_and_link)
    without_proc(Calls(monkeypatch))


def test_what_was_linked_wrongly_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary, directory, path = hidden_in(tmp_path)
    swapped_after_check(path, temporary, monkeypatch)
    with pytest.raises(OSError, match="was removed or replaced"):
        temporary.link(directory, "CT.1")
    temporary.close()
    assert names(tmp_path) == [f"tmp/{path.name}"]


@pytest.mark.parametrize("also_swapped", [False, True])
def test_what_another_sender_has_put_there_since_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, also_swapped: bool
) -> None:
    """The name is replaced right after it was given: that is another one's, and only if our hidden name was replaced as
    well nothing is known of our own."""
    temporary, directory, path = hidden_in(tmp_path)
    if also_swapped:
        swapped_after_check(path, temporary, monkeypatch)
    else:
        without_proc(Calls(monkeypatch))
    link = os.link

    def link_and_replace(*args: Any, **more: Any) -> None:
        link(*args, **more)
        (tmp_path / "other").write_bytes(b"another one's")
        os.rename(tmp_path / "other", tmp_path / "CT.1")

    monkeypatch.setattr(os, "link", link_and_replace)
    if also_swapped:
        with pytest.raises(OSError, match="was removed or replaced"):
            temporary.link(directory, "CT.1")
    else:
        temporary.link(directory, "CT.1")
    temporary.close()
    assert (tmp_path / "CT.1").read_bytes() == b"another one's"


# What the file system can do


def probe(root: Path, tokens: Tokens | None = None) -> tuple[bool, bool]:
    capabilities = Capabilities.probe(Directories(str(root)), tokens)
    assert names(root) == []
    return capabilities.unnamed, capabilities.noclobber


def test_probe(tmp_path: Path) -> None:
    assert probe(tmp_path) == (True, True)


def test_a_start_sweeps(tmp_path: Path) -> None:
    """Even if nothing hidden is needed this time."""
    left = tmp_path / ".dcmrecv" / "tmp" / OLD_STYLE
    left.parent.mkdir(parents=True)
    left.touch()
    os.utime(left, times=(0, 0))
    assert probe(tmp_path) == (True, True)


PROBE_DIES = """
import os, signal, sys
from dcmrecv_core.storage.directories import Directories
from dcmrecv_core.storage.hidden import Tokens
from dcmrecv_core.storage.temporary import Capabilities
link = os.link
def die(*args, **kwargs):
    link(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
os.link = die
if sys.argv[2] == "hidden":
    os.O_TMPFILE = os.O_DIRECTORY | os.O_CREAT  # open says EINVAL
Capabilities.probe(Directories(sys.argv[1]), Tokens(Directories(sys.argv[3])))
"""


@pytest.mark.parametrize("kind", ["unnamed", "hidden"])
def test_what_a_start_leaves_that_is_killed_in_its_probe(tmp_path: Path, kind: str) -> None:
    """The next start removes it, though it looks through no directory that may have millions of files."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    output, state = tmp_path / "out", tmp_path / "state"
    output.mkdir()
    command = [sys.executable, "-c", PROBE_DIES, output, kind, state]
    subprocess.run(command, env=environment, timeout=20, check=False)
    assert names(output) != []
    assert probe(output, Tokens(Directories(str(state)))) == (True, True)


def test_two_starts_at_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name that both try is taken by the other one now and then; each gets it in the end, and nothing is left."""
    times = iter(range(3))
    Calls(monkeypatch).fail("link", errno.EEXIST, lambda source, name, **more: next(times, None) is not None)
    assert probe(tmp_path) == (True, True)


def test_a_name_to_try_that_cannot_be_had(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / PROBE_NAME).mkdir()
    assert probe(tmp_path) == (True, True)
    assert len(caplog.messages) == 1
    assert os.listdir(tmp_path) == [PROBE_NAME]


STARTS = """
import sys
from dcmrecv_core.storage.directories import Directories
from dcmrecv_core.storage.temporary import Capabilities
import os
if sys.argv[2] == "hidden":
    os.O_TMPFILE = os.O_DIRECTORY | os.O_CREAT  # open says EINVAL
for _ in range(100):
    capabilities = Capabilities.probe(Directories(sys.argv[1]))
    assert (capabilities.unnamed, capabilities.noclobber) == (sys.argv[2] == "unnamed", True)
"""


@pytest.mark.parametrize("kind", ["unnamed", "hidden"])
def test_many_starts_at_one_moment(tmp_path: Path, kind: str) -> None:
    """Each finds out what the file system can do, whatever the others remove meanwhile."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", STARTS, tmp_path, kind]
    starts = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(3)]
    assert [(start.communicate(timeout=150)[1], start.returncode) for start in starts] == [(b"", 0)] * 3
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EISDIR], ids=errno.errorcode.get)
def test_probe_without_unnamed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    unnamed = os.O_TMPFILE
    Calls(monkeypatch).fail("open", code, lambda path, flags, *rest, **more: flags & unnamed == unnamed)
    assert probe(tmp_path) == (False, True)


def test_probe_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Calls(monkeypatch).fail("link", errno.ENOENT, lambda source, *rest, **more: source.startswith("/proc"))
    assert probe(tmp_path) == (False, True)


def test_probe_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """renameat2 can refuse to overwrite; without it unique names cannot be promised."""
    without_links(Calls(monkeypatch))
    assert probe(tmp_path) == (False, True)
    without_renameat2(monkeypatch)
    assert probe(tmp_path) == (False, False)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC], ids=errno.errorcode.get)
def test_probe_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    unnamed = os.O_TMPFILE
    Calls(monkeypatch).fail("open", code, lambda path, flags, *rest, **more: flags & unnamed == unnamed)
    with pytest.raises(OSError, match=os.strerror(code)):
        probe(tmp_path)


def test_probe_of_what_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        probe(tmp_path / "file")


def test_rename_without_overwriting(tmp_path: Path) -> None:
    directory = Directories(str(tmp_path)).get(())
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        rename_noreplace(directory.fd, "a", directory.fd, "b")
    rename_noreplace(directory.fd, "a", directory.fd, "c")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"b": "b", "c": "a"}


def test_a_hidden_name_that_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file has its name: that it has another one too is no reason to refuse it."""
    directory = Directories(str(tmp_path)).get(())
    temporary = open_hidden(HiddenFiles().place(directory))
    Calls(monkeypatch).fail("unlink", errno.EIO)
    temporary.link(directory, "a")
    temporary.close()
    assert "removed later" in caplog.text
    assert (tmp_path / "a").exists()


def test_without_renameat2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Directories(str(tmp_path)).get(())
    monkeypatch.setattr("ctypes.CDLL", lambda name, **options: object())
    with pytest.raises(OSError, match="Function not implemented"):
        rename_noreplace(directory.fd, "a", directory.fd, "b")


def test_a_probe_on_a_disk_that_fills_up_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for a directory entry says nothing of what the file system can do."""
    Calls(monkeypatch).fail("link", errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        probe(tmp_path)
    assert names(tmp_path) == []
