"""Records of the journal and events of the store, made without a receiver."""

from __future__ import annotations

from itertools import count

from dcmrecv_core.delivery.store import NewEvent
from dcmrecv_core.storage.journals.records import HOW, Kind, decode, encode

_times = count(1)


def record(
    uid: str = "1.2.3",
    *,
    study: str = "1.2",
    series: str = "1.2.1",
    how: str = "new",
    published: int | None = None,
    kind: Kind = Kind.STORED,
    location: str = "",
    title: str = "CT1",
    association: str = "a1",
    digest: str = "",
) -> bytes:
    """A record of an instance."""
    texts = (
        location or f"out/{uid}",
        "1.2.840.10008.5.1.4.1.1.2",
        uid,
        "1.2.840.10008.1.2.1",
        study,
        series,
        "4711",
        "CT",
        "ISO_IR 100",
        "",
        title,
        "ARCHIVE",
        "192.0.2.1",
        association,
    )
    at = next(_times) if published is None else published
    values = tuple(text.encode("utf-8", "surrogateescape") for text in texts)
    return encode(kind, HOW.index(how), at, 10**18, 1000, values, digest.encode())


def event(id: str, data: bytes | None = None, **fields: str) -> NewEvent:
    """An event to be taken in."""
    data = record(**fields) if data is None else data  # type: ignore[arg-type]
    return NewEvent(id, decode(data), data)
