"""What hooks return: small frozen classes, never bare numbers. A verdict says by its type what happens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, get_args

MAX_EXTENDED = 0xFFFF - 2
"""A SOP class UID and its application information share an item with a length of 16 bits (PS3.7 D.3.3.5.1)."""

MAX_IDENTITY_RESPONSE = 0xFFFF - 2
"""Bytes of a server response: it has a length of its own in an item with a length of 16 bits (PS3.7 D.3.3.7.2)."""

OnExists = Literal["replace-same", "overwrite", "rename", "keep", "refuse", "retry"]
"""What happens when the chosen name is taken by another content:

* replace-same: the same SOP instance is replaced, atomically; anything else stays, and this instance gets the name with
  `~` and 8 hexadecimal digits of a hash of its SOP Instance UID (so it finds its own file when it is sent again);
* overwrite: any existing file is replaced, atomically;
* rename: this content gets the name with `~2`, `~3` ...;
* keep: a complete file of the same instance stays, and the sender gets Success; another instance stays too, and this
  one gets a name as with replace-same; for anything else the answer is A700;
* refuse: it stays, and the answer is 0111 (duplicate SOP instance);
* retry: `choose_filename` is asked for another name.

What has the same data set in the same transfer syntax already stays as it is, and the sender gets Success.
"""

ON_EXISTS: tuple[str, ...] = get_args(OnExists)


class Role(Enum):
    """The roles of the association requestor that a context allows (PS3.7 D.3.3.4), as in asconfig files.

    The words describe the *acceptor's* peer as DCMTK's role lists do: SCU lets the requestor be SCU.
    """

    SCU = "SCU"
    SCP = "SCP"
    BOTH = "BOTH"


class RejectReason(Enum):
    """(source, reason) of an A-ASSOCIATE-RJ (PS3.8 section 9.3.4)."""

    NO_REASON = (1, 1)
    APPLICATION_CONTEXT_NAME_NOT_SUPPORTED = (1, 2)
    CALLING_AE_TITLE_NOT_RECOGNIZED = (1, 3)
    CALLED_AE_TITLE_NOT_RECOGNIZED = (1, 7)
    PROTOCOL_VERSION_NOT_SUPPORTED = (2, 2)
    TEMPORARY_CONGESTION = (3, 1)
    LOCAL_LIMIT_EXCEEDED = (3, 2)


@dataclass(frozen=True, slots=True)
class Reject:
    """Result of `negotiate`: refuse the whole association; `transient` invites the peer to try again."""

    reason: RejectReason = RejectReason.NO_REASON
    transient: bool = False


@dataclass(frozen=True, slots=True)
class SupportedContext:
    """Result of `negotiate`: an abstract syntax that this receiver accepts.

    `transfer_syntaxes` in the order we prefer them (any iterable of UIDs will do); `None` accepts all that
    are proposed, in the proposer's order. `role` is answered only if the peer asked for role selection; `extended` is
    the application information returned for the SOP class (PS3.7 D.3.3.5). Raises TypeError for anything else.
    """

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...] | None
    role: Role | None = None
    extended: bytes | None = None

    def __post_init__(self) -> None:
        # raised here, where the plugin made the mistake, not in the middle of the negotiation
        syntaxes: Iterable[str] | None = self.transfer_syntaxes
        if syntaxes is not None and type(syntaxes) is not tuple and not isinstance(syntaxes, str | bytes):
            object.__setattr__(self, "transfer_syntaxes", syntaxes := tuple(syntaxes))
        if not isinstance(self.abstract_syntax, str) or not _are_texts(syntaxes):
            raise TypeError(f"a UID and several UIDs or None expected, not {self.abstract_syntax!r}, {syntaxes!r}")
        if not isinstance(self.role, Role | None) or not isinstance(self.extended, bytes | None):
            raise TypeError(f"a Role or None and bytes or None expected, not {self.role!r}, {self.extended!r}")
        if self.extended and len(self.abstract_syntax) + len(self.extended) > MAX_EXTENDED:
            raise ValueError(f"{len(self.extended)} bytes of extended negotiation do not fit into an item")


@dataclass(frozen=True, slots=True)
class Also:
    """Result of `negotiate`: contexts beside whatever else counts; what is accepted if no plugin answers still is.

    For a plugin that only offers a service beside storage. `contexts` may be any iterable.
    """

    contexts: tuple[SupportedContext, ...]


@dataclass(frozen=True, slots=True)
class Accept:
    """Result of `negotiate`: contexts, as an iterable of them, and the answer to the peer's user identity.

    `identity_response` is the server response of PS3.7 D.3.3.7.2; it is sent only if the peer asked for one.
    """

    contexts: tuple[SupportedContext, ...]
    identity_response: bytes | None = field(default=None, repr=False)


def _are_texts(values: object) -> bool:
    return values is None or (isinstance(values, tuple) and all(isinstance(value, str) for value in values))


@dataclass(frozen=True, slots=True)
class Refuse:
    """Result of `receive`: not stored, the sender gets the failure `status` and the comment."""

    status: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Warn:
    """Result of `receive`: stored, the sender gets the warning `status` (Bxxx) and the comment."""

    status: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Discard:
    """Result of `receive`: not stored, the sender gets Success; `reason` goes into the log."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Name:
    """Result of `choose_filename`: a file name without the extension that `-fe` appends.

    If `on_exists` is None, `--on-duplicate` decides, and without that `by_default`. With "overwrite" in `by_default`
    the existing file is not read, not even to see whether it is equal.
    """

    text: str
    on_exists: OnExists | None = None
    by_default: OnExists = "replace-same"


NegotiateResult = Iterable[SupportedContext] | Also | Accept | Reject | None
ReceiveResult = Refuse | Warn | Discard | None
