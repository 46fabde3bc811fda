"""The record of each stored instance in the journal, for receivers with a plugin that delivers; others write none."""

from __future__ import annotations

import hashlib
import hmac
import os
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.api.settings import UID_HASH_KEY
from dcmrecv_core.dataset.digest import digest_of
from dcmrecv_core.dataset.raw_values import read_beginning
from dcmrecv_core.receive.instance import ReceivedInstance
from dcmrecv_core.receive.pipeline import InstanceReceiver, Reception
from dcmrecv_core.receive.spool import DigestingSpool
from dcmrecv_core.storage.content import source_of
from dcmrecv_core.storage.directories import storage_error
from dcmrecv_core.storage.journals.boot import now
from dcmrecv_core.storage.journals.files import DIRECTORY, JournalWriter
from dcmrecv_core.storage.journals.records import ELEMENTS, HOW, LONGEST_VALUE, Kind, encode
from dcmrecv_core.storage.journals.state_files import make_key

if TYPE_CHECKING:
    from dcmrecv_core.api.model import Association
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.settings.settings import Settings
    from dcmrecv_core.storage.journals.database import SharedJournalWriter
    from dcmrecv_core.storage.temporary import Capabilities


class Journal:
    """What a worker writes into the state directory, or into the database at `url`; with `flush` each record is durable
    at once."""

    def __init__(self, state_directory: Path, *, flush: bool, url: str | None = None) -> None:
        writer = _writer(state_directory, url)
        self._writer = writer
        self._key_file = state_directory / UID_HASH_KEY
        self._flush = flush
        self._association: Association | None = None
        self._peer: tuple[bytes, ...] = ()
        self.make_room = writer.make_room
        self.end_association = writer.end_association
        self.close = writer.close

    def add(self, instance: ReceivedInstance, location: str, digest: str = "") -> None:
        """Write the record of an instance, unless another content is kept in its place. Raises StorageError."""
        how, _ = instance.saved_at(location)
        if how == "dropped":
            return
        association = instance.association
        if association is not self._association:
            self._association = association
            texts = (
                association.calling_ae_title,
                association.called_ae_title,
                association.peer_address,
                association.id,
            )
            self._peer = tuple(text.encode("utf-8", "surrogateescape") for text in texts)
        original = b""
        if instance.sop_instance_uid != instance.affected_sop_instance_uid:
            original = hmac.digest(self._key, instance.affected_sop_instance_uid.encode(), hashlib.sha256)
        record = encode(
            Kind.STORED,
            HOW.index(how or "new"),
            now(),
            int(instance.completed_at * 1e9),
            instance.size,
            (
                os.fsencode(location),
                instance.sop_class_uid.encode("utf-8", "surrogateescape"),
                instance.sop_instance_uid.encode("utf-8", "surrogateescape"),
                instance.transfer_syntax_uid.encode(),
                *_elements_of(instance),
                original,
                *self._peer,
            ),
            digest.encode(),
        )
        self._writer.append(record, self._peer[3], flush=self._flush or how is None)

    @cached_property
    def _key(self) -> bytes:
        try:
            return make_key(self._key_file)
        except OSError as error:
            raise storage_error(error, "No key in the state directory") from error


def _writer(state_directory: Path, url: str | None) -> JournalWriter | SharedJournalWriter:
    if url is None:
        return JournalWriter(str(state_directory / DIRECTORY))
    from dcmrecv_core.storage.journals.database import SharedJournalWriter  # only with --journal there is psycopg

    return SharedJournalWriter(url, state_directory)


def _elements_of(instance: ReceivedInstance) -> list[bytes]:
    """The values of `ELEMENTS`; with --bit-preserving the data set may end anywhere."""
    try:
        index = instance.index
        return [read_beginning(index, tag, LONGEST_VALUE) for tag in ELEMENTS]
    except DataSetError:
        return [b""] * len(ELEMENTS)


class JournaledReception(Reception):
    """A C-STORE with a record."""

    def __init__(self, journal: Journal, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._journal = journal

    def store(self, instance: ReceivedInstance) -> str:
        self._journal.make_room()
        digest = self.digest(instance)
        location = super().store(instance)
        self._journal.add(instance, location, digest)
        return location

    def digest(self, instance: ReceivedInstance) -> str:
        """Of the data set as it is stored, "" for none. Raises OSError."""
        return ""


class DigestingReception(JournaledReception):
    """A C-STORE with a digest in its record."""

    _spool: DigestingSpool

    def digest(self, instance: ReceivedInstance) -> str:
        return digest_of(source_of(instance.content.pieces)) if instance.replaced else self._spool.digest()


class JournalingReceiver(InstanceReceiver):
    """Writes a record of each instance that it stores."""

    reception: type[JournaledReception] = JournaledReception

    def __init__(self, journal: Journal, settings: Settings, plugins: Plugins, capabilities: Capabilities) -> None:
        super().__init__(settings, plugins, capabilities)
        self._journal = journal
        self.begin = partial(self.reception, journal, self)

    def end_association(self) -> None:
        self._journal.end_association()

    def close(self) -> None:
        super().close()
        self._journal.close()


class DigestingReceiver(JournalingReceiver):
    """Takes digests, too."""

    make_spool = DigestingSpool
    reception = DigestingReception


def make_receiver(settings: Settings, plugins: Plugins, capabilities: Capabilities) -> InstanceReceiver:
    """For a worker with these plugins."""
    if plugins.delivering(settings):
        journal = Journal(settings.state_directory, flush=settings.journal_flush, url=settings.journal)
        kind = DigestingReceiver if plugins.takes_digests(settings) else JournalingReceiver
        return kind(journal, settings, plugins, capabilities)
    return InstanceReceiver(settings, plugins, capabilities)
