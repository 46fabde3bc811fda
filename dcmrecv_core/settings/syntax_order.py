"""The order in which transfer syntaxes are chosen where any is accepted: what more programs can read comes first.

Explicit VR says what an element is even if no dictionary has it, so implicit VR comes later; big endian is retired.
Last come syntaxes of which a stored file may be useless: private and unknown ones, MIME and XML, which do not encode
elements, and those that keep the pixel data elsewhere (JPIP, SMPTE ST 2110).
"""

from __future__ import annotations

from functools import cache

from dcmrecv_core.settings.uids import transfer_syntaxes

_STANDARD = "1.2.840.10008.1.2"
IMPLICIT_LITTLE_ENDIAN = _STANDARD
EXPLICIT_LITTLE_ENDIAN = f"{_STANDARD}.1"
_BIG_ENDIAN = f"{_STANDARD}.2"

_COMPLETE, _IMPLICIT, _BIG, _LAST = range(4)

_JPIP = tuple(f"{_STANDARD}.4.{number}" for number in (94, 95, 204, 205))
_NO_ELEMENTS = f"{_STANDARD}.6."
_SMPTE = f"{_STANDARD}.7."


def rank(uid: str) -> int:
    """Smaller ones are accepted first; syntaxes of the same rank in the order of the proposal."""
    return _ranks().get(uid, _LAST)


@cache
def _ranks() -> dict[str, int]:
    ranks = {uid: _COMPLETE for uid in transfer_syntaxes() if _is_complete(uid)}
    return ranks | {IMPLICIT_LITTLE_ENDIAN: _IMPLICIT, _BIG_ENDIAN: _BIG}


def _is_complete(uid: str) -> bool:
    """Whether it is a standard encoding of all elements."""
    return uid.startswith(_STANDARD) and not uid.startswith((_NO_ELEMENTS, _SMPTE)) and uid not in _JPIP
