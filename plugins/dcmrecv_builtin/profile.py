"""`-xf, --config-file FILE PROFILE`: accept the presentation contexts of a DCMTK association profile."""

from dcmrecv_core import PluginSettings, SupportedContext, hookimpl, load_profile


class ProfilePlugin:
    def __init__(self) -> None:
        self._contexts: tuple[SupportedContext, ...] = ()

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        self._contexts = load_profile(*settings.options["config_file"])

    @hookimpl
    def negotiate(self) -> tuple[SupportedContext, ...]:
        return self._contexts


plugin = ProfilePlugin()
