"""What a start checks and prepares before it listens, step by step. `dcmrecv` ends at the first step that fails;
`dcmrecvctl check` takes all of them, and writes down what each has to say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import OutputDirectoryError, StatusError

if TYPE_CHECKING:
    import ssl

    from dcmrecv_core.config.configuration import Configuration
    from dcmrecv_core.net.supervisor.ownership import StateDirectory
    from dcmrecv_core.net.tls.context import ContextMaker
    from dcmrecv_core.settings.settings import Settings
    from dcmrecv_core.storage.temporary import Capabilities

log = logging.getLogger("dcmrecv")

_NO_CLOBBER_SCHEMES = ("unique", "short-unique", "system-time")


class Start:
    """The steps of one start, with what they have made so far. Each raises StartError."""

    capabilities: Capabilities
    contexts: ContextMaker
    tls: ssl.SSLContext | None = None

    def __init__(self, configuration: Configuration, state: StateDirectory) -> None:
        self.settings = state.apply(configuration.line.settings)
        self.plugins = configuration.plugins
        self._state = state

    @property
    def steps(self) -> tuple[Callable[[], None], ...]:
        """All of them, in DCMTK's order. What comes after them is the port."""
        return (
            self.configure_plugins,
            self.check_output_directory,
            self.check_state_directory,
            self.prepare_deliveries,
            self.read_keys,
        )

    def configure_plugins(self) -> None:
        settings, plugins = self.settings, self.plugins
        if settings.config_file is not None:
            log.debug("Loading association configuration file: %s", settings.config_file[0])
        plugins.add_builtins(settings)
        plugins.configure(settings)
        if settings.reload_plugins:
            log.warning(
                "--reload-plugins is for development: who changes a plugin's file changes this receiver at once"
            )
        for remark in plugins.remarks:
            log.warning("%s", remark)
        if warning := plugins.several_writers():
            log.warning("%s", warning)
        if settings.config_file or settings.promiscuous or plugins.implements("negotiate"):
            return
        if plugins.names_storage():
            log.info("no presentation contexts configured, but a storage plugin: accepting all storage SOP classes")
        else:
            log.warning("no configuration file specified, SCP will only support the Verification SOP Class")

    def check_output_directory(self) -> None:
        self.capabilities = probe_output_directory(self.settings)

    def check_state_directory(self) -> None:
        self._state.check(self.settings, self.plugins)

    def prepare_deliveries(self) -> None:
        if self.plugins.delivering(self.settings):
            from dcmrecv_core.delivery.preparation import add_queues, prepare, queues_of

            prepare(self.settings)
            add_queues(self.settings, queues_of(self.plugins, self.settings))

    def read_keys(self) -> None:
        log.info("starting service class provider and listening ...")
        from dcmrecv_core.net.tls.context import ContextMaker

        self.contexts = ContextMaker()
        self.tls = self.contexts.make(self.settings)


def probe_output_directory(settings: Settings) -> Capabilities:
    """What the file system of the output directory can do; raises OutputDirectoryError (exit code 45)."""
    from dcmrecv_core.storage.directories import Directories, check_output_directory
    from dcmrecv_core.storage.hidden import Tokens
    from dcmrecv_core.storage.temporary import Capabilities

    directory = check_output_directory(
        settings.working_directory, settings.output_directory, in_a_file=settings.settings_file is not None
    )
    try:
        capabilities = Capabilities.probe(Directories(directory), Tokens.of(settings))
    except (OSError, StatusError) as error:
        raise OutputDirectoryError(f"cannot specify output directory: {error}") from error
    in_need = f"{settings.filenames} names" if settings.filenames in _NO_CLOBBER_SCHEMES else ""
    if settings.on_duplicate not in (None, "overwrite", "replace-same"):
        in_need = f"--on-duplicate {settings.on_duplicate}"
    if in_need and not capabilities.noclobber:
        raise OutputDirectoryError(
            "cannot specify output directory: its file system cannot create names without overwriting, "
            f"which is needed for {in_need}"
        )
    return capabilities
