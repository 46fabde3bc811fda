"""What people read of a receiver's counters."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmrecv_core.counters.document import (
    AssociationCounts,
    AssociationStatus,
    Counters,
    InstanceCounts,
    Listening,
    PluginCount,
    QueueStatus,
    RefusalStatus,
    RunningHook,
    Totals,
    WorkerStatus,
)
from dcmrecv_core.ctl.tables import how_long, refusal_lines, size, status_lines, table

NOW = datetime(2026, 11, 29, 19, 30, tzinfo=UTC)


def ago(**time: float) -> datetime:
    return NOW - timedelta(**time)


ASSOCIATION = AssociationStatus(
    id="1",
    pid=812,
    calling_ae_title="CT3",
    called_ae_title="ARCHIVE",
    peer_address="10.0.0.5",
    peer_port=4711,
    tls=True,
    since=ago(minutes=3),
    instances=311,
    bytes=163_000_000,
    last_at=ago(seconds=1),
)
REFUSAL = RefusalStatus(
    at=ago(seconds=5),
    calling_ae_title="CT3",
    called_ae_title="ARCHIVE",
    peer_address="10.0.0.5",
    kind="instance",
    status="A700",
    reason="no space left",
    count=12,
)
COUNTERS = Counters(
    version="0.1.0",
    pid=800,
    state="ready",
    not_ready=(),
    started_at=ago(days=3),
    counting_since=ago(days=3),
    listening=(Listening(address="0.0.0.0", port=104, tls=False), Listening(address="::", port=2762, tls=True)),
    totals=Totals(
        associations=AssociationCounts(accepted=1204, rejected=3, ended={"released": 1200, "aborted": 3, "lost": 0}),
        instances=InstanceCounts(stored=98765, refused=12, discarded=0),
        bytes=51_200_000_000,
        echoes=17,
    ),
    refusals=(REFUSAL,),
    workers=(
        WorkerStatus(
            pid=812,
            state="serving",
            since=ago(minutes=3),
            hook=RunningHook(plugin="mysite", hook="receive", since=ago(seconds=4)),
        ),
        WorkerStatus(pid=813, state="idle", since=ago(hours=5)),
    ),
    associations=(ASSOCIATION,),
    queues=(
        QueueStatus(
            queue="forward/pacs",
            waiting=4,
            failing=1,
            busy=0,
            put_aside=0,
            oldest=ago(hours=3),
            claimed=False,
        ),
    ),
    plugin_counters=(PluginCount(plugin="mysite", name="kept", value=5),),
)


def test_all_of_it() -> None:
    assert list(status_lines(COUNTERS, NOW)) == [
        "dcmrecv 0.1.0, process 800: ready, on 0.0.0.0 port 104, :: port 2762 (TLS)",
        "counting since 2026-11-26 19:30:00 (3 d)",
        "associations: 1204 accepted, 3 rejected, 1 open; ended: 1200 released, 3 aborted",
        "instances: 98765 stored, 12 refused, 0 discarded; 51.2 GB; 17 echoes",
        "",
        "from  to       address            since  instances   bytes  last  worker",
        "CT3   ARCHIVE  10.0.0.5:4711 TLS  3 min        311  163 MB   1 s     812",
        "",
        "workers: 1 serving, 1 idle",
        "  812 is in hook receive of plugin mysite, 4 s",
        "",
        "refused last         from  to       address   what      status  times  reason",
        "2026-11-29 19:29:55  CT3   ARCHIVE  10.0.0.5  instance  A700       12  no space left",
        "",
        "queue         waiting  failing  busy  put aside  oldest",
        "forward/pacs        4        1     0          0     3 h  (no plugin claims it)",
        "",
        "counted by plugins  count",
        "mysite: kept            5",
    ]


def test_a_new_receiver() -> None:
    new = Counters(
        version="0.1.0", pid=8, state="not ready", not_ready=("no worker is ready",), started_at=NOW, counting_since=NOW
    )
    lines = list(status_lines(replace(new, listening=COUNTERS.listening[:1]), NOW))
    assert lines[0] == "dcmrecv 0.1.0, process 8: not ready (no worker is ready), on 0.0.0.0 port 104"
    assert lines[4:] == ["", "no association is open", "", "workers: none"]


def test_no_refusals() -> None:
    assert list(refusal_lines((), NOW)) == ["nothing was refused since 2026-11-29 19:30:00"]


@settings(deadline=None, max_examples=100)
@given(st.text(), st.text(), st.text())
def test_peers_never_control_the_terminal(calling: str, called: str, reason: str) -> None:
    association = replace(ASSOCIATION, calling_ae_title=calling, called_ae_title=called)
    refusal = replace(REFUSAL, calling_ae_title=calling, called_ae_title=called, reason=reason)
    counters = replace(COUNTERS, associations=(association,), refusals=(refusal,))
    lines = list(status_lines(counters, NOW))
    assert len(lines) == len(list(status_lines(COUNTERS, NOW)))
    controls = {chr(code) for code in (*range(32), *range(127, 160))}
    assert not controls & set("".join(lines))


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_499, "999 kB"), (999_500, "1 MB"), (10**18, "1e+03 PB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0.9, "0 s"), (119.9, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_how_long(seconds: float, text: str) -> None:
    assert how_long(ago(seconds=seconds), NOW) == text
    assert how_long(None, NOW) == "-"


def test_columns() -> None:
    assert list(table([("a", "1"), ("long", "100")], ("x", "n"), right=(1,))) == ["x       n", "a       1", "long  100"]
