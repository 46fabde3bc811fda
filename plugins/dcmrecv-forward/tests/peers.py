"""Destinations for tests: DCMTK's programs, Orthanc, pynetdicom as a strict judge, and peers that misbehave."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from dcmrecv_core.testing import until
from support.programs.orthanc import Orthanc
from support.programs.receivers import free_port, system_program

SECONDS = 60.0
ALL_DICOM = ("/etc/dcmtk/storescp.cfg", "AllDICOM")


class Program:
    """A receiver of DCMTK, or Orthanc: a process that listens on `port` and stores below `directory`."""

    def __init__(self, directory: Path, port: int, command: list[object]) -> None:
        self.directory = directory
        self.port = port
        self._command = [str(word) for word in command]
        self._log = directory / "log"
        self.process: subprocess.Popen[bytes]
        self.start()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, cwd=self.directory, stdout=log, stderr=log)
        until(self._listens, f"{self._command[0]} listens", SECONDS, lambda: self.log)

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.log
        wanted = f"{self.port:04X}"
        lines = "".join(Path("/proc/net", table).read_text() for table in ("tcp", "tcp6")).splitlines()
        return any(line.split()[1].endswith(f":{wanted}") and line.split()[3] == "0A" for line in lines if ":" in line)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(SECONDS)

    def files(self) -> list[Path]:
        return sorted(path for path in (self.directory / "in").rglob("*") if path.is_file())


class OrthancProgram(Program):
    """With DICOM and, on localhost, REST."""

    def __init__(self, directory: Path) -> None:
        port = free_port()
        self._rest = Orthanc(port)
        configuration = {
            "StorageDirectory": "storage",
            "IndexDirectory": "storage",
            "Plugins": [],
            "HttpPort": port,
            "DicomPort": free_port(),
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
        }
        (directory / "orthanc.json").write_text(json.dumps(configuration))
        super().__init__(directory, int(str(configuration["DicomPort"])), [system_program("Orthanc"), "orthanc.json"])
        until(self._rest.answers, "Orthanc answers", SECONDS, lambda: self.log)

    def instances(self) -> set[str]:
        """SOP Instance UIDs."""
        found = self._rest.post("/tools/find", json.dumps({"Level": "Instance", "Query": {}, "Expand": True}))
        return {each["MainDicomTags"]["SOPInstanceUID"] for each in found}


class Judge:
    """A peer by pynetdicom: what it was sent, decoded by another library than ours; it answers with `status`."""

    def __init__(self, contexts: Iterable[tuple[str, str]], tls: ssl.SSLContext | None, maximum: int) -> None:
        self.status: int | Dataset = 0
        self.received: list[Any] = []
        self.associations = 0
        self.over: list[str] = []
        self.crash_at: str | None = None
        """The SOP instance at which it aborts the association."""
        entity = AE(ae_title="JUDGE")
        entity.maximum_pdu_size = maximum
        for context in contexts:
            entity.add_supported_context(*context)
        handlers: Any = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_ACCEPTED, self._accepted),
            (evt.EVT_RELEASED, lambda event: self.over.append("released")),
            (evt.EVT_ABORTED, lambda event: self.over.append("aborted")),
        ]
        self._server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=tls)
        assert isinstance(self._server, ThreadedAssociationServer)
        self._entity = entity
        self.port = int(self._server.server_address[1])

    def _accepted(self, event: Any) -> None:
        self.associations += 1
        self.last = event.assoc

    def _store(self, event: Any) -> int | Dataset:
        if self.crash_at is not None and event.request.AffectedSOPInstanceUID == self.crash_at:
            event.assoc.abort()
            return 0
        self.received.append((event.request, event.context, event.request.DataSet.getvalue(), event.dataset))
        return self.status

    def end(self) -> None:
        self._entity.shutdown()


class Peers:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._programs: list[Program] = []
        self._judges: list[Judge] = []
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def _home(self) -> Path:
        home = self._directory / f"peer{len(self._programs)}"
        (home / "in").mkdir(parents=True)
        return home

    def dcmrecv(self, *arguments: object, profile: tuple[object, object] = ALL_DICOM) -> Program:
        """DCMTK's, which accepts what Debian's storescp.cfg lists, or another file and profile."""
        port = free_port()
        started = Program(
            self._home(), port, [system_program("dcmrecv"), "-v", "-xf", *profile, "-od", "in", *arguments, port]
        )
        self._programs.append(started)
        return started

    def storescp(self, *arguments: object) -> Program:
        port = free_port()
        started = Program(self._home(), port, [system_program("storescp"), "-v", "-od", "in", *arguments, port])
        self._programs.append(started)
        return started

    def orthanc(self) -> OrthancProgram:
        started = OrthancProgram(self._home())
        self._programs.append(started)
        return started

    def judge(self, *contexts: tuple[str, str], tls: ssl.SSLContext | None = None, maximum: int = 16382) -> Judge:
        started = Judge(contexts, tls, maximum)
        self._judges.append(started)
        return started

    def script(self, *conversations: Callable[[socket.socket], None], port: int = 0) -> int:
        """A server whose n-th connection is handled by the n-th function; its port."""
        listener = socket.create_server(("127.0.0.1", port))
        listener.settimeout(SECONDS)
        self._sockets.append(listener)

        def serve() -> None:
            for conversation in conversations:
                try:
                    connection, _ = listener.accept()
                except OSError:  # the test is over
                    return
                connection.settimeout(SECONDS)
                self._sockets.append(connection)
                conversation(connection)

        self._threads.append(threading.Thread(target=serve, daemon=True))
        self._threads[-1].start()
        return int(listener.getsockname()[1])

    def end(self) -> None:
        for each in self._programs:
            each.kill()
        for judge in self._judges:
            judge.end()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive()
