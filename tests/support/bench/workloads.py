"""The workloads to measure, with the rows of each, and the targets."""

from __future__ import annotations

from typing import NamedTuple

LAYOUT = "{PatientID}/{StudyDate:%Y/%m/%d}/{Modality}/{SOPInstanceUID}.dcm"


class Workload(NamedTuple):
    """Rows that are measured in turn, round after round, each until so many `instances` or `seconds` are over.

    `series` is a key of series.SERIES, or "" where receivers are only started. With `association_each` an instance
    has an association for itself. `clear`: stored files would fill the page cache.
    """

    name: str
    rows: tuple[str, ...]
    series: str = "39 KB"
    instances: int = 1000
    seconds: float = 1.5
    rounds: int = 3
    associations: int = 1
    contexts: int = 1
    association_each: bool = False
    titles_change: bool = False
    pdu: int = 16384
    clear: bool = False


_SMALL = "ours", "ours +B", "ours --fsync", "dcmrecv", "dcmrecv +B"
_PURE = "pure", "pure +B"
_OTHERS = "storescp", "pynetdicom", "orthanc", "copy", "null"
_CONTEXTS = "ours", "pure", "dcmrecv", "pass"
_SWEEP = "ours", "dcmrecv", "copy"
_ACROSS = *_SWEEP, "ours --fsync", "storescp", "commits"
_ELEMENT, _HEADER = (f"ours --plugin {{here}}/{what}_plugin.py" for what in ("element", "header"))
_SIXTEEN = "16 associations, 39 KB"
_TITLES = "association each, 120 contexts, new titles"

WORKLOADS = (
    Workload("39 KB", (*_SMALL, *_PURE, "dcmrecv-shipped", *_OTHERS, "commits"), rounds=5),
    Workload("39 KB, -pdu 131072", _SMALL, pdu=131072),
    Workload("530 KB", (*_SMALL, *_PURE, *_OTHERS), "530 KB", 200, rounds=5, clear=True),
    Workload("530 KB, -pdu 131072", _SMALL, "530 KB", 200, pdu=131072, clear=True),
    Workload("100 MB", (*_SMALL, "copy", "null"), "100 MB", 2, 3, clear=True),
    Workload("100 MB, -pdu 131072", (*_SMALL, "copy"), "100 MB", 2, 3, pdu=131072, clear=True),
    Workload("4 associations, 530 KB", (*_SMALL, "storescp", "copy"), "530 KB", 240, 3, 5, associations=4, clear=True),
    Workload(_SIXTEEN, (*_ACROSS, "pure", "dcmrecv +B", "null"), instances=12800, seconds=2, rounds=5, associations=16),
    Workload("association each, 1 context", (*_CONTEXTS, "storescp"), instances=500, rounds=5, association_each=True),
    Workload(
        "association each, 1 context, new titles", _CONTEXTS, instances=500, association_each=True, titles_change=True
    ),
    Workload("association each, 120 contexts", _CONTEXTS, instances=500, association_each=True, contexts=120),
    Workload(
        _TITLES,
        _CONTEXTS,
        instances=500,
        rounds=5,
        association_each=True,
        titles_change=True,
        contexts=120,
    ),
    Workload("deflated", ("ours", "ours +B", "dcmrecv", "dcmrecv +B"), "deflated"),
    Workload("encapsulated", ("ours", "ours +B", "dcmrecv", "dcmrecv +B"), "encapsulated", 400, clear=True),
    Workload(
        "enhanced, 20 000 elements", ("ours", "ours +B", "pure", "dcmrecv", "dcmrecv +B"), "enhanced", 60, clear=True
    ),
    Workload(
        "names",
        tuple(f"{who} {how}".strip() for how in ("", "+fu", "+fsu", "+fst", "+ssd") for who in ("ours", "dcmrecv")),
    ),
    Workload(
        "plugins",
        (
            "ours",
            f"ours --layout {LAYOUT}",
            _ELEMENT,
            _HEADER,
        ),
        rounds=7,
    ),
    Workload("7 KB", _SWEEP, "7 KB"),
    Workload("4 MB", _SWEEP, "4 MB", 30, clear=True),
    Workload("30 MB", _SWEEP, "30 MB", 4, clear=True),
    *(
        Workload(f"{number} associations, 39 KB", _ACROSS, instances=1600, seconds=2, associations=number)
        for number in (2, 4, 8)
    ),
    Workload("start", ("ours", "dcmrecv", "storescp", "pynetdicom"), "", rounds=5),
)


class Target(NamedTuple):
    """What `ours`, a row of `workload`, has to reach against `other`, a row of the same workload.

    `measure` is "rate": at least `bound` times the other's instances/s; "time": at most `bound` times its time;
    "cost": at most `bound` ms more for each instance (p50); "seconds": to be ready, at most; "memory": MB, at most, in
    any workload.
    """

    text: str
    workload: str
    ours: str
    other: str
    measure: str
    bound: float


TARGETS = (
    Target("39 KB, one association", "39 KB", "ours", "dcmrecv", "rate", 3),
    Target("39 KB, one association, +B", "39 KB", "ours +B", "dcmrecv +B", "rate", 3),
    Target("530 KB, one association", "530 KB", "ours", "dcmrecv", "rate", 1.7),
    Target("530 KB, one association, +B", "530 KB", "ours +B", "dcmrecv +B", "rate", 1.5),
    Target("100 MB, time of the raw copy", "100 MB", "ours", "copy", "time", 1.3),
    Target("100 MB, ahead of dcmrecv +B", "100 MB", "ours", "dcmrecv +B", "rate", 1),
    Target("4 associations of 530 KB", "4 associations, 530 KB", "ours", "dcmrecv", "rate", 2.5),
    Target("16 associations of 39 KB", _SIXTEEN, "ours", "dcmrecv", "rate", 5),
    Target("one association per instance, 1 context", "association each, 1 context", "ours", "dcmrecv", "rate", 1.5),
    Target("one association per instance, 120 contexts, titles changing", _TITLES, "ours", "dcmrecv", "rate", 1.5),
    Target("durable, 39 KB, one association", "39 KB", "ours --fsync", "dcmrecv", "rate", 1),
    Target("durable, 16 associations, the raw commits", _SIXTEEN, "ours --fsync", "commits", "rate", 0.8),
    Target("39 KB, dcmrecv as shipped", "39 KB", "ours", "dcmrecv-shipped", "rate", 50),
    Target("39 KB, pynetdicom's storescp", "39 KB", "ours", "pynetdicom", "rate", 30),
    Target("530 KB, pynetdicom's storescp", "530 KB", "ours", "pynetdicom", "rate", 10),
    Target("a plugin that reads one element", "plugins", _ELEMENT, "ours", "cost", 0.05),
    Target("a plugin that reads the header", "plugins", _HEADER, "ours", "cost", 0.6),
    Target("memory of a worker", "", "ours", "", "memory", 64),
    Target("start to listening", "start", "ours", "", "seconds", 0.6),
)
