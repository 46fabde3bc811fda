"""`--log-uids hashed`: no record of the log has a UID that identifies an instance, a series or a study.

`uid:` and the first 16 hexadecimal digits of an HMAC-SHA-256 of the UID stand for it, wherever it is in a record: in
the message, in paths, in a traceback. The key is in the state directory, so that a UID has the same hash in all lines,
of all processes, after restarts, and in `original_uid_hash` of an event (which has all its digits).

These stay as they are: UIDs of the standard (1.2.840.10008...), the presentation contexts that the peer proposes, and
the UIDs that a plugin has given to the instance under way, so that a line says where the new one is.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Iterable
from typing import Any, Final

from dcmrecv_core.logs.records import EscapedLogRecord, escape_controls, escape_controls_by_line

_STANDARD: Final = "1.2.840.10008."

# Whatever may be one, with or without the rules of PS3.5 section 9.1: a sender may break them.
_CANDIDATE: Final = re.compile(r"(?<![0-9])[0-2](?:\.[0-9]+){2,}")
# Addresses and version numbers look like that, UIDs in use do not.
_ADDRESS_OR_VERSION: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){2,3}")


def hashed_uid(key: bytes, uid: str) -> str:
    """What stands for `uid` in the log."""
    return f"uid:{hmac.digest(key, uid.encode('utf-8', 'surrogateescape'), hashlib.sha256).hex()[:16]}"


class HashedUids:
    """Hashes UIDs in records as long as it has a key."""

    def __init__(self) -> None:
        self.key: bytes | None = None
        self._proposed: frozenset[str] = frozenset()
        self._given: frozenset[str] = frozenset()

    def begin(self, key: bytes | None) -> None:
        """From now on hash UIDs with this key, in all records of this process and of those that it forks; None: stop
        that."""
        self.key = key
        if key is not None:
            logging.setLogRecordFactory(HashedLogRecord)

    def show_proposed(self, uids: Iterable[str]) -> None:
        """A peer proposes these syntaxes. They stay readable until the next association."""
        self._proposed = frozenset(uids)

    def show_given(self, uids: Iterable[str], received: Iterable[str]) -> None:
        """A plugin has given the instance under way these UIDs instead of those that were received."""
        self._given = frozenset(uids).difference(received)

    def shown(self, uid: str) -> str:
        """A text that is a UID, or should be one."""
        return uid if self.key is None or not uid else hashed_uid(self.key, uid)

    def hide(self, record: logging.LogRecord, under_way: str = "") -> None:
        """Hash all UIDs in a new record, `under_way` also if it breaks the rules for UIDs."""
        try:
            record.msg = self._without(record.getMessage(), under_way)
        except Exception:  # wrong arguments: the handler reports that, without them
            record.msg = "a log call of %s, line %d, has wrong arguments"
            record.args = (record.filename, record.lineno)
            return
        record.args = ()
        if record.exc_info:
            trace = escape_controls_by_line(logging.Formatter().formatException(record.exc_info))
            record.exc_text, record.exc_info = self._without(trace, under_way), None

    def _without(self, text: str, under_way: str) -> str:
        if under_way and not _CANDIDATE.fullmatch(under_way):
            escaped = escape_controls(under_way)
            for form in {escaped, repr(under_way)[1:-1], repr(escaped)[1:-1]}:
                text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", self.shown(under_way), text)
        return _CANDIDATE.sub(lambda match: self._replacement(match[0], under_way), text)

    def _replacement(self, text: str, under_way: str) -> str:
        if text != under_way and (
            text.startswith(_STANDARD)
            or text in self._given
            or text in self._proposed
            or _ADDRESS_OR_VERSION.fullmatch(text)
        ):
            return text
        return self.shown(text)


UIDS: Final = HashedUids()
"""Those of this process."""


class HashedLogRecord(EscapedLogRecord):
    """A record of a process that serves nothing; those of a worker are ServedRecord."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        UIDS.hide(self)
