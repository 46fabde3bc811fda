"""The log line of each instance that is not stored: whose, which one, why, and where to look."""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import DataSetError, HookFailure, NameTakenError, StatusError
from dcmrecv_core.logs.serving import sender
from dcmrecv_core.receive.spool import TooLargeError

if TYPE_CHECKING:
    from dcmrecv_core.api.model import Association

log = logging.getLogger("dcmrecv.receive")

DOES_NOT_MATCH = 0xA900

_SYSTEM_HINTS = {
    errno.ENOSPC: "the file system is full; --min-free rejects associations before that",
    errno.EDQUOT: "the quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EMFILE: "no descriptor is free in this process: a plugin leaves files open, or the limit (ulimit -n) is low",
    errno.ENFILE: "no descriptor is free on this host",
    errno.EISDIR: "a directory has this name",
    errno.ENOTDIR: "a file is where a directory should be",
}


def log_discarded(association: Association, sop_instance_uid: str, plugin: str, reason: str) -> None:
    """A plugin has discarded an instance."""
    why = f" ({reason})" if reason else ""
    text = "C-STORE %s from %s: discarded by plugin %s%s"
    log.info(text, sop_instance_uid, sender_of(association), plugin, why)


def log_refusal(association: Association, sop_instance_uid: str, plugin: str, status: int, comment: str) -> None:
    """A plugin has refused an instance; `comment` is whole here, the sender gets its beginning."""
    text = "C-STORE %s from %s: refused with status %04X by plugin %s: %s"
    log.warning(text, sop_instance_uid, sender_of(association), status, plugin, comment or "no reason given")


def log_failure(association: Association, sop_instance_uid: str, failure: StatusError, path: str) -> None:
    """An instance could not be stored; it was to be stored at `path`, if that is not ""."""
    cause = failure.__cause__
    if path and isinstance(cause, OSError):
        log.error("cannot store received object: %s: %s", path, cause.strerror or cause)  # DCMTK's line
    level = logging.ERROR
    if isinstance(failure, HookFailure) and failure.hook:
        level = logging.INFO  # the guard of the hook has said it, with the place in the plugin
    elif isinstance(failure, NameTakenError):
        level = logging.WARNING
    by = ""
    if failure.plugin and not isinstance(failure, HookFailure):  # its comment names the plugin
        by = f" by plugin {failure.plugin}"
    text = "C-STORE %s from %s: refused with status %04X%s: %s%s"
    details = [detail for detail in (path and f"file {path}", _hint(failure, cause)) if detail]
    told = f" ({'; '.join(details)})" if details else ""
    log.log(level, text, sop_instance_uid, sender_of(association), failure.status, by, failure.comment, told)


def _hint(failure: StatusError, cause: BaseException | None) -> str:
    """The option or the cause to look at."""
    if isinstance(failure, NameTakenError):
        return "see --on-duplicate, or on_exists of the plugin that chose the name"
    if isinstance(failure, TooLargeError):
        return "see --max-instance"
    if isinstance(cause, PermissionError):
        return f"user {os.geteuid()} may not write there"
    if isinstance(cause, OSError):
        return _SYSTEM_HINTS.get(cause.errno or 0, "")
    if isinstance(failure, DataSetError):
        where = f"{failure.hint}; " if failure.hint else ""
        return f"{where}the sender's data set is broken; --bit-preserving stores it unchecked"
    return "see --strict" if failure.status == DOES_NOT_MATCH and not failure.plugin else ""


def sender_of(association: Association) -> str:
    """Who sends it to whom."""
    return sender(association.calling_ae_title, association.peer_address, association.called_ae_title)
