"""What other plugins may ask the index: is an instance there, and what was acknowledged of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from dcmrecv_core import PluginSettings
from dcmrecv_index.database import Database, DatabaseError, checked_url, connect, index_file
from dcmrecv_index.rows import key_of_uid

_LATEST = """
SELECT sop_instance_uid, sop_class_uid, transfer_syntax_uid, location, size, digest, calling_ae_title FROM instances
WHERE sop_instance_uid = :uid OR original_uid_hash = :hash ORDER BY received DESC LIMIT 1
"""


class KeptInstance(NamedTuple):
    """A row of `instances`. `digest` and `calling_ae_title` are None if no event told of them."""

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    location: str
    size: int
    digest: str | None
    calling_ae_title: str | None


class Index:
    """A connection to the index of a receiver, for reading; opened when it is needed, and again when it was lost."""

    def __init__(self, settings: PluginSettings) -> None:
        """`settings` are those of any plugin of the receiver. Raises LookupError if it has no plugin `index`."""
        url: str | None = settings.for_plugin("index")["index_url"]
        self._where: str | Path = index_file(settings.state_directory) if url is None else checked_url(url)
        self._database: Database | None = None

    def find(self, sop_instance_uid: str, original_uid_hash: str | None = None) -> KeptInstance | None:
        """The instance that was sent with this UID, the latest if there are several, under this one or, by the hash,
        under another one; None if there is none. Raises OSError if the database cannot be used."""
        try:
            if self._database is None:
                self._database = connect(self._where)
            values = {"uid": key_of_uid(sop_instance_uid), "hash": original_uid_hash}
            rows = self._database.execute(_LATEST, values)
        except (DatabaseError, ValueError) as error:
            self.close()
            raise OSError(f"the index cannot be used: {error}") from error
        return KeptInstance(*rows[0]) if rows else None

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
