"""What hooks see and return.

`Association` and `Instance` go in; `SupportedContext`, `Reject`, `Refuse`, `Warn`, `Discard` and `Name` come
out. Return values are small frozen classes, never bare numbers: a verdict says by its type what happens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_EXTENDED = 0xFFFF - 2
"""A SOP class UID and its application information share an item behind a length of 16 bits (PS3.7 D.3.3.5.1)."""

OnExists = Literal["replace-same", "overwrite", "rename", "keep", "refuse", "retry"]
"""What happens when the chosen name is taken by another content:

* replace-same: the same SOP instance is replaced, atomically; anything else stays, and this instance gets the name with
  `~` and 8 hexadecimal digits of a hash of its SOP Instance UID (so it finds its own file when it is sent again);
* overwrite: whatever it is, it is replaced, atomically;
* rename: this content gets the name with `~2`, `~3` ...;
* keep: a complete file of the same instance stays, and the sender gets Success; another instance stays too, and this
  one gets a name as with replace-same; for anything else the answer is A700, a mere beginning of this one included;
* refuse: it stays, and the answer is 0111 (duplicate SOP instance);
* retry: `choose_filename` is asked for another name.

What has the same data set in the same transfer syntax already stays as it is, and the sender gets Success. An instance
whose command and data set name different SOP Instance UIDs is taken for none that is there, except under the name with
`~` and 32 digits of a hash of the command's.
"""

ON_EXISTS: tuple[str, ...] = get_args(OnExists)

TagLike = int | str | tuple[str, int]
"""A DICOM keyword, a tag number, or (private creator, tag number whose block byte is ignored)."""


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

    `transfer_syntaxes` in the order we prefer them (any iterable of UIDs will do); `None` accepts whatever is
    proposed, in the proposer's order. `role` is answered only if the peer asked for role selection; `extended` is the
    application information returned for the SOP class (PS3.7 D.3.3.5). Raises TypeError for anything else.
    """

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...] | None
    role: Role | None = None
    extended: bytes | None = None

    def __post_init__(self) -> None:
        # reported here, where the plugin made the mistake, not in the middle of the negotiation
        syntaxes: Iterable[str] | None = self.transfer_syntaxes
        if syntaxes is not None and type(syntaxes) is not tuple and not isinstance(syntaxes, str | bytes):
            object.__setattr__(self, "transfer_syntaxes", syntaxes := tuple(syntaxes))
        if not isinstance(self.abstract_syntax, str) or not _are_texts(syntaxes):
            raise TypeError(f"a UID and several UIDs or None expected, not {self.abstract_syntax!r}, {syntaxes!r}")
        if not isinstance(self.role, Role | None) or not isinstance(self.extended, bytes | None):
            raise TypeError(f"a Role or None and bytes or None expected, not {self.role!r}, {self.extended!r}")
        if self.extended and len(self.abstract_syntax) + len(self.extended) > MAX_EXTENDED:
            raise ValueError(f"{len(self.extended)} bytes of extended negotiation do not fit into an item")


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

    `on_exists` None says nothing: then `--on-duplicate` decides, and without it `by_default`. That is for schemes with
    a habit of their own; with "overwrite" as a habit nobody looks at what is replaced, not even whether it is equal.
    """

    text: str
    on_exists: OnExists | None = None
    by_default: OnExists = "replace-same"


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """One presentation context of an A-ASSOCIATE-RQ (PS3.8 section 9.3.2.2).

    `role` is the (SCU, SCP) role selection that the peer asked for this abstract syntax, `extended` its SOP
    class extended negotiation information, each None if absent.
    """

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    role: tuple[bool, bool] | None = None
    extended: bytes | None = None


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """User identity that the peer offered (PS3.7 D.3.3.7); fields may hold secrets, so repr hides them.

    `kind` is 1 user name, 2 user name and passcode, 3 Kerberos, 4 SAML, 5 JSON web token.
    """

    kind: int
    response_requested: bool
    primary: bytes = field(repr=False)
    secondary: bytes = field(repr=False)


@dataclass(slots=True)
class Association:
    """One association, from its request on. Treat it as read-only, except `state`, which is yours.

    AE titles come without padding; `id` is unique among the associations of all workers of this host;
    `tls` is the subject of the peer's certificate, or None without TLS.
    """

    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    peer_port: int
    id: str
    proposed: tuple[ProposedContext, ...] = ()
    user_identity: UserIdentity | None = None
    tls: str | None = None
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """What an association did: counts of instances, bytes of their data sets, duration, how it ended.

    `ended` is "released", "aborted" (by the peer), "closed" (the connection went away), "rejected", "failed"
    (we aborted) or "stopped" (the receiver was told to end).
    """

    stored: int
    refused: int
    discarded: int
    bytes: int
    seconds: float
    ended: str


class RawElement(NamedTuple):
    """An element as it was received: `vr` is "" in implicit VR; `value` is undecoded."""

    vr: str
    value: bytes


class Instance(ABC):
    """One received SOP instance, as hooks see it.

    The plain attributes cost nothing. `get` decodes one element, `header` all that precedes the pixel data, on
    first use. An instance is valid until the hook that got it returns; keep copies of values, not the instance.
    """

    association: Association
    sop_class_uid: str
    """Affected SOP Class UID of the C-STORE command."""
    sop_instance_uid: str
    """Affected SOP Instance UID of the C-STORE command."""
    transfer_syntax_uid: str
    """The transfer syntax of the presentation context that carried the data set."""
    modality_prefix: str
    """DCMTK's file-name prefix of the SOP class ("CT", "MR" ...), "UNKNOWN" for others."""
    attempt: int
    """0, and one more each time a name with `on_exists="retry"` turned out to be taken."""
    on_exists: OnExists
    """What becomes of names that are taken, as the chosen `Name`, `--on-duplicate` or the default says; `save` obeys it
    unless told otherwise."""
    state: dict[str, Any]
    """Yours: what one hook wants to tell another about this instance."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Length of the data set in bytes, File Meta Information not counted."""

    @abstractmethod
    def get(self, element: TagLike, default: Any = None) -> Any:
        """The value of one top-level element, as pydicom converts it, or `default` if it is absent or empty.

        `element` is a keyword ("SeriesDate"), a tag (0x00080021) or (private creator, tag). Only this element
        is decoded, however long it is. Raises KeyError for a keyword that the dictionary does not know.
        """

    @abstractmethod
    def raw(self, element: TagLike, limit: int | None = None) -> RawElement | None:
        """One top-level element without any conversion, None if it is absent. Raises KeyError as `get` does.

        With `limit`, only so many bytes of its value: what a peer sent may have any length, whatever its VR.
        """

    @property
    @abstractmethod
    def header(self) -> Dataset:
        """All top-level elements before the pixel data, decoded on first use; values above 64 KiB are left
        out, and what would make all values together more than 8 MiB. Read-only by contract: changes do not reach the
        stored file, `replace_header` does that."""

    @abstractmethod
    def open(self) -> BinaryIO:
        """The complete DICOM file as it would be stored (preamble, File Meta Information, data set), readable
        and seekable; close it before the hook returns."""

    @abstractmethod
    def save(self, path: str, on_exists: OnExists | None = None) -> str:
        """Store the file at `path`, relative to the output directory or inside it; returns where it went.

        The path is taken as it is, missing directories are created: what a peer sent goes through `escape` first.
        Atomic and, unless `--no-fsync`, durable when it returns. Raises StatusError if it cannot be stored (0110 if
        the path leaves the output directory), its kind NameTakenError if the name is taken and `on_exists` (default:
        this instance's `on_exists`) is "retry" or "refuse"; let them pass, and the sender gets their status.
        """

    @abstractmethod
    def replace_header(self, dataset: Dataset) -> None:
        """Only in `receive`: re-encode what precedes the pixel data from `dataset`, keep the rest byte for byte.

        Elements that `header` leaves out for their size stay too, unless `dataset` has them. The sender gets B000
        (coercion). Raises PermissionError elsewhere and under `--bit-preserving`; ValueError if something received
        would be lost: a repeated element, more than 32768 of them, another VR encoding than the transfer syntax says.
        """

    @abstractmethod
    def replace(self, dataset: Dataset, *, drop_pixel_data: bool = False) -> None:
        """Only in `receive`: store `dataset` instead, in the same transfer syntax; the sender gets B000.

        Raises ValueError if the received data has pixel data and `dataset` has none, unless `drop_pixel_data`;
        PermissionError outside `receive` and under `--bit-preserving`.
        """


NegotiateResult = Sequence[SupportedContext] | Reject | None
ReceiveResult = Refuse | Warn | Discard | None
