"""`-xf, --config-file FILE PROFILE`: accept the presentation contexts of a DCMTK association profile."""

from dcmrecv_core import Settings, SupportedContext, hookimpl, load_profile


class ProfilePlugin:
    def __init__(self) -> None:
        self._contexts: tuple[SupportedContext, ...] = ()

    @hookimpl  # type: ignore[call-overload]  # built in: gets all settings
    def configure(self, settings: Settings) -> None:
        if settings.config_file:
            self._contexts = load_profile(*settings.config_file)

    @hookimpl
    def negotiate(self) -> tuple[SupportedContext, ...]:
        return self._contexts


plugin = ProfilePlugin()
