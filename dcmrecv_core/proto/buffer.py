"""The receive buffer: filled by the socket in place, consumed in place."""

from __future__ import annotations


class ReceiveBuffer:
    """The unconsumed bytes from `start` to `end` of `memory`, which the caller supplies and never resizes.

    Views of it are valid until the next `free`, which moves the unconsumed bytes to the front.
    """

    __slots__ = ("end", "memory", "start", "view")

    def __init__(self, memory: bytearray) -> None:
        self.memory = memory
        self.view = memoryview(memory)
        self.start = 0
        self.end = 0

    def free(self) -> memoryview:
        """The writable rest; never empty if all complete events were taken before."""
        left = self.end - self.start
        if self.start:
            if left:
                self.memory[:left] = self.view[self.start : self.end]
            self.start, self.end = 0, left
        return self.view[left:]

    def filled(self, count: int) -> None:
        """`count` bytes were written to what `free` returned."""
        self.end += count

    def take(self, count: int) -> bytes:
        """Copy and consume up to `count` bytes."""
        start = self.start
        self.start = min(start + count, self.end)
        return bytes(self.view[start : self.start])

    def discard(self) -> None:
        """Consume everything."""
        self.start = self.end
