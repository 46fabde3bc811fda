"""Events to a real RabbitMQ."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from typing import Any

import pytest
from rabbitmq import LARGEST, RabbitMq

from dcmrecv_core import TryAgain, Undeliverable
from dcmrecv_core.testing import fake_event
from dcmrecv_events import amqp
from dcmrecv_events.destinations import Destination, publisher_of, routes
from dcmrecv_events.messages import Message, message_of
from dcmrecv_events.publishing import Publisher
from support.programs.receivers import reserved_port


def publisher(url: str, routing_key: str = "q", **keys: Any) -> Publisher:
    [route] = routes([Destination("A", url, routing_key=routing_key, **keys)]).values()
    return publisher_of(route)


def messages(count: int) -> list[Message]:
    return [message_of(fake_event(sop_instance_uid=f"1.2.{number}"), "dcmrecv://a") for number in range(count)]


def test_all_are_there_in_order_with_their_ids(rabbitmq: RabbitMq) -> None:
    sent = messages(200)
    to = publisher(rabbitmq.url)
    to.publish(sent[:1])
    to.publish(sent[1:])
    to.close()
    taken = rabbitmq.take()
    assert [(properties.message_id, body) for properties, body in taken] == [(each.id, each.body) for each in sent]
    properties = taken[0][0]
    assert properties.delivery_mode == 2 and properties.type == "dcmrecv.instance.stored"
    assert properties.content_type == "application/cloudevents+json; charset=utf-8"


@pytest.mark.timeout(300)
def test_a_server_that_was_killed_and_started_again(rabbitmq: RabbitMq) -> None:
    to = publisher(rabbitmq.url)
    first, second = messages(2)
    to.publish([first])
    rabbitmq.kill()
    for _ in range(2):
        with pytest.raises(TryAgain):
            to.publish([second])
    rabbitmq.start()
    to.publish([second])
    to.close()
    assert [properties.message_id for properties, _ in rabbitmq.take()] == [first.id, second.id]


def test_a_message_that_is_too_large_is_refused_for_good(rabbitmq: RabbitMq) -> None:
    to = publisher(rabbitmq.url)
    [message] = messages(1)
    with pytest.raises(Undeliverable, match=f"message size {LARGEST + 1} is larger than"):
        to.publish([replace(message, body=b"x" * (LARGEST + 1))])
    to.publish([message])
    to.close()
    assert len(rabbitmq.take()) == 1


def test_a_connection_ends_at_once(rabbitmq: RabbitMq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqp, "_CLOSING", 30.0)
    to = publisher(rabbitmq.url)
    to.publish(messages(1))
    before = time.monotonic()
    to.close()
    assert time.monotonic() - before < 25
    assert len(rabbitmq.take()) == 1


def test_no_queue(rabbitmq: RabbitMq) -> None:
    to = publisher(rabbitmq.url, "nowhere")
    with pytest.raises(TryAgain, match=r"no queue takes routing key nowhere$"):
        to.publish(messages(2))
    to.close()


def test_no_exchange(rabbitmq: RabbitMq) -> None:
    to = publisher(rabbitmq.url, exchange="missing")
    with pytest.raises(TryAgain, match="no exchange 'missing'"):
        to.publish(messages(2))
    to.close()


def test_a_wrong_password(rabbitmq: RabbitMq) -> None:
    to = publisher(rabbitmq.url, user="guest", password="wrong")
    with pytest.raises(TryAgain, match=r"no connection to 127.0.0.1") as caught:
        to.publish(messages(1))
    to.close()
    assert "\n" not in str(caught.value) and "wrong" not in str(caught.value)


def test_the_second_server_is_taken_if_the_first_is_down(rabbitmq: RabbitMq) -> None:
    with reserved_port() as down:
        to = publisher(f"amqp://127.0.0.1:{down.getsockname()[1]},127.0.0.1:{rabbitmq.port}")
        to.publish(messages(1))
        to.close()
    assert len(rabbitmq.take()) == 1


def test_a_server_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        to = publisher(f"amqp://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
        before = time.monotonic()
        with pytest.raises(TryAgain):
            to.publish(messages(1))
        to.close()
        assert time.monotonic() - before < 10
