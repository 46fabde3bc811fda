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

from support.data.datasets import element, encapsulated_pixel_data
from support.data.samples import pydicom_samples
from support.protocol.pdus import command_set, data_pdus, store_rq
from support.uids import CT, DEFLATED, ENHANCED_CT, EXPLICIT_LE

JPEG_2000 = "1.2.840.10008.1.2.4.90"

FIRST_SERIAL = 10**13
"""Serial numbers have 14 digits and no leading zero: they are a component of the UID."""

_BEFORE, _SERIAL, _AFTER = "1.3.6.1.4.1.5962.1.1.1.1.1.", "20040119072730", ".12322"
_PIXEL_DATA = struct.pack("<HH2sxx", 0x7FE0, 0x0010, b"OW")
_PADDING = struct.pack("<HH2sxx", 0xFFFC, 0xFFFC, b"OB")

_SLICES_BYTES = 4_000_000
_MOST_SLICES = 64


class Slice(NamedTuple):
    """One instance of a series. `suffix` follows the serial number in its SOP Instance UID."""

    suffix: str
    data: bytes


class Series(NamedTuple):
    """Instances that are sent in turn, again and again under new SOP Instance UIDs.

    They differ as those of real series do, in values and in lengths of values: a receiver that remembers what it saw
    shall not win more here than there.
    """

    sop_class: str
    transfer_syntax: str
    slices: tuple[Slice, ...]

    @property
    def size(self) -> int:
        """Bytes of a data set."""
        return sum(len(each.data) for each in self.slices) // len(self.slices)

    def requests(self, max_pdu: int) -> list[tuple[bytearray, list[int]]]:
        """C-STORE requests in P-DATA-TF PDUs, and where in each the serial number stands."""
        return [self._request(each, max_pdu) for each in self.slices]

    def _request(self, each: Slice, max_pdu: int) -> tuple[bytearray, list[int]]:
        instance = _BEFORE + _SERIAL + each.suffix
        command = data_pdus(1, [command_set(store_rq(self.sop_class, instance))], is_command=True)
        encoded = bytearray().join((*command, *data_pdus(1, [each.data], is_command=False, max_pdu=max_pdu)))
        places, at = [], encoded.find(instance.encode())
        while at >= 0:
            places.append(at + len(_BEFORE))
            at = encoded.find(instance.encode(), at + 1)
        if len(places) != 2:
            raise AssertionError(f"command and data set name the instance, found {len(places)} times")
        return encoded, places


@cache
def _ct_small() -> tuple[bytes, bytes]:
    """The elements before the pixel data, and the pixel data's value."""
    [sample] = [sample for sample in pydicom_samples() if sample.name == "CT_small.dcm"]
    if sample.sop_instance != _BEFORE + _SERIAL + _AFTER:
        raise AssertionError(f"another CT_small.dcm: {sample.sop_instance}")
    head, _, tail = sample.data.partition(_PIXEL_DATA)
    return head, tail[4 : 4 + int.from_bytes(tail[:4], "little")]


def _head(number: int, rows: int, columns: int) -> Slice:
    """What precedes the pixel data of slice `number`, counted from 0."""
    suffix = f".{number * 7 + 1}"
    data, _ = _ct_small()
    fraction = f".{number * 13:06}" if number % 3 else ""
    for tag, vr, value in (
        (0x00080018, "UI", _BEFORE + _SERIAL + suffix),
        (0x00080032, "TM", f"1129{number % 60:02}{fraction}"),
        (0x00080033, "TM", f"1130{number % 60:02}{fraction}"),
        (0x00181151, "IS", f"{70 + number * 9 % 200}"),
        (0x00181152, "IS", f"{70 + number * 9 % 200}"),
        (0x00200013, "IS", f"{number * 7 + 1}"),
        (0x00200032, "DS", f"-158.135803\\-179.035797\\{number * 5 - 75.7:g}"),
        (0x00201041, "DS", f"{number * 5 - 75.7:g}"),
    ):
        data = _replaced(data, tag, vr, value.encode())
    for tag, size in ((0x00280010, rows), (0x00280011, columns)):
        data = _replaced(data, tag, "US", struct.pack("<H", size))
    return Slice(suffix, data)


def _replaced(data: bytes, tag: int, vr: str, value: bytes) -> bytes:
    """A data set with another value of an element of a short VR that it has."""
    start = data.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode())
    [length] = struct.unpack_from("<H", data, start + 6)
    if vr in ("IS", "DS", "TM"):
        value += b" " * (len(value) % 2)
    return data[:start] + element(tag, vr, value) + data[start + 8 + length :]


def _ct_slice(number: int, rows: int, columns: int) -> Slice:
    """A native image of 16 bits a pixel: the same small picture again and again, somewhere else in each slice.

    All requests are of one length, as limits.py expects it: padding (PS3.3 section C.7.1) makes up the rest.
    """
    suffix, head = _head(number, rows, columns)
    _, pixels = _ct_small()
    size = rows * columns * 2
    shift = number * 512 % len(pixels)
    value = (pixels[shift:] + pixels * (size // len(pixels) + 1))[:size]
    in_command = len(_BEFORE + _SERIAL + suffix)
    padding = len(_ct_small()[0]) + 128 - len(head) - in_command - in_command % 2
    tail = (_PADDING, struct.pack("<I", padding), bytes(padding))
    return Slice(suffix, b"".join((head, _PIXEL_DATA, struct.pack("<I", size), value, *tail)))


def ct(rows: int = 128, columns: int = 128) -> Series:
    count = max(1, min(_MOST_SLICES, _SLICES_BYTES // (rows * columns * 2)))
    return Series(CT, EXPLICIT_LE, tuple(_ct_slice(number, rows, columns) for number in range(count)))


def deflated() -> Series:
    return Series(CT, DEFLATED, tuple(Slice(suffix, _deflated(data)) for suffix, data in ct().slices))


def _deflated(data: bytes) -> bytes:
    """Raw deflate whose first blocks are stored, not compressed: there the UID stays readable."""
    cut = data.index(_SERIAL.encode()) + 128
    stored, packed = zlib.compressobj(0, wbits=-15), zlib.compressobj(wbits=-15)
    head = stored.compress(data[:cut]) + stored.flush(zlib.Z_SYNC_FLUSH)
    whole = head + packed.compress(data[cut:]) + packed.flush()
    return whole + bytes(len(whole) % 2)


def encapsulated() -> Series:
    """512 x 512 images compressed to a third, in one fragment each."""
    noise = random.Random(1)
    slices = []
    for number in range(_SLICES_BYTES // 180_000):
        suffix, head = _head(number, 512, 512)
        codestream = b"\xff\x4f\xff\x51" + noise.randbytes(180_000 + noise.randrange(0, 9000, 2)) + b"\xff\xd9"
        slices.append(Slice(suffix, head + encapsulated_pixel_data([codestream])))
    return Series(CT, JPEG_2000, tuple(slices))


def enhanced() -> Series:
    """Enhanced CTs of 1000 frames: 20 000 elements in functional groups, half a megabyte of pixels."""
    shared = _item(_sequence(0x00189329, _item(element(0x00089007, "CS", b"ORIGINAL\\PRIMARY\\AXIAL\\NONE"))))
    size = 1000 * 16 * 16 * 2
    slices = []
    for number in range(4):
        suffix, small = _head(number, 16, 16)
        head, _, _ = small.partition(struct.pack("<HH", 0x0028, 0x0002))
        of_class = element(0x00080016, "UI", CT.encode()), element(0x00080016, "UI", ENHANCED_CT.encode())
        parts = (
            head.replace(*of_class),
            element(0x00280002, "US", b"\1\0"),
            element(0x00280004, "CS", b"MONOCHROME2"),
            element(0x00280008, "IS", b"1000"),
            *(element(tag, "US", struct.pack("<H", 16)) for tag in (0x00280010, 0x00280011, 0x00280100, 0x00280101)),
            element(0x00280102, "US", struct.pack("<H", 15)),
            element(0x00280103, "US", bytes(2)),
            _sequence(0x52009229, shared),
            _sequence(0x52009230, *(_frame(number * 1000 + frame) for frame in range(1, 1001))),
            _PIXEL_DATA,
            struct.pack("<I", size),
            bytes(size),
        )
        slices.append(Slice(suffix, b"".join(parts)))
    return Series(ENHANCED_CT, EXPLICIT_LE, tuple(slices))


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
        _sequence(0x00209113, _item(element(0x00200032, "DS", f"-158.1\\-179.0\\{number * 0.5:g}".encode()))),
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
