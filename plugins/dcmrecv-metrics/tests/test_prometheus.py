"""The metrics as parsers of Prometheus read them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

import pytest
from documents import HOSTILE, NOW, association, document, refusal
from prometheus_client import parser
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families

from dcmrecv_metrics.prometheus import metrics_page

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def families(status: dict[str, object]) -> list[Metric]:
    body, content_type = metrics_page(status, NOW, "")
    assert content_type.startswith("text/plain; version=")
    return list(parser.text_string_to_metric_families(body.decode()))


def values(found: Iterable[Metric]) -> dict[str, float]:
    """Each sample as Prometheus writes it."""
    return {
        sample.name + str(dict(sorted(sample.labels.items()))) * bool(sample.labels): sample.value
        for family in found
        for sample in family.samples
    }


def test_the_values_of_a_document() -> None:
    found = values(families(document()))
    expected = {
        "dcmrecv_build_info{'version': '1.0.0'}": 1,
        "dcmrecv_state{'state': 'ready'}": 1,
        "dcmrecv_state{'state': 'not_ready'}": 0,
        "dcmrecv_start_time_seconds": NOW.timestamp() - 12 * 86400 - 4 * 3600,
        "dcmrecv_associations_total{'result': 'accepted'}": 1843,
        "dcmrecv_associations_total{'result': 'rejected'}": 7,
        "dcmrecv_associations_ended_total{'how': 'released'}": 1836,
        "dcmrecv_associations_open": 2,
        "dcmrecv_instances_total{'result': 'stored'}": 481_223,
        "dcmrecv_instances_total{'result': 'refused'}": 12,
        "dcmrecv_instances_total{'result': 'discarded'}": 0,
        "dcmrecv_received_bytes_total": 251_400_000_000,
        "dcmrecv_echoes_total": 96,
        "dcmrecv_refusals_total{'kind': 'instance', 'reason': 'no space left', 'status': 'A700'}": 12,
        "dcmrecv_instance_duration_seconds_bucket{'le': '0.01'}": 480_000,
        "dcmrecv_instance_duration_seconds_bucket{'le': '+Inf'}": 481_235,
        "dcmrecv_instance_duration_seconds_count": 481_235,
        "dcmrecv_instance_duration_seconds_sum": 415.5,
        "dcmrecv_association_duration_seconds_bucket{'le': '60.0'}": 1840,
        "dcmrecv_workers{'state': 'idle'}": 2,
        "dcmrecv_workers{'state': 'serving'}": 2,
        "dcmrecv_workers{'state': 'starting'}": 0,
        "dcmrecv_queue_entries{'queue': 'forward/PACS', 'state': 'waiting'}": 18,
        "dcmrecv_queue_entries{'queue': 'forward/PACS', 'state': 'put_aside'}": 0,
        "dcmrecv_queue_oldest_age_seconds{'queue': 'forward/PACS'}": 300,
        "dcmrecv_queue_oldest_age_seconds{'queue': 'index'}": 0,
        "dcmrecv_queue_claimed{'queue': 'index'}": 1,
        "dcmrecv_plugin_calls_total{'hook': 'receive', 'plugin': 'deidentify'}": 481_235,
        "dcmrecv_plugin_seconds_total{'hook': 'receive', 'plugin': 'deidentify'}": 1022.25,
        "dcmrecv_plugin_counter_total{'name': 'images_with_burned_in_text', 'plugin': 'deidentify'}": 31,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_openmetrics_for_clients_that_accept_it() -> None:
    body, content_type = metrics_page(document(), NOW, OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    text = values(families(document()))
    assert values(openmetrics_families(body.decode())) == text


def test_every_metric_has_a_help_text_and_a_good_name() -> None:
    for family in families(document()):
        assert re.fullmatch("dcmrecv_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")


def test_a_receiver_that_has_just_started() -> None:
    status = document(refusal_counts=[], queues=[], plugin_times=[], plugin_counters=[], workers=[], associations=[])
    assert values(families(status))["dcmrecv_associations_open"] == 0


def test_no_title_and_no_address_is_a_label() -> None:
    title, address = "VERY_SPECIAL", "203.0.113.200"
    special = {"called_ae_title": title, "peer_address": address}
    status = document(
        associations=[association(title, **special)], refusals=[refusal(title, "A700", "no space left", **special)]
    )
    body, _ = metrics_page(status, NOW, "")
    assert title.encode() not in body and address.encode() not in body


@pytest.mark.parametrize("reason", [HOSTILE, 'a"b\\c\nd', "\u202e"])
def test_labels_with_odd_characters(reason: str) -> None:
    status = document(refusal_counts=[{"kind": "instance", "status": "A700", "reason": reason, "count": 5}])
    [found] = [family for family in families(status) if family.name == "dcmrecv_refusals"]
    assert found.samples[0].labels["reason"] == reason


def test_the_age_is_never_negative() -> None:
    status = document()
    status["queues"][0]["oldest"] = datetime(2027, 1, 1).astimezone().isoformat()
    assert values(families(status))["dcmrecv_queue_oldest_age_seconds{'queue': 'forward/PACS'}"] == 0
