"""What somebody may have meant by an option that is unknown: another one, or that of a plugin that is not named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.api.hints import did_you_mean
from dcmrecv_core.config.options import storescp
from dcmrecv_core.config.options.table import BY_NAME
from dcmrecv_core.hooks import loader
from dcmrecv_core.hooks.guards import no_new_threads
from dcmrecv_core.hooks.plugins import declared_options


def hint_for(token: str, of_plugins: Iterable[str]) -> str:
    """A hint for the unknown option `token`; `of_plugins` are the options of the plugins that are loaded."""
    if token in storescp.NAMES:
        return "it is an option of storescp; docs/migrating.md, 'Options of storescp', says what takes its place"
    names = (*BY_NAME, *of_plugins)
    before, equals, _ = token.partition("=")
    if equals and before in names:
        return f"a value is a word of its own: {before} VALUE"
    owners = dict(_of_installed_plugins())
    if token in owners:
        return f"it is an option of plugin {owners[token]}: --plugin {owners[token]} loads it"
    if hint := did_you_mean(token, names):
        return hint
    near = did_you_mean(token, owners)
    plugins = dict.fromkeys(owners[word] for word in near.rstrip("?").split() if word in owners)
    if plugins:
        return f"{near} --plugin {' or '.join(plugins)} loads it"
    return "--help lists all options, those of a plugin if --plugin names it"


def _of_installed_plugins() -> Iterator[tuple[str, str]]:
    """The options of installed plugins and whose they are. Those that are of no use here are left out: --list-plugins
    says why."""
    for entry in loader.entry_points():
        try:
            with no_new_threads(entry.name):
                found = loader.find(entry.name)
                options = declared_options(found, BY_NAME)
        except PluginError:
            continue
        yield from ((option.long, entry.name) for option in options)
