"""`[[contexts]]` of the settings file: accept the presentation contexts that it lists."""

from dcmrecv_core import Settings, SupportedContext, hookimpl


class ContextsPlugin:
    def __init__(self) -> None:
        self._contexts: tuple[SupportedContext, ...] = ()

    @hookimpl  # type: ignore[call-overload]  # built in: gets all settings
    def configure(self, settings: Settings) -> None:
        self._contexts = settings.contexts

    @hookimpl
    def negotiate(self) -> tuple[SupportedContext, ...]:
        return self._contexts


plugin = ContextsPlugin()
