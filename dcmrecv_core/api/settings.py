"""What hooks may read of the receiver's settings."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol

from dcmrecv_core.api.errors import StateDirectoryError

UID_HASH_KEY = "uid-hash.key"
"""The file, in the state directory, of the key for hashes of UIDs that plugins have changed."""


class Locations(Protocol):
    """Asks the plugins of a receiver for what is at a location."""

    def open_location(self, location: str) -> BinaryIO:
        """As `PluginSettings.open_location`."""

    def remove_location(self, location: str) -> bool:
        """As `PluginSettings.remove_location`."""


class Cells(Protocol):
    """Numbers in memory."""

    def __getitem__(self, number: int, /) -> int: ...

    def __setitem__(self, number: int, value: int, /) -> None: ...


class CounterCells(Protocol):
    """Where a process counts what plugins have declared."""

    @property
    def cells(self) -> Cells: ...


class PluginCounter:
    """What a plugin counts: in each process for itself, all of them together in `Counters.plugin_counters`."""

    __slots__ = ("_number", "_where")

    def __init__(self, where: CounterCells, number: int) -> None:
        self._where = where
        self._number = number

    def add(self, number: int = 1) -> None:
        """Count so many more. Raises ValueError if it is negative."""
        if number < 0:
            raise ValueError(f"a counter never goes back: {number}")
        self._where.cells[self._number] += number

    @property
    def value(self) -> int:
        """What this process has counted, with those before it in its place."""
        return self._where.cells[self._number]


class Counting(Protocol):
    """What the receiver counts, as one plugin sees it."""

    def declare(self, name: str) -> PluginCounter:
        """As `PluginSettings.counter`."""

    def measure_hooks(self) -> None:
        """As `PluginSettings.measure_hooks`."""

    def read(self) -> object | None:
        """What all processes count, None if this process belongs to no receiver."""


class _Uncounted:
    """For settings that belong to no receiver, as in a unit test."""

    def __init__(self) -> None:
        self.cells: list[int] = []

    def declare(self, name: str) -> PluginCounter:
        self.cells.append(0)
        return PluginCounter(self, len(self.cells) - 1)

    def measure_hooks(self) -> None:
        pass

    def read(self) -> object | None:
        return None


@dataclass(frozen=True, slots=True, init=False, repr=False)
class PluginSettings:
    """The settings as a plugin gets them: its own options, and the little that every plugin may rely on.

    Another attribute raises an AttributeError that names those there are.
    """

    port: int | None
    """The TCP port; None if the listening sockets were handed over by systemd."""
    output_directory: str
    """`--output-directory`, as it was given."""
    options: Mapping[str, Any]
    """The values of the options that the plugin declared, by key: `keep_days`."""
    _state_directory: Path | str
    _all_options: Mapping[str, Mapping[str, Any]]
    _locations: Locations | None = field(compare=False)
    _counting: Counting = field(compare=False)

    def __init__(
        self,
        *,
        port: int | None = None,
        output_directory: str = ".",
        options: Mapping[str, Any] | None = None,
        state_directory: Path | str = Path(".dcmrecv"),
        all_options: Mapping[str, Mapping[str, Any]] | None = None,
        _locations: Locations | None = None,
        _counting: Counting | None = None,
    ) -> None:
        """`state_directory` is a text if there is none: why. `all_options` are those of all plugins by name."""
        object.__setattr__(self, "port", port)
        object.__setattr__(self, "output_directory", output_directory)
        object.__setattr__(self, "options", options or {})
        object.__setattr__(self, "_state_directory", state_directory)
        object.__setattr__(self, "_all_options", all_options or {})
        object.__setattr__(self, "_locations", _locations)
        object.__setattr__(self, "_counting", _counting or _Uncounted())

    def __repr__(self) -> str:  # without the options, which may hold secrets
        return f"PluginSettings(port={self.port!r}, output_directory={self.output_directory!r})"

    def __getattr__(self, name: str) -> NoReturn:
        # called only for what is not there
        raise AttributeError(
            f"the settings of plugins have no {name!r}; there is counter, for_plugin, measure_hooks, open_location, "
            "options, original_uid_hash, output_directory, port, remove_location, state_directory",
            name=name,
            obj=self,
        )

    @property
    def state_directory(self) -> Path:
        """`--state-dir`: for data that plugins keep across restarts (a plugin that uses it makes it). Raises
        StateDirectoryError, a PluginError, if it belongs to another receiver."""
        if isinstance(self._state_directory, str):
            raise StateDirectoryError(self._state_directory)
        return self._state_directory

    def for_plugin(self, name: str) -> Mapping[str, Any]:
        """The values of the options of the plugin called `name`, by key; a plugin has its own in `options`.

        Built-in plugins have those options of the receiver that they need: `layout` has `layout`, for example. Raises
        LookupError if no plugin of that name has options.
        """
        try:
            return self._all_options[name]
        except KeyError:
            known = ", ".join(self._all_options) or "none"
            raise LookupError(f"no plugin called {name!r} has options; plugins that have: {known}") from None

    def original_uid_hash(self, uid: str) -> str | None:
        """`StoredEvent.original_uid_hash` of an instance that was sent with this SOP Instance UID, and stored with
        another one; None if there is no key, and so no such instance. Raises OSError, StateDirectoryError."""
        try:
            key = (self.state_directory / UID_HASH_KEY).read_bytes()
        except FileNotFoundError:
            return None
        return hmac.digest(key, uid.encode(), hashlib.sha256).hex()

    def open_location(self, location: str) -> BinaryIO:
        """Open what is stored at `location`, as `stored` was told it, for reading; the caller closes it.

        It is a file below the output directory, or what a plugin opens in its hook `open_location`.

        Raises OSError if it cannot be read, FileNotFoundError if it is gone; LookupError if no plugin knows it.
        """
        if self._locations is None:
            raise LookupError(f"no plugin can open {location}")
        return self._locations.open_location(location)

    def remove_location(self, location: str) -> bool:
        """Remove what is stored at `location`; true when it is gone. Raises as `open_location`."""
        if self._locations is None:
            raise LookupError(f"no plugin can remove {location}")
        return self._locations.remove_location(location)

    def counter(self, name: str) -> PluginCounter:
        """Declare a counter of the plugin, in `configure`; the same name gives the same counter again. What all
        processes count is in `Counters.plugin_counters` of `read_counters`, and in `dcmrecvctl status`.

        Raises PluginError in a process that is no longer the one that starts the receiver, or if all plugins together
        have more than 64 counters.
        """
        return self._counting.declare(name)

    def measure_hooks(self) -> None:
        """Call it in `configure` to have the time of each call of a plugin's hook in workers counted, as
        `Counters.plugin_times`. Without it nothing is measured."""
        self._counting.measure_hooks()
