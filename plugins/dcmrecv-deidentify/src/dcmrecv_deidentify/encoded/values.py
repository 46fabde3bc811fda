"""Values as bytes: dummies, padding, and which values an element may have to be kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

REMOVED = b"REMOVED"

_DUMMIES = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), REMOVED),
    "AS": b"000Y",
    "DA": b"19000101",
    "DT": b"19000101000000",
    "TM": b"000000",
    "DS": b"0",
    "IS": b"0",
    "UR": b"http://removed.invalid",
}
SIZES = {"AT": 4, "FL": 4, "FD": 8, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
"""Bytes of one value of a VR for numbers."""

TEXTS = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
"""VRs whose values may be in any character set."""

FREE_TEXTS = frozenset(("LT", "ST", "UC", "UR", "UT"))

_ALLOWED = {
    "AE": rb"[ -~]*",
    "AS": rb"[0-9DWMY \\]*",
    # some vendors write small letters and more than 16 characters; a caret is in names of persons only
    "CS": rb"(?:[ -\[\]_-~]{0,64}\\)*[ -\[\]_-~]{0,64}",
    "DA": rb"[0-9.\- \\]*",
    "DS": rb"[0-9+\-.eE \\]*",
    "DT": rb"[0-9+\-. \\]*",
    "IS": rb"[0-9+\-. \\]*",
    "TM": rb"[0-9.:\- \\]*",
    "UI": rb"[0-9. \\]*",
}
_CHECKS = {vr: re.compile(pattern + rb"\0*") for vr, pattern in _ALLOWED.items()}
_RELATIVES = tuple(map(frozenset, (
    ("AE", "CS", "LO", "LT", "SH", "ST", "UC", "UT", "UR"),
    ("DS", "IS"),
    ("US", "SS"),
    ("UL", "SL"),
    ("OB", "OW"),
)))  # fmt: skip
"""VRs that senders confuse without harm."""


def dummy(vr: str) -> bytes:
    """A value that says nothing, of even length."""
    if vr in SIZES:
        return bytes(SIZES[vr])
    return padded(vr, _DUMMIES.get(vr, b"\0\0"))


def padded(vr: str, value: bytes) -> bytes:
    """The value in even length (PS3.5 section 6.2)."""
    if len(value) % 2:
        return value + (b"\0" if vr in ("UI", "OB", "UN") else b" ")
    return value


def stripped(value: bytes) -> bytes:
    """A value without its padding."""
    return value.strip(b" \0")


def related(declared: str, defined: tuple[str, ...]) -> bool:
    """Whether an element of one of the `defined` VRs may have come with the `declared` one."""
    return any(declared in kin and not kin.isdisjoint(defined) for kin in _RELATIVES)


@lru_cache(maxsize=256)
def check_for(vrs: tuple[str, ...], multiplicity: str) -> Callable[[bytes], object] | None:
    """What is false for a value that is none of these VRs: something else hides there. None if any bytes may be."""
    if len({SIZES.get(vr, vr) for vr in vrs}) > 1:
        return None
    vr = vrs[0]
    if vr in _CHECKS:
        return _CHECKS[vr].fullmatch
    if vr not in SIZES:
        return None
    size = SIZES[vr]
    return _length(size * int(multiplicity)) if multiplicity.isdigit() else _multiple(size)


def _length(length: int) -> Callable[[bytes], bool]:
    return lambda value: len(value) in (0, length)


def _multiple(size: int) -> Callable[[bytes], bool]:
    return lambda value: len(value) % size == 0
