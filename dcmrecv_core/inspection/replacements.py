"""What a plugin has replaced in a data set: which elements, not their values, which may be a patient's."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcmrecv_core.receive.instance import ReceivedInstance

_LONGEST = 1 << 20
"""Bytes of each value that are compared; of longer ones also their length."""

NO_DIFFERENCE = "no element differs"
"""What is said of a replacement without differences, as far as values are compared."""

Elements = dict[int, tuple[int, bytes]]
"""By tag: the length of an element in the data set, and a hash of its value."""


def elements_of(instance: ReceivedInstance) -> Elements:
    """The top-level elements of an instance as it is now."""
    found: Elements = {}
    for tag, element in instance.index.elements.items():
        raw = instance.raw(tag, _LONGEST)
        found[tag] = (element.length, hashlib.sha256(raw.value if raw else b"").digest())
    return found


def differences(before: Elements, after: Elements) -> tuple[str, ...]:
    """The elements that differ, in the order of their tags: "PatientName changed"."""
    return tuple(
        f"{_name(tag)} {_what(before.get(tag), after.get(tag))}"
        for tag in sorted(before.keys() | after.keys())
        if before.get(tag) != after.get(tag)
    )


def _what(before: object, after: object) -> str:
    if before is None:
        return "added"
    return "removed" if after is None else "changed"


def _name(tag: int) -> str:
    from pydicom.datadict import keyword_for_tag

    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
