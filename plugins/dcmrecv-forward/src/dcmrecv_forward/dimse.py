"""Sends instances by C-STORE (PS3.4 annex B), in one association that is kept while there is work."""

from __future__ import annotations

import threading
import time

from dcmrecv_core import StoredEvent, Undeliverable, name_of
from dcmrecv_forward.association import Association
from dcmrecv_forward.commands import Response
from dcmrecv_forward.connection import Peer
from dcmrecv_forward.contexts import Proposals, pairs_for
from dcmrecv_forward.errors import ConnectionLost, NotSent, Unreachable
from dcmrecv_forward.reencoding import reencoded
from dcmrecv_forward.stored import StoredFile, opened, read_meta

IDLE_SECONDS = 10.0
"""After so long without work the association is released. Peers abort idle ones after 30 s (Orthanc) or more."""

_STORED = frozenset((0x0000, 0x0001, 0x0107, 0x0116))
"""Success, and warnings besides Bxxx (PS3.7 annex C)."""
_REFUSED_INSTANCE = frozenset((0x0111, 0x0117, 0x0119, 0x0122, 0x0211, 0x0212))
"""Besides A9xx and Cxxx: duplicate or invalid instance, no such class, operation or argument for it."""


class DimseSender:
    """Sends to one peer. A thread releases the association when it is idle, so the methods hold a lock."""

    def __init__(self, peer: Peer, idle_seconds: float = IDLE_SECONDS) -> None:
        self._peer = peer
        self._idle_seconds = idle_seconds
        self._changed = threading.Condition()
        self._association: Association | None = None
        self._used = 0.0
        self._proposals = Proposals()

    def send(self, event: StoredEvent) -> str:
        """Return when the peer has stored it: its warning, "" for none.

        Raises Undeliverable, Unreachable, NotSent, and what `event.open` raises.
        """
        with opened(event) as file:
            stored = read_meta(file)
            with self._changed:
                response = self._store(stored)
        judge(response)
        return str(response) if response.status else ""

    def close(self) -> None:
        """Release the association, if there is one."""
        with self._changed:
            association, self._association = self._association, None
            self._changed.notify_all()
            if association is not None:
                association.release()

    def _store(self, stored: StoredFile) -> Response:
        kept = self._association
        try:
            return self._store_once(stored)
        except ConnectionLost:
            if kept is None:
                raise
            # it may have ended because it was idle, just before we sent
            return self._store_once(stored)

    def _store_once(self, stored: StoredFile) -> Response:
        wanted = pairs_for(stored.sop_class_uid, stored.transfer_syntax_uid)
        association = self._association_for(wanted)
        pair = next((pair for pair in wanted if pair in association.accepted), None)
        if pair is None:
            reason = association.refused[wanted[0]]
            what, syntax = (name_of(uid) or uid for uid in wanted[0])
            raise Undeliverable(f"the peer does not accept {what} in {syntax}: {reason}")
        if pair == wanted[0]:
            stored.file.seek(stored.offset)
            data, size = stored.file, stored.size - stored.offset
        else:
            data, size = reencoded(stored, pair[1])
        finished = False
        try:
            response = association.store(
                association.accepted[pair], stored.sop_class_uid, stored.sop_instance_uid, data, size
            )
            self._used = time.monotonic()
            finished = True
            return response
        finally:
            if not finished:  # by whatever: what is sent next would be taken for the rest of this
                self._association = None
                association.abort()

    def _association_for(self, wanted: list[tuple[str, str]]) -> Association:
        """The association if it is alive and these were proposed, else a new one."""
        association = self._association
        if association is not None:
            if association.is_alive():
                if all(pair in association.accepted or pair in association.refused for pair in wanted):
                    return association
                association.release()
            else:
                association.abort()
            self._association = None
        try:
            association = Association(self._peer, self._proposals.with_needed(wanted))
        except NotSent as error:
            raise Unreachable(str(error)) from error
        except ValueError as error:
            self._proposals.forget(wanted)
            raise Undeliverable(f"no context can be proposed for it: {error}") from error
        self._association, self._used = association, time.monotonic()
        threading.Thread(target=self._release_when_idle, args=(association,), daemon=True).start()
        return association

    def _release_when_idle(self, association: Association) -> None:
        with self._changed:
            while self._association is association:
                rest = self._used + self._idle_seconds - time.monotonic()
                if rest <= 0:
                    self._association = None
                    association.release()
                else:
                    self._changed.wait(rest)


def judge(response: Response) -> None:
    """Return if the instance is stored (PS3.4 table B.2-1). Raises Undeliverable if it is refused, NotSent for all
    else, as out of resources (A7xx), processing failure (0110)."""
    status = response.status
    if status in _STORED or status >> 12 == 0xB:
        return
    if status >> 8 == 0xA9 or status >> 12 == 0xC or status in _REFUSED_INSTANCE:
        raise Undeliverable(f"the peer refused it: {response}")
    raise NotSent(f"the peer answered with {response}")
