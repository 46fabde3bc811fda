"""The stages of an instance: spool, check, receive, choose_subdir, choose_filename, write, stored.

`InstanceReceiver` serves one worker, a `Reception` one C-STORE. Each failure becomes an `Outcome` with a failure status
(PS3.4 table B.2-1); the rest of the data set is read and dropped, so that the association goes on.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from dcmrecv_core.api.errors import DataSetError, NameTakenError, StatusError, StorageError
from dcmrecv_core.api.model import Association
from dcmrecv_core.api.outcomes import NotStoredOutcome, StoredOutcome
from dcmrecv_core.api.verdicts import Discard, ReceiveResult, Refuse, Warn
from dcmrecv_core.dataset.elements import DataSetIndex
from dcmrecv_core.dataset.encodings import encoding_of
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.dataset.sources import MemorySource
from dcmrecv_core.dataset.walker import MAX_ELEMENTS
from dcmrecv_core.receive.instance import ReceivedInstance, data_set_uids, described
from dcmrecv_core.receive.instance_log import DOES_NOT_MATCH, log_discarded, log_failure, log_refusal
from dcmrecv_core.receive.spool import Spool
from dcmrecv_core.storage.content import FileContent, FileRange
from dcmrecv_core.storage.directories import escaped_path, storage_error
from dcmrecv_core.storage.file_meta import file_prefix
from dcmrecv_core.storage.hidden import Tokens
from dcmrecv_core.storage.other_names import MAX_ATTEMPTS
from dcmrecv_core.storage.publish import Publisher
from dcmrecv_core.storage.taken import DUPLICATE_SOP_INSTANCE
from dcmrecv_core.storage.temporary import Capabilities, Temporary

if TYPE_CHECKING:
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.receive")

SPOOL_SIZE = 1 << 20
"""Data sets up to this size, which are nearly all single-frame images, stay in memory."""

CORE = "dcmrecv"
"""Who has decided, if it was no plugin."""

SUCCESS = 0x0000
COERCED = 0xB000
_SOP_CLASS_UID = 0x00080016
_SOP_INSTANCE_UID = 0x00080018


class Outcome(NamedTuple):
    """What happened to an instance. `location` is where it is, None if it was not stored: then it was `discarded` on
    purpose, or refused with `status`, `by` a plugin or, if that is "", the receiver itself. `dropped`: the file at
    `location` was kept, which has another content."""

    status: int
    comment: str = ""
    elements: tuple[int, ...] = ()
    location: str | None = None
    discarded: bool = False
    dropped: bool = False
    by: str = ""


def outcome_of(verdict: ReceiveResult, instance: ReceivedInstance, location: str | None = None) -> Outcome:
    """What to answer; `location` is where the instance is, unless it was refused or discarded."""
    if isinstance(verdict, Discard):
        return Outcome(SUCCESS, discarded=True)
    if isinstance(verdict, Refuse | Warn):
        return Outcome(verdict.status, verdict.comment, location=location)
    if instance.replaced:
        return Outcome(COERCED, "Data elements were coerced", location=location)
    return Outcome(SUCCESS, location=location)


class InstanceReceiver:
    """Receives one instance after the other; owns the buffer of the spool."""

    make_spool: type[Spool] = Spool

    def __init__(self, settings: Settings, plugins: Plugins, capabilities: Capabilities) -> None:
        self.settings = settings
        self.plugins = plugins
        self.timer = plugins.limits.timer
        self.infos = log.isEnabledFor(logging.INFO)
        self.debugs = log.isEnabledFor(logging.DEBUG)
        self.bit_preserving = settings.storage_mode == "bit-preserving"
        self.publisher = Publisher(
            settings.output_directory or ".",
            settings.working_directory,
            fsync=settings.fsync,
            strict_fsync=settings.strict_fsync,
            capabilities=capabilities,
            tokens=Tokens.of(settings),
            extension=settings.filename_extension,
            on_duplicate=settings.on_duplicate,
        )
        self.spool = self.make_spool(bytearray(SPOOL_SIZE), settings.max_instance)
        self.begin: Callable[..., Reception] = partial(Reception, self)
        """A C-STORE whose data set is about to come; takes the arguments of `Reception` after the first."""

    def end_association(self) -> None:
        """No more instances come of the association of the last one."""

    def close(self) -> None:
        """Receive nothing more."""
        self.publisher.close()


class Reception:
    """The data set of one C-STORE, whose UIDs come without padding. A receiver has one at a time: end it with `finish`
    or `discard`."""

    # what most receptions keep is set once, here
    _temporary: Temporary | None = None
    _spooled_prefix = b""
    _fault: StatusError | None = None
    _path = ""  # until it is chosen
    _instance: ReceivedInstance | None = None
    size = 0
    """Bytes of the data set so far."""

    def __init__(
        self,
        receiver: InstanceReceiver,
        association: Association,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        message_id: int = 0,
        move_originator: tuple[str, int] | None = None,
    ) -> None:
        self._receiver = receiver
        self._association = association
        self._sop_class_uid = sop_class_uid
        self._sop_instance_uid = sop_instance_uid
        self._transfer_syntax_uid = transfer_syntax_uid
        self._encoding = encoding_of(transfer_syntax_uid)
        self._message_id = message_id
        self._move_originator = move_originator
        self._spool = receiver.spool
        self._unsaid: list[tuple[int, str, str]] = []
        self.remarks: list[str] = []
        """Warnings about the data set and its names, as they were logged."""

    def write(self, fragments: list[memoryview], *, last: bool = False) -> None:
        """Take the next fragments. They are copied, except those that come with `last`, which must stay unchanged until
        the end of `finish`. A fault of the disk is reported by `finish`."""
        if self._fault is not None:
            return
        try:
            self._spool.append(fragments, self._begin_file, last=last)
            self.size = self._spool.size
        except OSError as error:
            self._fault = storage_error(error, "Cannot spool data set")
            self.discard()
        except StatusError as error:
            self._fault = error
            self.discard()

    def adopt(self, fd: int, offset: int, size: int) -> None:
        """Instead of `write`: the data set is in a file already, from `offset` on. The reception closes `fd`."""
        self._spool.adopt(fd, offset, size)

    def finish(self) -> Outcome:
        """The data set is complete: run all stages; returns what to answer."""
        try:
            if self._fault is not None:
                raise self._fault
            return self._process()
        except StatusError as error:
            return self._refuse(error)
        except OSError as error:
            return self._refuse(storage_error(error, "Cannot read spooled data set"))
        except MemoryError as error:
            self._receiver.plugins.limits.memory.release(error)
            return self._refuse(StorageError("Out of memory"))
        finally:
            if self._unsaid:
                self._say()
            self.discard()

    def _refuse(self, failure: StatusError) -> Outcome:
        if self._unsaid:
            self._say()
        log_failure(self._association, self._sop_instance_uid, failure, self._path)
        self._receiver.plugins.limits.descriptors.refused(failure)
        outcome = Outcome(failure.status, failure.comment, failure.elements, by=failure.plugin)
        if self._instance is not None:
            self._tell_not_stored(self._instance, outcome, outcome.comment, failure.plugin or CORE)
        return outcome

    def _tell_not_stored(self, instance: ReceivedInstance, outcome: Outcome, comment: str, by: str) -> None:
        self._receiver.plugins.not_stored(instance, NotStoredOutcome(outcome.status, comment, by))

    def discard(self) -> None:
        """Drop the received data; nothing stays on disk."""
        self.size = 0
        try:
            self._spool.close()
        except OSError as error:
            # all that matters has been flushed
            log.warning("%s: cannot close a spooled data set: %s", self._described(), error)
        if self._temporary is not None:
            self._temporary.close()
            self._temporary = None

    def judge(self) -> tuple[ReceivedInstance, ReceiveResult]:
        """The data set is complete: check it, and ask `receive`. Raises StatusError or OSError."""
        completed_at = time.time()
        receiver = self._receiver
        index = self._check()
        uids = ("", "") if index is None else data_set_uids(index)
        if not self._sop_class_uid or uids != (self._sop_class_uid, self._sop_instance_uid):
            self._compare(index, *uids)
        prefix = self._prefix(*uids)
        spool = self._spool
        instance = self._instance = ReceivedInstance(
            self._association,
            (self._sop_class_uid, self._sop_instance_uid, self._transfer_syntax_uid),
            FileContent(prefix, (spool.data,)) if spool.fd is None else self._spooled(prefix, spool.fd),
            index,
            self._encoding,
            receiver.publisher,
            receiver.timer,
        )
        instance.completed_at = completed_at
        instance.message_id = self._message_id
        instance.move_originator = self._move_originator
        if uids[1] not in ("", self._sop_instance_uid):
            instance.command_uid = self._sop_instance_uid.encode("latin-1", "replace")
        if not receiver.plugins.judges:
            return instance, None
        instance.may_replace = not receiver.bit_preserving
        verdict = receiver.plugins.receive(instance)
        instance.may_replace = False
        return instance, verdict

    def choose_path(self, instance: ReceivedInstance, subdir: str) -> str:
        """Ask `choose_filename`: where the instance is to go. Raises StatusError."""
        receiver = self._receiver
        name = receiver.plugins.choose_filename(instance)
        said = name.on_exists or receiver.settings.on_duplicate
        instance.on_exists = said or name.by_default
        instance.by_default = said is None and name.by_default != "replace-same"
        extension = receiver.settings.filename_extension
        parts, filename = escaped_path(subdir, name.text, extension)
        if filename != name.text + extension:
            self._remark(logging.WARNING, f"unfit file name, stored as {filename}")
        self._path = "/".join((receiver.publisher.directories.root, *parts, filename))
        if self._unsaid:
            self._say(values=not instance.replaced)
        instance.chosen = (self._path, parts, filename)
        if receiver.debugs:
            log.debug("generated filename for received object: %s", self._path)
        return self._path

    def _process(self) -> Outcome:
        instance, verdict = self.judge()
        plugins = self._receiver.plugins
        if isinstance(verdict, Refuse | Discard):
            outcome = outcome_of(verdict, instance)
            if isinstance(verdict, Refuse):
                reason = verdict.comment
                outcome = outcome._replace(by=plugins.judged_by)
                log_refusal(self._association, self._sop_instance_uid, plugins.judged_by, verdict.status, reason)
            else:
                reason = verdict.reason
                if self._receiver.infos:
                    log_discarded(self._association, self._sop_instance_uid, plugins.judged_by, reason)
            self._tell_not_stored(instance, outcome, reason, plugins.judged_by)
            return outcome
        location = self.store(instance)
        outcome = outcome_of(verdict, instance, location)
        how, policy = instance.saved_at(location)
        if how == "dropped":
            self._tell_not_stored(instance, outcome, "Another content of this instance is kept", CORE)
            return outcome._replace(dropped=True)
        if plugins.listens:
            plugins.stored(instance, location, StoredOutcome(outcome.status, outcome.comment, how or "new", policy))
        return outcome

    def _check(self) -> DataSetIndex | None:
        """The check of the storage mode: in normal mode the whole structure, with --bit-preserving nothing."""
        if self._receiver.bit_preserving:
            return None
        if self._encoding is None:
            text = f"encoding of transfer syntax {self._transfer_syntax_uid} is not known, stored unchecked"
            self._remark(logging.INFO, text)
            if not self._spool.size:
                raise DataSetError("No data set")
            return None
        try:
            index = scan(self._spool.source(), self._encoding, whole=True)
        except DataSetError as error:
            for warning in error.warnings:
                self._remark(logging.WARNING, warning)
            raise
        if index.warnings:
            for warning in index.warnings:
                self._remark(logging.WARNING, warning)
            if self._receiver.settings.strict:
                raise StatusError(DOES_NOT_MATCH, index.warnings[0], index.offending)
        if index.overflow:
            self._remark(logging.WARNING, f"more than {MAX_ELEMENTS} elements, hooks do not see the rest")
        return index

    def _compare(self, index: DataSetIndex | None, sop_class: str, sop_instance: str) -> None:
        """Compare the data set with its command. In doubt the sender's data win, except with --strict."""
        if index is None:
            if not self._sop_class_uid:
                raise StatusError(0x0122, "Affected SOP Class UID is missing", (0x00000002,))
            return
        if not self._sop_class_uid:
            if not sop_class:
                raise DataSetError("SOP Class UID is missing in command and data set", (_SOP_CLASS_UID,))
            self._sop_class_uid = sop_class
        for tag, ours, theirs, name in (
            (_SOP_CLASS_UID, sop_class, self._sop_class_uid, "SOP Class UID"),
            (_SOP_INSTANCE_UID, sop_instance, self._sop_instance_uid, "SOP Instance UID"),
        ):
            if ours == theirs:
                continue
            text = f"{name} in data set differs from command"
            if self._receiver.settings.strict:
                raise StatusError(DOES_NOT_MATCH, text, (tag,))
            self._remark(logging.WARNING, text, f": {ours or 'absent'}")

    def _remark(self, level: int, text: str, value: str = "") -> None:
        """To be logged when it is known where the instance goes. `value` is appended if it is stored as it was sent."""
        self.remarks.append(text + value)
        self._unsaid.append((level, text, value))

    def _say(self, *, values: bool = False) -> None:
        where = f" ({self._path})" if self._path else ""
        for level, text, value in self._unsaid:
            log.log(level, "%s: %s%s%s", self._described(), text, value if values else "", where)
        self._unsaid.clear()

    def _described(self) -> str:
        return described(self._association, self._sop_instance_uid)

    def store(self, instance: ReceivedInstance) -> str:
        """Choose a name and write; again as long as the name is taken and must not be overwritten."""
        plugins = self._receiver.plugins
        subdir = plugins.choose_subdir(instance)
        while True:
            path = self.choose_path(instance, subdir)
            try:
                return plugins.write(instance, path)
            except NameTakenError as error:
                if error.status == DUPLICATE_SOP_INSTANCE:
                    raise
                instance.attempt += 1
                if instance.attempt >= MAX_ATTEMPTS:
                    raise StorageError("No free file name found") from error

    def _spooled(self, prefix: bytes, fd: int) -> FileContent:
        """The content of a data set in a file; if the file has the right prefix, it is that file."""
        pieces = (FileRange(fd, self._spool.prefix_length, self._spool.size),)
        return FileContent(prefix, pieces, self._temporary if prefix == self._spooled_prefix else None)

    def _prefix(self, sop_class: str, sop_instance: str) -> bytes:
        """File Meta Information: UIDs of the data set, or of the command where it has none or was not read."""
        return file_prefix(
            sop_class or self._sop_class_uid,
            sop_instance or self._sop_instance_uid,
            self._transfer_syntax_uid,
            self._association.calling_ae_title if self._receiver.bit_preserving else None,
        )

    def _begin_file(self, head: memoryview) -> tuple[int, bytes]:
        """For a data set too large for memory, from its beginning; `_spooled` checks that the prefix is right."""
        uids = ("", "")
        if not self._receiver.bit_preserving and self._encoding is not None:
            uids = data_set_uids(scan(MemorySource(head), self._encoding, whole=False))
        self._spooled_prefix = self._prefix(*uids)
        self._temporary = self._receiver.publisher.open_spool()
        return os.dup(self._temporary.fd), self._spooled_prefix  # the spool closes its own descriptor
