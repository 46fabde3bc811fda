"""The plugin in a receiver: its kinds of events, servers and processes that are killed, and its settings."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
from kafka_cluster import messages_of
from rabbitmq import RabbitMq

from dcmrecv_core.testing import Receiver, StartReceiver, deliver_all, sample_dataset, until
from support.servers.nats_server import NatsServer


def table(name: str, url: str, *lines: str) -> str:
    return "\n".join(["[[plugins.events.destinations]]", f'name = "{name}"', f'url = "{url}"', *lines, ""])


def start_with(start_receiver: StartReceiver, tmp_path: Path, *tables: str) -> Receiver:
    path = tmp_path / "events.toml"
    path.write_text('plugin = ["events"]\n' + "".join(tables))
    return start_receiver("-v", "-pm", "--settings", path)


def instances(count: int, first: int = 0, study: str = "1.2.3") -> list[object]:
    numbers = range(first, first + count)
    return [sample_dataset(SOPInstanceUID=f"1.2.{number}", StudyInstanceUID=study) for number in numbers]


def kill_delivery(receiver: Receiver) -> None:
    """Kill the process that publishes to A; there is a new one after that."""

    def started() -> list[str]:
        return re.findall(r"delivery process of events/A: started \(process (\d+)\)", receiver.log)

    before = until(started, "it is started", log=lambda: receiver.log)
    os.kill(int(before[-1]), signal.SIGKILL)
    until(lambda: len(started()) > len(before), "a new process", log=lambda: receiver.log)


def test_each_kind_once(start_receiver: StartReceiver, tmp_path: Path, nats: NatsServer) -> None:
    receiver = start_with(start_receiver, tmp_path, table("A", nats.url, 'subject = "dicom"'))
    receiver.send(*instances(3))
    assert deliver_all(receiver) == []
    types = [event["type"] for _, event in nats.messages()]
    assert sorted(types) == ["dcmrecv.instance.stored"] * 3 + ["dcmrecv.series.completed", "dcmrecv.study.completed"]


def test_only_the_kinds_that_are_wanted(start_receiver: StartReceiver, tmp_path: Path, nats: NatsServer) -> None:
    wanted = table("A", nats.url, 'subject = "dicom"', 'when = ["study"]')
    receiver = start_with(start_receiver, tmp_path, wanted)
    receiver.send(*instances(3))
    assert deliver_all(receiver) == []
    [(id, event)] = nats.messages()
    assert id == event["id"] and event["type"] == "dcmrecv.study.completed"
    assert len(event["data"]["instances"]) == 3


def test_server_and_delivery_processes_killed(start_receiver: StartReceiver, tmp_path: Path, nats: NatsServer) -> None:
    """Nothing is lost, nothing is there twice after a look at the ids, and no line of the log is a traceback."""
    receiver = start_with(
        start_receiver, tmp_path, table("A", nats.url, 'subject = "dicom"', 'when = ["instance"]', "timeout = 5")
    )

    sent = 0
    for study in ("1.2.3", "1.2.4", "1.2.5", "1.2.6"):
        receiver.send(*instances(15, sent, study))
        nats.kill()
        receiver.send(*instances(15, sent + 15, study))
        sent += 30
        kill_delivery(receiver)
        receiver.wait_for_log("no connection to 127.0.0.1")
        nats.start()
    assert deliver_all(receiver) == []
    uids = {id: event["data"]["sop_instance_uid"] for id, event in nats.messages()}
    assert sorted(uids.values()) == sorted(f"1.2.{number}" for number in range(sent))
    assert "Traceback" not in receiver.log


@pytest.mark.timeout(300)
def test_killed_with_amqp(start_receiver: StartReceiver, tmp_path: Path, rabbitmq: RabbitMq) -> None:
    wanted = table("A", rabbitmq.url, 'routing_key = "q"', 'when = ["instance"]', "timeout = 5")
    receiver = start_with(start_receiver, tmp_path, wanted)
    receiver.send(*instances(30))
    rabbitmq.kill()
    kill_delivery(receiver)
    receiver.send(*instances(30, 30, "1.2.4"))
    receiver.wait_for_log("no connection to 127.0.0.1")
    rabbitmq.start()
    assert deliver_all(receiver) == []
    uids = {each.message_id: json.loads(body)["data"]["sop_instance_uid"] for each, body in rabbitmq.take()}
    assert sorted(uids.values()) == sorted(f"1.2.{number}" for number in range(60))
    assert "Traceback" not in receiver.log


def test_to_kafka(start_receiver: StartReceiver, tmp_path: Path, kafka_cluster: str) -> None:
    """After its delivery process was killed."""
    wanted = table("A", f"kafka://{kafka_cluster}", 'topic = "dicom"', 'when = ["instance"]')
    receiver = start_with(start_receiver, tmp_path, wanted)
    receiver.send(*instances(30))
    kill_delivery(receiver)
    receiver.send(*instances(30, 30, "1.2.4"))
    assert deliver_all(receiver) == []
    wanted_uids = {f"1.2.{number}" for number in range(60)}
    uids: dict[str, str] = {}
    for message in messages_of(kafka_cluster):
        uids[dict(message.headers())["id"].decode()] = json.loads(message.value())["data"]["sop_instance_uid"]
        if set(uids.values()) == wanted_uids:
            break
    assert len(uids) == 60 and set(uids.values()) == wanted_uids


MISTAKES = {
    "scheme": (table("A", "http://a", 'subject = "x"'), "destination 'A': url: nats://HOST"),
    "secret in the url": (table("A", "nats://me:pw@a", 'subject = "x"'), "destination 'A': url: nats://HOST"),
    "missing": (table("A", "kafka://a"), "destination 'A': topic: is missing: kafka: needs it"),
    "of another": (
        table("A", "nats://a", 'subject = "x"', 'topic = "y"'),
        "destination 'A': topic: is for kafka: only",
    ),
    "wildcard": (table("A", "nats://a", 'subject = "a.*"'), "destination 'A': subject: 'a.*' cannot be one"),
    "kind": (table("A", "nats://a", 'subject = "x"', 'when = ["patient"]'), "one of instance, series, study"),
    "twice": (table("A", "nats://a", 'subject = "x"') * 2, "destination 'A': name: another destination has it too"),
    "no tls": (table("A", "nats://a", 'subject = "x"', 'tls_key = "k"'), "tls_key: is of no use without tls = true"),
    "no certificate": (
        table("A", "nats://a", 'subject = "x"', "tls = true", 'tls_certificate = "/dev/null"', 'tls_key = "/dev/null"'),
        "tls_certificate: /dev/null and /dev/null cannot be used: not in PEM",
    ),
    "none": ("", "no destination is given"),
}


@pytest.mark.parametrize(("tables", "text"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_end_the_start(start_receiver: StartReceiver, tmp_path: Path, tables: str, text: str) -> None:
    with pytest.raises(AssertionError, match=r"ended with (1|66)") as caught:
        start_with(start_receiver, tmp_path, tables)
    assert text in str(caught.value)
