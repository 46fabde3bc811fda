"""The data sets of DIMSE-N requests and of their responses: collected, decoded, encoded."""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import DataSetError, StatusError
from dcmrecv_core.api.services import Command, Request
from dcmrecv_core.dataset.encodings import encoding_of
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.dataset.sources import MemorySource
from dcmrecv_core.receive import replacement

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dcmrecv_core.dataset.encodings import Encoding

MAX_DATA_SET = 16 << 20
"""Bytes of a request's data set, also once it is inflated: a storage commitment of a hundred thousand instances has as
many, and pydicom needs some twenty times that memory for it."""

PROCESSING_FAILURE = 0x0110
RESOURCE_LIMITATION = 0x0213
"""PS3.7 annex C.5.7 and C.5.20."""


class ReceivedRequest(Request):
    """A request with the bytes of its data set, None if it has none."""

    def __init__(self, command: Command, transfer_syntax_uid: str, data: bytes | None) -> None:
        self.command = command
        self.transfer_syntax_uid = transfer_syntax_uid
        self._data = data
        self._dataset: Dataset | None = None

    @property
    def dataset(self) -> Dataset | None:
        if self._dataset is None and self._data is not None:
            self._dataset = decode(self._data, self.transfer_syntax_uid)
        return self._dataset


def decode(data: bytes, transfer_syntax_uid: str) -> Dataset:
    """A whole data set, values of any size. Raises StatusError with a status of DIMSE-N."""
    encoding = encoding_of(transfer_syntax_uid)
    if encoding is None:
        raise StatusError(PROCESSING_FAILURE, "The encoding of the transfer syntax is not known")
    try:
        index = scan(MemorySource(memoryview(data)), encoding, whole=True)  # refuses what would confuse pydicom
    except DataSetError as error:
        raise StatusError(PROCESSING_FAILURE, error.comment, error.elements) from error
    if index.misread:
        raise StatusError(PROCESSING_FAILURE, "A sequence has stray delimiters or unknown VRs")  # pydicom misreads them
    return _read(_inflated(data) if encoding.deflated else data, encoding)


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = inflater.decompress(data, MAX_DATA_SET)
    if inflater.unconsumed_tail:
        raise StatusError(RESOURCE_LIMITATION, f"Inflated data set of more than {MAX_DATA_SET} bytes")
    return inflated


def _read(data: bytes, encoding: Encoding) -> Dataset:
    from pydicom.filereader import read_dataset

    import dcmrecv_core.dataset.decoding  # noqa: F401  # makes pydicom's conversion of values total

    try:
        return read_dataset(BytesIO(data), not encoding.explicit, encoding.little)
    except MemoryError:
        raise
    except Exception as error:  # pydicom lets any exception through
        raise StatusError(PROCESSING_FAILURE, "Cannot understand the data set") from error


def encode(dataset: Dataset | None, transfer_syntax_uid: str) -> bytes | None:
    """The data set of a response; None without one, or for one without elements. Raises what pydicom raises for values
    that it cannot write, ValueError if the encoding is not known."""
    if not dataset:
        return None
    encoding = encoding_of(transfer_syntax_uid)
    if encoding is None:
        raise ValueError(f"the encoding of transfer syntax {transfer_syntax_uid} is not known")
    return b"".join(piece for piece in replacement.whole(dataset, encoding) if isinstance(piece, bytes))
