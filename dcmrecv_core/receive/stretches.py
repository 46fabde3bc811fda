"""What data sets have in common with those before them.

The images of a series have the same elements with values of the same lengths, but for some. A stretch is a number of
plain elements that came one behind the other; where its first header turns up again, one call of struct picks all its
headers out of the data, and if they are the same bytes, all of it is known: tags, VRs, lengths, that they are in order
and where each value is. That takes a tenth of the time of a look at each element.

Where they differ, the stretch is split before and behind the element that differs. So after some instances the
elements whose lengths vary stand between stretches that hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct

from dcmrecv_core.receive.elements import PlainElement, Stretch
from dcmrecv_core.receive.encodings import Layout

Head = tuple[int, ...]
"""What `Layout.header` yields."""

SHORTEST = 4
"""Elements; shorter stretches cost more than they save."""

MAX_KEPT = 8192
"""Elements of all stretches together, about 400 bytes each; beyond, all are forgotten."""

_PRICE = 4
_FIRST_CREDIT = 2048


class KnownStretches:
    """The stretches of one worker, by layout and first header.

    Making one costs as much as walking its elements some times. It is paid from `credit`, which elements that are
    recognised earn: data that never repeat soon cost nothing any more.
    """

    def __init__(self) -> None:
        self._by_layout: dict[bool | None, dict[Head, Stretch]] = {}
        self._kept = 0
        self.credit = _FIRST_CREDIT

    def of(self, layout: Layout) -> dict[Head, Stretch]:
        """The stretches of this layout by the first header."""
        return self._by_layout.setdefault(layout.little if layout.explicit else None, {})

    def learn(self, layout: Layout, elements: Sequence[PlainElement], header: Callable[[int], bytes]) -> None:
        """Keep these, if that is worth while. `header` yields the bytes of the header at an offset."""
        count = len(elements)
        if count < SHORTEST or self.credit < _PRICE * count:
            return
        self.credit -= _PRICE * count
        self._kept += count
        if self._kept > MAX_KEPT:
            self._by_layout.clear()
            self._kept = count
        start = elements[0][2]
        headers = [header(element[2])[: element[3] - element[2]] for element in elements]
        relative = [
            (tag, vr, offset - start, value - start, length, end - start)
            for tag, vr, offset, value, length, end in elements
        ]
        self._keep(layout, headers, relative)

    def split(self, layout: Layout, stretch: Stretch, seen: tuple[bytes, ...]) -> Stretch | None:
        """`stretch` turned out to have another header somewhere: keep what is before and behind it. Returns what is
        before, None if that is too short."""
        heads, elements = list(stretch.headers), list(stretch.elements.values())
        at = next(index for index, (known, other) in enumerate(zip(heads, seen, strict=True)) if known != other)
        self._kept -= len(heads)
        del self.of(layout)[layout.header(heads[0], 0)]
        for first, last in ((0, at), (at + 1, len(heads))):
            if last - first >= SHORTEST:
                self._kept += last - first
                start = elements[first][2]
                relative = [
                    (tag, vr, offset - start, value - start, length, end - start)
                    for tag, vr, offset, value, length, end in elements[first:last]
                ]
                self._keep(layout, heads[first:last], relative)
        return self.of(layout).get(layout.header(heads[0], 0))

    def _keep(self, layout: Layout, headers: list[bytes], elements: list[PlainElement]) -> None:
        codes = "".join(f"{len(head)}s{element[4]}x" for head, element in zip(headers, elements, strict=True))
        self.of(layout)[layout.header(headers[0], 0)] = Stretch(
            tuple(headers), elements, Struct("=" + codes).unpack_from
        )
