"""What hooks return: small frozen classes, never bare numbers. A verdict says by its type what happens.

Each checks itself when it is made, and raises TypeError or ValueError: there the plugin made the mistake, and there its
own unit test shows it. So the core need not check more than the type of what a hook returns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, get_args

from dcmrecv_core.api.names import check_filename

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
  one gets a name as with replace-same; for anything else, an incomplete file included, the answer is A700;
* refuse: it stays, and the answer is 0111 (duplicate SOP instance);
* retry: `choose_filename` is asked for another name.

What has the same data set in the same transfer syntax already stays as it is, and the sender gets Success. An instance
whose command and data set name different SOP Instance UIDs replaces nothing, except the file whose name has `~` and 32
digits of a hash of the command's UID.
"""

ON_EXISTS: tuple[str, ...] = get_args(OnExists)

_set = object.__setattr__


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
    """Result of `negotiate`: refuse the whole association; `transient` invites the peer to try again.

    Raises TypeError for a reason that is no `RejectReason`.
    """

    reason: RejectReason = RejectReason.NO_REASON
    transient: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.reason, RejectReason) or not isinstance(self.transient, bool):
            raise TypeError(f"a RejectReason and a bool expected, not {self.reason!r}, {self.transient!r}")


@dataclass(frozen=True, slots=True, init=False)
class SupportedContext:
    """Result of `negotiate`: an abstract syntax that this receiver accepts.

    `transfer_syntaxes` in the order we prefer them (any iterable of UIDs will do); `None` accepts all that are
    proposed: Explicit VR Little Endian, deflated and compressed ones in the proposer's order, then Implicit VR Little
    Endian, then Explicit VR Big Endian, then all others. `--prefer` comes before either order. `role` is answered only
    if the peer asked for role selection; `extended` is the application information returned for the SOP class
    (PS3.7 D.3.3.5). Raises TypeError for anything else.
    """

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...] | None
    role: Role | None = None
    extended: bytes | None = None

    def __init__(
        self,
        abstract_syntax: str,
        transfer_syntaxes: Iterable[str] | None,
        role: Role | None = None,
        extended: bytes | None = None,
    ) -> None:
        syntaxes = transfer_syntaxes
        if syntaxes is not None and type(syntaxes) is not tuple and not isinstance(syntaxes, str | bytes):
            syntaxes = tuple(syntaxes)
        if not isinstance(abstract_syntax, str) or not _are_texts(syntaxes):
            raise TypeError(f"a UID and several UIDs or None expected, not {abstract_syntax!r}, {syntaxes!r}")
        if not isinstance(role, Role | None) or not isinstance(extended, bytes | None):
            raise TypeError(f"a Role or None and bytes or None expected, not {role!r}, {extended!r}")
        if extended and len(abstract_syntax) + len(extended) > MAX_EXTENDED:
            raise ValueError(f"{len(extended)} bytes of extended negotiation do not fit into an item")
        _set(self, "abstract_syntax", abstract_syntax)
        _set(self, "transfer_syntaxes", syntaxes)
        _set(self, "role", role)
        _set(self, "extended", extended)


@dataclass(frozen=True, slots=True, init=False)
class Also:
    """Result of `negotiate`: contexts beside whatever else counts; what is accepted if no plugin answers still is.

    For a plugin that only offers a service beside storage. `contexts` may be any iterable of `SupportedContext`; raises
    TypeError for anything else.
    """

    contexts: tuple[SupportedContext, ...]

    def __init__(self, contexts: Iterable[SupportedContext]) -> None:
        _set(self, "contexts", checked_contexts(contexts))


@dataclass(frozen=True, slots=True, init=False)
class Accept:
    """Result of `negotiate`: contexts, as an iterable of them, and the answer to the peer's user identity.

    `identity_response` is the server response of PS3.7 D.3.3.7.2, at most 65533 bytes; it is sent only if the peer
    asked for one. Raises TypeError for anything else, ValueError for a response that does not fit into its item.
    """

    contexts: tuple[SupportedContext, ...]
    identity_response: bytes | None = field(default=None, repr=False)

    def __init__(self, contexts: Iterable[SupportedContext], identity_response: bytes | None = None) -> None:
        _set(self, "contexts", checked_contexts(contexts))
        if not isinstance(identity_response, bytes | None):
            raise TypeError("identity_response is bytes or None")  # not shown: it may be a ticket or a token
        if identity_response and len(identity_response) > MAX_IDENTITY_RESPONSE:
            raise ValueError(f"{len(identity_response)} bytes of identity response do not fit into an item")
        _set(self, "identity_response", identity_response)


def checked_contexts(contexts: object) -> tuple[SupportedContext, ...]:
    """`contexts` as a tuple. Raises TypeError if it is no iterable of `SupportedContext`."""
    if isinstance(contexts, Iterable) and not isinstance(contexts, str | bytes):
        answer = tuple(contexts)
        # often more than a hundred, for each association: each type is checked once
        if all(issubclass(kind, SupportedContext) for kind in set(map(type, answer))):
            return answer
    raise TypeError(f"an iterable of SupportedContext expected, not {type(contexts).__name__}")


def _are_texts(values: object) -> bool:
    return values is None or (isinstance(values, tuple) and all(isinstance(value, str) for value in values))


_WARNINGS_BELOW_0200 = (0x0107, 0x0116)


def is_failure(status: int) -> bool:
    """Whether a DIMSE status says that the instance was not stored (PS3.7 annex C, PS3.4 table B.2-1)."""
    return status >> 12 in (0xA, 0xC) or (status >> 8 in (0x01, 0x02) and status not in _WARNINGS_BELOW_0200)


def _check_answer(status: object, comment: object) -> None:
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(f"a status is an int, not {status!r}")
    if not isinstance(comment, str):
        raise TypeError(f"a comment is a str, not {comment!r}")


@dataclass(frozen=True, slots=True)
class Refuse:
    """Result of `receive`: not stored, the sender gets the failure `status` and the comment.

    The sender gets the first 64 characters of the comment (Error Comment, PS3.7 annex C). Raises ValueError for a
    status that is no failure: Axxx, Cxxx, 01xx and 02xx are, without 0107 and 0116; TypeError for no int or str.
    """

    status: int
    comment: str = ""

    def __post_init__(self) -> None:
        _check_answer(self.status, self.comment)
        if not is_failure(self.status):
            raise ValueError(
                f"{self.status:04X} is not a failure status: Refuse takes Axxx, Cxxx, 01xx and 02xx, without the "
                "warnings 0107 and 0116; to store the instance return Warn or None"
            )


@dataclass(frozen=True, slots=True)
class Warn:
    """Result of `receive`: stored, the sender gets the warning `status` (Bxxx) and the comment.

    The sender gets the first 64 characters of the comment. Raises ValueError for another status, TypeError for no int
    or str.
    """

    status: int
    comment: str = ""

    def __post_init__(self) -> None:
        _check_answer(self.status, self.comment)
        if self.status >> 12 != 0xB:
            raise ValueError(
                f"{self.status:04X} is not a warning status: Warn takes Bxxx; not to store the instance return Refuse"
            )


@dataclass(frozen=True, slots=True)
class Discard:
    """Result of `receive`: not stored, the sender gets Success; `reason`, a str (else TypeError), goes into the log."""

    reason: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str):
            raise TypeError(f"a reason is a str, not {self.reason!r}")


@dataclass(frozen=True, slots=True, init=False)
class Name:
    """Result of `choose_filename`: a file name without the extension that `-fe` appends.

    If `on_exists` is None, `--on-duplicate` decides, and without that `by_default`. With "overwrite" in `by_default`
    the existing file is not read, not even to see whether it is equal. Raises ValueError for a text that is empty, "."
    or "..", or has a separator or NUL, and for an unknown policy; TypeError for a text that is no str.
    """

    text: str
    on_exists: OnExists | None = None
    by_default: OnExists = "replace-same"

    # by hand, because it is called for each instance, and what `dataclass` makes takes three times as long
    def __init__(self, text: str, on_exists: OnExists | None = None, by_default: OnExists = "replace-same") -> None:
        if not isinstance(text, str):
            raise TypeError(f"a file name is a str, not {text!r}")
        if text in ("", ".", "..") or "/" in text or "\0" in text:
            check_filename(text)
        if on_exists is not None and on_exists not in ON_EXISTS:
            raise ValueError(f"on_exists is one of {', '.join(ON_EXISTS)}, or None, not {on_exists!r}")
        if by_default not in ON_EXISTS:
            raise ValueError(f"by_default is one of {', '.join(ON_EXISTS)}, not {by_default!r}")
        _set(self, "text", text)
        _set(self, "on_exists", on_exists)
        _set(self, "by_default", by_default)


NegotiateResult = Iterable[SupportedContext] | Also | Accept | Reject | None
ReceiveResult = Refuse | Warn | Discard | None
