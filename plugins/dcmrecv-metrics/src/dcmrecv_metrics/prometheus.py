"""The status document in the formats of Prometheus.

Titles and addresses are no labels: a label's values stay few, and peers choose theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

Status = dict[str, Any]

STATES = ("ready", "not ready", "draining", "stopping")
WORKER_STATES = ("starting", "idle", "serving")
QUEUE_STATES = ("waiting", "failing", "busy", "put_aside")


def metrics_page(status: Status, now: datetime, accept: str) -> tuple[bytes, str]:
    """The page and its content type: Prometheus' text format, or OpenMetrics for a client that accepts it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Document(status, now))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Document(Collector):
    """Gives the metrics of one status document, in the order of the documentation."""

    def __init__(self, status: Status, now: datetime) -> None:
        self._status = status
        self._now = now

    def collect(self) -> Iterator[Metric]:
        status, now = self._status, self._now
        yield from _receiver(status)
        yield from _totals(status)
        yield _refusals(status)
        yield from _durations(status["durations"])
        yield _workers(status["workers"])
        yield from _queues(status["queues"], now)
        yield from _plugins(status)


def _receiver(status: Status) -> Iterator[Metric]:
    yield _gauge("dcmrecv_build_info", "The version of the receiver; always 1.", [({"version": status["version"]}, 1)])
    states = [({"state": _word(state)}, int(state == status["state"])) for state in STATES]
    yield _gauge("dcmrecv_state", "1 for the state in which the receiver is.", states)
    yield _gauge("dcmrecv_start_time_seconds", "When the receiver started, in Unix time.", _at(status["started_at"]))
    help_text = "When the receiver began to count, in Unix time."
    yield _gauge("dcmrecv_counting_since_timestamp_seconds", help_text, _at(status["counting_since"]))


def _totals(status: Status) -> Iterator[Metric]:
    totals = status["totals"]
    associations = totals["associations"]
    results = [({"result": result}, associations[result]) for result in ("accepted", "rejected")]
    yield _counter("dcmrecv_associations", "Associations by the answer to their request.", results)
    ended = [({"how": _word(how)}, count) for how, count in associations["ended"].items()]
    yield _counter("dcmrecv_associations_ended", "Accepted associations that are over, by how they ended.", ended)
    yield _gauge("dcmrecv_associations_open", "Associations that are open now.", [({}, len(status["associations"]))])
    results = [({"result": result}, count) for result, count in totals["instances"].items()]
    yield _counter("dcmrecv_instances", "Instances by what became of them.", results)
    yield _counter("dcmrecv_received_bytes", "Bytes of the data sets that were received.", [({}, totals["bytes"])])
    yield _counter("dcmrecv_echoes", "C-ECHO requests that were answered.", [({}, totals["echoes"])])


def _refusals(status: Status) -> Metric:
    counts = [
        ({label: counted[label] for label in ("kind", "status", "reason")}, counted["count"])
        for counted in status["refusal_counts"]
    ]
    help_text = "Refused instances and rejected associations by status (result/source/reason) and reason."
    return _counter("dcmrecv_refusals", help_text, counts)


def _durations(durations: Status) -> Iterator[Metric]:
    for what, help_text in (
        ("instance", "Time from the request to store an instance to its response."),
        ("association", "Time from the acceptance of an association to its end."),
    ):
        counted = durations[what]
        buckets = [(f"{float(bound)}", count) for bound, count in counted["buckets"]]
        buckets.append(("+Inf", counted["count"]))
        family = HistogramMetricFamily(f"dcmrecv_{what}_duration_seconds", help_text)
        family.add_metric([], buckets, counted["sum"])
        yield family


def _workers(workers: Iterable[Status]) -> Metric:
    states = Counter(dict.fromkeys(WORKER_STATES, 0))
    states.update(worker["state"] for worker in workers)
    samples = [({"state": _word(state)}, count) for state, count in states.items()]
    return _gauge("dcmrecv_workers", "Worker processes by what they do.", samples)


def _queues(queues: Iterable[Status], now: datetime) -> Iterator[Metric]:
    queues = list(queues)
    counts = [({"queue": queue["queue"], "state": state}, queue[state]) for queue in queues for state in QUEUE_STATES]
    help_text = "Events of a queue that wait or are put aside, and studies that are busy or failing."
    yield _gauge("dcmrecv_queue_entries", help_text, counts)
    ages = [({"queue": queue["queue"]}, _age(queue["oldest"], now) if queue["oldest"] else 0.0) for queue in queues]
    yield _gauge("dcmrecv_queue_oldest_age_seconds", "Age of the oldest event in a queue; 0 if it is empty.", ages)
    claimed = [({"queue": queue["queue"]}, int(queue["claimed"])) for queue in queues]
    yield _gauge("dcmrecv_queue_claimed", "1 if a plugin of the receiver takes from the queue.", claimed)


def _plugins(status: Status) -> Iterator[Metric]:
    times = status["plugin_times"]
    calls = [({"plugin": spent["plugin"], "hook": spent["hook"]}, spent["calls"]) for spent in times]
    yield _counter("dcmrecv_plugin_calls", "Calls of the hooks of plugins.", calls)
    seconds = [({"plugin": spent["plugin"], "hook": spent["hook"]}, spent["seconds"]) for spent in times]
    yield _counter("dcmrecv_plugin_seconds", "Time spent in the hooks of plugins.", seconds)
    counts = [
        ({"plugin": counter["plugin"], "name": counter["name"]}, counter["value"])
        for counter in status["plugin_counters"]
    ]
    yield _counter("dcmrecv_plugin_counter", "What plugins count themselves.", counts)


_Samples = Sequence[tuple[dict[str, str], float]]


def _gauge(name: str, help_text: str, samples: _Samples) -> Metric:
    return _filled(GaugeMetricFamily(name, help_text), name, samples)


def _counter(name: str, help_text: str, samples: _Samples) -> Metric:
    return _filled(CounterMetricFamily(name, help_text), f"{name}_total", samples)


def _filled(family: Metric, name: str, samples: _Samples) -> Metric:
    for labels, value in samples:
        family.add_sample(name, labels, value)
    return family


def _at(text: str) -> _Samples:
    return [({}, datetime.fromisoformat(text).timestamp())]


def _age(text: str, now: datetime) -> float:
    return max(0.0, (now - datetime.fromisoformat(text)).total_seconds())


def _word(text: str) -> str:
    """A name as Prometheus' users write label values: `not_ready`."""
    return text.lower().replace(" ", "_")
