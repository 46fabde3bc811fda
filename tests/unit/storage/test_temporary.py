"""What a killed process leaves is swept, what a living one needs is not; what the file system can do is found out."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import StorageError
from dcmrecv_core.storage.directories import Directories
from dcmrecv_core.storage.renaming import rename_noreplace
from dcmrecv_core.storage.temporary import (
    PROBE_NAME,
    Capabilities,
    _boot_id,
    hidden_name,
    open_hidden,
    sweep,
)
from support.publishing import HIDDEN, Calls, Mount, content, names, publisher, without_links, without_renameat2

HOST = os.uname().nodename
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
DAY = 24 * 3600


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait(10)
    return process.pid


def name_of(host: str = HOST, boot: str = BOOT, pid: int = 1) -> str:
    return f".dcmrecv-{host}-{boot}-{pid}-0.tmp"


def swept(root: Path, *left: str, age: float = 0) -> bool:
    """Whether all files of these names are removed; everything else has to stay."""
    (root / "CT.1").touch()
    for name in left:
        (root / name).touch()
        os.utime(root / name, times=(time.time() - age,) * 2)
    sweep(Directories(str(root)).get(()))
    assert (root / "CT.1").exists()
    return names(root) == ["CT.1"]


def test_names_tell_host_boot_and_process() -> None:
    first, second = hidden_name(), hidden_name()
    assert first != second
    assert first.startswith(f".dcmrecv-{HOST}-{BOOT}-{os.getpid()}-")


def test_a_dead_process(tmp_path: Path, dead: int) -> None:
    assert swept(tmp_path, name_of(pid=dead))


def test_a_process_before_the_last_boot(tmp_path: Path) -> None:
    assert swept(tmp_path, name_of(boot="0" * 8, pid=os.getppid()))


def test_a_predecessor_with_our_number(tmp_path: Path) -> None:
    """In a container the first worker has the same number after each start."""
    assert swept(tmp_path, name_of(pid=os.getpid()))


def test_a_living_process(tmp_path: Path) -> None:
    assert not swept(tmp_path, name_of(pid=os.getppid()), age=10 * DAY)


@pytest.mark.parametrize(("age", "gone"), [(DAY - 60, False), (DAY + 60, True)])
def test_another_host(tmp_path: Path, dead: int, age: float, gone: bool) -> None:
    assert swept(tmp_path, name_of(host="else-where", pid=dead), age=age) is gone


@pytest.mark.parametrize("name", [".dcmrecv", ".dcmrecv-x.tmp", "CT.dcmrecv-h-00000000-1-1.tmp", name_of() + "x"])
def test_what_is_not_a_temporary(tmp_path: Path, name: str) -> None:
    assert not swept(tmp_path, name, age=10 * DAY)


def test_what_cannot_be_swept_keeps_nobody_from_storing(
    tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    temporaries = tmp_path / ".dcmrecv" / "tmp"
    temporaries.mkdir(parents=True)
    (temporaries / name_of(pid=dead)).mkdir()
    publisher(tmp_path, capabilities=HIDDEN).publish((), "a", "overwrite", content())
    assert names(tmp_path) == ["a"]
    assert "cannot remove" in caplog.text
    Calls(monkeypatch).fail("scandir", errno.EIO)
    publisher(tmp_path, capabilities=HIDDEN).publish((), "b", "overwrite", content())
    assert "cannot sweep" in caplog.text


def test_somebody_else_sweeps_too(tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(monkeypatch)
    calls.fail("unlink", errno.ENOENT)
    assert not swept(tmp_path, name_of(pid=dead))
    assert calls.made == ["unlink"]


def test_sweeping_happens_where_hidden_files_are(tmp_path: Path, dead: int, mount: Mount) -> None:
    other = mount(tmp_path / "other", "-t", "tmpfs", "tmpfs")
    temporaries = tmp_path / ".dcmrecv" / "tmp"
    temporaries.mkdir(parents=True)
    for place in (temporaries, other):
        (place / name_of(pid=dead)).touch()
    publish = publisher(tmp_path, capabilities=HIDDEN).publish
    publish((), "a", "overwrite", content())
    publish(("other",), "a", "overwrite", content())
    assert names(tmp_path) == ["a", "other/a"]


DIES = """
import os, signal, sys
from support.publishing import HIDDEN, publisher
from pathlib import Path
publisher(Path(sys.argv[1]), capabilities=HIDDEN).open_spool()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_what_the_next_one_sweeps(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", DIES, tmp_path], env=environment, timeout=20, check=False)
    assert len(names(tmp_path)) == 1
    publisher(tmp_path, capabilities=HIDDEN).publish((), "a", "overwrite", content())
    assert names(tmp_path) == ["a"]


# What the file system can do


def probe(root: Path) -> tuple[bool, bool]:
    capabilities = Capabilities.probe(Directories(str(root)))
    assert names(root) == []
    return capabilities.unnamed, capabilities.noclobber


def test_probe(tmp_path: Path) -> None:
    assert probe(tmp_path) == (True, True)


def test_a_start_sweeps(tmp_path: Path, dead: int) -> None:
    """Even if nothing hidden is needed this time."""
    temporaries = tmp_path / ".dcmrecv" / "tmp"
    temporaries.mkdir(parents=True)
    (temporaries / name_of(pid=dead)).touch()
    assert probe(tmp_path) == (True, True)


PROBE_DIES = """
import os, signal, sys
from dcmrecv_core.storage.directories import Directories
from dcmrecv_core.storage.renaming import rename_noreplace
from dcmrecv_core.storage.temporary import Capabilities
link = os.link
def die(*args, **kwargs):
    link(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
os.link = die
if sys.argv[2] == "hidden":
    os.O_TMPFILE = os.O_DIRECTORY | os.O_CREAT  # open says EINVAL
Capabilities.probe(Directories(sys.argv[1]))
"""


@pytest.mark.parametrize("kind", ["unnamed", "hidden"])
def test_what_a_start_leaves_that_is_killed_in_its_probe(tmp_path: Path, kind: str) -> None:
    """The next start removes it, though it looks through no directory that may have millions of files."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROBE_DIES, tmp_path, kind]
    subprocess.run(command, env=environment, timeout=20, check=False)
    assert names(tmp_path) != []
    assert probe(tmp_path) == (True, True)


def test_two_starts_at_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name that both try is taken for one of them."""
    Calls(monkeypatch).fail("link", errno.EEXIST, lambda source, name, **more: name == PROBE_NAME)
    assert probe(tmp_path) == (True, True)


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
    temporary = open_hidden(directory)
    Calls(monkeypatch).fail("unlink", errno.EIO)
    temporary.link(directory, "a")
    temporary.close()
    assert "swept later" in caplog.text
    assert (tmp_path / "a").exists()


def test_without_renameat2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Directories(str(tmp_path)).get(())
    monkeypatch.setattr("ctypes.CDLL", lambda name, **options: object())
    with pytest.raises(OSError, match="Function not implemented"):
        rename_noreplace(directory.fd, "a", directory.fd, "b")


def test_a_boot_without_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container without /proc/sys; the process's number still tells who lives."""
    _boot_id.cache_clear()
    monkeypatch.setattr("builtins.open", lambda *args, **more: (_ for _ in ()).throw(FileNotFoundError()))
    try:
        assert hidden_name().startswith(f".dcmrecv-{HOST}-00000000-{os.getpid()}-")
    finally:
        _boot_id.cache_clear()


def test_another_hosts_file_that_is_gone_when_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name_of(host="else-where")).touch()
    monkeypatch.setattr("dcmrecv_core.storage.temporary.time.time", _raise_not_found)
    sweep(Directories(str(tmp_path)).get(()))
    assert names(tmp_path) == [name_of(host="else-where")]


def _raise_not_found() -> float:
    raise FileNotFoundError


def test_a_probe_on_a_disk_that_fills_up_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for a directory entry says nothing of what the file system can do."""
    Calls(monkeypatch).fail("link", errno.ENOSPC)
    with pytest.raises(OSError, match="No space left"):
        probe(tmp_path)
    assert names(tmp_path) == []
