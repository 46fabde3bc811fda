"""The effective settings of a receiver: frozen, typed, complete.

`options.py` fills them from the command line; each field carries the key of an option there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

StorageMode = Literal["normal", "bit-preserving"]
OnDuplicate = Literal["overwrite", "keep", "rename", "refuse"]


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a running receiver obeys; defaults are dcmrecv's own.

    Times are seconds, sizes bytes; None means unlimited or unset.
    """

    port: int | None = None
    bind: str = "0.0.0.0"
    ae_title: str | None = None
    acse_timeout: int = 30
    dimse_timeout: int | None = None
    max_pdu: int = 16384
    disable_host_lookup: bool = False
    max_associations: int = 64

    output_directory: str = "."
    state_dir: str | None = None
    subdirs: str = "no-subdir"
    filenames: str = "instance-uid"
    layout: str | None = None
    filename_extension: str = ""
    on_duplicate: OnDuplicate = "overwrite"
    storage_mode: StorageMode = "normal"
    ignore: bool = False
    fsync: bool = True
    strict: bool = False

    config_file: tuple[str, str] | None = None
    promiscuous: bool = False
    plugins: tuple[str, ...] = ()
    plugin_options: dict[str, dict[str, Any]] = field(default_factory=dict)

    log_level: str = "warn"
    log_config: str | None = None
    verbose_pc: bool = False
    hook_seconds: float = 30.0

    @property
    def state_directory(self) -> Path:
        """`--state-dir`: where plugins keep what must survive a restart (made by whoever needs it)."""
        return Path(self.state_dir) if self.state_dir else Path(self.output_directory) / ".dcmrecv"

    def for_plugin(self, name: str) -> dict[str, Any]:
        """The values of the options that the plugin called `name` declared, by key."""
        return self.plugin_options.get(name, {})
