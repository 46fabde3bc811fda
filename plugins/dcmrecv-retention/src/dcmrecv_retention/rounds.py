"""Once a minute: which studies go."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import NamedTuple, Self

from dcmrecv_core import unfinished_studies
from dcmrecv_index.database import Database, connect
from dcmrecv_index.studies import IndexedStudy, instances_of, studies_by_age, studies_in_conflict
from dcmrecv_retention.commitments import requested_instances
from dcmrecv_retention.limits import Limits
from dcmrecv_retention.notes import Notes
from dcmrecv_retention.ownership import what_is_wrong
from dcmrecv_retention.removal import SETTLE_SECONDS, Removal

log = logging.getLogger("dcmrecv.retention")

ROUND_SECONDS = 60.0
AT_ONCE = 50
"""Studies that are set aside together."""

_ASK = "Is the file system mounted? If you have removed them: 'dcmrecv-index rescan --prune' forgets them"

_UID = re.compile(r"[\w.-]{1,64}", re.ASCII)  # others may have another key in the receiver's queues


class Condemned(NamedTuple):
    """A study that goes, and the option that says so."""

    study: IndexedStudy
    reason: str


class Rounds:
    """The work of the background process. `wait` lets time pass."""

    def __init__(
        self,
        index: str | Path,
        output: Path,
        state_directory: Path,
        limits: Limits,
        *,
        delete: bool,
        hash_of: Callable[[str], str | None] = lambda uid: None,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """`hash_of` is `PluginSettings.original_uid_hash`. Raises DatabaseError, OSError, ValueError: the index cannot
        be used."""
        self._output = output
        self._state = state_directory
        self._limits = limits
        self._delete = delete
        self._hash_of = hash_of
        self._wait = wait or Event().wait
        self._database: Database = connect(index)
        self._notes = Notes(state_directory)
        self._removal = Removal(output, self._notes)
        self._told: set[tuple[str, str]] = set()
        self._judged: dict[IndexedStudy, bool] = {}
        """Whether all files of a study are ours; they are looked at again when they are set aside."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._notes.close()
        self._database.close()

    def run(self) -> None:
        """Until the process is told to end. Raises DatabaseError, OSError: it is started again."""
        self._removal.recover(self._database)
        while True:
            while self.round():
                continue
            self._wait(ROUND_SECONDS)

    def round(self) -> bool:
        """Remove studies, at most `AT_ONCE`, or say which would go; returns whether any was removed."""
        condemned = list(self._condemned())
        if not self._delete:
            for each in condemned:
                self._tell(each.study.study_instance_uid, f"would be removed: {_described(each)}")
            return False
        if condemned and not any(self._has_files(each.study) for each in condemned):
            # the index would forget all that comes back with the file system
            self._tell("", f"nothing is removed: no file of {len(condemned)} old studies is there. {_ASK}")
            return False
        return bool(condemned) and self._remove(condemned)

    def _condemned(self) -> Iterator[Condemned]:
        """Those that are over a limit and may go, the oldest first."""
        studies = studies_by_age(self._database)
        oldest = self._limits.oldest(time.time_ns())
        excess = self._limits.excess(sum(study.size for study in studies), self._output)
        may_go = self._choice()
        found = 0
        for study in studies:
            too_old = oldest is not None and study.received < oldest
            if not too_old and excess <= 0:
                break
            if not may_go(study):
                continue
            yield Condemned(study, f"--keep-days {self._limits.keep_days}" if too_old else "--max-disk")
            excess -= study.size
            found += 1
            if found == AT_ONCE and self._delete:
                return
        if excess > 0:
            self._tell("", "more is used than --max-disk allows, and no other study may be removed")

    def _choice(self) -> Callable[[IndexedStudy], bool]:
        """Says of a study whether it may go, as things are now."""
        unfinished, requested = unfinished_studies(self._state), self._requested()
        conflicts = studies_in_conflict(self._database)

        def may_go(study: IndexedStudy) -> bool:
            uid = study.study_instance_uid
            if uid in conflicts:
                self._tell(uid, "is kept: it has a conflict, which 'dcmrecv-index find --level conflict' shows")
                return False
            return uid not in unfinished and not self._is_requested(study, requested) and self._is_ours(study)

        return may_go

    def _is_ours(self, study: IndexedStudy) -> bool:
        if study not in self._judged:
            wrong = self._what_is_wrong(study.study_instance_uid)
            self._judged[study] = not wrong
            if wrong:
                self._tell(study.study_instance_uid, f"is kept: {wrong}")
        return self._judged[study]

    def _has_files(self, study: IndexedStudy) -> bool:
        return any(os.path.lexists(each.location) for each in instances_of(self._database, study.study_instance_uid))

    def _what_is_wrong(self, study: str) -> str:
        if not _UID.fullmatch(study):
            return "it has no valid Study Instance UID"
        instances = instances_of(self._database, study)
        return next((wrong for instance in instances if (wrong := what_is_wrong(instance, self._output))), "")

    def _requested(self) -> frozenset[str]:
        return requested_instances(self._state, self._database, self._hash_of)

    def _is_requested(self, study: IndexedStudy, requested: frozenset[str]) -> bool:
        instances = instances_of(self._database, study.study_instance_uid) if requested else ()
        return not requested.isdisjoint(each.sop_instance_uid for each in instances)

    def _remove(self, condemned: Sequence[Condemned]) -> bool:
        aside = {each.study.study_instance_uid: each for each in condemned}
        try:
            for study, each in list(aside.items()):
                if wrong := self._removal.set_aside(study, instances_of(self._database, study)):
                    self._judged[each.study] = False
                    self._keep(aside, study, wrong)
            self._wait(SETTLE_SECONDS if aside else 0)
            self._decide(aside)
        except BaseException:
            self._removal.recover(self._database)
            raise
        self._removal.finish(self._database, list(aside))
        for study, each in aside.items():
            log.warning("study %s is removed: %s", study, _described(each))
        return bool(aside)

    def _decide(self, aside: dict[str, Condemned]) -> None:
        """Put back what has changed since it was chosen."""
        # the queues first: what leaves them meanwhile is in the index then
        unfinished, requested = unfinished_studies(self._state), self._requested()
        for study, each in list(aside.items()):
            if study in unfinished or not self._removal.is_unchanged(self._database, study):
                self._keep(aside, study, "more of it has come")
            elif self._is_requested(each.study, requested):
                self._keep(aside, study, "its commitment is asked for")
            else:
                self._removal.decide(study)

    def _keep(self, aside: dict[str, Condemned], study: str, reason: str) -> None:
        self._removal.put_back(study)
        del aside[study]
        self._tell(study, f"is kept: {reason}")

    def _tell(self, study: str, text: str) -> None:
        """Once."""
        if (study, text) not in self._told:
            self._told.add((study, text))
            log.warning("%s", f"study {study} {text}" if study else text)


def _described(condemned: Condemned) -> str:
    study, reason = condemned
    received = datetime.fromtimestamp(study.received / 1e9).isoformat(" ", "seconds")
    return f"{reason}; {study.instances} instances, {study.size} bytes, the last one received {received}"
