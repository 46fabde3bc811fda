"""The tree of all that is counted, as plain values and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.counters.document import Counters


def to_a_millisecond(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(to_a_millisecond)
st.register_type_strategy(datetime, TIMES)
st.register_type_strategy(float, st.floats(allow_nan=False))


@settings(deadline=None, max_examples=100)
@given(st.from_type(Counters))
def test_any_counters_as_json_and_back(counters: Counters) -> None:
    assert Counters.from_dict(json.loads(json.dumps(counters.as_dict()))) == counters


def test_its_form() -> None:
    at = datetime(2026, 11, 29, 19, 0, 0, 1000, UTC)
    counters = Counters(version="0.1.0", pid=1, state="ready", not_ready=(), started_at=at, counting_since=at)
    assert counters.as_dict() == {
        "version": "0.1.0",
        "pid": 1,
        "state": "ready",
        "not_ready": [],
        "started_at": "2026-11-29T19:00:00.001+00:00",
        "counting_since": "2026-11-29T19:00:00.001+00:00",
        "listening": [],
        "output": None,
        "totals": {
            "associations": {"accepted": 0, "rejected": 0, "ended": {}},
            "instances": {"stored": 0, "refused": 0, "discarded": 0},
            "bytes": 0,
            "echoes": 0,
        },
        "refusals": [],
        "refusal_counts": [],
        "durations": {
            "instance": {"buckets": [], "sum": 0.0, "count": 0},
            "association": {"buckets": [], "sum": 0.0, "count": 0},
        },
        "workers": [],
        "associations": [],
        "queues": [],
        "plugin_times": [],
        "plugin_counters": [],
    }


def test_a_newer_receiver_may_tell_more() -> None:
    at = datetime(2026, 11, 29, tzinfo=UTC)
    counters = Counters(version="9", pid=1, state="ready", not_ready=(), started_at=at, counting_since=at)
    found = counters.as_dict()
    found["new"] = found["totals"]["new"] = 1
    assert Counters.from_dict(found) == counters


@pytest.mark.parametrize(
    "found", [{}, {"version": "0.1.0"}, [], {"started_at": 1}, {"started_at": "yesterday"}, {"workers": 3}]
)
def test_what_is_something_else(found: Any) -> None:
    with pytest.raises(ValueError):
        Counters.from_dict(found)
