"""Is this a data set in its transfer syntax, and where are its elements?

`scan` refuses, with `DataSetError`: no data, or only delimiters; data that end inside a header, a value, or a sequence
that needs a delimiter; lengths that overrun the enclosing item; a VR that is not text, unless an element or the end
follows; something else where a further item is due; deflated data that do not inflate, or that have more than
`MAX_INFLATED_STEPS` elements; sequences more than `MAX_DEPTH` deep. It accepts with a warning whatever is unusual but
says clearly where each element begins and ends, because in doubt the sender's data win: odd lengths, unknown VRs,
disorder, repeated elements, stray delimiters, implicit VR in items of explicit data, sequences of defined length
without items, pixel data of the other form, filler after the last element, and a whole file (preamble, File Meta
Information) instead of a data set.

A delimiter that ends nothing is skipped. It counts as eight bytes whatever its length says, because it has no value
(PS3.5 section 7.5). In an item of undefined length only a sequence delimiter can be such a stray one. An item where an
element is due is refused: the header of its sequence is missing.

A sequence of defined length in implicit VR is walked if the standard's dictionary knows it. A private one, and the
value of a UN element of defined length, are not.
"""

from __future__ import annotations

from functools import cache

from dcmrecv_core import compiled
from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset import walker
from dcmrecv_core.dataset.elements import DataSetIndex, Element, RegularBeginning
from dcmrecv_core.dataset.encodings import (
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    Encoding,
    encoding_of,
    sequence_tags,
)
from dcmrecv_core.dataset.sources import ByteSource, InflatedSource
from dcmrecv_core.dataset.walker import MAX_DEPTH, Walker

if compiled.AVAILABLE:
    from dcmrecv_core.dataset import regular_walk

__all__ = ["MAX_DEPTH", "UNDEFINED_LENGTH", "DataSetIndex", "Element", "Encoding", "encoding_of", "scan"]


def scan(source: ByteSource, encoding: Encoding, *, whole: bool) -> DataSetIndex:
    """Walk through a data set.

    With `whole`, to its end; raises DataSetError if it cannot be understood. Without, up to the pixel data and as
    far as it can be understood; a fault becomes the last warning. Raises OSError if the source cannot be read.
    """
    if encoding.deflated:
        source = InflatedSource(source)
    index = DataSetIndex(source)
    beginning: RegularBeginning | None = None
    try:
        if compiled.AVAILABLE:
            beginning = regular_beginning(source, encoding, whole=whole)
            index.start_with(beginning)
            if beginning and beginning.end == source.size and not encoding.deflated:
                return index
        Walker(index, encoding, whole).walk(beginning)
    except DataSetError as error:
        if whole:
            error.warnings = tuple(index.warnings)
            raise
        index.warnings.append(error.comment)
    return index


def regular_beginning(source: ByteSource, encoding: Encoding, *, whole: bool) -> RegularBeginning:
    """What the compiled walk takes (see `dcmrecv_core.compiled`): elements as long as all is regular, and their headers
    are in the first window of the source."""
    data = source.window(0, walker.FILE_HEAD)
    size = len(data) if encoding.deflated else source.size
    return regular_walk.walk(data, size, _header_format(encoding), encoding.encapsulated, whole, walker.MAX_ELEMENTS)


@cache
def _header_format(encoding: Encoding) -> regular_walk.HeaderFormat:
    return regular_walk.HeaderFormat(encoding.explicit, encoding.little, SHORT_VRS, LONG_VRS, sequence_tags)
