"""Caches for senders that open one association after the other with the same proposals."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar, TypeVarTuple, Unpack

from dcmrecv_core.proto.associate import Proposal, decode_items

MAX_PROPOSALS = 256
MAX_BYTES = 1 << 20
"""Bytes of cached proposals as received; decoded they take about ten times as much."""

MAX_CACHED_REQUEST = 32 << 10
"""Bytes of the longest request whose results an `IdentityCache` keeps; 128 contexts with five transfer syntaxes each
have 20 KB."""

MAX_RESULTS = 64

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class ProposalCache:
    """Decoded proposals by their bytes; never one with a user identity, which may contain a password."""

    def __init__(self) -> None:
        self._cached: OrderedDict[bytes, Proposal] = OrderedDict()
        self._size = 0

    def decode(self, items: bytes) -> Proposal:
        """As `decode_items`; raises RemoteProtocolError."""
        cached = self._cached.get(items)
        if cached is not None:
            self._cached.move_to_end(items)
            return cached
        proposal = decode_items(items)
        if proposal.user.user_identity is None:
            self._cached[items] = proposal
            self._size += len(items)
            while len(self._cached) > MAX_PROPOSALS or self._size > MAX_BYTES:
                oldest, _ = self._cached.popitem(last=False)
                self._size -= len(oldest)
        return proposal


class IdentityCache(Generic[*Arguments, Result]):
    """Results of a function of immutable objects, by the identity of its arguments.

    To compare a hundred presentation contexts takes as long as to negotiate them.
    """

    def __init__(self, function: Callable[[Unpack[Arguments]], Result]) -> None:
        self._function = function
        self._cached: OrderedDict[tuple[int, ...], tuple[tuple[*Arguments], Result]] = OrderedDict()

    def __call__(self, *arguments: *Arguments) -> Result:
        key = tuple(map(id, arguments))
        cached = self._cached.get(key)
        if cached is None:
            # the arguments are kept with the result, so that no other object gets the same id
            cached = self._cached[key] = arguments, self._function(*arguments)
            if len(self._cached) > MAX_RESULTS:
                self._cached.popitem(last=False)
        return cached[1]

    def clear(self) -> None:
        """Drop all arguments and results."""
        self._cached.clear()
