"""Status documents as a receiver gives them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=timezone(timedelta(hours=1)))
HOSTILE = '<script>alert("1")</script>'


def before(**span: float) -> str:
    """A time so long before NOW."""
    return (NOW - timedelta(**span)).isoformat()


def association(calling: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": "1",
        "pid": 4711,
        "calling_ae_title": calling,
        "called_ae_title": "ARCHIVE",
        "peer_address": "192.0.2.17",
        "peer_port": 40123,
        "tls": False,
        "since": before(minutes=3, seconds=12),
        "instances": 211,
        "bytes": 111_000_000,
        "last_at": before(seconds=1),
    } | changes


def refusal(calling: str, status: str, reason: str, **changes: Any) -> dict[str, Any]:
    return {
        "at": before(hours=2),
        "calling_ae_title": calling,
        "called_ae_title": "ARCHIVE",
        "peer_address": "192.0.2.99",
        "kind": "instance",
        "status": status,
        "reason": reason,
        "count": 1,
    } | changes


def document(**changes: Any) -> dict[str, Any]:
    """A receiver in the middle of its day; `changes` replace parts."""
    return {
        "version": "1.0.0",
        "pid": 4700,
        "state": "ready",
        "not_ready": [],
        "started_at": before(days=12, hours=4),
        "counting_since": before(days=12, hours=4),
        "listening": [
            {"address": "0.0.0.0", "port": 11112, "tls": False},
            {"address": "::", "port": 11112, "tls": False},
        ],
        "output": {"path": "/srv/dicom", "min_free": 10_000_000_000, "mount_point": "/srv"},
        **_counted(),
        **_now(),
        "plugin_times": [{"plugin": "deidentify", "hook": "receive", "calls": 481_235, "seconds": 1022.25}],
        "plugin_counters": [{"plugin": "deidentify", "name": "images_with_burned_in_text", "value": 31}],
    } | changes


def _counted() -> dict[str, Any]:
    return {
        "totals": {
            "associations": {"accepted": 1843, "rejected": 7, "ended": {"released": 1836, "aborted": 3, "lost": 1}},
            "instances": {"stored": 481_223, "refused": 12, "discarded": 0},
            "bytes": 251_400_000_000,
            "echoes": 96,
        },
        "refusals": [
            refusal("OLD_CT", "C000", "data set cannot be read", at=before(days=1)),
            refusal("MR_2", "A700", "no space left", count=12),
            refusal("UNKNOWN", "1/1/3", "calling AE title not recognized", kind="association", at=before(minutes=4)),
        ],
        "refusal_counts": [
            {"kind": "instance", "status": "A700", "reason": "no space left", "count": 12},
            {"kind": "association", "status": "1/1/3", "reason": "calling AE title not recognized", "count": 7},
        ],
        "durations": {
            "instance": {
                "buckets": [[0.001, 400_000], [0.01, 480_000], [0.1, 481_230]],
                "sum": 415.5,
                "count": 481_235,
            },
            "association": {"buckets": [[1.0, 900], [10.0, 1500], [60.0, 1840]], "sum": 14_520.0, "count": 1840},
        },
    }


def _now() -> dict[str, Any]:
    return {
        "workers": [
            {"pid": 4711, "state": "serving", "since": before(minutes=3), "hook": None},
            {
                "pid": 4712,
                "state": "serving",
                "since": before(minutes=1),
                "hook": {"plugin": "deidentify", "hook": "receive", "since": before(seconds=4)},
            },
            {"pid": 4713, "state": "idle", "since": before(hours=1), "hook": None},
            {"pid": 4714, "state": "idle", "since": before(hours=1), "hook": None},
        ],
        "associations": [
            association("CT_1"),
            association("MR_2", peer_address="2001:db8::2", tls=True, instances=0, bytes=0, last_at=None, pid=4712),
        ],
        "queues": [
            {
                "queue": "forward/PACS",
                "waiting": 18,
                "failing": 2,
                "busy": 1,
                "put_aside": 0,
                "oldest": before(minutes=5),
                "claimed": True,
            },
            {
                "queue": "index",
                "waiting": 0,
                "failing": 0,
                "busy": 0,
                "put_aside": 0,
                "oldest": None,
                "claimed": True,
            },
        ],
    }
