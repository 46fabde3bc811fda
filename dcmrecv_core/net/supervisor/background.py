"""Slow work of plugins, apart from reception: a supervised child process for each plugin with the `background` hook.

The supervisor's side, `Background`, never blocks. It forks the children, restarts those that fail, each time after a
longer pause, and stops them. `run_background` is the child's side.
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
"""Seconds until a child that failed is restarted, doubled with each failure."""

STABLE_SECONDS = 60.0
"""A child that ran at least so long before it failed is restarted after FIRST_PAUSE."""

DONE = 0
FAILED = 1
TERMINATED = 128 + signal.SIGTERM
"""Exit codes of a child: the hook returned; it failed, and the guard has logged it; SIGTERM ended it."""

_TICK = 1.0

BackgroundMain = Callable[[str], int]


@dataclass(slots=True, eq=False)
class Child:
    """The supervisor's record of one plugin's child.

    `pid` is None while it does not run; `due` is the time of its next start, None for never; `kill_at` is the time at
    which it is killed, if it was told to end because of a reload.
    """

    plugin: str
    due: float | None = 0.0
    pid: int | None = None
    started_at: float = 0.0
    pause: float = FIRST_PAUSE
    kill_at: float | None = None


class Background:
    """The children of all `plugins` that have the hook. `main(plugin)` runs in each, with all signals blocked.

    After a reload a child has `grace` seconds to end.
    """

    def __init__(self, plugins: Iterable[str], main: BackgroundMain, grace: float) -> None:
        self._main = main
        self._grace = grace
        self._children = [Child(plugin) for plugin in plugins]

    def __len__(self) -> int:
        """Number of running children, zombies included."""
        return sum(child.pid is not None for child in self._children)

    def tick(self, now: float) -> None:
        """Start children that are due; kill those that have not ended within their grace period after a reload."""
        for child in self._children:
            if child.pid is None:
                if child.due is not None and child.due <= now:
                    self._start(child, now)
            elif child.kill_at is not None and child.kill_at <= now:
                log.error("background of plugin %s: process %d does not end, killing it", child.plugin, child.pid)
                os.kill(child.pid, signal.SIGKILL)
                child.kill_at = math.inf

    def child_ended(self, pid: int, code: int, now: float) -> None:
        """A child process of the supervisor, perhaps one of these, ended with `code` (minus the signal if killed)."""
        for child in self._children:
            if child.pid == pid:
                child.pid = None
                if child.due is not None and child.kill_at is None:
                    self._on_exit(child, pid, code, now)

    def restart_all(self, now: float) -> None:
        """After a reload: tell running children to end, and start all again, also those that had finished."""
        self.signal_all(signal.SIGTERM)
        for child in self._children:
            child.due = now
            child.pause = FIRST_PAUSE
            child.kill_at = now + self._grace if child.pid is not None else None

    def stop(self) -> None:
        """Tell all children to end, and start none any more."""
        for child in self._children:
            child.due = None
        self.signal_all(signal.SIGTERM)

    def signal_all(self, number: int) -> None:
        for child in self._children:
            if child.pid is not None:
                os.kill(child.pid, number)  # not reaped yet, so the number is still its own

    def _start(self, child: Child, now: float) -> None:
        child.started_at = now
        child.kill_at = None
        try:
            child.pid = fork(lambda: self._main(child.plugin))
        except OSError as error:
            log.error("background of plugin %s: cannot be started: %s", child.plugin, error.strerror)
            self._schedule_restart(child, now)
        else:
            log.info("background of plugin %s: started (process %d)", child.plugin, child.pid)

    def _on_exit(self, child: Child, pid: int, code: int, now: float) -> None:
        if code == DONE:
            log.info("background of plugin %s: done (process %d)", child.plugin, pid)
            child.due = None
            return
        if now - child.started_at >= STABLE_SECONDS:
            child.pause = FIRST_PAUSE
        how = f"was killed by signal {-code}" if code < 0 else _REASONS.get(code, f"ended with exit code {code}")
        log.error(
            "background of plugin %s: process %d %s, starting it again in %g s", child.plugin, pid, how, child.pause
        )
        self._schedule_restart(child, now)

    def _schedule_restart(self, child: Child, now: float) -> None:
        child.due = now + child.pause
        child.pause = min(2 * child.pause, LONGEST_PAUSE)


_REASONS = {FAILED: "failed", TERMINATED: "was told to end, and not by the supervisor"}


class _Process:
    """The state that a child's signal handlers use. They raise once only, so that the hook's clean-up can finish."""

    def __init__(self, grace: float) -> None:
        self._parent = os.getppid()
        self._grace = grace
        self._orphan_deadline: float | None = None
        self._stopped = False

    def arm(self) -> None:
        """Install the handlers, start the tick that checks the parent, and unblock signals: one may raise at once."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGALRM, self._on_tick)
        signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def disarm(self) -> None:
        """The hook has ended; the handlers raise nothing any more."""
        self._stopped = True

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop()

    def _on_tick(self, number: int, frame: FrameType | None) -> None:
        if self._orphan_deadline is None:
            if os.getppid() != self._parent:
                self._orphan_deadline = time.monotonic() + self._grace
                self._stop()
        elif time.monotonic() > self._orphan_deadline:
            os._exit(TERMINATED)  # where a living supervisor would kill it

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            raise BackgroundStopped(TERMINATED)


def run_background(plugin: str, settings: Settings, plugins: Plugins, grace: float) -> int:
    """Run the `background` hook of `plugin`; returns the process's exit code.

    Called with all signals blocked. If the kernel does not kill it when its supervisor dies, the hook has `grace`
    seconds to end.
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
