"""The receivers, each a command line, and how they are started, found listening and ended.

The row `ours +B` of the report is the receiver `ours` with `+B` appended to its options: the last one counts.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from support.bench import places
from support.paths import TESTS

HERE = Path(__file__).parent
_CARGO = Path.home() / ".cargo" / "bin"
_SYSTEM = f"/usr/local/bin:/usr/bin:/bin:/usr/sbin:{_CARGO}"  # our own dcmrecv may come first in PATH
_START_SECONDS = 20.0
_PORTS_TRIED = 3


class Contender(NamedTuple):
    """`command` runs it, with placeholders in braces; `text` describes it."""

    text: str
    command: str
    environment: tuple[tuple[str, str], ...] = ()
    is_limit: bool = False


_NO_DELAY = (("TCP_NODELAY", "1"),)
_DCMTK = "-dhl -xf {profile} bench -pdu {pdu} -od {out}"
_OURS = f"{{ours}} --no-fsync {_DCMTK} {{extra}} {{port}}"

CONTENDERS = {
    "ours": Contender("this receiver as installed, with `--no-fsync`", _OURS),
    "pure": Contender("the same without its compiled parts", _OURS, (("DCMRECV_PURE", "1"),)),
    "dcmrecv": Contender("DCMTK dcmrecv with TCP_NODELAY=1", f"dcmrecv {_DCMTK} {{extra}} {{port}}", _NO_DELAY),
    "dcmrecv-shipped": Contender(
        "DCMTK dcmrecv as shipped, with Nagle's delay", f"dcmrecv {_DCMTK} {{extra}} {{port}}"
    ),
    "storescp": Contender(
        "DCMTK `storescp --fork` with TCP_NODELAY=1", f"storescp --fork {_DCMTK} {{extra}} {{port}}", _NO_DELAY
    ),
    "pynetdicom": Contender(
        "`python -m pynetdicom storescp`", "{python} -m pynetdicom storescp -q -pdu {pdu} -od {out} {extra} {port}"
    ),
    "dicom-rs": Contender(
        "dicom-rs `dicom-storescp`, a thread for each association",
        "dicom-storescp --promiscuous --max-pdu-length {pdu} -o {out} {extra} -p {port}",
    ),
    "dcm4che": Contender(
        "dcm4che `storescp`", "{dcm4che}/bin/storescp -b {port} --accept-unknown --tcp-delay --directory {out} {extra}"
    ),
    "orthanc": Contender("Orthanc with its own index, with TCP_NODELAY=1", "Orthanc {orthanc}", _NO_DELAY),
    "null": Contender("limit in C: reads and answers", "{limits} null {length} {port}", is_limit=True),
    "copy": Contender("limit in C: socket to file", "{limits} copy {length} {port} {out}", is_limit=True),
    "durable": Contender(
        "limit in C: the same, file and directory flushed", "{limits} durable {length} {port} {out}", is_limit=True
    ),
    "pass": Contender(
        "limit: accept, pass on to a process, answer",
        "{python} -m support.bench.passing {length} {port}",
        (("PYTHONPATH", str(TESTS)),),
        is_limit=True,
    ),
}


class Programs(NamedTuple):
    """Where the programs are that are not found by their names; `dcm4che` is the directory that was unpacked."""

    ours: Path
    limits: Path
    dcm4che: Path


class Site(NamedTuple):
    """What all receivers of a workload have in common; `length` is that of a request."""

    programs: Programs
    directory: Path
    contexts: tuple[str, ...]
    syntaxes: tuple[str, ...]
    pdu: int
    length: int


class Running(NamedTuple):
    """A receiver process, the leader of its process group."""

    process: subprocess.Popen[bytes]
    port: int
    out: Path
    log: Path
    start_seconds: float

    def stored(self) -> int:
        """How many files there are."""
        return sum(len(names) for folder, _, names in os.walk(self.out) if not folder.startswith(f"{self.out}/.dcm"))


def split(row: str) -> tuple[Contender, str]:
    """The receiver of a row's name, and the options appended to its own."""
    name, _, extra = row.partition(" ")
    return CONTENDERS[name], extra


def missing(row: str, programs: Programs) -> str:
    """The program that is needed but not installed; "" if none is missing."""
    program = split(row)[0].command.partition(" ")[0].format(**programs._asdict(), python=sys.executable)
    return "" if shutil.which(program, path=_SYSTEM) else program


@contextmanager
def running(row: str, site: Site) -> Iterator[Running]:
    """Start the receiver of a row in a directory of its own below `site.directory`; SIGTERM ends it."""
    receiver = _started(row, site)
    try:
        yield receiver
    finally:
        _end(receiver.process)


def _started(row: str, site: Site) -> Running:
    for _ in range(_PORTS_TRIED - 1):
        with suppress(ConnectionRefusedError):  # another program took the port that was free
            return _start(row, site, places.fresh(site.directory))
    return _start(row, site, places.fresh(site.directory))


def _start(row: str, site: Site, directory: Path) -> Running:
    contender, extra = split(row)
    out, log = directory / "out", directory / "log"
    out.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    filled = {
        **site.programs._asdict(),
        "python": sys.executable,
        "here": HERE,
        "extra": extra.replace("{here}", str(HERE)),
        "profile": _write_profile(directory / "profile.cfg", site),
        "orthanc": _write_orthanc(directory / "orthanc.json", port, out),
        "pdu": site.pdu,
        "length": site.length,
        "out": out,
        "port": port,
    }
    words = [word for part in contender.command.split() for word in part.format_map(filled).split()]
    words[0] = shutil.which(words[0], path=_SYSTEM) or words[0]
    environment = {name: value for name, value in os.environ.items() if name != "TCP_NODELAY"}
    environment |= dict(contender.environment)
    with log.open("wb") as stream:
        start = time.perf_counter()
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment, start_new_session=True
        )
    try:
        _wait_until_listening(process, port)
    except BaseException:
        _end(process)
        print(log.read_text(errors="replace")[-2000:], file=sys.stderr)
        raise
    return Running(process, port, out, log, time.perf_counter() - start)


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.002)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its group: what it has forked and not waited for
    process.wait()


def _write_profile(path: Path, site: Site) -> Path:
    """An association profile for -xf that accepts all that is proposed."""
    lines = ["[[TransferSyntaxes]]", "[any]"]
    lines += [f"TransferSyntax{number} = {uid}" for number, uid in enumerate(site.syntaxes, 1)]
    lines += ["[[PresentationContexts]]", "[all]"]
    lines += [f"PresentationContext{number} = {uid}\\any" for number, uid in enumerate(site.contexts, 1)]
    lines += ["[[Profiles]]", "[bench]", "PresentationContexts = all", ""]
    path.write_text("\n".join(lines))
    return path


def _write_orthanc(path: Path, port: int, out: Path) -> Path:
    path.write_text(
        f'{{"DicomPort": {port}, "HttpServerEnabled": false, "StorageDirectory": "{out}",'
        f' "IndexDirectory": "{path.parent}",'
        ' "DicomAlwaysAllowStore": true, "DicomCheckCalledAet": false, "Plugins": []}'
    )
    return path
