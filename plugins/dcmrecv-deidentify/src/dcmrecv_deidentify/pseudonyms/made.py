"""New values made with the key: pseudonyms, UIDs, and the days by which the dates of a patient are moved.

The same value gives the same result on every machine with the same key; without it nothing leads back.
"""

from __future__ import annotations

import re
from base64 import b32encode
from datetime import date, timedelta
from functools import lru_cache

from dcmrecv_deidentify.pseudonyms.key import digest

MOST_DAYS = 3650
"""Dates are moved back by 1 to so many days."""

_DATE = re.compile(r"(\d{4})(\.?)(\d\d)\2(\d\d)")
_DATE_TIME = re.compile(r"(\d{8})(\d*(?:\.\d*)?(?:[+-]\d{4})?)")


class Pseudonyms:
    """All that is made with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.uid = lru_cache(maxsize=4096)(self._uid)  # each slice names its study and series again
        self.of = lru_cache(maxsize=4096)(self._of)
        self.days = lru_cache(maxsize=256)(self._days)

    def _of(self, kind: str, value: bytes) -> bytes:
        """A pseudonym of 16 characters (80 bits), which every VR for texts has room for."""
        return b32encode(digest(self._key, kind, value)[:10])

    def _uid(self, value: bytes) -> bytes:
        """A UID under 2.25, from a UUID of version 8 (PS3.5 section B.2, RFC 9562)."""
        number = int.from_bytes(digest(self._key, "uid", value)[:16])
        number = number & ~(0xF << 76) | 8 << 76
        number = number & ~(0b11 << 62) | 0b10 << 62
        return b"2.25.%d" % number

    def _days(self, patient: bytes) -> int:
        return 1 + int.from_bytes(digest(self._key, "days", patient)[:8]) % MOST_DAYS


def shifted(vr: str, value: str, days: int) -> str | None:
    """A date or date and time moved back by so many days; a time (TM) stays. None for what is no date to the day."""
    if vr == "TM":
        return value
    value = value.strip()
    if vr == "DA":
        match = _DATE.fullmatch(value)
        return None if match is None else _moved(match[1] + match[3] + match[4], days)
    match = _DATE_TIME.fullmatch(value)
    if match is None:
        return None
    moved = _moved(match[1], days)
    return None if moved is None else moved + match[2]


def _moved(text: str, days: int) -> str | None:
    try:
        day = date(int(text[:4]), int(text[4:6]), int(text[6:])) - timedelta(days)
    except (ValueError, OverflowError):
        return None
    return f"{day.year:04d}{day.month:02d}{day.day:02d}"
