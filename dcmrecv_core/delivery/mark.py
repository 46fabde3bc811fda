"""A moment, and whether a plugin has had all that was stored before it.

Who wants to know asks the journal process, by a note in the store. What was acknowledged before is in the files of
the journal; a turn that begins later takes it in, and says so by another note. From then on it is the rows of the queue
that count.
"""

from __future__ import annotations

from pathlib import Path

from dcmrecv_core.storage.journals.boot import now


class DeliveryMark:
    """The moment in which it is made: has all that was acknowledged before been delivered to `plugin`?"""

    def __init__(self, state_directory: Path, plugin: str) -> None:
        self._state_directory = state_directory
        self._plugin = plugin
        self._at = now()
        self._moment: int | None = None
        self._held: int | None = None
        self._last: int | None = None

    def is_passed(self) -> bool:
        """Whether each call of `deliver` for it, to any target, has returned, or its event was put aside. It takes a
        second or two after the moment, longer while deliveries fail. Raises OSError if the state directory cannot be
        used."""
        from dcmrecv_core.delivery.opening import open_store  # only who asks loads a database's client
        from dcmrecv_core.delivery.store import StoreError

        try:
            store = open_store(self._state_directory)
            try:
                if self._moment is None:
                    self._moment = store.moment(self._at)
                if self._held is None:
                    self._held = store.last_taken_in(self._moment)
                if self._held is None or store.holds(self._held):
                    return False
                if self._last is None:  # what was held has a later number now
                    self._last = store.last_taken_in(self._moment)
                return self._last is not None and not store.waits(self._plugin, self._last)
            finally:
                store.close()
        except StoreError as error:
            raise OSError(f"the store of deliveries cannot be used: {error}") from error
