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
_PEERS = "dcmrecv", "storescp", "dicom-rs", "dcm4che"
_OTHERS = "storescp", "dicom-rs", "dcm4che", "pynetdicom", "orthanc", "copy", "null"
_CONTEXTS = "ours", "pure", "dcmrecv", "dicom-rs", "pass"
_SWEEP = "ours", "dcmrecv", "copy"
_ACROSS = *_SWEEP, "ours --fsync", "storescp", "dicom-rs", "dcm4che", "durable"
_ELEMENT, _HEADER = (f"ours --plugin {{here}}/{what}_plugin.py" for what in ("element", "header"))
_PATTERN = f"ours --layout {LAYOUT}"
_SIXTEEN = "16 associations, 39 KB"
_EACH = "association each, 1 context"
_TITLES = "association each, 120 contexts, new titles"
_ENHANCED = "enhanced, 20 000 elements"

WORKLOADS = (
    Workload("39 KB", (*_SMALL, *_PURE, "dcmrecv-shipped", *_OTHERS, "durable"), rounds=5),
    Workload("39 KB, -pdu 131072", _SMALL, pdu=131072),
    Workload("530 KB", (*_SMALL, *_PURE, *_OTHERS), "530 KB", 200, rounds=5, clear=True),
    Workload("530 KB, -pdu 131072", _SMALL, "530 KB", 200, pdu=131072, clear=True),
    Workload("100 MB", (*_SMALL, "copy", "null"), "100 MB", 2, 3, rounds=5, clear=True),
    Workload("100 MB, -pdu 131072", (*_SMALL, "copy"), "100 MB", 2, 3, pdu=131072, clear=True),
    Workload("4 associations, 530 KB", (*_SMALL, "storescp", "copy"), "530 KB", 240, 3, 5, associations=4, clear=True),
    Workload(_SIXTEEN, (*_ACROSS, "pure", "dcmrecv +B", "null"), instances=12800, seconds=2, rounds=5, associations=16),
    Workload(_EACH, (*_CONTEXTS, "storescp"), instances=500, rounds=5, association_each=True),
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
    Workload(_ENHANCED, ("ours", "ours +B", "pure", "dcmrecv", "dcmrecv +B"), "enhanced", 60, rounds=5, clear=True),
    Workload(
        "names",
        tuple(f"{who} {how}".strip() for how in ("", "+fu", "+fsu", "+fst", "+ssd") for who in ("ours", "dcmrecv")),
    ),
    Workload(
        "plugins",
        (
            "ours",
            _PATTERN,
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

    `measure` is "rate": at least `bound` times the other's instances/s; "time", "p99", "cpu": at most `bound` times its
    time, its slowest hundredth, its processor time; "cost": at most `bound` ms more for each instance (p50); "seconds":
    to be ready, at most; "memory": MB, at most, in any workload.
    """

    text: str
    workload: str
    ours: str
    other: str
    measure: str
    bound: float


TARGETS = (
    Target("39 KB, one association", "39 KB", "ours", "dcmrecv", "rate", 3),
    Target("39 KB, one association", "39 KB", "ours", "dicom-rs", "rate", 1.5),
    Target("39 KB, +B", "39 KB", "ours +B", "dcmrecv +B", "rate", 1.3),
    Target("39 KB, +B, processor time", "39 KB", "ours +B", "copy", "cpu", 2),
    Target("530 KB, one association", "530 KB", "ours", "dcmrecv", "rate", 1.7),
    Target("530 KB, one association", "530 KB", "ours", "dicom-rs", "rate", 2.5),
    Target("530 KB, one association", "530 KB", "ours", "dcm4che", "rate", 2.5),
    Target("100 MB", "100 MB", "ours", "copy", "time", 1.2),
    Target("16 associations of 39 KB", _SIXTEEN, "ours", "copy", "rate", 0.5),
    Target("16 associations of 39 KB, slowest hundredth", _SIXTEEN, "ours", "copy", "p99", 3),
    *(Target("16 associations of 39 KB", _SIXTEEN, "ours", peer, "rate", 1.5) for peer in _PEERS),
    Target("one association per instance, 1 context", _EACH, "ours", "dcmrecv", "rate", 1.3),
    Target("one association per instance, 1 context", _EACH, "ours", "dicom-rs", "rate", 1),
    Target("one association per instance, 120 contexts", _TITLES, "ours", "dcmrecv", "rate", 1.3),
    Target("one association per instance, 120 contexts", _TITLES, "ours", "dicom-rs", "rate", 1),
    Target("durable, 39 KB, one association", "39 KB", "ours --fsync", "durable", "rate", 0.9),
    Target("durable, 16 associations", _SIXTEEN, "ours --fsync", "durable", "rate", 0.75),
    Target("durable, 16 associations, dcmrecv not durable", _SIXTEEN, "ours --fsync", "dcmrecv", "rate", 2),
    Target("enhanced multi-frame", _ENHANCED, "ours", "dcmrecv", "rate", 10),
    Target("39 KB in Python only", "39 KB", "pure", "dcmrecv", "rate", 1),
    Target("a layout", "plugins", _PATTERN, "ours", "cost", 0.03),
    Target("a plugin that reads one element", "plugins", _ELEMENT, "ours", "cost", 0.03),
    Target("a plugin that reads the header", "plugins", _HEADER, "ours", "cost", 0.4),
    Target("memory of a worker", "", "ours", "", "memory", 32),
    Target("start to listening", "start", "ours", "", "seconds", 0.15),
)
