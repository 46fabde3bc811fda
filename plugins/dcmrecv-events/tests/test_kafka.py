"""Events to the mock cluster of librdkafka, which speaks Kafka's protocol over TCP in the process of its client."""

from __future__ import annotations

import socket
import time
from itertools import islice
from typing import Any

import pytest
from confluent_kafka import KafkaError
from kafka_cluster import messages_of

from dcmrecv_core import TryAgain, Undeliverable
from dcmrecv_core.testing import fake_event
from dcmrecv_events import kafka
from dcmrecv_events.destinations import Destination, publisher_of, routes
from dcmrecv_events.messages import Message, message_of
from dcmrecv_events.publishing import Publisher
from support.programs.receivers import reserved_port


def publisher(servers: str, **keys: Any) -> Publisher:
    [route] = routes([Destination("A", f"kafka://{servers}", topic="dicom", **keys)]).values()
    return publisher_of(route)


def messages(count: int) -> list[Message]:
    return [message_of(fake_event(sop_instance_uid=f"1.2.{number}"), "dcmrecv://a") for number in range(count)]


def test_all_are_there_in_order_with_their_ids(kafka_cluster: str) -> None:
    sent = messages(200)
    to = publisher(kafka_cluster)
    to.publish(sent[:1])
    to.publish(sent[1:])
    to.close()
    found = list(islice(messages_of(kafka_cluster), 200))
    ids = [dict(each.headers())["id"].decode() for each in found]
    assert list(zip(ids, (each.value() for each in found), strict=True)) == [(each.id, each.body) for each in sent]
    assert {each.partition() for each in found} == {found[0].partition()}
    assert {each.key().decode() for each in found} == {sent[0].study}
    assert dict(found[0].headers())["content-type"] == b"application/cloudevents+json; charset=utf-8"


def test_a_server_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        to = publisher(f"127.0.0.1:{silent.getsockname()[1]}", timeout=0.5)
        before = time.monotonic()
        with pytest.raises(TryAgain, match=r"no answer within 0.5 s"):
            to.publish(messages(2))
        to.close()
        assert time.monotonic() - before < 15


def test_a_server_that_is_down() -> None:
    with reserved_port() as down:
        to = publisher(f"127.0.0.1:{down.getsockname()[1]}", timeout=3.0)
        with pytest.raises(TryAgain, match=r"no answer within 3 s \(.*refused") as caught:
            to.publish(messages(2))
        to.close()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("code", kafka._FOR_GOOD)
def test_what_is_refused_for_good_is_put_aside(code: int) -> None:
    to = publisher("127.0.0.1:9")
    assert isinstance(to._failure(KafkaError(code)), Undeliverable)  # type: ignore[attr-defined]
    assert isinstance(to._failure(KafkaError(KafkaError.NOT_ENOUGH_REPLICAS)), TryAgain)  # type: ignore[attr-defined]
