"""Events to a real nats-server."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import trustme
from nats import connect

from dcmrecv_core import TryAgain, Undeliverable
from dcmrecv_core.testing import fake_event
from dcmrecv_events.destinations import Destination, publisher_of, routes
from dcmrecv_events.messages import Message, message_of
from dcmrecv_events.publishing import Publisher
from support.programs.receivers import reserved_port
from support.servers.nats_server import NatsServer


def publisher(url: str, **keys: Any) -> Publisher:
    [route] = routes([Destination("A", url, subject="dicom", **keys)]).values()
    return publisher_of(route)


def messages(count: int) -> list[Message]:
    return [message_of(fake_event(sop_instance_uid=f"1.2.{number}"), "dcmrecv://a") for number in range(count)]


def test_all_are_there_in_order_with_their_ids(nats: NatsServer) -> None:
    sent = messages(200)
    to = publisher(nats.url, timeout=60.0)  # the server flushes each of them
    to.publish(sent[:1])
    to.publish(sent[1:])
    to.close()
    assert nats.messages() == [(each.id, json.loads(each.body)) for each in sent]


def test_the_same_id_is_there_once(nats: NatsServer) -> None:
    to = publisher(nats.url)
    for _ in range(2):
        to.publish(messages_ := [Message("same", "t", "1", b"{}")])
    to.close()
    assert nats.messages() == [(messages_[0].id, {})]


def test_a_server_that_was_killed_and_started_again(nats: NatsServer) -> None:
    to = publisher(nats.url)
    first, second = messages(2)
    to.publish([first])
    nats.kill()
    with pytest.raises(TryAgain):
        to.publish([second])
    with pytest.raises(TryAgain, match=r"no connection to 127.0.0.1:\d+: "):
        to.publish([second])
    nats.start()
    to.publish([second])
    to.close()
    assert [id for id, _ in nats.messages()] == [first.id, second.id]


def test_two_answers_to_one_message_do_not_count_for_two(nats: NatsServer) -> None:
    """As those of the streams of two domains; the other message has none."""
    [route] = routes([Destination("A", nats.url, subject="other", timeout=5.0)]).values()
    to = publisher_of(route)
    sent = messages(2)

    async def answer_the_first() -> None:
        client = await connect(nats.url)
        subscription = await client.subscribe("other")
        await client.flush()
        publishing = asyncio.get_running_loop().run_in_executor(None, to.publish, sent)
        first = await subscription.next_msg(20)
        for _ in sent:
            await first.respond(b'{"stream": "one", "seq": 1}')
        try:
            with pytest.raises(TryAgain, match="no answer within 5 s"):
                await publishing
        finally:
            await client.close()

    asyncio.run(answer_the_first())
    to.close()


def test_no_stream(nats: NatsServer) -> None:
    [route] = routes([Destination("A", nats.url, subject="other")]).values()
    to = publisher_of(route)
    with pytest.raises(TryAgain, match="no stream takes subject other"):
        to.publish(messages(2))
    to.close()


def test_a_stream_that_is_full(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats")
    server.start()
    try:
        server.make_stream("dicom", max_msgs=1, discard="new")
        to = publisher(server.url)
        with pytest.raises(TryAgain, match="maximum messages exceeded"):
            to.publish(messages(2))
        to.close()
    finally:
        server.end()


def test_too_large(nats: NatsServer) -> None:
    to = publisher(nats.url)
    with pytest.raises(Undeliverable, match="2000000 bytes are more than its max_payload"):
        to.publish([Message("1", "t", "1", bytes(2_000_000))])
    to.publish(messages(1))
    to.close()


def test_a_server_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        to = publisher(f"nats://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
        before = time.monotonic()
        with pytest.raises(TryAgain):
            to.publish(messages(1))
        to.close()
        assert time.monotonic() - before < 10


def test_the_second_server_is_taken_if_the_first_is_down(nats: NatsServer) -> None:
    with reserved_port() as down:
        to = publisher(f"nats://127.0.0.1:{down.getsockname()[1]},127.0.0.1:{nats.port}")
        to.publish(messages(1))
        to.close()
    assert len(nats.messages()) == 1


def test_a_password(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats", 'authorization { user: "me", password: "right" }\n')
    server.start()
    try:
        wrong = publisher(server.url, user="me", password="wrong")
        with pytest.raises(TryAgain, match="Authorization Violation") as caught:
            wrong.publish(messages(1))
        assert "wrong" not in str(caught.value)
        wrong.close()
        right = publisher(server.url, user="me", password="right")
        with pytest.raises(TryAgain, match="no stream"):
            right.publish(messages(1))
        right.close()
    finally:
        server.end()


def test_no_password_without_tls(nats: NatsServer) -> None:
    """A server, or somebody between, that does not offer TLS gets neither password nor events."""
    to = publisher(nats.url, tls=True, user="me", password="secret")
    with pytest.raises(TryAgain, match="it does not offer TLS"):
        to.publish(messages(1))
    to.close()
    assert nats.messages() == []


def test_tls(tmp_path: Path) -> None:
    """The certificate is checked."""
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    for name, blob in (
        ("ca.pem", authority.cert_pem),
        ("other.pem", other.cert_pem),
        ("key.pem", certificate.private_key_pem),
        ("cert.pem", certificate.cert_chain_pems[0]),
    ):
        blob.write_to_path(str(tmp_path / name))
    files = f'cert_file: "{tmp_path}/cert.pem", key_file: "{tmp_path}/key.pem"'
    server = NatsServer(tmp_path / "nats", f"tls {{ {files} }}\n")
    server.start()
    try:
        to = publisher(server.url, tls=True, tls_authority=tmp_path / "ca.pem")
        with pytest.raises(TryAgain, match="no stream takes"):
            to.publish(messages(1))
        to.close()
        wrong = publisher(server.url, tls=True, tls_authority=tmp_path / "other.pem")
        with pytest.raises(TryAgain, match="certificate verify failed"):
            wrong.publish(messages(1))
        wrong.close()
    finally:
        server.end()
