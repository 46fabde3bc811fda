"""Is an instance stored safely: there, whole, itself, and what was acknowledged?"""

from __future__ import annotations

import errno
import logging
import os
from typing import NamedTuple

from dcmrecv_commitment.requests import Asked, Reference
from dcmrecv_core import PluginError, PluginSettings, examine_stored, is_other_service
from dcmrecv_index.kept import Index, KeptInstance

log = logging.getLogger("dcmrecv.commitment")

PROCESSING_FAILURE, NO_SUCH_INSTANCE, RESOURCE_LIMITATION = 0x0110, 0x0112, 0x0213
CLASS_NOT_SUPPORTED, CLASS_CONFLICT, DUPLICATE_TRANSACTION = 0x0122, 0x0119, 0x0131
"""Failure Reasons (0008,1197), PS3.3 section C.14.1.1."""

_NO_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Verdict(NamedTuple):
    """What a report says: the instances that are committed to, and the others with their Failure Reasons."""

    committed: list[Reference]
    failed: list[tuple[Reference, int]]


class Evaluation:
    """`index` has had all that was stored before the request."""

    def __init__(self, settings: PluginSettings, index: Index) -> None:
        self._settings = settings
        self._index = index
        self._root = os.path.abspath(settings.output_directory)

    def verdict(self, asked: Asked, *, duplicate: bool) -> Verdict:
        """`duplicate`: another request with this Transaction UID has no answer yet. Raises OSError if index or state
        directory cannot be used."""
        found = Verdict([], [])
        for reference in asked.references:
            reason = DUPLICATE_TRANSACTION if duplicate else self._failure(reference)
            if reason:
                found.failed.append((reference, reason))
            else:
                found.committed.append(reference)
        return found

    def _failure(self, reference: Reference) -> int:
        """The Failure Reason, 0 if the instance is stored safely."""
        uid = reference.sop_instance_uid
        kept = self._index.find(uid, self._settings.original_uid_hash(uid))
        if kept is None:
            return CLASS_NOT_SUPPORTED if is_other_service(reference.sop_class_uid) else NO_SUCH_INSTANCE
        if kept.sop_class_uid != reference.sop_class_uid:
            return CLASS_CONFLICT
        try:
            fault = self._fault(kept)
        except FileNotFoundError:
            log.error("SOP instance %s: its file %s is gone", uid, kept.location)
            return NO_SUCH_INSTANCE
        except OSError as error:
            log.error("SOP instance %s: its file %s cannot be read: %s", uid, kept.location, error.strerror or error)
            return RESOURCE_LIMITATION if error.errno in _NO_RESOURCES else PROCESSING_FAILURE
        except (LookupError, PluginError) as error:
            fault = str(error)
        if fault:
            log.error("SOP instance %s, file %s: %s", uid, kept.location, fault)
            return PROCESSING_FAILURE
        return 0

    def _fault(self, kept: KeptInstance) -> str:
        """What is wrong with the file, "" if nothing is. Raises OSError, LookupError, PluginError."""
        if kept.digest is None:
            return "it was stored without a digest, so nothing tells whether it is whole: send it again"
        with self._settings.open_location(self._location(kept.location)) as file:
            try:
                found = examine_stored(file)
            except ValueError as error:
                return str(error)
        if found.source_ae_title not in (None, kept.calling_ae_title):
            return "its File Meta Information has changed"
        same = (
            found.sop_class_uid == kept.sop_class_uid
            and found.sop_instance_uid == kept.sop_instance_uid
            and found.transfer_syntax_uid == kept.transfer_syntax_uid
        )
        if not same:
            return "it is another instance"
        if (found.size, found.digest) != (kept.size, kept.digest):
            return "it is not what was acknowledged"
        return ""

    def _location(self, location: str) -> str:
        """As the receiver has it: the index has absolute paths."""
        inside = location.removeprefix(f"{self._root}/")
        return location if inside == location else os.path.join(self._settings.output_directory, inside)
