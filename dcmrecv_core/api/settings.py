"""What hooks may read of the receiver's settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSettings:
    """The part of the settings that every plugin may rely on; the rest is the receiver's own."""

    port: int | None = None
    output_directory: str = "."
    state_dir: str | None = None
    plugin_options: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)  # may hold secrets
    options: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The values of the options that the plugin which got these settings declared, by key: `keep_days`."""
    working_directory: str = field(default="", compare=False)
    """Where the receiver was started: what relative directories are relative to, also after a plugin's `os.chdir`."""

    @property
    def state_directory(self) -> Path:
        """`--state-dir`: where plugins keep what must survive a restart (made by whoever needs it)."""
        state = Path(self.state_dir) if self.state_dir else Path(self.output_directory) / ".dcmrecv"
        return self.working_directory / state

    def for_plugin(self, name: str) -> dict[str, Any]:
        """The values of the options that the plugin called `name` declared, by key; its own a plugin has in `options`.
        Raises LookupError if no plugin of that name declared any."""
        try:
            return self.plugin_options[name]
        except KeyError:
            known = ", ".join(self.plugin_options) or "none"
            raise LookupError(f"no plugin called {name!r} has options; plugins that have: {known}") from None
