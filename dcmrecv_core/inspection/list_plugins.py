"""`--list-plugins`: every plugin that can be named or selected, which of them are active with these options, and the
order in which each hook asks them.

Installed plugins are imported to see which hooks they have, and `add_options` is called to see their options; no other
function of theirs is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.config.options.option import Option
from dcmrecv_core.config.options.table import BY_NAME, OPTIONS
from dcmrecv_core.config.plugin_tables import header
from dcmrecv_core.delivery.store import Queue
from dcmrecv_core.hooks import loader as plugin_loader
from dcmrecv_core.hooks.guards import DELIVERY_HOOKS, no_new_threads
from dcmrecv_core.hooks.loader import BUILT_IN, HOOKS, Found
from dcmrecv_core.hooks.plugins import Plugins, builtin_names, declared_options, hooks_of
from dcmrecv_core.logs.records import escape_controls
from dcmrecv_core.settings.settings import Settings

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint

    from dcmrecv_core.api.options import PluginOption

_SELECTED_OTHERWISE = {"contexts": "[[contexts]] of --settings", "file-writer": "always"}


@dataclass(frozen=True, slots=True)
class ListedOption:
    """One option of a plugin: its name, what follows it (None for a flag, and a table of a settings file), its key in
    `[plugins.NAME]`, the values that it may have, if they are few, the default, if it can be shown, and its help."""

    name: str
    value: str | None
    key: str
    choices: tuple[str, ...]
    default: str | None
    help: str

    @classmethod
    def of(cls, option: PluginOption) -> ListedOption:
        hidden = option.secret or option.default is None or option.default is False or option.default == []
        default = None if hidden else str(option.default)
        name = header(option) if option.table is not None else option.long
        return cls(name, option.value, option.key, tuple(map(str, option.choices)), default, option.help)

    def __str__(self) -> str:
        named = f"{self.name} {self.value}" if self.value else self.name
        choices = f"one of {', '.join(self.choices)}" * bool(self.choices)
        default = f"default: {self.default}" if self.default is not None else ""
        extra = "; ".join(filter(None, (choices, default)))
        return ": ".join(filter(None, (named, " ".join(self.help.split())))) + f" ({extra})" * bool(extra)


@dataclass(frozen=True, slots=True)
class Entry:
    """One plugin. `selected_by` is the option that makes it active, `problem` why it cannot be; `targets` are those of
    its hooks for deliveries, if it is active: names of its queues."""

    name: str
    version: str | None
    distribution: str | None
    origin: str
    hooks: tuple[str, ...]
    active: bool
    selected_by: str
    problem: str = ""
    targets: tuple[str, ...] = ()
    description: str = ""
    options: tuple[ListedOption, ...] = ()


def entries(settings: Settings, plugins: Plugins, options: Iterable[PluginOption] = ()) -> Iterator[Entry]:
    """Named plugins in the order in which they are asked, the last one first; built-in ones; then other installed
    ones. `options` are those of the named ones."""
    active = {registered.found.name: registered for registered in plugins.registered}
    for registered in reversed(plugins.registered):
        if registered.found.origin != BUILT_IN:
            found = _with_distribution(registered.found)
            selected_by = f"--plugins-dir {found.directory}" if found.directory else f"--plugin {found.name}"
            named = _entry(found, registered.hooks, True, selected_by)
            own = [option for option in options if option.plugin == found.name]
            yield _with_targets(_with_options(named, own), settings, plugins)
    for name in plugin_loader.builtin_modules():
        found = plugin_loader.builtin(name)
        yield _entry(found, hooks_of(found), name in active, _selected_by(name))
    for entry in plugin_loader.entry_points():
        if entry.name not in active:
            yield _installed(entry)


def order(plugins: Plugins) -> dict[str, tuple[str, ...]]:
    """By hook, the names of active plugins in the order in which they are asked; hooks without any are left out."""
    return {hook: names for hook in HOOKS if (names := plugins.order(hook))}


def as_json(settings: Settings, plugins: Plugins, options: Iterable[PluginOption] = ()) -> str:
    warning = plugins.several_writers()
    listed = {
        "plugins": [asdict(entry) for entry in entries(settings, plugins, options)],
        "order": order(plugins),
        "warnings": [warning] if warning else [],
    }
    return json.dumps(listed, indent=2) + "\n"


def as_text(settings: Settings, plugins: Plugins, options: Iterable[PluginOption] = ()) -> str:
    lines = []
    for entry in entries(settings, plugins, options):
        version = f" {entry.version}" if entry.version and entry.origin != BUILT_IN else ""
        state = entry.problem or f"{'active' if entry.active else 'not active'} ({entry.selected_by})"
        lines.append(f"{entry.name}{version}: {state}")
        if entry.description:
            lines.append(f"  does    {entry.description}")
        if entry.hooks:
            lines.append(f"  hooks   {', '.join(entry.hooks)}")
        for number, option in enumerate(entry.options):
            lines.append(f"  {'' if number else 'options':8}{option}")
        if entry.targets:
            lines.append(f"  targets {', '.join(entry.targets)}")
        lines.append(f"  origin  {entry.origin}")
    lines += ["", "order of calling:"]
    lines += [f"  {hook:18}{', '.join(names)}" for hook, names in order(plugins).items()]
    if warning := plugins.several_writers():
        lines += ["", f"warning: {warning}"]
    return "".join(f"{escape_controls(line)}\n" for line in lines)


def _with_targets(entry: Entry, settings: Settings, plugins: Plugins) -> Entry:
    hooks = [hook for hook in DELIVERY_HOOKS if hook in entry.hooks]
    try:
        queues = [
            Queue.of(entry.name, hook, target)
            for hook in hooks
            for target in plugins.targets_of(entry.name, hook, settings)
        ]
    except PluginError as error:
        return replace(entry, problem=error.detail)
    return replace(entry, targets=tuple(queue.target for queue in queues))


def _entry(found: Found, hooks: tuple[str, ...], active: bool, selected_by: str) -> Entry:
    what = found.description
    return Entry(
        found.name, found.version, found.distribution, found.origin, hooks, active, selected_by, description=what
    )


def _with_options(entry: Entry, options: Iterable[PluginOption]) -> Entry:
    return replace(entry, options=tuple(map(ListedOption.of, options)))


def _installed(entry: EntryPoint) -> Entry:
    """An installed plugin that was not named: its hooks and options, or why it cannot be used."""
    name = entry.name
    selected_by = f"--plugin {name}"
    distribution, version = (entry.dist.name, entry.dist.version) if entry.dist else (None, None)
    listed = Entry(name, version, distribution, plugin_loader.entry_origin(entry), (), False, selected_by)
    try:
        with no_new_threads(name):
            found = plugin_loader.find(name)
            listed = replace(listed, hooks=hooks_of(found), description=found.description)
            return _with_options(listed, declared_options(found, BY_NAME))
    except PluginError as error:
        return replace(listed, problem=error.detail)


def _with_distribution(found: Found) -> Found:
    """`found` with the distribution from which its module comes, if there is one."""
    module = found.module
    if found.distribution is not None or module is None:
        return found
    from importlib_metadata import packages_distributions, version

    owners = packages_distributions().get(module.__name__.partition(".")[0])
    if owners:
        return replace(found, distribution=owners[0], version=version(owners[0]))
    own = getattr(module, "__version__", None)
    return replace(found, version=own) if isinstance(own, str) else found


def _selected_by(name: str) -> str:
    """The options, each by its long name, that select a built-in plugin."""
    options = [option.long for option in OPTIONS if _selects(option, name)]
    return ", ".join(options) or _SELECTED_OTHERWISE.get(name, "")


def _selects(option: Option, name: str) -> bool:
    default = Settings()
    changes = dict(option.sets)
    if option.key and isinstance(getattr(default, option.key), str | None) and option.values[0].kind == "string":
        changes[option.key] = "x" if len(option.values) == 1 else ("x",) * len(option.values)
    if not changes or name not in builtin_names(replace(default, **changes)):
        return False
    return name in changes.values() or name not in builtin_names(default)
