"""Started as user nobody with every system call that makes, changes or removes files traced: large instances, re-sends,
broken transfers, a reload, a log file. All calls that succeed must be below two directories; listening sockets are
counted.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import identification, instance_of, pixel_data_header
from support.programs.receivers import Receiver, Start, open_files, system_program
from support.promises.promises import promise
from support.protocol.pdus import store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(34)

NOBODY = 65534
CAP_DAC_READ_SEARCH = 2
LOG_CONFIG = """\
log4cplus.rootLogger = INFO, file
log4cplus.appender.file = log4cplus::FileAppender
log4cplus.appender.file.File = log/dcmrecv.log
"""
CONTEXTS = [(CT, [EXPLICIT_LE])]
LARGE = 3 << 20

OPENING = ("open", "openat", "openat2", "creat")
CHANGING = (
    "mkdir", "mkdirat", "rmdir", "link", "linkat", "symlink", "symlinkat", "rename", "renameat", "renameat2",
    "unlink", "unlinkat", "mknod", "mknodat", "truncate", "chmod", "fchmodat", "chown", "lchown", "fchownat",
    "utimensat", "setxattr",
)  # fmt: skip
CALL = re.compile(r"\d+ +(\w+)\((.*)\) = (-?\d+)")
PATH = re.compile(r'(?:<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_TMPFILE")


def as_nobody() -> list[str]:
    """A command that runs a program as an ordinary user. If the kernel allows it, that user may read private files of
    ours, because tests and installed programs may be private; it has no other privilege."""
    if os.geteuid():
        return []
    command = [system_program("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    status = Path("/proc/self/status").read_text()
    if int(status.partition("CapBnd:")[2].split()[0], 16) >> CAP_DAC_READ_SEARCH & 1:
        command += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    return command


@pytest.fixture
def home(directory: Path) -> Iterator[Path]:
    """Where it starts: not its own, but for two directories in it. The umask lets it tell that it is ready."""
    home = directory / "ours0"
    directory.chmod(0o755)
    home.mkdir()
    for name in ("out", "log"):
        (home / name).mkdir()
        if not os.geteuid():
            os.chown(home / name, NOBODY, NOBODY)
    before = os.umask(0)
    yield home
    os.umask(before)


def use(receiver: Receiver) -> None:
    """Do each thing that makes files once."""
    large = [identification(CT, "1.2.4") + pixel_data_header(LARGE), bytes(LARGE)]
    with RawAssociation(receiver.port, CONTEXTS) as association:
        for _ in range(2):
            assert association.store(CT, "1.2.3", instance_of(CT, "1.2.3")) == 0
            assert association.store(CT, "1.2.4", large) == 0
        association.request(store_rq(CT, "1.2.5"), [large[0], bytes(LARGE // 2)], last=False)
        association.abort()
    receiver.process.send_signal(signal.SIGHUP)
    with RawAssociation(receiver.port, CONTEXTS) as association:
        assert association.store(CT, "../../x", instance_of(CT, "1.2.3")) == 0
        association.release()


def written(trace: str, cwd: Path) -> Iterator[str]:
    """The path of everything that was made, changed or removed."""
    for name, arguments, result in CALL.findall(trace):
        if int(result) >= 0 and (name in CHANGING or (name in OPENING and WRITING.search(arguments))):
            named = PATH.findall(arguments)
            # the source of a link stays as it is
            for base, path in named[-1:] if "link" in name and "un" not in name else named:
                yield os.path.normpath(os.path.join(base or cwd, path))


def test_writes_below_output_and_log_directory(ours: Start, home: Path, figure: Callable[[str], None]) -> None:
    trace = home.parent / "trace"
    strace = [system_program("strace"), "-D", "-f", "-y", "-q", "-s", "4096", "-e", "signal=none", "-o", trace]
    calls = ["-e", f"trace={','.join((*OPENING, *CHANGING))}"]
    (home / "log.cfg").write_text(LOG_CONFIG)
    receiver = ours("-pm", "+ssd", "-lc", "log.cfg", prefix=[*strace, *calls, *as_nobody()])
    use(receiver)
    assert receiver.stop() == 0
    until(
        lambda: re.search(rf"^{receiver.process.pid} +\+\+\+ exited", trace.read_text(), re.MULTILINE),
        "the trace's end",
    )
    paths = [path for path in written(trace.read_text(), home) if path != "/dev/null"]
    assert [path for path in paths if not path.startswith((f"{home}/out", f"{home}/log/"))] == []
    assert any(path.startswith(f"{home}/out/data/2020/01/02/CT.") for path in paths)
    assert (home / "log" / "dcmrecv.log").stat().st_uid == (NOBODY if not os.geteuid() else os.geteuid())
    figure(f"{len(paths)} files made, changed or removed, none elsewhere")


def test_one_listening_port(ours: Start, home: Path, figure: Callable[[str], None]) -> None:
    receiver = ours("-pm", prefix=as_nobody())
    with RawAssociation(receiver.port, CONTEXTS) as association:
        assert association.store(CT, "1.2.3", instance_of(CT, "1.2.3")) == 0
        assert {os.stat(f"/proc/{pid}").st_uid for pid in processes(receiver)} != {0}
        sockets = listening() & {socket for pid in processes(receiver) for socket in open_files(pid)}
        association.release()
    assert len(sockets) == 1
    figure(f"{len(sockets)} listening port")


def processes(receiver: Receiver) -> set[int]:
    return {receiver.process.pid, *receiver.workers()}


def listening() -> set[str]:
    """Every socket of this machine on which somebody listens, or takes datagrams from anybody."""
    found = set()
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state:
                found.add(f"socket:[{fields[9]}]")
    return found
