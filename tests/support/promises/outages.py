"""A server that is down, seen from its clients: a port in front of it that can be broken, and mended.

refuses    nothing listens
hangs      connections are accepted, and nothing is answered any more
fails      each request is answered with 503
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from support.programs.receivers import reserved_port

WAYS = ("refuses", "hangs", "fails")
_CHUNK = 65536
_FAILED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_DEADLINE = 20.0


class Port:
    """Connections to it go on to the port `target`, as long as it is not broken."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._way = ""
        self._flows = asyncio.Event()
        self._running: set[asyncio.Task[None] | None] = set()  # the loop itself does not hold on to them
        self._server: asyncio.Server | None = None
        self._kept = reserved_port()
        self.number: int = self._kept.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.mend()

    def mend(self) -> None:
        """It works."""
        self._change("")

    def damage(self, way: str) -> None:
        """It does not, in one of WAYS."""
        self._change(way)

    def close(self) -> None:
        self._change("refuses")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_DEADLINE)
        self._loop.close()
        self._kept.close()

    def _change(self, way: str) -> None:
        asyncio.run_coroutine_threadsafe(self._changed(way), self._loop).result(_DEADLINE)

    async def _changed(self, way: str) -> None:
        self._way = way
        if way == "hangs":
            self._flows.clear()
        else:
            others = self._running - {None}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)  # type: ignore[arg-type]
            self._flows.set()
        if way == "refuses" and self._server is not None:
            self._server.close()
            self._server = None
        elif way != "refuses" and self._server is None:
            self._server = await asyncio.start_server(self._on_connection, "127.0.0.1", self.number)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._running.add(asyncio.current_task())
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if self._way == "fails":
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(_FAILED)
                    await writer.drain()
                    await reader.read()
                else:
                    await self._carry(reader, writer)
        finally:
            writer.transport.abort()
            self._running.discard(asyncio.current_task())

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flows.wait()
        answers, to_target = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward(reader, to_target))
                both.create_task(self._forward(answers, writer))
        finally:
            to_target.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
            writer.write_eof()


@contextmanager
def port_before(target: int) -> Iterator[Port]:
    """One that works, and is gone afterwards."""
    port = Port(target)
    try:
        yield port
    finally:
        port.close()
