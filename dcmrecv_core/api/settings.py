"""What hooks may read of the receiver's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path


class PluginSettings(Protocol):
    """The settings that every plugin may rely on."""

    @property
    def port(self) -> int | None:
        """The TCP port; None if the listening sockets were handed over by systemd."""

    @property
    def output_directory(self) -> str:
        """`--output-directory`, as it was given."""

    @property
    def options(self) -> dict[str, Any]:
        """The values of the options that the plugin declared, by key: `keep_days`."""

    @property
    def state_directory(self) -> Path:
        """`--state-dir`: for data that plugins keep across restarts (a plugin that uses it makes it)."""

    def for_plugin(self, name: str) -> dict[str, Any]:
        """The values of the options that the plugin called `name` declared, by key; a plugin has its own in `options`.
        Raises LookupError if no plugin of that name declared any."""
