"""Events as CloudEvents."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime

from dcmrecv_core import cloud_event, cloud_event_source
from dcmrecv_core.testing import fake_event, fake_series, fake_settings, fake_study

WHEN = datetime(2026, 11, 22, 9, 25, 35, 85972, UTC)
EVENT = fake_event(location="out/1.dcm", received_at=WHEN, modality="CT")


def test_the_source_is_the_receiver() -> None:
    host = socket.gethostname()
    assert cloud_event_source(fake_settings(port=11112)) == f"dcmrecv://{host}:11112"
    assert cloud_event_source(fake_settings(port=None)) == f"dcmrecv://{host}"


def test_a_series_is_a_study_with_two_members_more() -> None:
    series, study = fake_series(EVENT), fake_study(EVENT)
    of_series, of_study = cloud_event(series, "x"), cloud_event(study, "x")
    assert (of_series["type"], of_study["type"]) == ("dcmrecv.series.completed", "dcmrecv.study.completed")
    assert (of_series["id"], of_series["subject"]) == (series.id, series.series_instance_uid)
    assert (of_study["id"], of_study["subject"]) == (study.id, study.study_instance_uid)
    own = {name: of_series["data"].pop(name) for name in ("series_instance_uid", "modality")}
    assert own == {"series_instance_uid": series.series_instance_uid, "modality": "CT"}
    assert of_series["data"] == of_study["data"]
    assert of_study["data"]["instances"] == [cloud_event(EVENT, "x")["data"]]


def test_an_instance() -> None:
    event = cloud_event(EVENT, "dcmrecv://a")
    assert (event["id"], event["subject"], event["source"]) == (EVENT.id, EVENT.sop_instance_uid, "dcmrecv://a")
    assert event["time"] == event["data"]["received_at"] == "2026-11-22T09:25:35.085972Z"
    assert event["data"]["location"] == os.path.abspath("out/1.dcm")
    assert json.loads(json.dumps(event)) == event


def test_a_uri_stays_as_it_is() -> None:
    assert cloud_event(fake_event(location="s3://b/k"), "x")["data"]["location"] == "s3://b/k"
