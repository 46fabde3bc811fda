"""The process that answers requests: a thread for each peer, so that one that is down holds up no other."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress

from dcmrecv_commitment.at_once import HOLD
from dcmrecv_commitment.evaluation import Evaluation
from dcmrecv_commitment.folder import Folder, is_same_transaction, key_of
from dcmrecv_commitment.information import log_answer
from dcmrecv_commitment.peers import Route
from dcmrecv_commitment.reports import NotReported, reach, report
from dcmrecv_commitment.requests import Asked
from dcmrecv_core import DeliveryMark, PluginSettings
from dcmrecv_index.kept import Index

log = logging.getLogger("dcmrecv.commitment")

LOOK = 0.5
"""Seconds between two looks at the folder."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds before a report is tried again, doubled each time."""


def work(settings: PluginSettings, routes: Mapping[str, Route], folder: Folder) -> None:
    """Answer all requests, without end."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # what matters of it is in our lines
    threads = {key_of(title): Answering(settings, route, folder) for title, route in routes.items()}
    told: set[str] = set()
    while True:
        try:
            names = folder.by_title()
        except OSError as error:
            log.error("requests for storage commitment cannot be read: %s", error.strerror)
            names = {}
        for key, of_title in names.items():
            if key in threads:
                threads[key].look_at(of_title)
            elif key not in told:
                told.add(key)
                _tell_unclaimed(folder, of_title)
        time.sleep(LOOK)


def _tell_unclaimed(folder: Folder, names: list[str]) -> None:
    with suppress(OSError):
        kept = folder.read(names[0])
        if kept is not None:
            text = "%d requests for storage commitment of %s have no answer, which is not in peers any more"
            log.warning(text, len(names), kept.asked.title)


class Answering:
    """Answers the requests of one peer, one after the other."""

    def __init__(self, settings: PluginSettings, route: Route, folder: Folder) -> None:
        self._settings = settings
        self._route = route
        self._folder = folder
        self._index = Index(settings)
        self._evaluation = Evaluation(settings, self._index)
        self._marks: dict[str, DeliveryMark] = {}
        self._indexed: set[str] = set()
        self._failures: dict[str, int] = defaultdict(int)
        self._pause = FIRST_PAUSE
        self._due = 0.0
        self._names: list[str] = []
        self._changed = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def look_at(self, names: list[str]) -> None:
        """These are the files of its requests now."""
        self._names = names
        self._changed.set()

    def _run(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            if time.monotonic() < self._due:
                continue
            try:
                self._turn(list(self._names))
            except NotReported as error:
                self._put_off(str(error))
            except OSError as error:
                self._put_off(error.strerror or str(error))
            except Exception as error:  # the thread must go on
                log.exception("storage commitment for %s", self._route.peer.title)
                self._put_off(repr(error))

    def _put_off(self, reason: str) -> None:
        text = "storage commitment for %s: %s, again in %g s"
        log.warning(text, self._route.peer.title, reason, self._pause)
        self._due = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _turn(self, names: list[str]) -> None:
        """Answer what can be answered, first what has failed least often: one that the peer cannot take must not hold
        up the others. Raises NotReported, OSError."""
        self._look_for_indexed([name for name in names if not self._is_held(name)])
        for name in sorted(self._indexed, key=lambda name: (self._failures[name], names.index(name))):
            self._failures[name] += 1
            kept = self._folder.read(name)
            if kept is not None:
                before = names[: names.index(name)]
                self._answer(kept.asked, duplicate=any(is_same_transaction(name, other) for other in before))
                self._folder.remove(kept)
            del self._failures[name]
            self._indexed.remove(name)

    def _is_held(self, name: str) -> bool:
        """Whether it is a worker's to answer it."""
        return self._route.peer.same_association and 0 <= time.time() - self._folder.written(name) < HOLD

    def _look_for_indexed(self, names: list[str]) -> None:
        """Note those of which the index has all that was stored before."""
        self._indexed.intersection_update(names)
        waiting = [name for name in names if name not in self._indexed]
        directory = self._settings.state_directory
        self._marks = {name: self._marks.get(name) or DeliveryMark(directory, "index") for name in waiting}
        for name in waiting:
            if not self._marks[name].is_passed():
                return  # neither has a later one
            self._indexed.add(name)

    def _answer(self, asked: Asked, *, duplicate: bool) -> None:
        if self._pause > FIRST_PAUSE:
            reach(self._route, asked.called)  # what is reported must be true now, and may take long to find out
        verdict = self._evaluation.verdict(asked, duplicate=duplicate)
        status = report(self._route, asked, verdict)
        self._pause = FIRST_PAUSE
        log_answer(asked, verdict, status)
