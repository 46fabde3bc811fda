"""The result of a scan, for comparing two scans."""

from __future__ import annotations

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset.scan import Encoding, scan
from dcmrecv_core.dataset.sources import ByteSource, MemorySource


def outcome(data: bytes, encoding: Encoding, *, whole: bool = True) -> tuple[object, ...]:
    """All that a scan of data in memory yields, or the fault."""
    return outcome_of(MemorySource(memoryview(data)), encoding, whole=whole)


def outcome_of(source: ByteSource, encoding: Encoding, *, whole: bool = True) -> tuple[object, ...]:
    """All that a scan yields, or the fault."""
    try:
        index = scan(source, encoding, whole=whole)
    except DataSetError as error:
        return str(error), error.elements
    return (
        list(index.elements.items()),
        [index.get(tag) for tag in index.elements],
        len(index),
        all(tag in index for tag in index.elements),
        (index.pixel_offset, index.has_pixel_data, index.overflow, index.obstacle, index.misread),
        (index.warnings, index.offending),
    )
