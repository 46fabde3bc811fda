"""Orthanc as a requestor of storage commitment, by its REST call."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from dcmrecv_core.testing import until
from support.programs.orthanc import Orthanc
from support.programs.receivers import free_port, system_program

SECONDS = 60.0


class OrthancRequestor:
    """Debian's Orthanc, with DICOM and, on localhost, REST; it knows the receiver at `archive` as "archive"."""

    def __init__(self, directory: Path, archive: int, port: int) -> None:
        rest = free_port()
        self._rest = Orthanc(rest)
        configuration = {
            "StorageDirectory": "storage",
            "IndexDirectory": "storage",
            "Plugins": [],
            "HttpPort": rest,
            "DicomPort": port,
            "DicomAet": "ORTHANC",
            "DicomModalities": {"archive": ["ARCHIVE", "127.0.0.1", archive]},
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
        }
        (directory / "orthanc.json").write_text(json.dumps(configuration))
        self._log = directory / "log"
        with self._log.open("ab") as log:
            command = [system_program("Orthanc"), "--verbose", "orthanc.json"]
            self._process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
        until(self._answers, "Orthanc answers", SECONDS, lambda: self.log)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def commitment(self, *pairs: tuple[str, str]) -> dict[str, Any]:
        """Ask the archive for storage commitment of SOP classes and instances; what Orthanc says of the report."""
        asked_for = [{"SOPClassUID": one, "SOPInstanceUID": other} for one, other in pairs]
        body = {"DicomInstances": asked_for, "Timeout": 10}
        asked = self._rest.post("/modalities/archive/storage-commitment", json.dumps(body))
        found: dict[str, Any] = {}

        def has_answer() -> bool:
            found.update(self._rest.get(f"/storage-commitment/{asked['ID']}"))
            return found["Status"] != "Pending"

        until(has_answer, "the report", SECONDS, lambda: self.log)
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.wait(SECONDS)

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log
        return self._rest.answers()
