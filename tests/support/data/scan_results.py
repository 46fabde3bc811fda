"""The results of a scan, for comparing two scans."""

from __future__ import annotations

from collections.abc import Iterable

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset.header_runs import KnownHeaderRuns
from dcmrecv_core.dataset.scan import Encoding, scan
from dcmrecv_core.dataset.sources import MemorySource


def outcome(
    data: bytes, encoding: Encoding, known: KnownHeaderRuns | None, *, whole: bool = True
) -> tuple[object, ...]:
    """All that a scan yields, or the fault."""
    try:
        index = scan(MemorySource(memoryview(data)), encoding, whole=whole, known=known)
    except DataSetError as error:
        return str(error), error.elements
    return (
        list(index.elements.items()),
        [index.get(tag) for tag in index.elements],
        len(index),
        all(tag in index for tag in index.elements),
        (index.pixel_offset, index.has_pixel_data, index.overflow, index.obstacle),
        (index.warnings, index.offending),
    )


def compare(series: Iterable[bytes], encoding: Encoding, known: KnownHeaderRuns) -> None:
    for data in series:
        assert outcome(data, encoding, known) == outcome(data, encoding, None)
        assert outcome(data, encoding, known, whole=False) == outcome(data, encoding, None, whole=False)
