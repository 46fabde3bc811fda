"""What a topic of Kafka holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer

SECONDS = 60.0


def messages_of(servers: str) -> Iterator[Any]:
    """Those of the topic `dicom`, as they come, for at most `SECONDS`."""
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "g", "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe(["dicom"])
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if (message := consumer.poll(0.2)) is not None and message.error() is None:
                yield message
    finally:
        consumer.close()
