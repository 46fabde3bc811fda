"""Where a walk through a data set is, and how it tells what is wrong there."""

from __future__ import annotations

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset.elements import DataSetIndex
from dcmrecv_core.dataset.encodings import LONGEST_HEADER, HeaderFormat

MAX_WARNINGS = 20

Value = tuple[bool, bool, int, int, int, HeaderFormat]
"""What is kept of a value while a nested one is walked."""


def name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def fault(tag: int, offset: int, text: str, hint: str = "") -> DataSetError:
    """A fault of the element `tag`, which begins at `offset`."""
    return DataSetError(f"{name(tag)} at {offset}: {text}", (tag,), hint=hint)


def fault_in(owner: int, offset: int, text: str, hint: str = "") -> DataSetError:
    """A fault at `offset`, in a sequence (or in pixel data) with the tag `owner`."""
    return DataSetError(f"In {name(owner)} at {offset}: {text}", (owner,), hint=hint)


def fault_after(last: int, offset: int, text: str, hint: str = "") -> DataSetError:
    """A fault at `offset`, at top level, after the element `last`; 0 if there is none."""
    if not last:
        return DataSetError(f"At {offset}: {text}", hint=hint)
    return DataSetError(f"After {name(last)} at {offset}: {text}", (last,), hint=hint)


class WalkState:
    """The value that is being walked: the data set, a sequence or an item; those around it; and the bytes ahead."""

    __slots__ = (
        "base",
        "delimited",
        "format",
        "frames",
        "in_sequence",
        "index",
        "last",
        "limit",
        "owner",
        "source",
        "window",
    )

    def __init__(self, index: DataSetIndex, format: HeaderFormat, limit: int) -> None:
        self.in_sequence = False  # items are due, not elements
        self.delimited = False  # of undefined length
        self.limit = limit  # where it, or the value that encloses it, has to end
        self.last = 0  # the highest tag so far
        self.owner = 0  # tag of the sequence that it belongs to
        self.format = format
        self.frames: list[Value] = []

        self.index = index
        self.source = index.source
        self.window: bytes | memoryview = b""
        self.base = 0  # offset of the window

    def _enter(self, owner: int, end: int | None, format: HeaderFormat, *, in_sequence: bool) -> None:
        """Enter a sequence or item; `end` is None if a delimiter will end it."""
        self.frames.append((self.in_sequence, self.delimited, self.limit, self.last, self.owner, self.format))
        self.in_sequence = in_sequence
        self.delimited = end is None
        if end is not None:
            self.limit = end
        self.last = 0
        self.owner = owner
        self.format = format

    def _go_back(self) -> None:
        """Leave what was entered last."""
        self.in_sequence, self.delimited, self.limit, self.last, self.owner, self.format = self.frames.pop()

    def _load(self, position: int) -> int:
        """Make the next header readable; returns how many bytes are left, negative if a value ran past the end."""
        if position + LONGEST_HEADER > self.base + len(self.window):
            self.window = self.source.window(position, LONGEST_HEADER)
            self.base = position
        return min(self.limit, self.source.size) - position

    def _vr_bytes(self, position: int) -> bytes:
        at = position - self.base
        return bytes(self.window[at + 4 : at + 6])

    def _bytes_at(self, offset: int, length: int, position: int) -> bytes:
        """Bytes at most 64 KiB after `position`, where the walk is; fewer than `length` at the end of the data. The
        window does not begin after `position`, because inflated data cannot go back without effort."""
        if offset + length > self.base + len(self.window):
            self.window, self.base = self.source.window(position, offset + length - position), position
        at = offset - self.base
        return bytes(self.window[at : at + length])

    def _fault_at(self, position: int, text: str, hint: str = "") -> DataSetError:
        """A fault at `position`, where no element begins."""
        if self.frames:
            return fault_in(self.owner, position, text, hint)
        return fault_after(self.last, position, text, hint)

    def _warn(self, text: str, *offending: int) -> None:
        warnings = self.index.warnings
        if not warnings:
            self.index.offending = offending
        if len(warnings) < MAX_WARNINGS:
            warnings.append(text)
        elif len(warnings) == MAX_WARNINGS:
            warnings.append("and more")
