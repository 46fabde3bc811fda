"""What is sent: data sets whose SOP Instance UID can be changed in place, so that no request is encoded twice.

All derive from CT_small.dcm of pydicom, a CT image with 258 elements, private ones and a sequence among them.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from rawscu import EXPLICIT_LE, command_set, data_pdus, store_rq
from samples import CT, element, encapsulated_pixel_data, pydicom_samples

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG_2000 = "1.2.840.10008.1.2.4.90"

FIRST_SERIAL = 10**13
"""Serial numbers have 14 digits and no leading zero: they are a component of the UID."""

_BEFORE, _SERIAL, _BEHIND = "1.3.6.1.4.1.5962.1.1.1.1.1.", "20040119072730", ".12322"
_INSTANCE = _BEFORE + _SERIAL + _BEHIND
_PIXEL_DATA = struct.pack("<HH2sxx", 0x7FE0, 0x0010, b"OW")


class Series(NamedTuple):
    """Instances that differ in their SOP Instance UIDs only."""

    sop_class: str
    transfer_syntax: str
    data: bytes

    def request(self, max_pdu: int) -> tuple[bytearray, list[int]]:
        """A C-STORE request in P-DATA-TF PDUs, and where in it the serial number stands."""
        command = data_pdus(1, [command_set(store_rq(self.sop_class, _INSTANCE))], is_command=True)
        encoded = bytearray().join((*command, *data_pdus(1, [self.data], is_command=False, max_pdu=max_pdu)))
        places, at = [], encoded.find(_INSTANCE.encode())
        while at >= 0:
            places.append(at + len(_BEFORE))
            at = encoded.find(_INSTANCE.encode(), at + 1)
        if len(places) != 2:
            raise AssertionError(f"command and data set name the instance, found {len(places)} times")
        return encoded, places


@cache
def _ct_small() -> tuple[bytes, bytes]:
    """The elements before the pixel data, and the pixel data's value."""
    [sample] = [sample for sample in pydicom_samples() if sample.name == "CT_small.dcm"]
    if sample.sop_instance != _INSTANCE:
        raise AssertionError(f"another CT_small.dcm: {sample.sop_instance}")
    head, _, tail = sample.data.partition(_PIXEL_DATA)
    return head, tail[4 : 4 + int.from_bytes(tail[:4], "little")]


def _ct_head(rows: int, columns: int) -> bytes:
    head, _ = _ct_small()
    for tag, size in ((0x00280010, rows), (0x00280011, columns)):
        head = head.replace(element(tag, "US", struct.pack("<H", 128)), element(tag, "US", struct.pack("<H", size)))
    return head


def ct(rows: int = 128, columns: int = 128) -> Series:
    """A native CT image of 16 bits a pixel, the same small picture again and again."""
    _, pixels = _ct_small()
    size = rows * columns * 2
    value = (pixels * (size // len(pixels) + 1))[:size]
    data = b"".join((_ct_head(rows, columns), _PIXEL_DATA, struct.pack("<I", size), value))
    return Series(CT, EXPLICIT_LE, data)


def deflated() -> Series:
    """Raw deflate whose first blocks are stored, not compressed: there the UID stays readable."""
    data = ct().data
    cut = data.index(_INSTANCE.encode()) + 128
    stored, packed = zlib.compressobj(0, wbits=-15), zlib.compressobj(wbits=-15)
    head = stored.compress(data[:cut]) + stored.flush(zlib.Z_SYNC_FLUSH)
    whole = head + packed.compress(data[cut:]) + packed.flush()
    return Series(CT, DEFLATED, whole + bytes(len(whole) % 2))


def encapsulated() -> Series:
    """A 512 x 512 image compressed to a third, in one fragment."""
    codestream = b"\xff\x4f\xff\x51" + random.Random(1).randbytes(180_000) + b"\xff\xd9"
    return Series(CT, JPEG_2000, _ct_head(512, 512) + encapsulated_pixel_data([codestream]))


def enhanced() -> Series:
    """An enhanced CT of 1000 frames: 20 000 elements in functional groups, half a megabyte of pixels."""
    head, _, _ = _ct_head(16, 16).partition(element(0x00280002, "US", b"\1\0"))
    shared = _item(_sequence(0x00189329, _item(element(0x00089007, "CS", b"ORIGINAL\\PRIMARY\\AXIAL\\NONE"))))
    frames = b"".join(map(_frame, range(1, 1001)))
    size = 1000 * 16 * 16 * 2
    data = b"".join(
        (
            head.replace(element(0x00080016, "UI", CT.encode()), element(0x00080016, "UI", ENHANCED_CT.encode())),
            element(0x00280002, "US", b"\1\0"),
            element(0x00280004, "CS", b"MONOCHROME2"),
            element(0x00280008, "IS", b"1000"),
            *(element(tag, "US", struct.pack("<H", 16)) for tag in (0x00280010, 0x00280011, 0x00280100, 0x00280101)),
            element(0x00280102, "US", struct.pack("<H", 15)),
            element(0x00280103, "US", bytes(2)),
            _sequence(0x52009229, shared),
            _sequence(0x52009230, frames),
            _PIXEL_DATA,
            struct.pack("<I", size),
            bytes(size),
        )
    )
    return Series(ENHANCED_CT, EXPLICIT_LE, data)


def _frame(number: int) -> bytes:
    """The functional groups of one frame, 20 elements."""
    count = struct.pack("<I", number)
    content = (
        element(0x00189074, "DT", b"20040119072730.000000"),
        element(0x00189151, "DT", b"20040119072730.000000"),
        element(0x00189220, "FD", struct.pack("<d", 10.0)),
        element(0x00209056, "SH", b"1 "),
        element(0x00209057, "UL", count),
        element(0x00209128, "UL", count),
        element(0x00209157, "UL", struct.pack("<II", 1, number)),
    )
    return _item(
        _sequence(0x00189326, _item(element(0x00189327, "FD", struct.pack("<d", number)))),
        _sequence(0x00209111, _item(*content)),
        _sequence(0x00209113, _item(element(0x00200032, "DS", f"-158.1\\-179.0\\{number}".encode()))),
        _sequence(0x00209116, _item(element(0x00200037, "DS", b"1\\0\\0\\0\\1\\0 "))),
        _sequence(0x00289110, _item(element(0x00180050, "DS", b"5.0 "), element(0x00280030, "DS", b"0.66\\0.66 "))),
        _sequence(0x00289145, _item(element(0x00281052, "DS", b"-1024 "), element(0x00281053, "DS", b"1 "))),
    )


def _sequence(tag: int, *items: bytes) -> bytes:
    return element(tag, "SQ", b"".join(items))


def _item(*elements: bytes) -> bytes:
    """An item of defined length (PS3.5 section 7.5.1)."""
    body = b"".join(elements)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body


SERIES: dict[str, Callable[[], Series]] = {
    "7 KB": lambda: ct(16, 16),
    "39 KB": ct,
    "530 KB": lambda: ct(512, 512),
    "4 MB": lambda: ct(1448, 1448),
    "30 MB": lambda: ct(3800, 4096),
    "100 MB": lambda: ct(6400, 8192),
    "deflated": deflated,
    "encapsulated": encapsulated,
    "enhanced": enhanced,
}
