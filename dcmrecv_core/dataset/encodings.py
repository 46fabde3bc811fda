"""How data sets are encoded: transfer syntaxes and element headers (PS3.5 sections 7, 10 and annex A)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import Any, Literal, NamedTuple

UNDEFINED_LENGTH = 0xFFFFFFFF

# fmt: off
SHORT_VRS = frozenset({
    "AE", "AS", "AT", "CS", "DA", "DS", "DT", "FL", "FD", "IS", "LO", "LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI",
    "UL", "US",
})
# fmt: on
"""Value representations whose explicit length field has 16 bits (PS3.5 table 7.1-2)."""

LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
"""Value representations with two reserved bytes and a 32-bit length field (PS3.5 table 7.1-1)."""


class Encoding(NamedTuple):
    """What a transfer syntax says about the bytes of a data set (PS3.5 section 10 and annex A)."""

    explicit: bool
    little: bool = True
    deflated: bool = False
    encapsulated: bool = False


IMPLICIT_LITTLE = Encoding(explicit=False)
EXPLICIT_LITTLE = Encoding(explicit=True)
EXPLICIT_BIG = Encoding(explicit=True, little=False)
DEFLATED_LITTLE = Encoding(explicit=True, deflated=True)
ENCAPSULATED_LITTLE = Encoding(explicit=True, encapsulated=True)

_STANDARD = "1.2.840.10008.1.2"

_ENCODINGS = {
    _STANDARD: IMPLICIT_LITTLE,
    f"{_STANDARD}.1": EXPLICIT_LITTLE,
    f"{_STANDARD}.1.98": ENCAPSULATED_LITTLE,
    f"{_STANDARD}.1.99": DEFLATED_LITTLE,
    f"{_STANDARD}.2": EXPLICIT_BIG,
    # JPIP: the pixel data are a URL in an ordinary element (PS3.5 A.6 to A.8).
    f"{_STANDARD}.4.94": EXPLICIT_LITTLE,
    f"{_STANDARD}.4.95": DEFLATED_LITTLE,
    f"{_STANDARD}.4.204": EXPLICIT_LITTLE,
    f"{_STANDARD}.4.205": DEFLATED_LITTLE,
    f"{_STANDARD}.5": ENCAPSULATED_LITTLE,
    # Deflated image frames: only the fragments are deflated, not the data set (PS3.5 A.4).
    f"{_STANDARD}.8.1": ENCAPSULATED_LITTLE,
    # private, of GE: implicit VR little endian, only the pixel values are big endian
    "1.2.840.113619.5.2": IMPLICIT_LITTLE,
}
# JPEG, JPEG-LS, JPEG 2000, MPEG, HEVC, JPEG XL, HTJ2K and their fragmentable kinds (PS3.5 A.4).
_ENCODINGS.update(
    (f"{_STANDARD}.4.{number}", ENCAPSULATED_LITTLE)
    for numbers in (range(50, 67), (70, 80, 81), range(90, 94), range(100, 109), range(110, 113), range(201, 204))
    for number in numbers
)
_ENCODINGS.update((f"{_STANDARD}.4.{number}.1", ENCAPSULATED_LITTLE) for number in range(100, 107))
# SMPTE ST 2110: the pixel data travel elsewhere (PS3.22).
_ENCODINGS.update((f"{_STANDARD}.7.{number}", EXPLICIT_LITTLE) for number in range(1, 4))


def encoding_of(transfer_syntax_uid: str) -> Encoding | None:
    """The encoding of a transfer syntax; None for unknown ones and those that are not DICOM encodings (MIME, XML)."""
    return _ENCODINGS.get(transfer_syntax_uid)


LONGEST_HEADER = 12
"""Bytes of an element header in a long VR."""


class HeaderFormat(NamedTuple):
    """How to read headers. Its functions take a buffer and an offset in it."""

    explicit: bool
    order: Literal["little", "big"]
    begin: Callable[[Any, int], tuple[int, int, bytes, int]]
    """The first eight bytes of an element header (PS3.5 sections 7.1.2 and 7.1.3): group, element, VR, length. Implicit
    VR has an empty one."""
    short: dict[bytes, str]
    """VRs by those bytes, if their lengths are in the first eight bytes."""
    long: dict[bytes, str]
    """VRs whose lengths are in four more bytes."""
    length32: Callable[[Any, int], tuple[int]]
    without_vr: Callable[[Any, int], tuple[int, int, int]]
    """Group, element, 32-bit length."""

    @property
    def little(self) -> bool:
        """Little endian."""
        return self.order == "little"

    def element(self, data: Any, at: int) -> tuple[int, str | None, int, int]:
        """The header of an element: its tag, its VR, how long the header is, how long the value.

        The VR is "" in implicit VR, and None if there is no such VR; then the length is read as that of a short one. If
        the data end within the header, the rest is read as zeros.
        """
        head = bytes(data[at : at + LONGEST_HEADER]).ljust(LONGEST_HEADER, b"\0")
        group, number, vr, length = self.begin(head, 0)
        tag = group << 16 | number
        if vr in self.long:
            return tag, self.long[vr], LONGEST_HEADER, self.length32(head, 8)[0]
        return tag, self.short.get(vr), 8, length

    def item(self, data: Any, at: int) -> tuple[int, int]:
        """The tag and the length of an item or delimiter, which has no VR (PS3.5 section 7.5)."""
        group, number, length = self.without_vr(data, at)
        return group << 16 | number, length


def _header_format(order: Literal["little", "big"], *, explicit: bool) -> HeaderFormat:
    sign = "<" if order == "little" else ">"
    return HeaderFormat(
        explicit=explicit,
        order=order,
        begin=Struct(sign + ("HH2sH" if explicit else "HH0sI")).unpack_from,
        short={vr.encode(): vr for vr in SHORT_VRS} if explicit else {b"": ""},
        long={vr.encode(): vr for vr in LONG_VRS} if explicit else {},
        length32=Struct(sign + "I").unpack_from,
        without_vr=Struct(sign + "HHI").unpack_from,
    )


IMPLICIT_HEADERS = _header_format("little", explicit=False)
EXPLICIT_HEADERS = _header_format("little", explicit=True)
BIG_ENDIAN_HEADERS = _header_format("big", explicit=True)


def header_format_of(encoding: Encoding) -> HeaderFormat:
    """The format of element headers in an encoding."""
    if not encoding.explicit:
        return IMPLICIT_HEADERS
    return EXPLICIT_HEADERS if encoding.little else BIG_ENDIAN_HEADERS


@cache
def sequence_tags() -> frozenset[int]:
    """Tags of the standard's sequences (PS3.6), which implicit VR does not mark. Loads pydicom, once."""
    from pydicom._dicom_dict import DicomDictionary

    return frozenset(tag for tag, entry in DicomDictionary.items() if entry[0] == "SQ")
