"""`[[contexts]]` of the settings file: accept the presentation contexts that it lists."""

from dcmrecv_core import Settings, SupportedContext, hookimpl

_contexts: tuple[SupportedContext, ...] = ()


@hookimpl
def configure(settings: Settings) -> None:
    global _contexts
    _contexts = settings.contexts


@hookimpl
def negotiate() -> tuple[SupportedContext, ...]:
    return _contexts
