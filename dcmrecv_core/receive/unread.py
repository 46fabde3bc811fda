"""A data set of which nothing was converted, written without pydicom: a plugin that changes elements as bytes would
else wait for pydicom to take each apart, which takes ten times as long."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from dcmrecv_core.dataset.character_sets import DEFAULT, codecs_of
from dcmrecv_core.dataset.encodings import LONG_VRS, SHORT_VRS, UNDEFINED_LENGTH

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dcmrecv_core.dataset.encodings import Encoding

_LONGEST_SHORT = 0xFFFF
_CHARACTER_SET = 0x00080005
_OUTSIDE = (0x0000, 0x0002)


class _Headers:
    """Packs the headers of elements in one byte order."""

    def __init__(self, order: str) -> None:
        self.implicit = Struct(order + "HHI")
        self.short = Struct(order + "HH2sH")
        self.long = Struct(order + "HH2sHI")


_LITTLE, _BIG = _Headers("<"), _Headers(">")


def encode_unread(dataset: Dataset, encoding: Encoding) -> bytes | None:
    """`dataset` in the encoding, not deflated; None unless all its elements are bytes in this very encoding, in the
    character set of the data set, with lengths that need no change."""
    from pydicom.dataelem import RawDataElement

    if dataset.original_encoding != (not encoding.explicit, encoding.little):
        return None
    headers = _LITTLE if encoding.little else _BIG
    parts: list[bytes] = []
    last = -1
    for tag, raw in dataset.items():  # as they are: iterating a Dataset would convert them
        number = int(tag)
        value = raw.value
        if (
            not isinstance(raw, RawDataElement)
            or raw.length == UNDEFINED_LENGTH
            or not isinstance(value, bytes)
            or number <= last
        ):
            return None
        last, length = number, len(value)
        group, element = number >> 16, number & 0xFFFF
        if group in _OUTSIDE or length % 2 or raw.length == UNDEFINED_LENGTH or raw.is_implicit_VR is encoding.explicit:
            return None
        if not encoding.explicit:
            parts += (headers.implicit.pack(group, element, length), value)
        elif raw.VR in SHORT_VRS and length <= _LONGEST_SHORT:
            parts += (headers.short.pack(group, element, raw.VR.encode(), length), value)
        elif raw.VR in LONG_VRS:
            parts += (headers.long.pack(group, element, raw.VR.encode(), 0, length), value)
        else:
            return None
    unread = dataset.original_character_set or DEFAULT
    known = [unread] if isinstance(unread, str) else list(dict.fromkeys(unread))
    declared = codecs_of(dataset.get_item(_CHARACTER_SET).value) if _CHARACTER_SET in dataset else [DEFAULT]
    return b"".join(parts) if known == declared else None
