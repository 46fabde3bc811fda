from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from rabbitmq import RabbitMq

from support.servers.nats_server import NatsServer, nats_server

pytest_plugins = ["dcmrecv_core.testing"]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A running server with a stream for the subject `dicom`."""
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    """A running server with the queue `q`."""
    server = RabbitMq(tmp_path_factory.mktemp("rabbitmq") / "node")
    server.start()
    yield server
    server.end()


@pytest.fixture
def kafka_cluster() -> Iterator[str]:
    """Addresses of librdkafka's mock cluster: Kafka's protocol, without a disk."""
    producer = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 3, "log_level": 0})
    brokers = producer.list_topics(timeout=20).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
