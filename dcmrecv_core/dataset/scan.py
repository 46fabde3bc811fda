"""Is this a data set in its transfer syntax, and where are its elements?

What is refused, with `DataSetError`: nothing at all, or nothing but delimiters; data that end inside a header, a value,
or a sequence that wants a delimiter; lengths that overrun the enclosing item; a VR that is not even text; no item where
one must be; deflated data that do not inflate or to more than `MAX_INFLATED_STEPS` elements; sequences more than
`MAX_DEPTH` deep. What is odd but says clearly where each element begins and ends is accepted with a warning, for in
doubt the sender's data win: odd lengths, unknown VRs, disorder, repeated elements, stray delimiters, implicit VR in
items of explicit data, pixel data of the other form, zeros after the last element, and a whole file (preamble, File
Meta Information) where a data set should be.

A delimiter where it ends nothing is skipped: eight bytes, for it has no value (PS3.5 section 7.5) whatever its length
says. In an item of undefined length that holds for those of a sequence only. An item where an element is due is
refused: the header of its sequence is missing.

A sequence of defined length in implicit VR is looked into if the standard's dictionary knows it; a private one and the
value of a UN element of defined length are opaque.
"""

from __future__ import annotations

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset import compiled_walk as regular
from dcmrecv_core.dataset.elements import DataSetIndex, Element
from dcmrecv_core.dataset.encodings import UNDEFINED_LENGTH, Encoding, encoding_of
from dcmrecv_core.dataset.header_runs import KnownStretches
from dcmrecv_core.dataset.sources import InflatedSource, Source
from dcmrecv_core.dataset.walker import MAX_DEPTH, Walker

__all__ = ["MAX_DEPTH", "UNDEFINED_LENGTH", "DataSetIndex", "Element", "Encoding", "encoding_of", "scan"]


def scan(source: Source, encoding: Encoding, *, whole: bool, known: KnownStretches | None = None) -> DataSetIndex:
    """Walk through a data set.

    With `whole`, to its end; raises DataSetError if it cannot be understood. Without, up to the pixel data and as
    far as it can be understood, never raising that: the fault becomes the last warning. Raises OSError if the source
    cannot be read. `known` is what data sets before it had in common; it makes this one faster, not different.
    """
    if encoding.deflated:
        source = InflatedSource(source)
    index = DataSetIndex(source)
    if whole and regular.fill(index, encoding):
        return index
    walker = Walker(index, encoding, whole, known)
    try:
        walker.walk()
    except DataSetError as error:
        if whole:
            raise
        index.warnings.append(error.comment)
    if not walker.pixel_data_seen:
        index.pixel_offset = walker.reached
    return index
