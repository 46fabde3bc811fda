"""A proxy that treats connections as networks and broken peers do: split, delay, dribble, reset, half-close.

It stands between a sender and a receiver on localhost, and runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

WAYS = ("split", "delay", "dribble", "reset", "half-close")
_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)


class Chaos:
    """Each connection to `port` goes on to `target`, in one of WAYS chosen by `seed`."""

    def __init__(self, target: int, seed: int = 0) -> None:
        self.port = 0
        self._target = target
        self._chance = random.Random(seed)
        self._running: set[asyncio.Task[None] | None] = set()  # the loop itself does not hold on to them

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._on_connection, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._running.add(asyncio.current_task())
        try:
            await self._carry(reader, writer)
        finally:
            writer.close()
            self._running.discard(asyncio.current_task())

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way, last = self._chance.choice(WAYS), self._chance.randint(0, 2000)
        with suppress(OSError):
            from_target, to_target = await asyncio.open_connection("127.0.0.1", self._target)
            back = asyncio.create_task(self._answers(from_target, writer))
            try:
                with suppress(OSError):
                    await self._forward(way, last, reader, to_target)
                if way == "reset":
                    to_target.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    to_target.transport.abort()
                else:
                    with suppress(OSError):
                        to_target.write_eof()
                await back
            finally:
                to_target.close()

    async def _forward(self, way: str, last: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the sender's end, or until `last` bytes if the connection is to break."""
        left = last if way in ("reset", "half-close") else None
        while (left is None or left > 0) and (data := await reader.read(_CHUNK if left is None else left)):
            left = None if left is None else left - len(data)
            for piece in self._pieces(way, data):
                writer.write(piece)
                await writer.drain()
                if way in ("delay", "dribble"):
                    await asyncio.sleep(0.02 if way == "delay" else 0.001)

    def _pieces(self, way: str, data: bytes) -> Iterator[bytes]:
        if way == "dribble":
            yield from (bytes([byte]) for byte in data[:100])
            data = data[100:]
        start = 0
        while start < len(data):
            count = self._chance.randint(1, 200) if way == "split" else len(data)
            yield data[start : start + count]
            start += count

    @staticmethod
    async def _answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()
            writer.write_eof()


@contextmanager
def chaos(target: int, seed: int = 0) -> Iterator[int]:
    """The port of a proxy to `target` that runs meanwhile."""
    proxy, loop = Chaos(target, seed), asyncio.new_event_loop()
    server = loop.run_until_complete(proxy.serve())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield proxy.port
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


async def _end(server: asyncio.Server) -> None:
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)  # closed connections let go of their sockets in the next turn
