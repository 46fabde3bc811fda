"""Specific Character Set (0008,0005): only defined terms stay, because anything may stand there."""

from __future__ import annotations

from functools import lru_cache

_NUMBERS = (6, 13, 87, 100, 101, 109, 110, 126, 127, 138, 144, 148, 149, 58, 159, 166, 203)
_TERMS = frozenset(
    ["", "ISO_IR 192", "GB18030", "GBK"]
    + [f"{prefix} {number}" for number in _NUMBERS for prefix in ("ISO_IR", "ISO 2022 IR")]
)


@lru_cache(maxsize=64)
def is_known(value: bytes) -> bool:
    """Whether all values are defined terms (PS3.3 section C.12.1.1.2)."""
    return all(term.strip(" \0") in _TERMS for term in value.decode("latin-1").split("\\"))
