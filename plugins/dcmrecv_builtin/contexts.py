"""`[[contexts]]` of the settings file: accept the presentation contexts that it lists."""

from collections.abc import Iterator
from dataclasses import replace

from dcmrecv_builtin.promiscuous import is_storage
from dcmrecv_core import Association, PluginSettings, SupportedContext, hookimpl

ANY_CLASS = "*"
"""As abstract syntax: every one that `-pm` accepts."""


class ContextsPlugin:
    def __init__(self) -> None:
        self._contexts: tuple[SupportedContext, ...] = ()
        self._has_wildcard = False

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        self._contexts = settings.options["contexts"]
        self._has_wildcard = any(context.abstract_syntax == ANY_CLASS for context in self._contexts)

    @hookimpl
    def negotiate(self, association: Association) -> tuple[SupportedContext, ...]:
        if not self._has_wildcard:
            return self._contexts  # always the same object: results are cached by its identity
        proposed = dict.fromkeys(context.abstract_syntax for context in association.proposed)
        return tuple(self._for_classes(list(filter(is_storage, proposed))))

    def _for_classes(self, proposed: list[str]) -> Iterator[SupportedContext]:
        for context in self._contexts:
            if context.abstract_syntax == ANY_CLASS:
                yield from (replace(context, abstract_syntax=abstract_syntax) for abstract_syntax in proposed)
            else:
                yield context


plugin = ContextsPlugin()
