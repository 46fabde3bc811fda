"""Runs of headers that a data set has in common with earlier ones.

The images of a series have the same elements, and most values have the same lengths. If the first header of a known run
appears again, one call of struct picks all headers of the run out of the data, those within sequences too. If these
bytes are the same, all of the run is known: tags, VRs, lengths, that they are in order and where each value is. That
takes a tenth of the time of reading each element.

If a header differs, the run is split before and after its top-level element. So after some instances the elements whose
lengths vary stand between runs that stay.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from dcmrecv_core.dataset.elements import HeaderRun, PlainElement, Span
from dcmrecv_core.dataset.encodings import HeaderFormat
from dcmrecv_core.dataset.sources import ByteSource

HeaderFields = tuple[int, ...]
"""What `HeaderFormat.header` returns."""

MAX_KEPT = 8192
"""Headers of all runs together, about 400 bytes each. If there are more, all runs are dropped."""

_SHORTEST = 4  # headers; shorter runs cost more than they save
_LONGEST = 1 << 20  # bytes
_PRICE = 4
_FIRST_CREDIT = 2048


class KnownHeaderRuns:
    """The runs of one worker, by format and first header.

    To make a run costs as much as walking its elements a few times. That is paid from `credit`, to which each
    recognised header adds: data that never repeat soon cost nothing more.
    """

    def __init__(self) -> None:
        self._by_format: dict[bool | None, dict[HeaderFields, HeaderRun]] = {}
        self._kept = 0
        self.credit = _FIRST_CREDIT

    def of(self, format: HeaderFormat) -> dict[HeaderFields, HeaderRun]:
        """The runs in this format, by their first headers."""
        return self._by_format.setdefault(format.little if format.explicit else None, {})

    def learn(
        self, format: HeaderFormat, elements: Sequence[PlainElement], inner: Sequence[Span], source: ByteSource
    ) -> None:
        """Keep these elements as a run, if the credit suffices; `inner` are the headers within them."""
        start, length = elements[0][2], elements[-1][5] - elements[0][2]
        count = len(elements) + len(inner)
        price = _PRICE * count
        if self.credit < price or length > _LONGEST or count > MAX_KEPT:
            return
        self.credit -= price
        spans = sorted([(element[2], element[3] - element[2]) for element in elements] + list(inner))
        data = source.window(start, length)
        headers = [bytes(data[offset - start : offset - start + size]) for offset, size in spans]
        self._keep(format, elements, spans, headers)

    def split(self, format: HeaderFormat, run: HeaderRun, seen: tuple[bytes, ...]) -> HeaderRun | None:
        """`seen` has another header than `run`: keep the parts before and after the top-level element of that header.
        Returns the part before it, None if that is too short."""
        differs = next(at for at, (known, other) in enumerate(zip(run.headers, seen, strict=True)) if known != other)
        elements = list(run.elements.values())
        at = bisect_right(elements, run.spans[differs][0], key=_offset) - 1
        runs = self.of(format)
        head = format.header(run.headers[0], 0)
        del runs[head]
        self._kept -= len(run.headers)
        for part in (elements[:at], elements[at + 1 :]):
            if part:
                first = bisect_right(run.spans, (part[0][2], 0))
                last = bisect_right(run.spans, (part[-1][5], 0))
                self._keep(format, part, run.spans[first:last], run.headers[first:last])
        return runs.get(head)

    def _keep(
        self, format: HeaderFormat, elements: Sequence[PlainElement], spans: Sequence[Span], headers: Sequence[bytes]
    ) -> None:
        if len(headers) < _SHORTEST:
            return
        if self._kept + len(headers) > MAX_KEPT:
            for known in self._by_format.values():  # in place: a walk may be looking into one
                known.clear()
            self._kept = 0
        runs, head = self.of(format), format.header(headers[0], 0)
        replaced = runs.get(head)
        self._kept += len(headers) - (len(replaced.headers) if replaced is not None else 0)
        start = elements[0][2]
        relative = [
            (tag, vr, offset - start, value - start, length, end - start)
            for tag, vr, offset, value, length, end in elements
        ]
        runs[head] = HeaderRun(relative, [(offset - start, length) for offset, length in spans], tuple(headers))


def _offset(element: PlainElement) -> int:
    return element[2]
