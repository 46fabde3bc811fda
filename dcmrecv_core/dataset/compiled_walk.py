"""The walk through a regular data set, by the compiled part (see `dcmrecv_core.compiled`)."""

from __future__ import annotations

from functools import cache

from dcmrecv_core import compiled
from dcmrecv_core.dataset import walker
from dcmrecv_core.dataset.elements import DataSetIndex
from dcmrecv_core.dataset.encodings import LONG_VRS, SHORT_VRS, Encoding, sequence_tags
from dcmrecv_core.dataset.sources import MemorySource

if compiled.AVAILABLE:
    from dcmrecv_core.dataset import regular_walk


def fill(index: DataSetIndex, encoding: Encoding) -> bool:
    """Fill the index with one run, if the whole data set is in memory and needs no warning; else return False."""
    source = index.source
    if not compiled.AVAILABLE or not isinstance(source, MemorySource):
        return False
    elements = regular_walk.walk(source.view, _header_format(encoding), encoding.encapsulated, walker.MAX_ELEMENTS)
    if elements is None:
        return False
    index.add_run(0, elements)
    index.has_pixel_data = elements.pixel_offset >= 0
    index.pixel_offset = elements.pixel_offset if index.has_pixel_data else source.size
    return True


@cache
def _header_format(encoding: Encoding) -> regular_walk.HeaderFormat:
    sequences = frozenset() if encoding.explicit else sequence_tags()
    return regular_walk.HeaderFormat(encoding.explicit, encoding.little, SHORT_VRS, LONG_VRS, sequences)
