"""Limits on plugin code: the time of a hook is counted, memory is capped, forked copies exit.

`Plugins` owns one `PluginLimits`. A worker sets the limits when it begins; without that there are none.
"""

from __future__ import annotations

import logging
import os
import resource
import threading
import traceback
from time import monotonic
from typing import TYPE_CHECKING

from dcmrecv_core.counters.plugin_counts import PluginCounts
from dcmrecv_core.hooks.descriptors import DescriptorGuard
from dcmrecv_core.hooks.places import running

if TYPE_CHECKING:
    from dcmrecv_core.counters.slot import HookCalls

log = logging.getLogger("dcmrecv.plugins")

_FORKED = (
    "has forked this worker; each copy ends at once, which is not reported again. "
    "Use subprocess, multiprocessing.get_context('spawn') or the hook background"
)

RESERVE = 32 << 20
"""Bytes above the limit, to answer and to end properly with when plugin code has used up the memory."""


class HookTimeout(BaseException):
    """A hook has used up its time. Not an Exception, so that a plugin's `except Exception` does not swallow it."""


class HookTimer:
    """Counts the ticks (about one a second) that the running hook has lasted; `tick` raises in it when it is over.

    A call costs two attribute writes and no system call: the worker's one interval timer drives all of them. `flag` is
    the byte by which the supervisor sees which plugin code is running, so that it can end a worker that does not yield.
    `running` is the number of the hook that runs, 0 for none.
    """

    __slots__ = ("_began", "_calls", "_ticks", "flag", "limit", "running")

    def __init__(self) -> None:
        self.limit: float | None = None
        self.running = 0
        self.flag: bytearray | memoryview = bytearray(1)
        self._ticks = 0
        self._began = 0.0
        self._calls: HookCalls | None = None

    def measure(self, calls: HookCalls) -> None:
        """Count from now on each call and its time there. Without it, as nearly always, that costs nothing."""
        self._calls = calls
        self.__class__ = _MeasuringTimer

    def start(self, number: int) -> None:
        """The hook of this number (`PluginLimits.number`) begins."""
        self._ticks = 0
        self.running = number
        self.flag[0] = number

    def stop(self) -> None:
        self.running = 0
        self.flag[0] = 0

    @property
    def ticks(self) -> int:
        """How many of them the running hook has lasted."""
        return self._ticks if self.running else 0

    def tick(self) -> None:
        """One second has passed; raises HookTimeout into a hook that is over its limit, if there is one."""
        if self.running and self.limit is not None:
            self._ticks += 1
            if self._ticks > self.limit:
                self._ticks = 0  # a hook that swallows it gets the next one a limit later
                raise HookTimeout(f"longer than {self.limit:g} seconds")

    def suspend(self) -> int:
        """Before the core's own work in a hook's name (`Instance.save`): a slow disk is not the plugin's fault. Returns
        the argument for `resume`."""
        was_running, self.running = self.running, 0
        self.flag[0] = 0
        return was_running

    def resume(self, was_running: int) -> None:
        """That work is done."""
        self.running = was_running
        self.flag[0] = was_running


class _MeasuringTimer(HookTimer):
    """The same object after `measure`: guards hold it already. Calls of `super` would double what it costs."""

    __slots__ = ()

    def start(self, number: int) -> None:
        self._ticks = 0
        self.running = number
        self.flag[0] = number
        self._began = monotonic()

    def stop(self) -> None:
        if self.running and self._calls is not None:
            self._calls.add(self.running, monotonic() - self._began)
        self.running = 0
        self.flag[0] = 0

    def suspend(self) -> int:
        was_running, self.running = self.running, 0
        self.flag[0] = 0
        if was_running:
            self._began = monotonic() - self._began  # what it has lasted, until `resume`
        return was_running

    def resume(self, was_running: int) -> None:
        if was_running:
            self._began = monotonic() - self._began
        self.running = was_running
        self.flag[0] = was_running


class MemoryGuard:
    """The memory limit of this process. Private memory counts (RLIMIT_DATA), not what is only mapped: libraries that
    plugins import reserve gigabytes of address space. On a system that counts in another way, the limit is weaker."""

    def __init__(self) -> None:
        self.ran_out = False
        """Whether memory has run out at some time: this process should serve no further association."""

    def limit(self, size: int) -> None:
        """From now on MemoryError is raised where more than `size` bytes would be used."""
        self.ran_out = False
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        wanted = size + RESERVE
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (min(size, most), most))

    def release(self, error: BaseException) -> None:
        """If `error` says that memory has run out: free what the failed calls held, and open the reserve."""
        if not isinstance(error, MemoryError):
            return
        self.ran_out = True
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        traceback.clear_frames(error.__traceback__)


MAX_NUMBER = 127
"""Of a hook, in the flag of a `HookTimer`; all further ones share it."""


class PluginLimits:
    """The limits that the plugins of one receiver share. One timer is enough: workers are single-threaded."""

    def __init__(self) -> None:
        self.timer = HookTimer()
        self.memory = MemoryGuard()
        self.descriptors = DescriptorGuard()
        self.counts = PluginCounts()
        self._hooks: list[tuple[str, str]] = []

    def notice(self, error: BaseException) -> None:
        """A hook has raised `error`, perhaps because memory or descriptors have run out."""
        self.memory.release(error)
        self.descriptors.notice(error)

    def number(self, plugin: str, hook: str) -> int:
        """The number, from 1 to `MAX_NUMBER`, of a plugin's hook; the same at each reload."""
        if (plugin, hook) not in self._hooks:
            self._hooks.append((plugin, hook))
        return min(self._hooks.index((plugin, hook)) + 1, MAX_NUMBER)

    def hook(self, number: int) -> tuple[str, str] | None:
        """The plugin and the hook of a number; None if several share it."""
        known = 0 < number < MAX_NUMBER and number <= len(self._hooks)
        return self._hooks[number - 1] if known else None

    def hook_name(self, number: int) -> str:
        """`hook receive of plugin mysite`, for the log."""
        known = self.hook(number)
        return f"hook {known[1]} of plugin {known[0]}" if known else "a plugin hook"


def forbid_copies() -> None:
    """From now on a fork of this process ends at once in the copy, which would otherwise go on with the connection and
    everything else that belongs to us. Programs can be started all the same (`subprocess`)."""
    os.register_at_fork(after_in_child=lambda: os._exit(1), after_in_parent=_ForkReport())


class _ForkReport:
    """Reports the first fork of each hook. A pool of `multiprocessing` forks again and again, in a thread of its own:
    a fork outside of all hooks is reported only if no other one was."""

    def __init__(self) -> None:
        self._reported: set[tuple[str, str]] = set()

    def __call__(self) -> None:
        plugin, hook, place = running()
        if (plugin, hook) in self._reported or (not plugin and self._reported):
            return
        self._reported.add((plugin, hook))
        who = f"plugin {plugin}: {hook}" if plugin else f"thread {threading.current_thread().name} of a plugin"
        at = f" ({place})" if place else ""
        log.error("%s: %s%s", who, _FORKED, at)
