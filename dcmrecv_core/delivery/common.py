"""What the stores of both databases do with the same statements. A parameter in them is `?`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from dcmrecv_core.delivery.events import HELD, decode_or_none, is_study
from dcmrecv_core.delivery.store import (
    Claim,
    Completion,
    Item,
    OpenStudy,
    PutAside,
    Queue,
    QueueState,
    StoredRecord,
    has_news,
)
from dcmrecv_core.hooks.guards import COMPLETION_HOOKS

COMPLETED = " OR ".join(
    f"substr(queues.target || '/', 1, {len(hook) + 1}) = '{hook}/'" for hook in sorted(COMPLETION_HOOKS)
).join("()")
"""In a statement: whether completions are in a queue, and not events."""

_STATES = """
SELECT plugin, target, {claimed},
    (SELECT count(*) FROM deliveries WHERE queue = number),
    (SELECT count(*) FROM put_aside WHERE queue = number),
    (SELECT count(DISTINCT study) FROM deliveries WHERE queue = number AND attempts > 0),
    (SELECT count(*) FROM lanes WHERE queue = number AND owner IS NOT NULL),
    (SELECT at FROM events WHERE number = (SELECT min(item) FROM deliveries WHERE queue = queues.number))
FROM queues ORDER BY plugin, target
"""

_PUT_ASIDE = f"""
SELECT plugin, target, coalesce(events.id, completions.id, ''), put_aside.study, reason, attempts, put_aside.at
FROM put_aside JOIN queues ON queues.number = queue
LEFT JOIN events ON NOT {COMPLETED} AND events.number = item
LEFT JOIN completions ON {COMPLETED} AND completions.number = item
"""

_OF_STUDY = "SELECT number, id, record FROM events WHERE study = ? AND number > ? AND number <= ? ORDER BY number"
_OF_SERIES = _OF_STUDY.replace("ORDER", "AND series = ? ORDER")
_LAST = 1 << 62


class Queries(Protocol):
    """A connection to a database. Both methods raise StoreError."""

    def rows(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of a query."""

    def each(self, text: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, one by one."""

    def close(self) -> None: ...


Connection = TypeVar("Connection", bound=Queries)


class CommonStore(ABC, Generic[Connection]):
    """These methods of a `Store`."""

    claimed: ClassVar[str]
    """In a statement about a queue: whether a plugin wants it."""

    def __init__(self, database: Connection) -> None:
        self._db = database
        self._rows = database.rows
        self._each = database.each

    def close(self) -> None:
        self._db.close()

    # The journal process

    def locations_since(self, at: float) -> Iterator[tuple[bytes, float]]:
        for data, taken_in in self._each("SELECT record, at FROM events WHERE at >= ? ORDER BY number", at):
            if (record := decode_or_none(data)) is not None:
                yield record.location, taken_in

    def quiet(self, before: int) -> list[OpenStudy]:
        query = "SELECT study, series, done, last FROM studies WHERE open AND last < ? ORDER BY last"
        return [OpenStudy(*row) for row in self._rows(query, before)]

    def records_since(self, open_study: OpenStudy) -> Iterator[StoredRecord]:
        return self._records(open_study.study, open_study.series, open_study.done)

    def _news(self, open_study: OpenStudy, revision: int) -> tuple[int, bool]:
        """The last event of a study or series, and whether there is news in those since `done`."""
        study, series, done, _ = open_study
        new = list(self._records(study, series, done))
        upto = new[-1].number if new else done
        return upto, bool(new) and (not revision or has_news(new, self._records(study, series, 0, done)))

    # Delivery processes

    def number_of(self, queue: Queue) -> int | None:
        rows = self._rows("SELECT number FROM queues WHERE plugin = ? AND target = ?", *queue)
        return rows[0][0] if rows else None

    def next(self, claim: Claim) -> Item | None:
        return next(iter(self.next_many(claim, 1)), None)

    @abstractmethod
    def next_many(self, claim: Claim, limit: int) -> list[Item]: ...

    def events_of(self, completion: Completion) -> Iterator[StoredRecord]:
        return self._records(completion.study, completion.series, 0, completion.upto)

    def _item(self, number: int, attempts: int, target: str) -> Item:
        """What waits in a queue of this target."""
        content: StoredRecord | Completion | None
        if Queue("", target).has_completions:
            query = "SELECT id, study, series, revision, since, upto FROM completions WHERE number = ?"
            content = next((Completion(*row) for row in self._rows(query, number)), None)
        else:
            query = "SELECT number, id, record FROM events WHERE number = ?"
            content = next((StoredRecord(*row) for row in self._rows(query, number)), None)
        return Item(number, attempts, content)

    def _records(self, study: str, series: str, after: int, upto: int = _LAST) -> Iterator[StoredRecord]:
        of_series = (_OF_SERIES, study, after, upto, series)
        rows = self._each(*of_series) if series else self._each(_OF_STUDY, study, after, upto)
        return (StoredRecord(*row) for row in rows)

    # Marks

    def _delivering(self, plugin: str) -> list[int]:
        """The queues of `deliver` of a plugin."""
        rows = self._rows("SELECT number, target FROM queues WHERE plugin = ?", plugin)
        return [number for number, target in rows if Queue(plugin, target).hook == "deliver"]

    # Administration

    def states(self) -> list[QueueState]:
        found = []
        rows = self._rows(_STATES.format(claimed=self.claimed))
        for plugin, target, claimed, waiting, aside, failing, busy, at in rows:
            queue = Queue(plugin, target)
            oldest = None if queue.has_completions else at
            found.append(QueueState(queue, bool(claimed), waiting, aside, failing, busy, oldest))
        return found

    def unfinished(self) -> set[str]:
        query = "SELECT study FROM lanes UNION SELECT study FROM put_aside UNION SELECT study FROM studies WHERE open"
        return {study.removeprefix(HELD) for (study,) in self._rows(query)}

    def all_put_aside(self, queue: Queue | None = None) -> Iterator[PutAside]:
        where, values = ("", ()) if queue is None else ("WHERE plugin = ? AND target = ?", tuple(queue))
        for plugin, target, id, study, *rest in self._each(f"{_PUT_ASIDE} {where} ORDER BY put_aside.at", *values):
            yield PutAside(Queue(plugin, target), id, study.removeprefix(HELD), *rest)

    def _numbers(self, queue: Queue | None) -> list[tuple[Any, ...]]:
        if queue is None:
            return self._rows("SELECT number, target FROM queues")
        return self._rows("SELECT number, target FROM queues WHERE plugin = ? AND target = ?", *queue)


def opened(study: str, series: str, hooks: Collection[str]) -> Iterator[tuple[str, str]]:
    """Study and series, "" for the study itself, that an event opens if there are queues of these hooks."""
    if is_study(study):
        if "study_completed" in hooks:
            yield study, ""
        if "series_completed" in hooks and series:
            yield study, series
