"""What data sets have in common with those before them.

The images of a series have the same elements with values of the same lengths, but for some. Where the first header of a
stretch of elements turns up again, one call of struct picks all its headers out of the data, those within sequences
too; if they are the same bytes, all of it is known: tags, VRs, lengths, that they are in order and where each value is.
That takes a tenth of the time of a look at each element.

Where they differ, the stretch is split before and behind the top-level element that differs. So after some instances
the elements whose lengths vary stand between stretches that hold.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from dcmrecv_core.dataset.elements import PlainElement, Span, Stretch
from dcmrecv_core.dataset.encodings import Layout
from dcmrecv_core.dataset.sources import Source

Head = tuple[int, ...]
"""What `Layout.header` yields."""

MAX_KEPT = 8192
"""Headers of all stretches together, about 400 bytes each; beyond, all are forgotten."""

_SHORTEST = 4  # headers; shorter stretches cost more than they save
_LONGEST = 1 << 20  # bytes
_PRICE = 4
_FIRST_CREDIT = 2048


class KnownStretches:
    """The stretches of one worker, by layout and first header.

    Making one costs as much as walking its elements some times. It is paid from `credit`, which headers that are
    recognised earn: data that never repeat soon cost nothing any more.
    """

    def __init__(self) -> None:
        self._by_layout: dict[bool | None, dict[Head, Stretch]] = {}
        self._kept = 0
        self.credit = _FIRST_CREDIT

    def of(self, layout: Layout) -> dict[Head, Stretch]:
        """The stretches of this layout by the first header."""
        return self._by_layout.setdefault(layout.little if layout.explicit else None, {})

    def learn(self, layout: Layout, elements: Sequence[PlainElement], inner: Sequence[Span], source: Source) -> None:
        """Keep these elements, if that is worth while; `inner` are the headers within them."""
        start, length = elements[0][2], elements[-1][5] - elements[0][2]
        count = len(elements) + len(inner)
        price = _PRICE * count
        if self.credit < price or length > _LONGEST or count > MAX_KEPT:
            return
        self.credit -= price
        spans = sorted([(element[2], element[3] - element[2]) for element in elements] + list(inner))
        data = source.window(start, length)
        headers = [bytes(data[offset - start : offset - start + size]) for offset, size in spans]
        self._keep(layout, elements, spans, headers)

    def split(self, layout: Layout, stretch: Stretch, seen: tuple[bytes, ...]) -> Stretch | None:
        """`stretch` turned out to have another header somewhere: keep what is before and behind the element that it
        belongs to. Returns what is before, None if that is too short."""
        differs = next(
            at for at, (known, other) in enumerate(zip(stretch.headers, seen, strict=True)) if known != other
        )
        elements = list(stretch.elements.values())
        at = bisect_right(elements, stretch.spans[differs][0], key=_offset) - 1
        stretches = self.of(layout)
        head = layout.header(stretch.headers[0], 0)
        del stretches[head]
        self._kept -= len(stretch.headers)
        for part in (elements[:at], elements[at + 1 :]):
            if part:
                first = bisect_right(stretch.spans, (part[0][2], 0))
                last = bisect_right(stretch.spans, (part[-1][5], 0))
                self._keep(layout, part, stretch.spans[first:last], stretch.headers[first:last])
        return stretches.get(head)

    def _keep(
        self, layout: Layout, elements: Sequence[PlainElement], spans: Sequence[Span], headers: Sequence[bytes]
    ) -> None:
        if len(headers) < _SHORTEST:
            return
        if self._kept + len(headers) > MAX_KEPT:
            for known in self._by_layout.values():  # in place: a walk may be looking into one
                known.clear()
            self._kept = 0
        stretches, head = self.of(layout), layout.header(headers[0], 0)
        replaced = stretches.get(head)
        self._kept += len(headers) - (len(replaced.headers) if replaced is not None else 0)
        start = elements[0][2]
        relative = [
            (tag, vr, offset - start, value - start, length, end - start)
            for tag, vr, offset, value, length, end in elements
        ]
        stretches[head] = Stretch(relative, [(offset - start, length) for offset, length in spans], tuple(headers))


def _offset(element: PlainElement) -> int:
    return element[2]
