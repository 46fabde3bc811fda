"""POST of events: what the server gets, and what becomes of each answer."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
from datetime import UTC, datetime

import pytest
from endpoint import Endpoint

from dcmrecv_actions import webhooks
from dcmrecv_actions.webhooks import Webhook
from dcmrecv_core import PluginError, TryAgain, Undeliverable, cloud_event
from dcmrecv_core.testing import fake_association, fake_event, fake_study

SOURCE = "dcmrecv://host:11112"
EVENT = fake_event(
    association=fake_association(calling_ae_title="CT1", called_ae_title="ARCHIVE", peer_address="192.0.2.7"),
    received_at=datetime(2026, 11, 22, 9, 25, 35, 85972, UTC),
    location="out/1.dcm",
)


def posted(endpoint: Endpoint, url: str = "") -> tuple[str, dict[str, str], bytes]:
    Webhook("--on-instance-url", url or endpoint.url).post(cloud_event(EVENT, SOURCE))
    return endpoint.next_post()


def test_an_instance(endpoint: Endpoint) -> None:
    path, headers, body = posted(endpoint)
    assert path == "/hook?token=secret"
    assert headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert json.loads(body) == {
        "specversion": "1.0",
        "id": EVENT.id,
        "source": "dcmrecv://host:11112",
        "type": "dcmrecv.instance.stored",
        "subject": EVENT.sop_instance_uid,
        "time": "2026-11-22T09:25:35.085972Z",
        "datacontenttype": "application/json",
        "data": {
            "location": os.path.abspath("out/1.dcm"),
            "received_at": "2026-11-22T09:25:35.085972Z",
            "sop_class_uid": EVENT.sop_class_uid,
            "sop_instance_uid": EVENT.sop_instance_uid,
            "transfer_syntax_uid": EVENT.transfer_syntax_uid,
            "study_instance_uid": EVENT.study_instance_uid,
            "series_instance_uid": EVENT.series_instance_uid,
            "patient_id": EVENT.patient_id,
            "modality": EVENT.modality,
            "how": "new",
            "size": EVENT.size,
            "calling_ae_title": "CT1",
            "called_ae_title": "ARCHIVE",
            "peer_address": "192.0.2.7",
            "association_id": EVENT.association_id,
            "recovered": False,
        },
    }


def test_what_a_power_cut_has_taken_is_null() -> None:
    lost = dict.fromkeys(("calling_ae_title", "called_ae_title", "peer_address", "association_id", "received_at"))
    event = cloud_event(fake_event(recovered=True, **lost), SOURCE)
    assert "time" not in event  # an optional attribute is never empty (CloudEvents 1.0, section 3)
    assert event["data"]["recovered"] is True
    assert event["data"]["calling_ae_title"] is event["data"]["received_at"] is None


def test_a_study() -> None:
    other = fake_event(sop_instance_uid="1.2", location="out/2.dcm", received_at=datetime(2026, 11, 23, tzinfo=UTC))
    study = fake_study(other, before=[EVENT], revision=2)
    event = cloud_event(study, SOURCE)
    assert event["id"] == study.id
    assert event["type"] == "dcmrecv.study.completed"
    assert event["subject"] == study.study_instance_uid
    assert event["time"] == "2026-11-23T00:00:00Z"
    data = event["data"]
    assert data["study_instance_uid"] == study.study_instance_uid
    assert data["revision"] == 2
    assert data["senders"] == ["CT1", "SENDER"]
    assert data["directory"] == os.path.abspath("out")
    assert [each["sop_instance_uid"] for each in data["instances"]] == [EVENT.sop_instance_uid, "1.2"]
    assert data["new"] == ["1.2"]
    assert json.loads(json.dumps(event)) == event


def test_a_study_without_a_uid_has_no_subject() -> None:
    assert "subject" not in cloud_event(fake_study(fake_event(study_instance_uid="")), SOURCE)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success(endpoint: Endpoint, status: int) -> None:
    endpoint.answers = [(status, {})]
    posted(endpoint)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422, 499])
def test_what_the_server_refuses_is_put_aside(endpoint: Endpoint, status: int) -> None:
    endpoint.answers = [(status, {})]
    with pytest.raises(Undeliverable, match=rf"--on-instance-url: 127.0.0.1:{endpoint.server_port} answered {status}"):
        posted(endpoint)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 301, 302, 303, 304, 307, 308])
def test_what_may_pass_is_tried_again(endpoint: Endpoint, status: int) -> None:
    endpoint.answers = [(status, {"Location": "/elsewhere"})]
    with pytest.raises(TryAgain, match=f"answered {status}") as caught:
        posted(endpoint)
    assert "secret" not in str(caught.value)
    assert endpoint.others == []
    endpoint.next_post()
    posted(endpoint)


def test_a_server_that_is_down() -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(TryAgain, match=f"--on-study-url: 127.0.0.1:{port}: .*refused") as caught:
            Webhook("--on-study-url", f"http://me:password@127.0.0.1:{port}/?token=secret").post({})
    assert "secret" not in str(caught.value)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500])
def test_a_server_that_speaks_something_else(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answering() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=answering)
        thread.start()
        with pytest.raises(TryAgain, match="--on-study-url: 127"):
            Webhook("--on-study-url", f"http://127.0.0.1:{server.getsockname()[1]}/").post({})
        thread.join(20)


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(TryAgain, match="timed out"):
            Webhook("--on-study-url", url).post({})


def test_a_password(endpoint: Endpoint) -> None:
    _, headers, _ = posted(endpoint, endpoint.url.replace("//", "//me%40x:p%3Aw@"))
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"me@x:p:w").decode()
    assert headers["Host"] == f"127.0.0.1:{endpoint.server_port}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host/path",
        "ftp://host/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://h/a b",
        "http://h/\n",
        "http://host:port/",
        "http://host:99999/",
        "http://[::1/",
        "http://h\u00f6st/",
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(PluginError, match="--on-study-url: a URL that begins with http"):
        Webhook("--on-study-url", url)
