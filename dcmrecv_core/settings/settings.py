"""The effective settings of a receiver: frozen, typed, complete. Hooks get a part of them, `api/settings.py`.

`config/commandline.py` fills them from a settings file and the command line; each field carries the key of an option in
`config/options/`, except `contexts`, which only a settings file sets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dcmrecv_core.api.settings import Counting, Locations, PluginSettings

if TYPE_CHECKING:
    from dcmrecv_core.api.verdicts import SupportedContext

StorageMode = Literal["normal", "bit-preserving"]
OnDuplicate = Literal["replace-same", "overwrite", "rename", "keep", "refuse"]

_OPTIONS_OF_BUILT_IN: dict[str, tuple[str, ...]] = {
    "file-writer": ("filename_extension", "working_directory"),
    "layout": ("layout", "layout_limit", "subdirs", "filenames", "filename_extension", "on_duplicate"),
    "profile": ("config_file",),
    "contexts": ("contexts",),
}
"""The fields that built-in plugins need: they get them as their options, as any plugin gets its own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a running receiver; defaults are those of DCMTK dcmrecv.

    Times are seconds, sizes bytes; None means unlimited or unset.
    """

    port: int | None = None
    bind: str | None = None
    ip_version: str = "ipv4"
    ae_title: str | None = None
    acse_timeout: int = 30
    dimse_timeout: int | None = None
    max_pdu: int = 16384
    disable_host_lookup: bool = False
    proxy_from: tuple[str, ...] = ()
    """Networks of load balancers that use the PROXY protocol."""

    max_associations: int = 64
    max_per_peer: int | None = None
    idle_eviction: int | None = 60
    max_request: int = 1 << 20
    drain: int = 0
    min_free: int | None = None
    progress_timeout: int = 60
    min_rate: int | None = 64
    max_instance: int | None = None
    hook_seconds: float = 30.0
    worker_memory: int = 1 << 30
    recycle_after: int = 1000

    tls: tuple[str, str] | None = None
    """Files of private key and certificate; None is plain TCP."""
    tls_password: str | None = field(default=None, repr=False)
    """Of the private key; None asks for it."""
    tls_format: str = "pem"
    tls_ca_files: tuple[str, ...] = ()
    tls_ca_directories: tuple[str, ...] = ()
    tls_crl_files: tuple[str, ...] = ()
    tls_crl_check: str | None = None
    tls_profile: str = "bcp195-nd"
    tls_ciphers: tuple[str, ...] = ()
    tls_dh_file: str | None = None
    tls_seed_file: str | None = None
    tls_write_seed: bool = False
    tls_write_seed_file: str | None = None
    tls_peer_certificate: str = "require"

    output_directory: str = "."
    state_dir: str | None = None
    subdirs: str = "no-subdir"
    filenames: str = "instance-uid"
    layout: str | None = None
    layout_limit: int | None = None
    filename_extension: str = ""
    on_duplicate: OnDuplicate | None = None
    storage_mode: StorageMode = "normal"
    ignore: bool = False
    fsync: bool = True
    strict_fsync: bool = False
    strict: bool = False

    study_timeout: int = 60
    deliver_attempts: int | None = None
    deliver_processes: int = 1
    journal: str | None = field(default=None, repr=False)
    """The URL of a database in PostgreSQL, which may have a password; None is the state directory."""
    journal_flush: bool = False
    digest: bool = False

    config_file: tuple[str, str] | None = None
    promiscuous: bool = False
    prefer: tuple[str, ...] = ()
    """UIDs of transfer syntaxes that are accepted before all others, in this order."""
    contexts: tuple[SupportedContext, ...] = ()
    plugins: tuple[str, ...] = ()
    plugins_dir: tuple[str, ...] = ()
    reload_plugins: bool = False
    plugin_options: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)  # may hold secrets

    log_level: str = "warn"
    log_config: str | None = None
    log_format: str = "text"
    log_uids: str = "original"
    verbose_pc: bool = False
    trace_hooks: bool = False

    settings_file: str | None = field(default=None, compare=False)
    """The file that some of them came from, None if the command line gave all."""

    working_directory: str = field(default="", compare=False)
    """Where the receiver was started. Relative directories start there, even after a plugin's `os.chdir`."""

    owns_state: bool = field(default=False, compare=False)
    """Whether this receiver holds the lock of its state directory."""

    state_owner: str = field(default="", compare=False)
    """The other receiver that holds it, in words."""

    @property
    def state_directory(self) -> Path:
        """`--state-dir`: for data that plugins keep across restarts, and for the receiver's own."""
        state = Path(self.state_dir) if self.state_dir else Path(self.output_directory) / ".dcmrecv"
        return self.working_directory / state

    def own(self, plugin: str, locations: Locations | None = None, counting: Counting | None = None) -> PluginSettings:
        """These settings as `plugin` gets them; `locations` are what plugins have stored, `counting` what is
        counted."""
        options = dict(self.plugin_options)
        for name, keys in _OPTIONS_OF_BUILT_IN.items():
            options.setdefault(name, {key: getattr(self, key) for key in keys})
        state: Path | str = self.state_directory
        if self.state_owner:
            state = (
                f"state directory {self.state_dir} belongs to another receiver ({self.state_owner}): "
                "give this one its own with --state-dir"
            )
        return PluginSettings(
            port=self.port,
            output_directory=self.output_directory,
            options=options.get(plugin),
            state_directory=state,
            all_options=options,
            _locations=locations,
            _counting=counting,
        )
