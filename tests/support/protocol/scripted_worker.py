"""A worker without its process: sessions over scripted connections, bytes for them, and their results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dcmrecv_core import hookimpl
from dcmrecv_core.api.model import Association, Instance
from dcmrecv_core.api.outcomes import Summary
from dcmrecv_core.hooks.loader import Found
from dcmrecv_core.hooks.plugins import Plugins
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.worker.session import Session, Shared
from dcmrecv_core.receive.pipeline import InstanceReceiver
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.directories import Directories
from dcmrecv_core.storage.temporary import Capabilities
from support.data.datasets import instance_of
from support.protocol.pdus import (
    ECHO_RQ,
    P_DATA,
    associate_rq,
    command_set,
    data_pdus,
    parse_command,
    read_pdus,
    release_rq,
    store_rq,
)
from support.protocol.scripted_connection import Clock, FakeConnection, Step
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, VERIFICATION

CONTEXTS = [(CT, [EXPLICIT_LE]), (VERIFICATION, [IMPLICIT_LE])]
REQUEST = associate_rq(CONTEXTS)
RELEASE = release_rq()
ECHO = b"".join(data_pdus(3, [command_set(ECHO_RQ)], is_command=True))
RESET = ConnectionResetError(104, "Connection reset by peer")
INSTANCE = "1.2.3.4"


def store(number: int = 1, data: bytes | None = None, **options: Any) -> bytes:
    """A whole C-STORE-RQ with its data set."""
    uid = f"{INSTANCE}.{number}"
    command = b"".join(data_pdus(1, [command_set(store_rq(CT, uid, number))], is_command=True))
    content = instance_of(CT, uid) if data is None else data
    return command + b"".join(data_pdus(1, [content], is_command=False, **options))


def responses(sent: bytes) -> list[tuple[int, int]]:
    """(Message ID responded to, status) of all responses."""
    commands = [parse_command(body[6:]) for kind, body in read_pdus(sent) if kind == P_DATA]
    return [tuple(int.from_bytes(command[tag], "little") for tag in (0x0120, 0x0900)) for command in commands]  # type: ignore[misc]


class Recorder:
    """A plugin that records how associations end, and calls a test's functions in `receive` and `negotiate`."""

    def __init__(self) -> None:
        self.ends: list[tuple[Association, Summary]] = []
        self.verdict: Callable[[Instance], object] = lambda instance: None
        self.answer: object = None
        self.asked = 0

    @hookimpl
    def negotiate(self, association: Association) -> Any:
        self.asked += 1
        return self.answer

    @hookimpl
    def receive(self, instance: Instance) -> Any:
        return self.verdict(instance)

    @hookimpl
    def association_ended(self, association: Association, summary: Summary) -> None:
        self.ends.append((association, summary))


class ScriptedWorker:
    """A worker without its process: one session after the other, a clock, and the stored files."""

    def __init__(self, directory: Path, clock: Clock, **settings: Any) -> None:
        self.clock = clock
        self.recorder = Recorder()
        self.stop: set[bool] = set()
        self.output = directory
        options = {"promiscuous": True, "fsync": False, "output_directory": str(directory), **settings}
        self.settings = Settings(**options)
        plugins = Plugins()
        plugins.add(Found("recorder", self.recorder, "here"), named=True)
        plugins.add_builtins(self.settings)
        capabilities = Capabilities.probe(Directories(str(directory)))
        receiver = InstanceReceiver(self.settings, plugins, capabilities)
        self.shared = Shared(self.settings, plugins, receiver, lambda between: between in self.stop)

    def play(self, *script: Step, request: bytes = REQUEST, room: int | None = None) -> FakeConnection:
        connection = FakeConnection(self.clock, list(script), room)
        self.run(connection, request)
        return connection

    def run(self, connection: FakeConnection, request: bytes = REQUEST) -> None:
        handover = Handover(None, request, "10.0.0.1", 4242)  # type: ignore[arg-type]
        Session(connection, handover, self.shared).run()
        assert connection.closed

    @property
    def summary(self) -> Summary:
        """Of the only association."""
        [(_, summary)] = self.recorder.ends
        return summary

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.output.iterdir() if path.is_file())


Make = Callable[..., ScriptedWorker]
