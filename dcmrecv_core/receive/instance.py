"""One received SOP instance: the model's `Instance` over the spooled bytes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.api.model import Association, Instance, RawElement, TagLike
from dcmrecv_core.api.verdicts import ON_EXISTS, OnExists
from dcmrecv_core.dataset import values
from dcmrecv_core.dataset.elements import PIXEL_DATA_TAGS, DataSetIndex
from dcmrecv_core.dataset.encodings import IMPLICIT_LITTLE, Encoding
from dcmrecv_core.dataset.raw_values import read_uid
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.logs.hashed_uids import UIDS
from dcmrecv_core.receive import replacement
from dcmrecv_core.receive.unseen import Unseen, find_unseen
from dcmrecv_core.settings.uids import modality_prefix
from dcmrecv_core.storage.content import FileContent, Piece, source_of
from dcmrecv_core.storage.directories import split_path
from dcmrecv_core.storage.file_meta import MAGIC_LENGTH, file_prefix

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dcmrecv_core.hooks.limits import HookTimer
    from dcmrecv_core.storage.publish import Publisher
    from dcmrecv_core.storage.taken import How


log = logging.getLogger("dcmrecv.receive")


class ReceivedInstance(Instance):
    """`index` is the walker's; with --bit-preserving it is None until a hook needs it. `timer` is that of the running
    hook: the time that `save` needs does not count."""

    # what most instances keep is set once, here
    completed_at = 0.0
    """When the data set was complete, in seconds since 1970."""
    message_id = 0
    move_originator: tuple[str, int] | None = None
    attempt = 0
    by_default = False
    """`on_exists` is only the default of the scheme that has chosen the name, not set by a plugin or an option."""
    command_uid = b""
    """The SOP Instance UID of the command, if the data set came with another one."""
    saved: tuple[tuple[str, How, OnExists], ...] = ()
    """What `save` has done: where the file is, what happened to it, by which policy."""
    chosen: tuple[str, tuple[str, ...], str] | None = None
    """Path, directory components and file name, once the core has chosen them."""
    may_replace = False
    replaced = False
    _header: Dataset | None = None
    _unseen: Unseen | None = None

    def __init__(
        self,
        association: Association,
        uids: tuple[str, str, str],
        content: FileContent,
        index: DataSetIndex | None,
        encoding: Encoding | None,
        publisher: Publisher,
        timer: HookTimer,
    ) -> None:
        self.association = association
        self.sop_class_uid, self.sop_instance_uid, self.transfer_syntax_uid = uids
        self.affected_sop_instance_uid = uids[1]
        self.on_exists: OnExists = publisher.on_exists
        self.state: dict[str, Any] = {}
        self.content = content
        self._index = index
        self._encoding = encoding
        self._publisher = publisher
        self._timer = timer

    @property
    def received_at(self) -> datetime:  # type: ignore[override]  # few plugins ask
        return datetime.fromtimestamp(self.completed_at, UTC)

    @property
    def modality_prefix(self) -> str:  # type: ignore[override]  # only some schemes use it
        return modality_prefix(self.sop_class_uid) or "UNKNOWN"

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def index(self) -> DataSetIndex:
        """Where the elements are. An unchecked data set (with `--bit-preserving`, or in an unknown encoding, which is
        read as implicit VR) is read as far as possible."""
        if self._index is None:
            encoding = self._encoding or IMPLICIT_LITTLE
            try:
                self._index = scan(source_of(self.content.pieces), encoding, whole=True)
            except DataSetError as error:
                text = "%s: the data set cannot be read to its end, hooks and --layout do not see all of it: %s"
                log.warning(text, self.described(), error.comment)
                self._index = scan(source_of(self.content.pieces), encoding, whole=False)
        return self._index

    def get(self, element: TagLike, default: Any = None) -> Any:
        return values.get_value(self.index, self._encoding or IMPLICIT_LITTLE, element, default)

    def raw(self, element: TagLike, limit: int | None = None) -> RawElement | None:
        return values.get_raw(self.index, self._encoding or IMPLICIT_LITTLE, element, limit)

    @property
    def header(self) -> Dataset:
        if self._header is None:
            self._header = values.read_only_header(self.index, self._encoding or IMPLICIT_LITTLE)
        return self._header

    def copy_header(self) -> Dataset:
        copy = values.read_header(self.index, self._encoding or IMPLICIT_LITTLE)
        copy.file_meta = values.read_file_meta(self.content.prefix[MAGIC_LENGTH:])
        return copy

    def unseen_tags(self) -> tuple[int, ...]:
        unseen = self._find_unseen()
        return tuple(element.tag for element in (*unseen.too_large, *unseen.after))

    def _find_unseen(self) -> Unseen:
        if self._unseen is None:
            self._unseen = find_unseen(self.index, self._encoding or IMPLICIT_LITTLE)
        return self._unseen

    def open(self) -> BinaryIO:
        return self.content.open()

    def save(self, path: str, on_exists: OnExists | None = None) -> str:
        saved = self._store(path, on_exists)
        self.saved += (saved,)
        return saved[0]

    def saved_at(self, location: str) -> tuple[How | None, OnExists | None]:
        """What `save` has done for the file at `location`, by which policy; None twice if it has not stored it."""
        how: How | None = None
        policy: OnExists | None = None
        for path, what, by in self.saved:
            if path == location and (how is None or what != "kept"):  # saved twice, it is still new
                how, policy = what, by
        return how, policy

    def save_copy(self, path: str, on_exists: OnExists | None = None) -> str:
        return self._store(path, on_exists)[0]

    def _store(self, path: str, on_exists: OnExists | None) -> tuple[str, How, OnExists]:
        compare = True
        if self.chosen is not None and path == self.chosen[0]:
            _, parts, name = self.chosen
            if on_exists is None:
                on_exists = self.on_exists
                compare = not self.by_default or bool(self.saved)  # the file there may be this very instance
        else:
            parts, name = split_path(path, self._publisher.directories.root)
            if on_exists is None:
                on_exists = "replace-same" if self.by_default else self.on_exists
        if on_exists not in ON_EXISTS:
            raise ValueError(f"on_exists is one of {', '.join(ON_EXISTS)}, not {on_exists!r}")
        was_running = self._timer.running and self._timer.suspend()
        try:
            path, how = self._publisher.publish(
                parts, name, on_exists, self.content, compare=compare, who=self.described, command_uid=self.command_uid
            )
        finally:
            if was_running:
                self._timer.resume(was_running)
        return path, how, on_exists

    @contextmanager
    def outside_time_limit(self) -> Iterator[None]:
        was_running = self._timer.suspend()
        try:
            yield
        finally:
            self._timer.resume(was_running)

    def described(self) -> str:
        """Sender and instance, for the log."""
        return described(self.association, self.affected_sop_instance_uid)

    def replace_header(self, dataset: Dataset, *, keep_unseen: bool | None = None) -> None:
        encoding = self._replaceable()
        pieces = replacement.with_new_header(
            self._changeable(dataset), self.index, encoding, self.content.pieces, keep_unseen, self._find_unseen()
        )
        self._replace(pieces, encoding)

    def replace(self, dataset: Dataset, *, drop_pixel_data: bool = False) -> None:
        encoding = self._replaceable()
        if self.index.has_pixel_data and not drop_pixel_data and not any(tag in dataset for tag in PIXEL_DATA_TAGS):
            raise ValueError("the data set has no pixel data, the received one has; pass drop_pixel_data=True")
        self._replace(replacement.whole(self._changeable(dataset), encoding, self.index), encoding)

    def _changeable(self, dataset: Dataset) -> Dataset:
        """pydicom changes some elements when it encodes them, which the header does not allow. Raises ValueError if a
        misspelt keyword was set: pydicom keeps it as an attribute of the Python object, which is not encoded."""
        for name in vars(dataset):
            if name[:1].isupper():
                from dcmrecv_core.dataset.decoding import unknown_keyword

                raise ValueError(f"a value was set that would not be stored: {unknown_keyword(name)}")
        return deepcopy(dataset) if dataset is self._header else dataset

    def _replaceable(self) -> Encoding:
        if not self.may_replace:
            raise PermissionError("data may be replaced in the receive hook only, and not under --bit-preserving")
        if self._encoding is None:
            raise PermissionError(f"the encoding of transfer syntax {self.transfer_syntax_uid} is not known")
        return self._encoding

    def _replace(self, pieces: list[Piece], encoding: Encoding) -> None:
        _, before = data_set_uids(self.index)
        uids_before = () if UIDS.key is None else _log_uids(self.index)
        self._index = replacement.understood(pieces, encoding)
        self._header = self._unseen = None
        self.replaced = True
        sop_class, sop_instance = data_set_uids(self._index)
        if UIDS.key is not None:
            UIDS.show_given(_log_uids(self._index), (self.affected_sop_instance_uid, *uids_before))
        self.sop_class_uid = sop_class or self.sop_class_uid
        # A sender's command and data set may name different ones: only a UID that the plugin changed is carried on.
        if sop_instance and sop_instance not in (before, self.sop_instance_uid):
            log.info("%s: a plugin made it SOP instance %s", self.described(), sop_instance)
            self.sop_instance_uid = sop_instance
        # File Meta Information names the instance of the data set (PS3.10 section 7.1)
        prefix = file_prefix(self.sop_class_uid, sop_instance or self.sop_instance_uid, self.transfer_syntax_uid)
        self.content = FileContent(prefix, pieces)


def described(association: Association, sop_instance_uid: str) -> str:
    """Sender and instance, for the log."""
    return f"{association.calling_ae_title}@{association.peer_address}, SOP instance {sop_instance_uid}"


def _log_uids(index: DataSetIndex) -> tuple[str, ...]:
    """Of instance, study and series: those that may be in the log or in names."""
    return tuple(read_uid(index, tag) for tag in (0x00080018, 0x0020000D, 0x0020000E))


def data_set_uids(index: DataSetIndex) -> tuple[str, str]:
    """SOP Class UID (0008,0016) and SOP Instance UID (0008,0018) of the data set, "" where absent or empty."""
    return index.uids or (read_uid(index, 0x00080016), read_uid(index, 0x00080018))
