"""A delivery process: it calls a plugin's hook for what waits in one queue, again and again until that returns."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dcmrecv_core.api.errors import HookFailure, PluginError, TryAgain, Undeliverable, described
from dcmrecv_core.api.outcomes import DEFAULT_TARGET, Series, StoredEvent, Study
from dcmrecv_core.delivery import clock
from dcmrecv_core.delivery.events import at_location, event_of
from dcmrecv_core.delivery.opening import work_on_store
from dcmrecv_core.delivery.store import Claim, Completion, Item, Queue, Store, StoredRecord
from dcmrecv_core.delivery.studies import make_series, make_study
from dcmrecv_core.logs.hashed_uids import UIDS

if TYPE_CHECKING:
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.delivery")

FIRST_PAUSE = 1
LONGEST_PAUSE = 300
"""Seconds before a delivery that failed is tried again, doubled each time."""

POLL = 0.25
"""Seconds between two looks at an empty queue."""

IN_A_ROW = 200
"""Deliveries of one study, before the others have their turn."""


TOGETHER = 200
"""Events in one call of `deliver_many`."""


class Deliverer:
    """Works on one queue, as the process `owner`. `attempts` is None for no limit. The next `turns_alone` turns deliver
    no events together."""

    def __init__(
        self,
        store: Store,
        queue: Queue,
        number: int,
        owner: str,
        plugins: Plugins,
        attempts: int | None,
        turns_alone: int = 0,
    ) -> None:
        self._store = store
        self._queue = queue
        self._number = number
        self._owner = owner
        self._plugins = plugins
        # others are told when it is relocated: that may take as long as it likes
        self._attempts = None if queue.hook == "relocate" else attempts
        self._takes_many = queue.hook == "deliver" and queue.plugin in plugins.order("deliver_many")
        self._turns_alone = turns_alone
        named = queue.hook == "deliver" or queue.name != DEFAULT_TARGET
        self._who = f"plugin {queue.plugin}: {queue.hook}" + f" to {queue.name}" * named

    def turn(self, should_stop: Callable[[], bool]) -> bool:
        """Deliver what is due of one study, or some events of many; False if nothing is. Raises StoreError."""
        if self._takes_many and not self._turns_alone:
            return self._turn_together(should_stop)
        self._turns_alone = max(0, self._turns_alone - 1)
        claim = self._store.claim(self._number, self._owner, self._store.now())
        if claim is not None:
            self._deliver_study(claim, should_stop)
        return claim is not None

    def _turn_together(self, should_stop: Callable[[], bool]) -> bool:
        claims: list[Claim] = []
        events: list[tuple[Claim, Item]] = []
        alone: list[Claim] = []
        while len(events) < TOGETHER and (claim := self._store.claim(self._number, self._owner, self._store.now())):
            items = self._store.next_many(claim, TOGETHER - len(events))
            if items and items[0].attempts:  # it would make all the others fail again
                alone = [claim]
                break
            claims.append(claim)
            events += [(claim, item) for item in items]
        if len(events) < 2:
            alone = [*claims, *alone]
        else:
            if self._deliver_together([item for _, item in events]):
                self._store.all_done(events)
            else:
                self._turns_alone = len(claims)
            for claim in claims:
                self._store.release(claim, self._store.now())
        for claim in alone:
            self._deliver_study(claim, should_stop, 1)  # what has come meanwhile can be delivered together
        return bool(claims or alone)

    def _deliver_together(self, items: Collection[Item]) -> bool:
        """False if each has to be delivered by itself."""
        try:
            events = [self._told(item) for item in items]
        except ValueError:  # a damaged record
            return False
        try:
            self._plugins.call(self._queue.plugin, "deliver_many", events=events, target=self._queue.name)
        except (HookFailure, TryAgain, Undeliverable) as failure:
            log.debug("%s: %s (%d events together), each by itself now", self._who, described(failure), len(events))
            return False
        return True

    def _deliver_study(self, claim: Claim, should_stop: Callable[[], bool], most: int = IN_A_ROW) -> None:
        for _ in range(most):
            item = None if should_stop() else self._store.next(claim)
            if item is None:
                break
            if not self._deliver(claim, item):
                return  # it has given the claim back
        self._store.release(claim, self._store.now())

    def _deliver(self, claim: Claim, item: Item) -> bool:
        """False if it has to be tried again, and the study waits for that."""
        try:
            told = self._told(item)
        except ValueError as error:
            reason = f"its record is damaged: {error}"
            log.error("%s: %s (number %d, study %s), put aside", self._who, reason, item.number, claim.study)
            self._store.put_aside(claim, item, reason)
            return True
        try:
            result = self._call(told)
        except Undeliverable as error:
            return self._put_aside(claim, item, told, str(error.reason))
        except (HookFailure, TryAgain) as failure:
            return self._after_failure(claim, item, told, failure)
        if self._queue.hook == "relocate":
            self._relocated(claim, item, told, result)
        else:
            self._store.done(claim, item)
        return True

    def _relocated(self, claim: Claim, item: Item, told: Any, result: list[str]) -> None:
        """The hook has said where the instance is now, or nothing."""
        [location] = result or [told.location]
        data = at_location(item.content.data, location)  # type: ignore[union-attr]  # it was told
        if not self._store.relocated(claim, item, data, self._store.now()) or location == told.location:
            return
        try:
            self._plugins.remove_location(told.location)
        except (OSError, LookupError, PluginError) as error:
            log.warning("%s: %s is stored at %s, and cannot be removed: %s", self._who, told.location, location, error)

    def _told(self, item: Item) -> StoredEvent | Study | Series:
        """What the hook gets. Raises ValueError."""
        content = item.content
        if content is None:
            raise ValueError("it is no longer there")
        if isinstance(content, StoredRecord):
            return event_of(content.id, content.data, self._plugins)
        return self._completed(content)

    def _completed(self, completion: Completion) -> Study | Series:
        before: list[StoredEvent] = []
        new: list[StoredEvent] = []
        for number, id, data in self._store.events_of(completion):
            try:
                event = event_of(id, data, self._plugins)
            except ValueError as error:
                log.error("event %s of study %s is left out: %s", id, completion.study, error)
                continue
            (new if number > completion.since else before).append(event)
        if not before and not new:
            raise ValueError("its events are no longer there")
        make = make_series if completion.series else make_study
        return make(completion.id, completion.revision, before, new)

    def _call(self, told: StoredEvent | Study | Series) -> Any:
        plugin, hook, target = self._queue.plugin, self._queue.hook, self._queue.name
        if hook == "relocate":
            return self._plugins.call(plugin, hook, event=told)
        if isinstance(told, StoredEvent):
            return self._plugins.call(plugin, hook, event=told, target=target)
        if isinstance(told, Study):
            return self._plugins.call(plugin, hook, study=told, target=target)
        return self._plugins.call(plugin, hook, series=told, target=target)

    def _after_failure(
        self, claim: Claim, item: Item, told: StoredEvent | Study | Series, failure: HookFailure | TryAgain
    ) -> bool:
        text = described(failure) if isinstance(failure, TryAgain) else failure.text
        if isinstance(told, StoredEvent) and _is_gone(told):
            return self._put_aside(claim, item, told, f"{told.location} is gone ({text})")
        failures = item.attempts + 1
        if self._attempts is not None and failures >= self._attempts:
            return self._put_aside(claim, item, told, f"failed {failures} times: {text}")
        pause: float = min(FIRST_PAUSE << min(item.attempts, 16), LONGEST_PAUSE)
        if isinstance(failure, TryAgain) and failure.after is not None:
            pause = failure.after
        is_surprise = isinstance(failure, HookFailure) and not item.attempts
        log.log(
            logging.ERROR if is_surprise else logging.WARNING,
            "%s: %s (%s), again in %g s",
            self._who,
            text,
            describe(told),
            pause,
            exc_info=failure.__cause__ if is_surprise else None,
        )
        self._store.failed(claim, item, self._store.now() + int(pause * clock.SECOND))
        return False

    def _put_aside(self, claim: Claim, item: Item, told: StoredEvent | Study | Series, reason: str) -> bool:
        log.error("%s: %s (%s), put aside for dcmrecvctl queue", self._who, reason, describe(told))
        self._store.put_aside(claim, item, reason)
        return True


def describe(told: StoredEvent | Study | Series) -> str:
    """Whose it is, for the log."""
    if isinstance(told, StoredEvent):
        sender = "" if told.calling_ae_title is None else f" from {told.calling_ae_title}@{told.peer_address}"
        return f"SOP instance {UIDS.shown(told.sop_instance_uid)}{sender}"
    if isinstance(told, Study):
        return f"study {UIDS.shown(told.study_instance_uid)}, revision {told.revision}"
    return f"series {UIDS.shown(told.series_instance_uid)}, revision {told.revision}"


def _is_gone(event: StoredEvent) -> bool:
    with suppress(OSError, LookupError, PluginError):
        try:
            event.open().close()
        except FileNotFoundError:
            return True
    return False


def run(settings: Settings, plugins: Plugins, queue: Queue, slot: int, should_stop: Callable[[], bool]) -> None:
    """A delivery process, until it is told to stop; `slot` tells those of one queue apart. Raises HookFailure if
    `delivery_started` fails, StoreError."""
    os.nice(10)
    plugins.call(queue.plugin, "delivery_started", settings=settings)
    try:
        work_on_store(settings, lambda store: _work(settings, plugins, store, queue, slot, should_stop), should_stop)
    finally:
        plugins.call(queue.plugin, "delivery_stopping")


def _work(
    settings: Settings, plugins: Plugins, store: Store, queue: Queue, slot: int, should_stop: Callable[[], bool]
) -> None:
    while (number := store.number_of(queue)) is None:  # the journal process makes it
        if should_stop():
            return
        time.sleep(POLL)
    owners = [f"process {each}" for each in range(settings.deliver_processes)]
    died_of = store.release_others(number, [owner for owner in owners if owner != owners[slot]], store.now())
    alone = TOGETHER if died_of else 0
    deliverer = Deliverer(store, queue, number, owners[slot], plugins, settings.deliver_attempts, alone)
    with store.keep_claims(number, owners[slot]):
        while not should_stop() and store.number_of(queue) == number:  # else the store was mended
            if not deliverer.turn(should_stop):
                time.sleep(POLL)
