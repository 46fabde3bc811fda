"""How long a session waits for its peer, and which limit ends that. No I/O and no clock.

Between messages a peer may be quiet (`-td`), unless it has to make room for another one (`--idle-eviction`). Inside a
message it has to make progress (`--progress-timeout`), and not too slowly (`--min-rate`). Only time in which the
session waits for the peer counts, not that of hooks and disks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dcmrecv_core.net.worker.association_log import NO_DATA, NOT_RECEIVED

if TYPE_CHECKING:
    from dcmrecv_core.net.admission import Slot
    from dcmrecv_core.settings.settings import Settings


class Exceeded(NamedTuple):
    """Why an association is aborted, and what the log says of an instance that is lost with it."""

    why: str
    lost: str = NOT_RECEIVED


class PeerDeadlines:
    """Those of one association. `slot` shows the supervisor since when the session waits for the next message.

    `quiet_since`: when the peer last sent or accepted a byte, None while it does; monotonic seconds.
    """

    __slots__ = ("_inside_bytes", "_inside_seconds", "_settings", "_slot", "quiet_since")

    def __init__(self, settings: Settings, slot: Slot) -> None:
        self._settings = settings
        self._slot = slot
        self.quiet_since: float | None = None
        self._inside_seconds = 0.0
        self._inside_bytes = 0

    def end_of_quiet(self) -> None:
        """The peer sends again."""
        self.quiet_since = None
        self._slot.wait_since(0.0)

    def after_quiet(self, now: float, *, inside: bool) -> Exceeded | None:
        """The peer is quiet since `quiet_since`, `inside` a message or without reading responses, or between messages:
        the limit that this exceeds."""
        since = now if self.quiet_since is None else self.quiet_since
        self._slot.wait_since(0.0 if inside else since)
        quiet = now - since
        limit, progress = self._settings.dimse_timeout, self._settings.progress_timeout
        if limit is not None and quiet >= limit:
            return Exceeded(f"nothing received for {limit} s (--dimse-timeout)", NO_DATA)
        if inside and quiet >= progress:
            return Exceeded(f"no progress for {progress} s inside a message")
        return None

    def eviction(self, now: float) -> Exceeded | None:
        """Whether the supervisor wants the place of this peer, which is quiet between messages, for another one. By the
        supervisor's settings it has been so for long enough. The caller makes sure that no bytes wait in the socket."""
        newcomer = self._slot.newcomer
        if not newcomer or self.quiet_since is None:
            return None
        quiet = now - self.quiet_since
        return Exceeded(f"no message for {quiet:.0f} s, and {newcomer} needs its place (--idle-eviction)")

    def after_wait_inside(self, seconds: float, count: int) -> Exceeded | None:
        """The session has waited so long inside a message and got so many bytes: the limit that this exceeds.

        Windows of `--progress-timeout` seconds of waiting follow one another, across messages: else a peer could send
        small messages slowly for ever. A peer that sends nothing at all is the business of `after_quiet`."""
        self._inside_seconds += seconds
        self._inside_bytes += count
        rate, window = self._settings.min_rate, self._settings.progress_timeout
        if rate is None or not count or self._inside_seconds < window:
            return None
        too_slow = self._inside_bytes < rate * self._inside_seconds
        self._inside_seconds, self._inside_bytes = 0.0, 0
        if not too_slow:
            return None
        return Exceeded(f"less than {rate} bytes a second for {window} s inside messages (--min-rate)")
