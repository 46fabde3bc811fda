"""Requestors of storage commitment for tests: pynetdicom, and Orthanc by its REST call."""

from __future__ import annotations

import json
import queue
import random
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from dcmrecv_core.testing import until

SECONDS = 20.0
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
INSTANCE = "1.2.840.10008.1.20.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"

Pair = tuple[str, str]
"""SOP class and instance."""


def free_port() -> int:
    """One below those that the system gives to connections: no program takes it while its program is started again."""
    end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(100):
        port = random.randrange(10_000, end)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port")


def asking_for(transaction_uid: str | None, *uids: str | Pair) -> Dataset:
    """The data set of an N-ACTION for CT images, or for pairs of class and instance."""
    dataset = Dataset()
    if transaction_uid is not None:
        dataset.TransactionUID = transaction_uid
    items = []
    for each in uids:
        sop_class, uid = (CT, each) if isinstance(each, str) else each
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class
        item.ReferencedSOPInstanceUID = uid
        items.append(item)
    dataset.ReferencedSOPSequence = items
    return dataset


def request_and_wait(port: int, dataset: Dataset, status: int | None = 0) -> Report:
    """Send an N-ACTION, and wait on its association for the report, which is answered with `status`; with None the
    association is aborted instead."""
    told: queue.Queue[Report] = queue.Queue()
    answered = threading.Event()

    def reported(event: Any) -> tuple[int, None]:
        told.put(_report_of(event))
        if status is None:
            answered.wait(SECONDS)
            event.assoc.abort()
        return status or 0, None

    entity = AE(ae_title="CT1")
    entity.add_requested_context(STORAGE_COMMITMENT, ExplicitVRLittleEndian)
    handlers: Any = [(evt.EVT_N_EVENT_REPORT, reported)]
    association = entity.associate("127.0.0.1", port, ae_title="ARCHIVE", evt_handlers=handlers)
    assert association.is_established
    answer, _ = association.send_n_action(dataset, 1, STORAGE_COMMITMENT, INSTANCE)
    answered.set()
    assert answer.Status == 0
    report = told.get(timeout=SECONDS)
    if status is not None:
        association.release()
    return report


def request(
    port: int,
    dataset: Dataset | None,
    *,
    title: str = "CT1",
    called: str = "ARCHIVE",
    action: int = 1,
    instance: str = INSTANCE,
    syntax: UID = ExplicitVRLittleEndian,
) -> Dataset:
    """Send an N-ACTION; its response."""
    entity = AE(ae_title=title)
    entity.add_requested_context(STORAGE_COMMITMENT, syntax)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    assert association.is_established
    try:
        status, _ = association.send_n_action(dataset, action, STORAGE_COMMITMENT, instance)
        return status
    finally:
        association.release()


@dataclass(frozen=True)
class Report:
    """What an N-EVENT-REPORT says; `calling` and `called` are the titles of its association."""

    event_type: int
    transaction_uid: str
    committed: list[Pair]
    failed: dict[Pair, int]
    calling: str
    called: str


def _pairs(items: Sequence[Dataset]) -> list[Pair]:
    return [(str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)) for item in items]


def _report_of(event: Any) -> Report:
    told = event.event_information
    failed = told.get("FailedSOPSequence") or []
    reasons = [int(item.FailureReason) for item in failed]
    return Report(
        event.event_type,
        str(told.TransactionUID),
        _pairs(told.get("ReferencedSOPSequence") or []),
        dict(zip(_pairs(failed), reasons, strict=True)),
        event.assoc.requestor.ae_title,
        event.assoc.acceptor.primitive.called_ae_title,
    )


class Requestor:
    """Listens for reports, by pynetdicom; answers with the next of `statuses`, then with 0000. If it does not take the
    proposed role, it leaves it unanswered."""

    def __init__(self, port: int = 0, *, takes_role: bool = True, tls: ssl.SSLContext | None = None) -> None:
        self.reports: queue.Queue[Report] = queue.Queue()
        self.statuses: list[int] = []
        entity = AE(ae_title="CT1")
        syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
        roles: dict[str, Any] = {"scu_role": False, "scp_role": True} if takes_role else {}
        entity.add_supported_context(STORAGE_COMMITMENT, syntaxes, **roles)
        self._entity = entity
        self._server = entity.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._reported)], ssl_context=tls
        )
        assert isinstance(self._server, ThreadedAssociationServer)
        self.port = int(self._server.server_address[1])

    def _reported(self, event: Any) -> tuple[int, None]:
        self.reports.put(_report_of(event))
        return (self.statuses.pop(0) if self.statuses else 0), None

    def report(self) -> Report:
        """The next one."""
        return self.reports.get(timeout=SECONDS)

    def end(self) -> None:
        """Associations may end first: pynetdicom fails in one that is cut off between a report and its answer."""
        with suppress(AssertionError):
            until(lambda: not self._entity.active_associations, "associations with reports have ended", 5)
        self._entity.shutdown()


class Certificates:
    """An authority, a server on localhost, and a client."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA(key_type=trustme.KeyType.RSA)
        self.authority = directory / "authority.pem"
        authority.cert_pem.write_to_path(self.authority)
        self.server = self._pair(directory / "server", authority.issue_cert("localhost", key_type=trustme.KeyType.RSA))
        self.client = self._pair(directory / "client", authority.issue_cert("archive", key_type=trustme.KeyType.RSA))

    @staticmethod
    def _pair(name: Path, issued: trustme.LeafCert) -> tuple[Path, Path]:
        key, certificate = name.with_suffix(".key"), name.with_suffix(".pem")
        issued.private_key_pem.write_to_path(key)
        issued.cert_chain_pems[0].write_to_path(certificate)
        return key, certificate

    def server_context(self) -> ssl.SSLContext:
        """That asks for the client's certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.authority)
        key, certificate = self.server
        context.load_cert_chain(certificate, key)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


class Orthanc:
    """Debian's Orthanc, with DICOM and, on localhost, REST; it knows the receiver at `archive` as "archive"."""

    def __init__(self, directory: Path, archive: int, port: int) -> None:
        path = shutil.which("Orthanc", path="/usr/local/bin:/usr/bin:/bin:/usr/sbin")
        assert path is not None, "Orthanc is not installed"
        self._rest = free_port()
        configuration = {
            "StorageDirectory": "storage",
            "IndexDirectory": "storage",
            "Plugins": [],
            "HttpPort": self._rest,
            "DicomPort": port,
            "DicomAet": "ORTHANC",
            "DicomModalities": {"archive": ["ARCHIVE", "127.0.0.1", archive]},
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
        }
        (directory / "orthanc.json").write_text(json.dumps(configuration))
        self._log = directory / "log"
        with self._log.open("ab") as log:
            command = [path, "--verbose", "orthanc.json"]
            self._process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
        until(self._answers, "Orthanc answers", SECONDS, lambda: self.log)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def commitment(self, *pairs: Pair) -> dict[str, Any]:
        """Ask the archive for storage commitment; what Orthanc says once it has the report."""
        asked_for = [{"SOPClassUID": one, "SOPInstanceUID": other} for one, other in pairs]
        body = {"DicomInstances": asked_for, "Timeout": 10}
        asked = self._ask("/modalities/archive/storage-commitment", body)
        found: dict[str, Any] = {}

        def has_answer() -> bool:
            found.update(self._ask(f"/storage-commitment/{asked['ID']}"))
            return found["Status"] != "Pending"

        until(has_answer, "the report", SECONDS, lambda: self.log)
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.wait(SECONDS)

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log
        try:
            return bool(self._ask("/system"))
        except OSError:
            return False

    def _ask(self, path: str, question: Any = None) -> Any:
        body = None if question is None else json.dumps(question).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(urllib.request.Request(f"http://127.0.0.1:{self._rest}{path}", body), timeout=SECONDS) as file:
            return json.load(file)
