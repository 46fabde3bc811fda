"""An Orthanc server for tests, from Debian's package, with only its REST interface on localhost."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dcmrecv_core.testing import until
from support.programs.receivers import system_program

_SECONDS = 60.0
_ATTEMPTS = 5


class Orthanc:
    """The REST interface of a running server; raises urllib.error.HTTPError if it refuses something."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str) -> Any:
        return self._ask(urllib.request.Request(self._url + path))

    def post(self, path: str, body: bytes | str) -> Any:
        data = body.encode() if isinstance(body, str) else body
        return self._ask(urllib.request.Request(self._url + path, data))

    def _ask(self, request: urllib.request.Request) -> Any:
        with self._opener.open(request, timeout=_SECONDS) as answer:
            return json.load(answer)

    def upload(self, content: bytes) -> str:
        """Give it a DICOM file; returns its name for the study."""
        return str(self.post("/instances", content)["ParentStudy"])

    def send(self, study: str, modality: str) -> Any:
        """Make it send a study, all of it or nothing; returns its report."""
        return self.post(f"/modalities/{modality}/store", study)

    def answers(self) -> bool:
        try:
            return bool(self.get("/system"))
        except (urllib.error.URLError, ConnectionError):
            return False


@contextmanager
def orthanc_server(receivers: Mapping[str, int]) -> Iterator[Orthanc]:
    """A server that knows the `receivers`, names and ports on localhost, and receives no DICOM itself."""
    with tempfile.TemporaryDirectory(prefix="orthanc-") as name:
        directory = Path(name)
        log = directory / "log"
        process, server = _start(directory, log, receivers)
        try:
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(_SECONDS)
            finally:
                process.kill()
                process.wait(_SECONDS)
        assert code == 0, f"Orthanc ended with {code}:\n{log.read_text(errors='replace')}"


def _start(directory: Path, log: Path, receivers: Mapping[str, int]) -> tuple[subprocess.Popen[bytes], Orthanc]:
    """A server that answers, on a port that was free just now; tries another one if it is taken."""
    program = system_program("Orthanc")
    for _ in range(_ATTEMPTS):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        configuration = directory / "orthanc.json"
        configuration.write_text(json.dumps(_configuration(directory, port, receivers)))
        with log.open("wb") as output:
            process = subprocess.Popen([program, configuration], cwd=directory, stdout=output, stderr=output)
        server = Orthanc(port)
        try:
            until(
                lambda process=process, server=server: process.poll() is not None or server.answers(),
                "Orthanc answers",
                _SECONDS,
                log=lambda: log.read_text(errors="replace"),
            )
        except BaseException:
            process.kill()
            process.wait(_SECONDS)
            raise
        if process.poll() is None:
            return process, server
    raise AssertionError(f"Orthanc does not start in {_ATTEMPTS} tries:\n{log.read_text(errors='replace')}")


def _configuration(directory: Path, port: int, receivers: Mapping[str, int]) -> dict[str, Any]:
    return {
        "Name": "sender",
        "StorageDirectory": str(directory / "storage"),
        "IndexDirectory": str(directory / "storage"),
        "Plugins": [],
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "DicomAet": "ORTHANC",
        "DicomScuTimeout": int(_SECONDS),
        "DicomModalities": {name: [name.upper(), "127.0.0.1", port] for name, port in receivers.items()},
    }
