"""A data set in another uncompressed transfer syntax, for peers that accept no other one."""

from __future__ import annotations

import io
import warnings
from typing import BinaryIO

from pydicom import config, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dcmrecv_core import Undeliverable, name_of
from dcmrecv_forward.contexts import IMPLICIT_LITTLE_ENDIAN
from dcmrecv_forward.stored import StoredFile


def reencoded(stored: StoredFile, transfer_syntax_uid: str) -> tuple[BinaryIO, int]:
    """The data set in implicit or explicit VR little endian, and its size. It is in memory as a whole.

    Raises Undeliverable if it cannot be read to its end or written.
    """
    stored.file.seek(0)
    target = DicomBytesIO()
    target.is_little_endian = True
    target.is_implicit_VR = transfer_syntax_uid == IMPLICIT_LITTLE_ENDIAN
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")  # odd values were stored as they are, and go on as they are
            write_dataset(target, dcmread(stored.file))
    except Exception as error:  # of many kinds, for data that pydicom does not understand
        name = name_of(transfer_syntax_uid) or transfer_syntax_uid
        raise Undeliverable(f"it cannot be re-encoded as {name}, the only one accepted: {error}") from error
    data = target.getvalue()
    return io.BytesIO(data), len(data)
