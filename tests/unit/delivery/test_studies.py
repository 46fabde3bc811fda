"""A study made of its events."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dcmrecv_core.delivery.studies import latest, make_study
from dcmrecv_core.testing import fake_event


def test_of_each_instance_the_latest_counts() -> None:
    one, two, again = (fake_event(sop_instance_uid=uid) for uid in ("1", "2", "1"))
    assert latest([one, two, again]) == (again, two)


@pytest.mark.parametrize(
    ("locations", "directory"),
    [
        (["out/a/1", "out/a/2"], "out/a"),
        (["out/a/1", "out/b/2"], "out"),
        (["/data/a/1", "/data/a/x/2"], "/data/a"),
        (["out/a/1", "s3://bucket/2"], None),
        (["/data/1", "out/2"], None),
    ],
)
def test_the_directory_has_all_files(locations: list[str], directory: str | None) -> None:
    events = [fake_event(location=location, sop_instance_uid=location) for location in locations]
    assert make_study("s", 1, (), events).directory == directory


def test_what_a_power_cut_took_is_left_out() -> None:
    when = datetime(2026, 1, 2, tzinfo=UTC)
    lost = fake_event(recovered=True, calling_ae_title=None, received_at=None)
    known = fake_event(received_at=when, calling_ae_title="CT1", sop_instance_uid="2")
    study = make_study("s", 1, (), [lost, known])
    assert (study.senders, study.first_received_at, study.last_received_at) == (("CT1",), when, when)
    study = make_study("s", 1, (), [lost])
    assert (study.senders, study.first_received_at, study.last_received_at) == ((), None, None)
