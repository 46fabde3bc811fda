"""What comes before the data set in a DICOM file: preamble, prefix and File Meta Information (PS3.10 section 7.1).

128 zero bytes (never the sender's preamble, which can make the file valid in another format too), `DICM`, and group 2
in explicit VR little endian, in the order of DCMTK dcmrecv:

    (0002,0000) UL  length of what follows
    (0002,0001) OB  00 01
    (0002,0002) UI  SOP class        (0002,0003) UI  SOP instance       (0002,0010) UI  transfer syntax
    (0002,0012) UI  our implementation class UID    (0002,0013) SH  our implementation version name
    (0002,0016) AE  calling AE title, only with --bit-preserving
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

from dcmrecv_core.api.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

PREAMBLE_LENGTH = 128
MAGIC_LENGTH = PREAMBLE_LENGTH + 4
"""Length of preamble and `DICM`; File Meta Information follows."""

_GROUP_LENGTH = Struct("<HH2sHI")
_SHORT_HEADER = Struct("<HH2sH")
_START = bytes(PREAMBLE_LENGTH) + b"DICM"
_VERSION = bytes.fromhex("02000100") + b"OB" + bytes.fromhex("0000020000000001")
_LONGEST_VALUE = 0xFFFE


def file_prefix(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, source_ae_title: str | None = None
) -> bytes:
    """The bytes up to the data set. Characters outside Latin-1 become ?; values too long for 16 bits are cut."""
    before, after = _around_instance(sop_class_uid, transfer_syntax_uid, source_ae_title)
    instance = _element(0x0003, b"UI", sop_instance_uid)
    length = _GROUP_LENGTH.pack(2, 0, b"UL", 4, len(before) + len(instance) + len(after))
    return b"".join((_START, length, before, instance, after))


@lru_cache(maxsize=256)
def _around_instance(sop_class_uid: str, transfer_syntax_uid: str, source_ae_title: str | None) -> tuple[bytes, bytes]:
    """The elements around the SOP Instance UID, which are the same for all instances of a class in an association."""
    before = _VERSION + _element(0x0002, b"UI", sop_class_uid)
    after = (
        _element(0x0010, b"UI", transfer_syntax_uid)
        + _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID)
        + _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME)
    )
    if source_ae_title is not None:
        after += _element(0x0016, b"AE", source_ae_title)
    return before, after


def _element(number: int, vr: bytes, text: str) -> bytes:
    value = text.encode("latin-1", "replace")[:_LONGEST_VALUE]
    if len(value) & 1:
        value += b"\0" if vr == b"UI" else b" "
    return _SHORT_HEADER.pack(2, number, vr, len(value)) + value
