"""Slow work of plugins beside the reception: a supervised child process for each plugin with the `background` hook.

The supervisor's side, `Background`, never blocks: it forks, starts again what failed, each time after a longer pause,
and tells all of them to end. `run_background` is the child's side.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import HookFailure
from dcmrecv_core.hooks.guards import BackgroundStopped
from dcmrecv_core.net.child import fork

if TYPE_CHECKING:
    from types import FrameType

    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.net")

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds until a child that failed is started again, doubled each time that happens again."""

STABLE_SECONDS = 60.0
"""One that ran for so long before it failed is started again after FIRST_PAUSE."""

DONE = 0
FAILED = 1
TERMINATED = 128 + signal.SIGTERM
"""Exit codes of a child: the hook returned; it failed and the guard has said so; SIGTERM ended it."""

_TICK = 1.0

BackgroundMain = Callable[[str], int]


@dataclass(slots=True, eq=False)
class Child:
    """The supervisor's view of one plugin's child.

    `pid` is None while it does not run; `due` is when it is to start, None for never; `end_by` is when it is killed, if
    it was told to end for a new start.
    """

    plugin: str
    due: float | None = 0.0
    pid: int | None = None
    since: float = 0.0
    pause: float = FIRST_PAUSE
    end_by: float | None = None


class Background:
    """The children of all `plugins` that have the hook. `main(plugin)` runs in each, with all signals blocked.

    `grace` is how many seconds one has to end for new settings.
    """

    def __init__(self, plugins: Iterable[str], main: BackgroundMain, grace: float) -> None:
        self._main = main
        self._grace = grace
        self._children = [Child(plugin) for plugin in plugins]

    def __len__(self) -> int:
        """How many are running, zombies included."""
        return sum(child.pid is not None for child in self._children)

    def tick(self, now: float) -> None:
        """Start what is due, kill what does not make room for its successor."""
        for child in self._children:
            if child.pid is None:
                if child.due is not None and child.due <= now:
                    self._start(child, now)
            elif child.end_by is not None and child.end_by <= now:
                log.error("background of plugin %s: process %d does not end, killing it", child.plugin, child.pid)
                os.kill(child.pid, signal.SIGKILL)
                child.end_by = math.inf

    def ended(self, pid: int, code: int, now: float) -> None:
        """A child process of the supervisor has ended with `code`, or by a signal (negative); perhaps one of these."""
        for child in self._children:
            if child.pid == pid:
                child.pid = None
                if child.due is not None and child.end_by is None:
                    self._after(child, pid, code, now)

    def renew(self, now: float) -> None:
        """The settings have changed: tell those that run to end, and start all again, also what is done or waits."""
        self.signal_all(signal.SIGTERM)
        for child in self._children:
            child.due = now
            child.pause = FIRST_PAUSE
            child.end_by = now + self._grace if child.pid is not None else None

    def stop(self) -> None:
        """Tell all to end; none is started any more."""
        for child in self._children:
            child.due = None
        self.signal_all(signal.SIGTERM)

    def signal_all(self, number: int) -> None:
        for child in self._children:
            if child.pid is not None:
                os.kill(child.pid, number)  # not reaped yet, so the number is still its own

    def _start(self, child: Child, now: float) -> None:
        child.since = now
        child.end_by = None
        try:
            child.pid = fork(lambda: self._main(child.plugin))
        except OSError as error:
            log.error("background of plugin %s: cannot be started: %s", child.plugin, error.strerror)
            self._put_off(child, now)
        else:
            log.info("background of plugin %s: started (process %d)", child.plugin, child.pid)

    def _after(self, child: Child, pid: int, code: int, now: float) -> None:
        if code == DONE:
            log.info("background of plugin %s: done (process %d)", child.plugin, pid)
            child.due = None
            return
        if now - child.since >= STABLE_SECONDS:
            child.pause = FIRST_PAUSE
        how = f"was killed by signal {-code}" if code < 0 else _REASONS.get(code, f"ended with exit code {code}")
        log.error(
            "background of plugin %s: process %d %s, starting it again in %g s", child.plugin, pid, how, child.pause
        )
        self._put_off(child, now)

    def _put_off(self, child: Child, now: float) -> None:
        child.due = now + child.pause
        child.pause = min(2 * child.pause, LONGEST_PAUSE)


_REASONS = {FAILED: "failed", TERMINATED: "was told to end, and not by the supervisor"}


class _Process:
    """What signal handlers of a child touch. Each raises once, or it would break into the hook's own cleaning up."""

    def __init__(self, grace: float) -> None:
        self._parent = os.getppid()
        self._grace = grace
        self._orphan_end: float | None = None
        self._stopped = False

    def arm(self) -> None:
        """Install the handlers, start the tick that looks at the parent, and let signals in: one may raise at once."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGALRM, self._on_tick)
        signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def disarm(self) -> None:
        """The hook is over; nothing raises any more."""
        self._stopped = True

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop()

    def _on_tick(self, number: int, frame: FrameType | None) -> None:
        if self._orphan_end is None:
            if os.getppid() != self._parent:
                self._orphan_end = time.monotonic() + self._grace
                self._stop()
        elif time.monotonic() > self._orphan_end:
            os._exit(TERMINATED)  # as the supervisor would have killed it

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            raise BackgroundStopped(TERMINATED)


def run_background(plugin: str, settings: Settings, plugins: Plugins, grace: float) -> int:
    """Run the `background` hook of `plugin` to its end; returns the process's exit code.

    Starts with all signals blocked. After the end of its supervisor it has `grace` seconds.
    """
    process = _Process(grace)
    try:
        try:
            process.arm()
            plugins.background(plugin, settings)
        finally:
            process.disarm()
    except HookFailure:
        return FAILED  # the guard has logged it
    except BackgroundStopped:
        return TERMINATED
    finally:
        logging.shutdown()
    return DONE
