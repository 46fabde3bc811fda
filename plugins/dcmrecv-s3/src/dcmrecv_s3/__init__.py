"""Stores what dcmrecv receives in an S3 bucket, and opens and removes it there.

The hooks are here. What `write` does with an instance, in order:

    place        the URL: which key a path has, which location a key has
    spool        with --s3-spool: stored there first; `relocate` does the rest, in a process of its own
    upload       the instance on its way: in one request, or in parts under a temporary key
    taken        a key that is taken: what the policy says
    client       requests, each with a time limit; what went wrong, in words
    accounts     keys and regions, from where AWS's own tools take them
    probe        whether a server obeys conditions, asked by a process of its own
"""

from __future__ import annotations

import logging
import os
import time
from typing import BinaryIO

from dcmrecv_core import (
    Instance,
    PluginError,
    PluginOptions,
    PluginSettings,
    StorageError,
    StoredEvent,
    TryAgain,
    Undeliverable,
    hookimpl,
)
from dcmrecv_s3.client import Bucket, S3Error
from dcmrecv_s3.place import Place, place_of
from dcmrecv_s3.probe import UNCONDITIONAL, ask, obeys_conditions
from dcmrecv_s3.spool import Spool, subdirectory
from dcmrecv_s3.taken import Storable, store

log = logging.getLogger("dcmrecv.s3")

TIMEOUT = 20

AGAIN_AFTER = 5.0
"""Seconds until an upload that failed is tried again."""

LONGEST_PAUSE = 5.0
"""Seconds that a process waits when one upload after the other fails, so that neither server nor log is flooded."""


def _seconds(text: str) -> int:
    seconds = int(text)
    if seconds < 1:
        raise ValueError("at least 1 expected")
    return seconds


class S3Plugin:
    """Stores each instance as an object. Nothing is connected before a process is forked for good."""

    def __init__(self) -> None:
        self._place: Place | None = None
        self._root = ""
        self._unconditional = False
        self._conditions_proven = False
        self._supervisor: int | None = None
        self._bucket: Bucket | None = None
        self._spool: Spool | None = None
        self._failures = 0

    @hookimpl
    def add_options(self, options: PluginOptions) -> None:
        options.add("--s3-url", value="url", help="store in this bucket: s3://BUCKET/PREFIX")
        options.add("--s3-endpoint", value="url", help="the S3 server (default: that of AWS's settings)")
        options.add(
            "--s3-timeout",
            value="seconds",
            type=_seconds,
            default=TIMEOUT,
            help="refuse an instance if one request takes longer",
        )
        options.add("--s3-unconditional", help="accept a server that ignores conditions of requests")
        options.add(
            "--s3-spool",
            value="directory",
            help="store below the output directory first, upload in the background",
        )

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        """Raises PluginError if the URL is wrong, or the server has no conditional requests."""
        options = settings.options
        before = self._place
        if options["s3_url"] is None:
            raise PluginError("--s3-url says where to store: s3://BUCKET/PREFIX")
        try:
            self._place = place_of(options["s3_url"], options["s3_endpoint"], options["s3_timeout"])
        except ValueError as error:
            raise PluginError(str(error)) from None
        self._root = settings.output_directory or "."
        self._bucket = None
        spool = self.relocate_from(settings)
        self._spool = None if spool is None else Spool(f"{self._root}/{spool}")
        self._unconditional = options["s3_unconditional"]
        if self._place != before:
            self._conditions_proven = False
        if not self._unconditional and not self._conditions_proven and self._may_wait():
            self._conditions_proven = self._ask_for_conditions()

    def _may_wait(self) -> bool:
        """Not at a reload in the supervisor, which serves meanwhile: the process that checks the settings has asked,
        and each worker does."""
        if self._supervisor is None:
            self._supervisor = os.getpid()
            return True
        return os.getpid() != self._supervisor

    def _ask_for_conditions(self) -> bool:
        place = self._given_place()
        obeys, reason = ask(place)
        if obeys is None:
            what = "instances are refused" if self._spool is None else "instances stay in the spool"
            log.warning("%s cannot be used now, %s until it can: %s", place.url, what, reason)
        elif not obeys:
            raise PluginError(f"{place.url}: {UNCONDITIONAL}; --s3-unconditional stores all the same")
        return bool(obeys)

    @hookimpl
    def worker_started(self) -> None:
        if self._spool is None:
            self._opened()
        else:
            self._spool.make()

    @hookimpl
    def worker_stopping(self) -> None:
        self._close()

    @hookimpl
    def delivery_started(self) -> None:
        if self._spool is not None:
            self._spool.make()  # a worker may take longer to start
            self._spool.tidy()

    @hookimpl
    def delivery_stopping(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._bucket is not None:
            self._bucket.close()
            self._bucket = None

    @hookimpl
    def write(self, instance: Instance, path: str) -> str:
        key = self._given_place().key_of(path.removeprefix(f"{self._root}/"))
        if self._spool is not None:
            return self._spool.add(instance, key)
        try:
            with instance.outside_time_limit():
                return self._store(instance, key)
        except S3Error as error:
            raise StorageError(f"S3: {error}") from error

    @hookimpl
    def relocate_from(self, settings: PluginSettings) -> str | None:
        spool = settings.options["s3_spool"]
        return None if spool is None else subdirectory(spool, settings.output_directory or ".")

    @hookimpl
    def relocate(self, event: StoredEvent) -> str | None:
        """Upload an instance of the spool. One that cannot be uploaded stays there, and is tried again."""
        if self._spool is None or not self._spool.has(event.location):
            return None
        try:
            spooled = self._spool.take(event)
            location = self._store(spooled, spooled.key)
        except FileNotFoundError:
            raise Undeliverable(f"{event.location} or its key is gone") from None
        except S3Error as error:
            time.sleep(min(self._failures, LONGEST_PAUSE))
            self._failures += 1
            raise TryAgain(f"S3: {error}", AGAIN_AFTER) from error
        self._failures = 0
        return location

    def _store(self, instance: Storable, key: str) -> str:
        """Returns its location. Raises S3Error."""
        bucket = self._opened()
        if not self._unconditional and not self._conditions_proven:
            if not bucket.run(obeys_conditions(bucket)):
                raise S3Error(UNCONDITIONAL)
            self._conditions_proven = True
        return self._given_place().location_of(store(bucket, instance, key, self._unconditional))

    @hookimpl
    def open_location(self, location: str) -> BinaryIO | None:
        key = self._given_place().key_in(location)
        return None if key is None else self._opened().fetch(key, self._root)

    @hookimpl
    def remove_location(self, location: str) -> bool | None:
        if self._spool is not None and self._spool.has(location):
            self._spool.remove(location)
            return True
        key = self._given_place().key_in(location)
        if key is None:
            return None
        self._opened().remove(key)
        return True

    def _opened(self) -> Bucket:
        """The client of this process. `configure` makes none: it would start threads, which do not survive a fork."""
        if self._bucket is None:
            self._bucket = Bucket(self._given_place())
        return self._bucket

    def _given_place(self) -> Place:
        if self._place is None:
            raise PluginError("--s3-url is missing")
        return self._place


plugin = S3Plugin()
