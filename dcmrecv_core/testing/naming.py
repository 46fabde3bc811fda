"""`check_naming`: does a plugin choose a safe and stable path for every instance?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from dcmrecv_core.api.errors import HookFailure
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.api.verdicts import Name, OnExists
from dcmrecv_core.config.options.table import BY_NAME
from dcmrecv_core.hooks import loader as plugin_loader
from dcmrecv_core.hooks.loader import Found
from dcmrecv_core.hooks.plugins import Plugins
from dcmrecv_core.settings.settings import OnDuplicate, Settings
from dcmrecv_core.storage.directories import escaped_path
from dcmrecv_core.storage.other_names import MAX_ATTEMPTS
from dcmrecv_core.testing.fakes import fake_instance
from dcmrecv_core.testing.torture import Case, cases

NAMING_HOOKS = ("choose_subdir", "choose_filename")

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)[ ]*(\..*)?\Z")
_ESCAPED_TWICE = re.compile(r"~[0-9a-f]{8}~[0-9a-f]{8}(\.[^/~]*)?\Z")
_REFUSED_BY_WINDOWS = re.compile(r'[\x00-\x1f<>:"/\\|?*]')


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an instance goes: its path below the output directory, and what happens if that is taken."""

    path: str
    on_exists: OnExists | None
    """None: not set by the plugin or an option."""


@dataclass(slots=True)
class _Check:
    """One run over all cases."""

    name: str
    plugins: Plugins
    on_duplicate: OnExists | None
    windows: bool
    problems: list[str] = field(default_factory=list)

    def places(self, instances: list[Case], *, tell: bool) -> dict[str, _Place]:
        """Where each case goes, by its label. Refused cases are missing; with `tell` they are problems."""
        found = {}
        for case in instances:
            try:
                found[case.label] = self._place(case, 0)
            except HookFailure as error:
                if tell:
                    self.problems.append(f"refused: {case.label!r}: {_reason(error)}")
        return found

    def check_determinism(self, first: Mapping[str, _Place], second: Mapping[str, _Place]) -> None:
        for label, place in first.items():
            again = second.get(label)
            if again != place:
                self.problems.append(
                    f"not deterministic: {label!r} becomes {place.path!r}, and when it is sent again "
                    f"{again.path if again else 'nothing'!r}; a name may depend on the instance and its association "
                    "only (for names made to be new each time: deterministic=False)"
                )

    def check_levels(self, instances: list[Case], places: Mapping[str, _Place]) -> None:
        for case in instances:
            if case.label in places and case.twin in places:
                path, harmless = places[case.label].path, places[case.twin].path
                if path.count("/") != harmless.count("/"):
                    self.problems.append(
                        f"what was sent adds directories: {case.label!r} becomes {path!r}, {case.twin!r} {harmless!r}; "
                        "put values through dcmrecv_core.escape"
                    )

    def check_escaping(self, places: Mapping[str, _Place]) -> None:
        """Parts that were escaped by the plugin, and once more by the receiver, which saw only a plain text."""
        for label, place in places.items():
            for part in place.path.split("/"):
                if _ESCAPED_TWICE.search(part):
                    self.problems.append(
                        f"escaped twice: {label!r} becomes {place.path!r}: {part!r}; escape what is joined only once: "
                        "return dcmrecv_core.escape_directory([level, ...]), or escape(text, extension), as it is"
                    )

    def check_collisions(self, instances: list[Case], places: Mapping[str, _Place]) -> None:
        """Different instances at one path, unless the receiver was told to keep them apart."""
        taken: dict[str, str] = {}
        for case in instances:
            if case.label not in places:
                continue
            place = places[case.label]
            path = place.path
            if place.on_exists in _KEEP_APART:
                continue
            if path in taken and place.on_exists == "retry":
                path = self._retried(case, taken)
            other = taken.setdefault(path, case.label)
            if other != case.label:
                self.problems.append(
                    f"collision: {other!r} and {case.label!r} both become {path!r} (on_exists={place.on_exists!r}), so "
                    f"{_CONSEQUENCES[place.on_exists]}; make instance.sop_instance_uid a part of the name, or return "
                    'Name(..., on_exists="retry") and use instance.attempt, or say that it is meant with '
                    'on_exists="replace-same" or "rename"'
                )

    def check_windows(self, places: Mapping[str, _Place]) -> None:
        folded: dict[str, tuple[str, str]] = {}
        for label, place in places.items():
            for part in place.path.split("/"):
                if _RESERVED.match(part) or _REFUSED_BY_WINDOWS.search(part) or part.endswith((".", " ")):
                    self.problems.append(
                        f"not for Windows: {label!r} becomes {place.path!r}: {part!r} cannot be a name"
                    )
            other, path = folded.setdefault(place.path.casefold(), (label, place.path))
            if path != place.path:
                self.problems.append(
                    f"not for Windows: {other!r} and {label!r} become {path!r} and {place.path!r}: one name there"
                )

    def _place(self, case: Case, attempt: int) -> _Place:
        instance = fake_instance(case.dataset, association=replace(case.association, state={}), attempt=attempt)
        subdir: str = self.plugins.choose_subdir(instance)
        name: Name = self.plugins.choose_filename(instance)
        parts, filename = escaped_path(subdir, name.text)
        said = name.on_exists or self.on_duplicate
        default = None if name.by_default == "replace-same" else name.by_default
        return _Place("/".join((*parts, filename)), said or default)

    def _retried(self, case: Case, taken: Mapping[str, str]) -> str:
        """The first free path, as the receiver would find it; if there is none, the taken one."""
        path = ""
        for attempt in range(1, min(MAX_ATTEMPTS, len(taken) + 2)):
            path = self._place(case, attempt).path
            if path not in taken:
                break
        return path


_KEEP_APART = ("replace-same", "rename", "keep")
_CONSEQUENCES: dict[OnExists | None, str] = {
    None: "the second is stored as NAME~ and a hash, with a warning each time",
    "overwrite": "the second replaces the first",
    "refuse": "the second can never be stored",
    "retry": "no attempt finds a free name",
}


def check_naming(
    plugin: Any,
    *,
    options: Mapping[str, Any] | None = None,
    on_duplicate: OnDuplicate | None = None,
    deterministic: bool = True,
    windows: bool = False,
) -> dict[str, str]:
    """Try the naming of `plugin` (a module, an object, or what `--plugin` takes) on instances that are hard to name.

    Missing and empty attributes, UIDs of 64 characters, names in other scripts, `..`, separators and control
    characters, names that Windows reserves, over-long values, equal numbers, wrong character sets. Each must get

    * a path below the output directory: no hook raises, or chooses an absolute path or `..`; values that were sent add
      no directory levels;
    * a path in which no part is escaped twice, as in `P_1~3fe61286~fd19e913`: escaped parts were joined as plain text;
    * the same path when it is sent again, whatever came meanwhile (`deterministic`);
    * a path of its own: no two instances have the same, unless `on_exists="retry"` leads to a free one, or "rename",
      "replace-same" or "keep" tells the receiver to keep them apart;
    * with `windows`, a path that is valid on Windows and differs from the others in more than case.

    `options` are values for the options that the plugin declares, by key; `on_duplicate` is what `--on-duplicate` says.
    For hooks that the plugin does not have, the receiver's defaults apply. Returns the paths, by the label that says
    what is special about an instance. Raises AssertionError with all problems, PluginError for a plugin that cannot be
    loaded.
    """
    settings = Settings(on_duplicate=on_duplicate)
    name, plugins = _load(plugin, options or {}, settings)
    check = _Check(name, plugins, settings.on_duplicate, windows)
    instances = list(cases())
    places = check.places(instances, tell=True)
    if deterministic:
        # in reverse order, which reveals a counter in the plugin
        check.check_determinism(places, check.places(instances[::-1], tell=False))
    check.check_levels(instances, places)
    check.check_escaping(places)
    check.check_collisions(instances, places)
    if windows:
        check.check_windows(places)
    if check.problems:
        listed = "".join(f"\n  {problem}" for problem in check.problems)
        raise AssertionError(
            f"naming by plugin {name}: {len(check.problems)} problems, {len(instances)} instances{listed}"
        )
    return {label: place.path for label, place in places.items()}


def _load(plugin: Any, options: Mapping[str, Any], settings: Settings) -> tuple[str, Plugins]:
    found = found_plugin(plugin)
    plugins = Plugins()
    plugins.add(found, named=True)
    if not any(plugins.implements(hook) for hook in NAMING_HOOKS):
        raise AssertionError(f"plugin {found.name} implements neither {' nor '.join(NAMING_HOOKS)}")
    registry = PluginOptionRegistry(taken=BY_NAME)
    plugins.add_options(registry)
    values = {option.key: option.default for option in registry}
    unknown = options.keys() - values.keys()
    if unknown:
        raise AssertionError(f"plugin {found.name} declares no option {', '.join(sorted(unknown))}")
    settings = replace(settings, plugin_options={**settings.plugin_options, found.name: {**values, **options}})
    plugins.add_builtins(settings)
    plugins.configure(settings)
    return found.name, plugins


def found_plugin(plugin: Any) -> Found:
    """The plugin that a module, an object, or what `--plugin` takes stands for. Raises PluginError."""
    if isinstance(plugin, str):
        return plugin_loader.find(plugin)
    if isinstance(plugin, ModuleType):
        return plugin_loader.from_module(plugin.__name__, plugin, "check_naming")
    return Found(str(getattr(plugin, "__name__", None) or type(plugin).__name__), plugin, "check_naming")


def _reason(error: HookFailure) -> str:
    """For the author of the plugin: the hook, and the exception in it."""
    causes = "".join(f": {type(cause).__name__}: {cause}" for cause in _causes(error))
    return f"{error.comment}{causes}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    if error.__cause__ is not None:
        yield error.__cause__
