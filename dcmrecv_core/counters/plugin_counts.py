"""What plugins count themselves, and how long their hooks take, if one of them wants to know."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.api.settings import Cells, PluginCounter
from dcmrecv_core.counters.slot import MAX_PLUGIN_COUNTERS

if TYPE_CHECKING:
    from dcmrecv_core.counters.document import Counters
    from dcmrecv_core.counters.slot import CounterSlot


class PluginCounts:
    """The counters that plugins have declared, and where this process counts. Each receiver has one.

    `read` returns what the whole receiver counts, in all of its processes; None before there is shared memory.
    """

    def __init__(self) -> None:
        self.names: list[tuple[str, str]] = []
        """Of plugin and counter."""
        self.measures_hooks = False
        """Whether a plugin asks for the times of all hooks."""
        self.cells: Cells = [0] * MAX_PLUGIN_COUNTERS
        self.read: Callable[[], Counters] | None = None
        self._is_child = False

    def use(self, slot: CounterSlot) -> None:
        """This process, a child of the supervisor, counts there from now on, and declares nothing more."""
        self.cells = slot.plugin_counters
        self._is_child = True

    def declare(self, plugin: str, name: str) -> PluginCounter:
        """Raises PluginError, as a counter that a worker declared would be another one in the next worker."""
        if (plugin, name) not in self.names:
            if self._is_child:
                raise PluginError(f"counter {name!r} has to be declared in configure", plugin=plugin)
            if len(self.names) == MAX_PLUGIN_COUNTERS:
                raise PluginError(f"there are {MAX_PLUGIN_COUNTERS} counters already", plugin=plugin)
            self.names.append((plugin, name))
        return PluginCounter(self, self.names.index((plugin, name)))

    def of(self, plugin: str) -> OwnCounts:
        """As this plugin sees it."""
        return OwnCounts(self, plugin)


class OwnCounts:
    """`PluginCounts` as one plugin sees it."""

    def __init__(self, counts: PluginCounts, plugin: str) -> None:
        self._counts = counts
        self._plugin = plugin

    def declare(self, name: str) -> PluginCounter:
        return self._counts.declare(self._plugin, name)

    def measure_hooks(self) -> None:
        self._counts.measures_hooks = True

    def read(self) -> Counters | None:
        return None if self._counts.read is None else self._counts.read()
