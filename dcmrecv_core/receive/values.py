"""Values of single elements and the header of a data set that was walked.

pydicom decodes them, and is loaded when the first one is asked for: it costs 0.15 s that not every process needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcmrecv_core.model import TagLike
from dcmrecv_core.receive.elements import DataSetIndex
from dcmrecv_core.receive.encodings import Encoding
from dcmrecv_core.receive.sources import Source

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def get_value(source: Source, index: DataSetIndex, encoding: Encoding, element: TagLike, default: Any = None) -> Any:
    """The value of one top-level element as pydicom converts it, or `default` if it is absent or empty.

    `source` and `encoding` are what `index` was scanned from. A value that breaks the rules of its VR is returned all
    the same, as bytes if nothing else can be made of it. Raises KeyError for an unknown keyword, OSError if the
    source cannot be read.
    """
    from dcmrecv_core.receive import decoding

    return decoding.get_value(index.source if encoding.deflated else source, index, encoding, element, default)


def read_header(source: Source, index: DataSetIndex, encoding: Encoding) -> Dataset:
    """All top-level elements before the pixel data, sequences included, values above 64 KiB not.

    Raises OSError if the source cannot be read.
    """
    from dcmrecv_core.receive import decoding

    return decoding.read_header(index.source if encoding.deflated else source, index, encoding)
