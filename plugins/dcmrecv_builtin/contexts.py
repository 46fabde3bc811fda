"""`[[contexts]]` of the settings file: accept the presentation contexts that it lists."""

from dcmrecv_core import PluginSettings, SupportedContext, hookimpl


class ContextsPlugin:
    def __init__(self) -> None:
        self._contexts: tuple[SupportedContext, ...] = ()

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        self._contexts = settings.options["contexts"]

    @hookimpl
    def negotiate(self) -> tuple[SupportedContext, ...]:
        return self._contexts


plugin = ContextsPlugin()
