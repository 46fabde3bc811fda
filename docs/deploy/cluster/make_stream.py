"""Makes the JetStream stream for the events of a cluster, if it is not there: make_stream.py nats://HOST:PORT"""

from __future__ import annotations

import asyncio
import sys

import nats


async def make(url: str) -> None:
    client = await nats.connect(url, connect_timeout=10, max_reconnect_attempts=3)
    try:
        # an event that comes again within an hour is left out
        await client.jetstream().add_stream(name="dicom", subjects=["dicom"], duplicate_window=3600)
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(make(sys.argv[1]))
