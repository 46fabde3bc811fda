"""Which presentation contexts are proposed: what the destination was sent so far, and what is to be sent now."""

from __future__ import annotations

from dcmrecv_forward.association import MOST_CONTEXTS, Pair

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

_EACH_OTHERS = {
    IMPLICIT_LITTLE_ENDIAN: EXPLICIT_LITTLE_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN: IMPLICIT_LITTLE_ENDIAN,
}
"""Syntaxes between which an instance is re-encoded if the peer accepts nothing else: no pixel is touched."""

_ALWAYS: list[Pair] = [("1.2.840.10008.1.1", syntax) for syntax in _EACH_OTHERS]
"""Verification, which every SCP supports: some (DCMTK's dcmrecv) reject an association without any acceptable context,
so that one instance that they do not take would look as if they let no sender in."""


def pairs_for(sop_class_uid: str, transfer_syntax_uid: str) -> list[Pair]:
    """The contexts that an instance can be sent in, the best one first."""
    other = _EACH_OTHERS.get(transfer_syntax_uid)
    return [(sop_class_uid, transfer_syntax_uid), *([(sop_class_uid, other)] if other else [])]


class Proposals:
    """The pairs that were needed, the latest last; a new association proposes as many of them as it can."""

    def __init__(self) -> None:
        self._pairs: dict[Pair, None] = {}

    def with_needed(self, needed: list[Pair]) -> list[Pair]:
        """What to propose, `needed` and Verification included."""
        for pair in needed:
            self._pairs.pop(pair, None)
            self._pairs[pair] = None
        for pair in list(self._pairs)[: len(_ALWAYS) - MOST_CONTEXTS]:
            del self._pairs[pair]
        return [*self._pairs, *_ALWAYS]

    def forget(self, pairs: list[Pair]) -> None:
        """Not to be proposed again."""
        for pair in pairs:
            self._pairs.pop(pair, None)
