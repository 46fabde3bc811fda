"""`-xf, --config-file FILE PROFILE`: accept the presentation contexts of a DCMTK association profile."""

from dcmrecv_core import Association, Settings, SupportedContext, hookimpl, load_profile

_contexts: tuple[SupportedContext, ...] = ()


@hookimpl
def configure(settings: Settings) -> None:
    global _contexts
    if settings.config_file:
        _contexts = load_profile(*settings.config_file)


@hookimpl
def negotiate(association: Association) -> tuple[SupportedContext, ...]:
    return _contexts
