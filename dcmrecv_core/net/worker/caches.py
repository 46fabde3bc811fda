"""What need not be worked out again when a sender opens one association after the other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar, TypeVarTuple, Unpack

from dcmrecv_core.proto.associate import Proposal, decode_items

MAX_PROPOSALS = 256
MAX_BYTES = 1 << 20
"""Of proposals as received; decoded they take about ten times as much."""

LONGEST = 32 << 10
"""Bytes of a request of which something may be kept by identity; 128 contexts with five transfer syntaxes each have
20 KB."""

MAX_RESULTS = 64

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class Proposals:
    """Decoded proposals by their bytes. One with a user identity is never kept, for it may hold a password."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Proposal] = OrderedDict()
        self._size = 0

    def decode(self, items: bytes) -> Proposal:
        """As `decode_items`; raises RemoteProtocolError."""
        known = self._known.get(items)
        if known is not None:
            self._known.move_to_end(items)
            return known
        proposal = decode_items(items)
        if proposal.user.user_identity is None:
            self._known[items] = proposal
            self._size += len(items)
            while len(self._known) > MAX_PROPOSALS or self._size > MAX_BYTES:
                forgotten, _ = self._known.popitem(last=False)
                self._size -= len(forgotten)
        return proposal


class ByIdentity(Generic[*Arguments, Result]):
    """A function of objects that nobody changes: called again with the very same ones it has the result already.

    Comparing a hundred presentation contexts would take as long as deciding on them.
    """

    def __init__(self, function: Callable[[Unpack[Arguments]], Result]) -> None:
        self._function = function
        self._known: OrderedDict[tuple[int, ...], tuple[tuple[*Arguments], Result]] = OrderedDict()

    def __call__(self, *arguments: *Arguments) -> Result:
        key = tuple(map(id, arguments))
        known = self._known.get(key)
        if known is None:
            # the arguments are kept with the result, so that no other object can get their place in memory
            known = self._known[key] = arguments, self._function(*arguments)
            if len(self._known) > MAX_RESULTS:
                self._known.popitem(last=False)
        return known[1]

    def forget(self) -> None:
        """Let go of all arguments and results."""
        self._known.clear()
