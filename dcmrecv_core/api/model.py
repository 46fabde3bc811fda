"""What hooks see: `Association` and `Instance`, with what they are made of. What hooks return is in `verdicts.py`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from dcmrecv_core.api.verdicts import OnExists

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

TagLike = int | str | tuple[str, int]
"""A DICOM keyword, a tag number, or (private creator, tag number whose block byte is ignored)."""


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


@dataclass(frozen=True, slots=True)
class Association:
    """One association, from its request on. Read-only, except the content of `state`, which is for plugins.

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
    state: dict[str, Any] = field(default_factory=dict, hash=False)
    implementation_class_uid: str = ""
    """The peer's Implementation Class UID (PS3.7 D.3.3.2), "" if it sent none."""
    implementation_version_name: str = ""


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
    """Affected SOP Instance UID of the C-STORE command; after a replacement that of the new data set."""
    affected_sop_instance_uid: str
    """Affected SOP Instance UID of the C-STORE command, whatever became of the data set: the response has it."""
    received_at: datetime
    """When the data set was complete, in UTC."""
    message_id: int
    """Message ID of the C-STORE command."""
    move_originator: tuple[str, int] | None
    """Title and Message ID of the C-MOVE that caused the C-STORE (PS3.7 section 9.1.1.1), if the command has them."""
    transfer_syntax_uid: str
    """The transfer syntax of the presentation context that carried the data set."""
    modality_prefix: str
    """DCMTK's file-name prefix of the SOP class ("CT", "MR" ...), "UNKNOWN" for others."""
    attempt: int
    """0, and one more each time a name with `on_exists="retry"` turned out to be taken."""
    on_exists: OnExists
    """What happens if the name is taken: as the chosen `Name`, `--on-duplicate` or the default says. `save` follows it
    unless its own argument says otherwise."""
    state: dict[str, Any]
    """For plugins: what one hook passes to another about this instance."""

    @property
    def explained(self) -> list[str] | None:
        """Under `--explain` a list to which `receive`, `choose_subdir` and `choose_filename` may add lines that say
        what the plugin does with this instance, without values of a patient that its result does not show; None when
        an instance is received."""
        return None

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

        With `limit`, only so many bytes of its value: what a peer sent may have any length, in any VR.
        """

    @property
    @abstractmethod
    def header(self) -> Dataset:
        """All top-level elements before the pixel data, decoded on first use; values above 64 KiB are left
        out, and what would make all values together more than 8 MiB. Read-only: to set, add or delete something in it
        or in its items raises TypeError."""

    @abstractmethod
    def copy_header(self) -> Dataset:
        """What `header` has, in a new Dataset that can be changed, for `replace_header`. Its `file_meta` is that of the
        file as it would be stored."""

    @abstractmethod
    def unseen_tags(self) -> tuple[int, ...]:
        """The tags of the top-level elements that `copy_header` does not show: too large for it, or after the pixel
        data. `raw` and `get` read them. The pixel data themselves and repeated elements are not among them."""

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
    def save_copy(self, path: str, on_exists: OnExists | None = None) -> str:
        """Store a further copy at `path`, as `save` does, with the same checks, policies and errors.

        It does not count as the place where the instance is: a `write` hook that only makes a copy returns None, and
        the next plugin is asked to store it.
        """

    @abstractmethod
    def outside_time_limit(self) -> AbstractContextManager[None]:
        """For a `write` hook that stores elsewhere: the time of the `with` block does not count for `--hook-timeout`,
        as that of `save` does not. What waits there must have deadlines of its own: nothing else ends it."""

    @abstractmethod
    def replace_header(self, dataset: Dataset, *, keep_unseen: bool | None = None) -> None:
        """Only in `receive`: re-encode what precedes the pixel data from `dataset`, keep the pixel data byte for byte.

        The sender gets B000 (coercion). The instance may hold something that `copy_header` does not show: values left
        out for their size, elements after the pixel data, elements that occur again or are more than 32768. With
        `keep_unseen` it stays, with False it is removed; the default, None, raises ValueError with a list of it. An
        element of `dataset` replaces unseen ones with its tag. Texts that are still the received ones keep their bytes.
        Raises PermissionError elsewhere and under `--bit-preserving`; ValueError also for a text with characters that
        Specific Character Set (0008,0005) of `dataset` does not have, for another VR encoding than the transfer syntax
        says, for True if the rest of more than 32768 elements cannot be kept, for False if something was not
        understood; and if a keyword was set that does not exist, as `header.PatientId`.
        """

    @abstractmethod
    def replace(self, dataset: Dataset, *, drop_pixel_data: bool = False) -> None:
        """Only in `receive`: store `dataset` instead, in the same transfer syntax; the sender gets B000.

        Texts that are still the received ones keep their bytes. Raises ValueError if the received data has pixel data
        and `dataset` has none, unless `drop_pixel_data`, and for a text with characters that Specific Character Set
        (0008,0005) of `dataset` does not have, or a keyword that does not exist; PermissionError outside `receive` and
        under `--bit-preserving`.
        """
