"""The report on the association of the request, for peers with `same_association`: made in the worker, which serves
only this association, while that waits.

The request is kept on disk before. If the index needs too long, there are many instances, or the peer does not answer,
the process of `background` reports on an association of its own.
"""

from __future__ import annotations

import logging
import time

from dcmrecv_commitment.evaluation import Evaluation, Verdict
from dcmrecv_commitment.folder import Folder, Kept, is_same_transaction, key_of
from dcmrecv_commitment.information import TRY_AGAIN, event_type, information, log_answer
from dcmrecv_commitment.requests import INSTANCE, STORAGE_COMMITMENT
from dcmrecv_core import DeliveryMark, EventReport, PluginSettings
from dcmrecv_index.kept import Index

log = logging.getLogger("dcmrecv.commitment")

PATIENCE = 5.0
"""Seconds that a request waits for the index: less than the receiver grants a worker to end."""

MOST_AT_ONCE = 1000
"""Instances of a request that is answered so."""

HOLD = 30.0
"""Seconds for which a request is left to the worker."""

_LOOK = 0.1


class AtOnce:
    """In one worker."""

    def __init__(self, settings: PluginSettings, folder: Folder) -> None:
        self._directory = settings.state_directory
        self._folder = folder
        self._evaluation = Evaluation(settings, Index(settings))

    def report(self, name: str) -> EventReport | None:
        """The report for a request that was just kept; None if it is left to the other process."""
        try:
            kept = self._folder.read(name)
            if kept is None or len(kept.asked.references) > MOST_AT_ONCE or not self._is_indexed():
                return None
            names = self._folder.by_title()[key_of(kept.asked.title)]
            before = names[: names.index(name)] if name in names else []
            duplicate = any(is_same_transaction(name, other) for other in before)
            verdict = self._evaluation.verdict(kept.asked, duplicate=duplicate)
        except OSError as error:
            log.warning("storage commitment cannot be judged at once: %s", error.strerror or error)
            return None
        return EventReport(
            event_type(verdict),
            STORAGE_COMMITMENT,
            INSTANCE,
            information(kept.asked, verdict),
            lambda status: self._answered(kept, verdict, status),
        )

    def _is_indexed(self) -> bool:
        mark = DeliveryMark(self._directory, "index")
        deadline = time.monotonic() + PATIENCE
        while not mark.is_passed():
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK)
        return True

    def _answered(self, kept: Kept, verdict: Verdict, status: int) -> None:
        log_answer(kept.asked, verdict, status)
        if status not in TRY_AGAIN:
            self._folder.remove(kept)
