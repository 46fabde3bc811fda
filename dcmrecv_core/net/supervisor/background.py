"""Work apart from reception, in supervised child processes: plugins' hook `background`, the journal, deliveries.

The supervisor's side, `Background`, never blocks. It forks the children, restarts those that fail, each time after a
longer pause, and stops them. `run_background` and `run_until_stopped` are the child's side.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dcmrecv_core.api.errors import HookFailure, StorageError
from dcmrecv_core.delivery.store import StoreError
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

STOP_GRACE = 7.0
"""Seconds after SIGTERM that a delivery under way may take; then its hook gets a SystemExit. A second less than the
supervisor's grace, so that it can clean up."""


class Job(NamedTuple):
    """What a child runs, with all signals blocked: `main` returns its exit code. After failures it is started again
    after `longest_pause` seconds at most; if it is `endless`, any end is one that the supervisor did not ask for."""

    main: Callable[[], int]
    longest_pause: float = LONGEST_PAUSE
    endless: bool = False


Jobs = Mapping[str, Job]
"""By their titles for the log."""


@dataclass(slots=True, eq=False)
class Child:
    """The supervisor's record of a child; `title` says in the log what it does.

    `pid` is None while it does not run; `due` is the time of its next start, None for never; `kill_at` is the time at
    which it is killed, if it was told to end because of a reload.
    """

    title: str
    job: Job
    due: float | None = 0.0
    pid: int | None = None
    started_at: float = 0.0
    pause: float = FIRST_PAUSE
    kill_at: float | None = None


class Background:
    """A child for each of the `jobs`. After a reload a child has `grace` seconds to end. If it `is_paused`, it starts
    none before `resume`."""

    def __init__(self, jobs: Jobs, grace: float, *, is_paused: bool = False) -> None:
        self._grace = grace
        self._is_paused = is_paused
        self._children = [Child(title, job) for title, job in jobs.items()]

    def __len__(self) -> int:
        """Number of running children, zombies included."""
        return sum(child.pid is not None for child in self._children)

    def tick(self, now: float) -> None:
        """Start children that are due; kill those that have not ended within their grace period after a reload."""
        for child in self._children:
            if child.pid is None:
                if child.due is not None and child.due <= now and not self._is_paused:
                    self._start(child, now)
            elif child.kill_at is not None and child.kill_at <= now:
                log.error("%s: process %d does not end, killing it", child.title, child.pid)
                os.kill(child.pid, signal.SIGKILL)
                child.kill_at = math.inf

    def child_ended(self, pid: int, code: int, now: float) -> None:
        """A child process of the supervisor, perhaps one of these, ended with `code` (minus the signal if killed)."""
        for child in self._children:
            if child.pid == pid:
                child.pid = None
                if child.due is not None and child.kill_at is None:
                    self._on_exit(child, pid, code, now)
        self._children = [child for child in self._children if child.pid is not None or child.due is not None]

    def restart_all(self, now: float, jobs: Jobs) -> None:
        """After a reload: tell running children to end, and start all `jobs`, also those that had finished."""
        self.signal_all(signal.SIGTERM)
        known = {child.title: child for child in self._children}
        for title, job in jobs.items():
            if title not in known:
                self._children.append(Child(title, job))
        for child in self._children:
            child.job = jobs.get(child.title, child.job)
            child.due = now if child.title in jobs else None
            child.pause = FIRST_PAUSE
            child.kill_at = now + self._grace if child.pid is not None else None

    def pause(self, now: float) -> None:
        """Tell all children to end, and start none before `resume`."""
        self._is_paused = True
        for child in self._children:
            if child.pid is not None:
                child.due = now
                child.kill_at = now + self._grace
        self.signal_all(signal.SIGTERM)

    def resume(self) -> None:
        """Start the children that `pause` has ended or kept from starting."""
        self._is_paused = False

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
            child.pid = fork(child.job.main)
        except OSError as error:
            log.error("%s: cannot be started: %s", child.title, error.strerror)
            self._schedule_restart(child, now)
        else:
            log.info("%s: started (process %d)", child.title, child.pid)

    def _on_exit(self, child: Child, pid: int, code: int, now: float) -> None:
        if code == DONE and not child.job.endless:
            log.info("%s: done (process %d)", child.title, pid)
            child.due = None
            return
        if now - child.started_at >= STABLE_SECONDS:
            child.pause = FIRST_PAUSE
        how = f"was killed by signal {-code}" if code < 0 else _REASONS.get(code, f"ended with exit code {code}")
        log.error("%s: process %d %s, starting it again in %g s", child.title, pid, how, child.pause)
        self._schedule_restart(child, now)

    def _schedule_restart(self, child: Child, now: float) -> None:
        child.due = now + child.pause
        child.pause = min(2 * child.pause, child.job.longest_pause)


_REASONS = {FAILED: "failed", TERMINATED: "was told to end, and not by the supervisor"}


class _Process:
    """The state that a child's signal handlers use. They raise once only, so that the clean-up can finish.

    SIGTERM raises at once, or, if the process looks at `stopping` from time to time, after `patience` seconds.
    """

    def __init__(self, grace: float, patience: float = 0.0) -> None:
        self._parent = os.getppid()
        self._grace = grace
        self._patience = patience
        self._orphan_deadline: float | None = None
        self._raise_at = math.inf
        self._ended = False
        self.stopping = False

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
        """The work has ended; the handlers raise nothing any more."""
        self._ended = True

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop()

    def _on_tick(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._orphan_deadline is None:
            if os.getppid() != self._parent:
                self._orphan_deadline = now + self._grace
                self._stop()
        elif now > self._orphan_deadline:
            os._exit(TERMINATED)  # where a living supervisor would kill it
        if now > self._raise_at:
            self._raise()

    def _stop(self) -> None:
        self.stopping = True
        if self._patience:
            self._raise_at = min(self._raise_at, time.monotonic() + self._patience)
        else:
            self._raise()

    def _raise(self) -> None:
        if not self._ended:
            self._ended = True
            raise BackgroundStopped(TERMINATED)


def run_background(plugin: str, settings: Settings, plugins: Plugins, grace: float) -> int:
    """Run the `background` hook of `plugin`; returns the process's exit code.

    Called with all signals blocked. If the kernel does not kill it when its supervisor dies, the hook has `grace`
    seconds to end.
    """
    return _run(_Process(grace), lambda process: plugins.background(plugin, settings))


def run_until_stopped(main: Callable[[Callable[[], bool]], None], grace: float) -> int:
    """Run `main`, which goes on until its argument says that it has to end. As `run_background`, but SIGTERM leaves
    what is under way `STOP_GRACE` seconds. Errors of the state directory are logged, and the process starts again."""

    def run(process: _Process) -> None:
        try:
            main(lambda: process.stopping)
        except (OSError, StoreError, StorageError) as error:
            text = error.comment if isinstance(error, StorageError) else str(error)
            log.error("the state directory cannot be used: %s", text)
            raise HookFailure(text) from error

    return _run(_Process(grace, STOP_GRACE), run)


def _run(process: _Process, main: Callable[[_Process], None]) -> int:
    try:
        try:
            process.arm()
            main(process)
        finally:
            process.disarm()
    except HookFailure:
        return FAILED  # it has been logged
    except BackgroundStopped:
        return TERMINATED
    finally:
        logging.shutdown()
    return DONE
