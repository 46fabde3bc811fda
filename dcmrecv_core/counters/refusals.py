"""What one process has refused: the last refusals with all that is known of them, and how often for which reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import NamedTuple

LAST = 32
"""Refusals that a process remembers. Equal ones are one, with a count."""

REASONS = 64
"""Different reasons that a process counts; the last place is for all further ones."""

MOST_SHOWN = 200
"""Refusals of all processes together that are shown."""

OTHER_REASONS = "other reasons"


class Reason(NamedTuple):
    """`kind` is "association" or "instance"; `status` a DIMSE status in hexadecimal digits, or result, source and
    reason of an A-ASSOCIATE-RJ: 1/1/7; `text` is short, and one of a few."""

    kind: str
    status: str
    text: str


class Refusal(NamedTuple):
    """`at` is the time, in seconds since 1970, of the last of `times` equal ones; `reason` says what the log says."""

    at: float
    times: int
    kind: str
    status: str
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    reason: str


_KINDS = ("association", "instance")
_ENTRY = Struct("@dQB12s64s64s46s189s")  # as `Refusal`
_ENTRY_COUNT_OFFSET, _KEY_OFFSET = 8, 16
_COUNT = Struct("@Q")
_REASON = Struct("@QB7s48s")  # count, and as `Reason`


class RefusalRing:
    """The last refusals of a process. A new one takes the place of the oldest."""

    SIZE = LAST * _ENTRY.size

    __slots__ = ("_last", "_view")

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._last = 0  # the number of the entry that this process has added last

    def add(self, refusal: Refusal) -> None:
        """`times` of it is ignored."""
        packed = _pack_entry(refusal)
        number = self._last
        if self._key(number) != packed[_KEY_OFFSET:]:
            number = self._last = self._place(packed)
        offset = number * _ENTRY.size
        is_same = self._key(number) == packed[_KEY_OFFSET:]
        count = _COUNT.unpack_from(self._view, offset + _ENTRY_COUNT_OFFSET)[0] if is_same else 0
        _COUNT.pack_into(self._view, offset + _ENTRY_COUNT_OFFSET, 0)  # so that no process reads half of it
        self._view[offset : offset + _ENTRY.size] = packed[:_ENTRY_COUNT_OFFSET] + bytes(8) + packed[_KEY_OFFSET:]
        _COUNT.pack_into(self._view, offset + _ENTRY_COUNT_OFFSET, count + 1)

    def _key(self, number: int) -> bytes:
        """All but the time and the count."""
        return bytes(self._view[number * _ENTRY.size + _KEY_OFFSET : (number + 1) * _ENTRY.size])

    def _place(self, packed: bytes) -> int:
        """The number of the equal entry, or of the oldest one."""
        entries = [_ENTRY.unpack_from(self._view, number * _ENTRY.size) for number in range(LAST)]
        wanted = _ENTRY.unpack(packed)[2:]
        same = next((number for number, entry in enumerate(entries) if entry[1] and entry[2:] == wanted), None)
        return min(range(LAST), key=lambda each: entries[each][0]) if same is None else same

    def __iter__(self) -> Iterator[Refusal]:
        for number in range(LAST):
            at, count, kind, *texts = _ENTRY.unpack(bytes(self._view[number * _ENTRY.size :][: _ENTRY.size]))
            if count:
                yield Refusal(at, count, _KINDS[kind], *map(_text, texts))


class RefusalCounts:
    """How often a process gave each reason."""

    SIZE = REASONS * _REASON.size

    __slots__ = ("_view",)

    def __init__(self, view: memoryview) -> None:
        self._view = view

    def add(self, reason: Reason) -> None:
        packed = _pack_reason(reason)
        for number in range(REASONS):
            offset = number * _REASON.size
            if number == REASONS - 1:
                packed = _pack_reason(Reason(reason.kind, "", OTHER_REASONS))
            count = _COUNT.unpack_from(self._view, offset)[0]
            if not count:
                self._view[offset + 8 : offset + _REASON.size] = packed[8:]
            if (
                not count
                or bytes(self._view[offset + 8 : offset + _REASON.size]) == packed[8:]
                or number == REASONS - 1
            ):
                _COUNT.pack_into(self._view, offset, count + 1)  # last: only now it is read
                return

    def __iter__(self) -> Iterator[tuple[Reason, int]]:
        for number in range(REASONS):
            count, kind, status, text = _REASON.unpack_from(self._view, number * _REASON.size)
            if count:
                yield Reason(_KINDS[kind], _text(status), _text(text)), count


def merged(rings: Iterable[RefusalRing]) -> list[Refusal]:
    """Those of all processes, equal ones together, the last one at the end; `MOST_SHOWN` at most."""
    found: dict[tuple[str, ...], Refusal] = {}
    for ring in rings:
        for refusal in ring:
            before = found.get(refusal[2:])
            if before is not None:
                refusal = refusal._replace(at=max(before.at, refusal.at), times=before.times + refusal.times)
            found[refusal[2:]] = refusal
    return sorted(found.values(), key=lambda refusal: refusal.at)[-MOST_SHOWN:]


def _pack_entry(refusal: Refusal) -> bytes:
    texts = [text.encode("utf-8", "replace") for text in refusal[3:]]
    return _ENTRY.pack(refusal.at, 1, _KINDS.index(refusal.kind), *texts)


def _pack_reason(reason: Reason) -> bytes:
    return _REASON.pack(0, _KINDS.index(reason.kind), reason.status.encode(), reason.text.encode("utf-8", "replace"))


def _text(data: bytes) -> str:
    """A text that was cut may end within a character."""
    return data.rstrip(b"\0").decode("utf-8", "ignore")
