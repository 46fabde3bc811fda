"""Events to the mock cluster of librdkafka, which speaks Kafka's protocol over TCP in the process of its client."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from confluent_kafka import Consumer

from dcmrecv_core import TryAgain, Undeliverable
from dcmrecv_core.testing import fake_event
from dcmrecv_events import kafka
from dcmrecv_events.destinations import Destination, publisher_of, routes
from dcmrecv_events.messages import Message, message_of
from dcmrecv_events.publishing import Publisher

SECONDS = 30.0


def publisher(port: int, **keys: Any) -> Publisher:
    [route] = routes([Destination("A", f"kafka://127.0.0.1:{port}", topic="dicom", **keys)]).values()
    return publisher_of(route)


def messages(count: int) -> list[Message]:
    return [message_of(fake_event(sop_instance_uid=f"1.2.{number}"), "dcmrecv://a") for number in range(count)]


def read(servers: str, count: int) -> list[Any]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "g", "auto.offset.reset": "earliest"})
    found: list[Any] = []
    try:
        consumer.subscribe(["dicom"])
        deadline = time.monotonic() + SECONDS
        while len(found) < count and time.monotonic() < deadline:
            if (message := consumer.poll(0.2)) is not None and message.error() is None:
                found.append(message)
    finally:
        consumer.close()
    return found
