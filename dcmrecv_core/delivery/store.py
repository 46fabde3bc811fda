"""What the store of events and queues must do, whatever database it is in.

The state of a queue is a row for each event that waits in it, never a position: so events can wait, be put aside and be
asked for again one by one. What a call has changed is committed when it returns; with `take_in`, `complete` and all
that an administrator does it is durable, too. The loss of any other change costs a delivery that is made again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from dcmrecv_core.api.outcomes import DEFAULT_TARGET
from dcmrecv_core.delivery.events import decode_or_none
from dcmrecv_core.hooks.guards import COMPLETION_HOOKS, QUEUE_HOOKS
from dcmrecv_core.storage.journals.records import HOW, Record


class Queue(NamedTuple):
    """A target of a plugin. For another hook than `deliver` it begins with the name of that: "study_completed" for the
    default target, "study_completed/report" for another one."""

    plugin: str
    target: str

    @classmethod
    def of(cls, plugin: str, hook: str, name: str) -> Queue:
        """The one of a target that the plugin has named for `hook`."""
        if hook == "deliver":
            return cls(plugin, name)
        return cls(plugin, hook if name == DEFAULT_TARGET else f"{hook}/{name}")

    def __str__(self) -> str:
        return f"{self.plugin}/{self.target}"

    @property
    def hook(self) -> str:
        """The hook that is called for what is in it."""
        first = self.target.partition("/")[0]
        return first if first in QUEUE_HOOKS else "deliver"

    @property
    def has_completions(self) -> bool:
        """Whether completed studies or series are in it, and not events."""
        return self.hook in COMPLETION_HOOKS

    @property
    def name(self) -> str:
        """The target as the plugin has named it."""
        return self.target if self.hook == "deliver" else self.target.partition("/")[2] or DEFAULT_TARGET


class FileState(NamedTuple):
    """A file of the journal: how far it was read, and the association that is open in it, "" if there is none."""

    position: int = 0
    association: str = ""


class NewEvent(NamedTuple):
    """A record that was read, and the bytes it was read from. `node` is that of a local file among several nodes, ""
    if any of them can open it."""

    id: str
    record: Record
    data: bytes
    node: str = ""


class OpenStudy(NamedTuple):
    """A study (then `series` is "") or a series that has instances since `done`, the last event of its last revision;
    `last` is when it got the last of them."""

    study: str
    series: str
    done: int
    last: int


class Claim(NamedTuple):
    """The study of a queue that `owner` alone works on. In a store of several nodes it may end, because its owner is
    taken for dead; `token` tells it from the next one. Then it has no next delivery, and what is reported under it has
    no effect."""

    queue: int
    study: str
    owner: str
    token: int = 0


class StoredRecord(NamedTuple):
    """An event as it was taken in."""

    number: int
    id: str
    data: bytes


class Completion(NamedTuple):
    """The completion of a study (then `series` is "") or series: its events after `since` up to `upto` are new."""

    id: str
    study: str
    series: str
    revision: int
    since: int
    upto: int


class Item(NamedTuple):
    """The next delivery of a claim, with the number of its failures so far. `content` is None if it is lost."""

    number: int
    attempts: int
    content: StoredRecord | Completion | None


class PutAside(NamedTuple):
    """A delivery that will not be tried again by itself. `id` is that of the event, the study or the series; `location`
    is "" for the latter two, or if the record is damaged."""

    queue: Queue
    id: str
    study: str
    reason: str
    attempts: int
    at: float


class QueueState(NamedTuple):
    """`claimed`: a plugin wants it. `failing`: studies whose first delivery has failed and is tried again; `busy`:
    studies that are being delivered. `oldest`: seconds since 1970 of the oldest event that waits, None if there is
    none."""

    queue: Queue
    claimed: bool
    waiting: int
    put_aside: int
    failing: int
    busy: int
    oldest: float | None


class Store(Protocol):
    """A store. All methods raise `StoreError` if it cannot be used."""

    def close(self) -> None: ...

    def now(self) -> int:
        """Nanoseconds by the clock from which all times are that the methods take as `now`, `due` and `before`."""

    # The journal process

    def begin(self, queues: Collection[Queue], now: int) -> None:
        """A process that takes in events starts: from now on they are put into these queues. What waits is due, and
        open studies wait anew, because `now` may belong to another boot of the system."""

    def add_queues(self, queues: Collection[Queue]) -> None:
        """Events that are taken in from now on are put into these queues too, also by a process that has begun."""

    def files(self) -> dict[str, FileState]:
        """The files of the journal, by name."""

    def take_in(self, events: Sequence[NewEvent], files: Mapping[str, FileState], now: int, flushed: float) -> None:
        """Add events to all queues of `deliver`, and note how far the files were read. An event that is there already
        is left out. `flushed` is the time, in seconds since 1970, up to which all records are durable.

        If there is a queue of `relocate`, events of files are held in that one: they are in no other, and belong to no
        study, until they are `relocated`."""

    def forget_files(self, names: Collection[str]) -> None:
        """These files are gone."""

    def note(self, key: str, value: str | None) -> None:
        """Keep a text under a name; None removes it."""

    def noted(self, key: str) -> str | None: ...

    def locations_since(self, at: float) -> Iterator[tuple[bytes, float]]:
        """The locations of the events that were taken in since, and when they were, one after the other."""

    def quiet(self, before: int) -> list[OpenStudy]:
        """Open studies and series whose last instance came before."""

    def records_since(self, open_study: OpenStudy) -> Iterator[StoredRecord]:
        """Its events since `done`."""

    def asked(self) -> int:
        """The latest moment, in nanoseconds since the boot, of which somebody wants to know whether all before is taken
        in; 0 if that was answered."""

    def answer(self, at: int) -> None:
        """All that was written before this moment is taken in."""

    def complete(self, open_study: OpenStudy) -> int:
        """Make the completion of it, and put that into all queues for it; unless all that came since the last one
        were equal instances sent again. Returns its revision, 0 if there is none."""

    def purge(self, before: float, limit: int) -> int:
        """Remove up to so many events that were taken in before, and that nothing waits for, and completions of such;
        returns how many events."""

    # Delivery processes

    def number_of(self, queue: Queue) -> int | None: ...

    def release_others(self, queue: int, owners: Collection[str], now: int) -> int:
        """Free what other processes than those of these names had claimed: they have died, perhaps of that, so all else
        that is due goes before it. Returns how many studies."""

    def claim(self, queue: int, owner: str, now: int) -> Claim | None:
        """The study that has waited longest, if one is due."""

    def keep_claims(self, queue: int, owner: str) -> AbstractContextManager[None]:
        """Within it the claims of this process do not end, however long a hook takes."""

    def next(self, claim: Claim) -> Item | None:
        """Its next delivery."""

    def next_many(self, claim: Claim, limit: int) -> list[Item]:
        """Its next deliveries, up to so many."""

    def done(self, claim: Claim, item: Item) -> None: ...

    def all_done(self, deliveries: Collection[tuple[Claim, Item]]) -> None:
        """As `done` for each, all or none."""

    def failed(self, claim: Claim, item: Item, due: int) -> None:
        """Try it again when it is due, and give the claim back until then."""

    def relocated(self, claim: Claim, item: Item, data: bytes, now: int) -> bool:
        """An event of the queue of `relocate` is done: if it was held, it is added to all queues of `deliver`, with the
        record `data`. False, and nothing is changed, if the claim has ended."""

    def held_locations(self) -> set[bytes]:
        """Of the events of this node that are held."""

    def put_aside(self, claim: Claim, item: Item, reason: str) -> None: ...

    def release(self, claim: Claim, now: int) -> None:
        """Give the claim back."""

    def events_of(self, completion: Completion) -> Iterator[StoredRecord]:
        """Those of a study or series, in their order."""

    # Marks

    def moment(self, at: int) -> int:
        """What `last_taken_in` gets for `at`, nanoseconds since the boot, which is not in the future."""

    def last_taken_in(self, moment: int) -> int | None:
        """The number of an event up to which all are that were written before; None, and the question is noted, if that
        is not known yet."""

    def waits(self, plugin: str, upto: int) -> bool:
        """Whether an event up to this number waits in a queue of `deliver` of the plugin."""

    def holds(self, upto: int) -> bool:
        """Whether an event of this node up to this number waits to be relocated."""

    def forget_moments(self) -> None:
        """For the start: what was noted may be of another boot of the system."""

    # Administration

    def states(self) -> list[QueueState]: ...

    def unfinished(self) -> set[str]:
        """Studies that are open, or of which something waits, is being delivered, or was put aside."""

    def all_put_aside(self, queue: Queue | None = None) -> Iterator[PutAside]: ...

    def retry(self, queue: Queue | None = None, ids: Collection[str] = ()) -> int:
        """Let what was put aside be tried again, and what waits for its next attempt be due; returns how many."""

    def drop(self, queue: Queue, ids: Collection[str] = ()) -> int:
        """Remove deliveries; without ids all of the queue, and the queue itself if no plugin claims it."""

    def replay(self, queue: Queue, since: float) -> int:
        """Put events that were taken in since then into a queue again; returns how many."""


def has_news(new: Iterable[StoredRecord], before: Iterable[StoredRecord]) -> bool:
    """Whether one of the new ones is more than an equal instance sent again."""
    resent = set()
    for each in new:
        record = decode_or_none(each.data)
        if record is None or HOW[record.how] != "kept":
            return True
        resent.add(record.sop_instance_uid)
    for each in before:
        record = decode_or_none(each.data)
        if record is not None:
            resent.discard(record.sop_instance_uid)
    return bool(resent)


class StoreError(Exception):
    """The store cannot be used; the text says why."""
