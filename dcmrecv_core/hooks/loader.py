"""Find a plugin by what `--plugin` names, and refuse what cannot work before anything runs."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from types import BuiltinFunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from dcmrecv_core.api import hookspecs
from dcmrecv_core.api.errors import PluginError, described
from dcmrecv_core.api.hints import did_you_mean
from dcmrecv_core.api.hookspecs import hookimpl
from dcmrecv_core.api.outcomes import StoredEvent
from dcmrecv_core.api.version import __version__
from dcmrecv_core.hooks.places import definition_of, place_of, reason_of
from dcmrecv_core.hooks.promises import DIGEST, REQUIRED, check_api

if TYPE_CHECKING:
    from importlib_metadata import EntryPoint

MARK = f"{hookspecs.PROJECT}_impl"
"""The attribute that `@hookimpl` leaves on a function."""

HOOKS: tuple[str, ...] = tuple(
    name for name, value in vars(hookspecs).items() if hasattr(value, f"{hookspecs.PROJECT}_spec")
)
"""Every hook, in the order in which an instance meets them."""


OBJECT = "plugin"
"""The attribute of a module that holds its plugin, if the module's own functions are not the hooks."""

BUILT_IN = "built-in"
"""The origin of the plugins that settings select."""

FILE_PREFIX = "dcmrecv_plugin_"
"""The name of the module of a plugin that was named by its path begins so."""

PACKAGE = "__init__.py"
"""The module that makes a directory a package."""

_COMPUTED = (property, cached_property)
"""Attributes that are not hooks, and may raise before the plugin is configured."""


@dataclass(frozen=True, slots=True)
class Found:
    """A plugin and where it came from: `origin` is "built-in", "entry point of DIST VERSION", or a path.

    `distribution` and its `version` are known of entry points and built-in plugins, `module` of plugins that a module
    stands for, `imported` (its name) of plugins that are an object of a module, `directory` of those that are in a
    plugins directory.
    """

    name: str
    plugin: object
    origin: str
    distribution: str | None = None
    version: str | None = None
    module: ModuleType | None = None
    imported: str = ""
    directory: str | None = None

    @property
    def package(self) -> str:
        """The package of its code, or the module if that is in none."""
        return (self.module.__name__ if self.module else self.imported).partition(".")[0]

    @property
    def description(self) -> str:
        """The first paragraph of its module's docstring, in one line; "" without one."""
        module = self.module or sys.modules.get(self.imported)
        return " ".join(inspect.cleandoc(module.__doc__ or "").partition("\n\n")[0].split()) if module else ""

    @property
    def source(self) -> object:
        """The plugin's identity: the file of its module, however that was named; else the object itself."""
        path = getattr(self.module, "__file__", None)
        return os.path.realpath(path) if path else id(self.plugin)


def from_module(name: str, module: ModuleType, origin: str) -> Found:
    """The plugin that a module stands for: the module itself, or its attribute `plugin` if only that has hooks.

    Raises PluginError if both have hooks.
    """
    own = vars(module).get(OBJECT)
    if own is None or isinstance(own, ModuleType):
        return Found(name, module, origin, module=module)
    if not _has_hooks(module):
        return Found(name, own, origin, module=module)
    if _has_hooks(own):
        raise PluginError(f"both the module and its object {OBJECT!r} have hooks; move them to one", plugin=name)
    return Found(name, module, origin, module=module)


def builtin(name: str) -> Found:
    """The built-in plugin of that name (`dcmrecv_builtin`, one module a scheme)."""
    module = importlib.import_module("dcmrecv_builtin." + name.replace("-", "_"))
    return replace(from_module(name, module, BUILT_IN), distribution="dcmrecv", version=__version__)


def builtin_modules() -> list[str]:
    """The names of all built-in plugins."""
    package = importlib.import_module("dcmrecv_builtin")
    return [module.name.replace("_", "-") for module in pkgutil.iter_modules(package.__path__)]


def find(spec: str) -> Found:
    """What `--plugin SPEC` means: an entry point, else a module, else a .py file or the directory of a package.

    Raises PluginError if there is no such thing, if it is ambiguous, or if importing it fails.
    """
    entry = _entry_point(spec)
    if entry is not None:
        dist = entry.dist
        found = _from_entry_point(spec, entry)
        return replace(found, distribution=dist.name, version=dist.version) if dist else found
    if spec.endswith(".py") or os.sep in spec:
        return from_path(spec)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    if _module_exists(spec):
        module = _load(spec, spec, lambda: importlib.import_module(spec))
        return from_module(spec, module, getattr(module, "__file__", None) or "module")
    raise PluginError(_unknown(spec), plugin=spec)


def entry_points() -> list[EntryPoint]:
    """All installed plugins (group `dcmrecv`), active or not."""
    from importlib_metadata import entry_points as installed

    return sorted(installed(group=hookspecs.PROJECT), key=lambda entry: entry.name)


def entry_origin(entry: EntryPoint) -> str:
    return f"entry point of {entry.dist.name} {entry.dist.version}" if entry.dist else "entry point"


def _entry_point(name: str) -> EntryPoint | None:
    matches = [entry for entry in entry_points() if entry.name == name]
    if len({(entry.dist.name if entry.dist else "", entry.value) for entry in matches}) > 1:
        owners = " and ".join(sorted(entry.dist.name if entry.dist else entry.value for entry in matches))
        raise PluginError(f"offered by {owners}; uninstall one of them", plugin=name)
    return matches[0] if matches else None


def _from_entry_point(name: str, entry: EntryPoint) -> Found:
    plugin = _load(name, entry.module, entry.load)
    if isinstance(plugin, ModuleType):
        return from_module(name, plugin, entry_origin(entry))
    module = sys.modules[entry.module] if entry.attr == OBJECT else None
    return Found(name, plugin, entry_origin(entry), module=module, imported=entry.module)


def _module_exists(spec: str) -> bool:
    if not all(part.isidentifier() for part in spec.split(".")):
        return False
    try:
        return importlib.util.find_spec(spec) is not None
    except ModuleNotFoundError as error:
        if error.name and f"{spec}.".startswith(f"{error.name}."):
            return False  # its package does not exist either
        raise _not_loaded(spec, spec, error) from error
    except (Exception, SystemExit) as error:
        raise _not_loaded(spec, spec, error) from error


def is_package(path: str) -> bool:
    """Whether it is the directory of a package."""
    return os.path.isfile(os.path.join(path, PACKAGE))


def from_path(path: str) -> Found:
    """The plugin of a .py file or of the directory of a package, which may import its own modules relatively."""
    place = os.path.abspath(path)
    file, within = (os.path.join(place, PACKAGE), [place]) if is_package(path) else (place, None)
    if not os.path.isfile(file):
        near = did_you_mean(os.path.basename(place), _python_files(os.path.dirname(place)))
        raise PluginError("no such file" + f"; {near}" * bool(near), plugin=path)
    name = os.path.basename(place).removesuffix(".py")
    module_name = f"{FILE_PREFIX}{name}"
    specification = importlib.util.spec_from_file_location(module_name, file, submodule_search_locations=within)
    if specification is None or specification.loader is None:
        raise PluginError("not a Python file", plugin=path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[module_name] = module
    _load(path, module_name, lambda: specification.loader.exec_module(module))
    return from_module(name, module, place)


def _load(spec: str, module: str, load: Any) -> Any:
    try:
        return load()
    except (Exception, SystemExit) as error:
        raise _not_loaded(spec, module, error) from error


def _not_loaded(spec: str, module: str, error: BaseException) -> PluginError:
    place = place_of(error, module)
    return PluginError(f"cannot be loaded: {reason_of(error, place, _message)}", plugin=spec, place=place)


def _message(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{described(error)} (is it installed for {sys.executable}?)"
    return described(error, _text)


def _text(error: object) -> str:
    return str(error.msg if isinstance(error, SyntaxError) else error)  # else with a shorter form of its place


def _unknown(spec: str) -> str:
    installed = [entry.name for entry in entry_points()]
    modules = [name.removesuffix(".py") for name in _python_files(os.curdir)]
    hint = did_you_mean(spec, [*installed, *modules]) or f"installed: {', '.join(installed) or 'none'}"
    return f"neither an installed plugin nor a module nor a file; {hint}"


def _python_files(directory: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if name.endswith(".py"))
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return []


def check(found: Found, *, needs_hooks: bool = True) -> dict[str, Any]:
    """The hook implementations of a plugin by name; raises PluginError for a plugin that cannot work as meant."""
    required = stated_of(found, REQUIRED)
    if required is not None:
        check_api(found.name, required)
    if inspect.isclass(found.plugin):
        raise PluginError("is a class; name an instance of it", plugin=found.name)
    implementations: dict[str, Any] = {}
    for name, value in _attributes(found.plugin):
        marked = _mark(value)
        if marked is not None:
            _check_function(found.name, name, value, marked)
            implementations[name] = value
        elif name in HOOKS and _belongs_to(found.plugin, value):
            text = f"{name} is named like a hook but not marked; put @hookimpl before it or rename it"
            raise PluginError(text, plugin=found.name, place=definition_of(value))
    if needs_hooks and not implementations:
        raise PluginError("implements no hook; mark its functions with @hookimpl", plugin=found.name)
    hooks = {_mark(value).get("specname") or name: value for name, value in implementations.items()}
    if "deliver_many" in hooks and "deliver" not in hooks:
        implementations["deliver"] = _one_by_one(hooks["deliver_many"])
    return implementations


def _one_by_one(deliver_many: Any) -> Any:
    """`deliver` of a plugin that has only `deliver_many`."""
    taken = inspect.signature(deliver_many).parameters

    @hookimpl
    def deliver(event: StoredEvent, target: str) -> None:
        arguments = {"events": [event], "target": target}
        deliver_many(**{name: value for name, value in arguments.items() if name in taken})

    return deliver


def needs_digest(found: Found) -> bool:
    """Whether the plugin says that it cannot work without `StoredEvent.digest`."""
    return bool(stated_of(found, DIGEST))


def stated_of(found: Found, attribute: str) -> Any:
    """What a plugin says of itself in an attribute of its own, or of its module."""
    return getattr(found.plugin, attribute, getattr(found.module, attribute, None))


def _attributes(plugin: object) -> Iterator[tuple[str, Any]]:
    """All attributes that can be hooks."""
    for name in dir(plugin):
        if not name.startswith("__") and not isinstance(inspect.getattr_static(plugin, name, None), _COMPUTED):
            yield name, getattr(plugin, name)


def _mark(value: object) -> Any:
    """What `@hookimpl` left on it, None if it is no implementation of a hook."""
    return getattr(value, MARK, None) if callable(value) else None


def _has_hooks(plugin: object) -> bool:
    return any(_mark(value) is not None for _, value in _attributes(plugin))


def _belongs_to(plugin: object, value: object) -> bool:
    """Whether `value` is a callable of the plugin's own, not one that it merely imported (`from os import write`).

    What is imported is known to its own module by its own name; what a decorator or `partial` made is not.
    """
    if not callable(value) or isinstance(value, type):
        return False
    if not isinstance(plugin, ModuleType):
        return not isinstance(value, BuiltinFunctionType)
    home = getattr(value, "__module__", None)
    if home == plugin.__name__:
        return True
    return getattr(sys.modules.get(str(home)), getattr(value, "__qualname__", ""), None) is not value


def _check_function(plugin: str, name: str, function: Any, marked: dict[str, Any]) -> None:
    hook = marked.get("specname") or name
    problem = _problem(hook, function, marked)
    if problem:
        raise PluginError(problem, plugin=plugin, hook=name, place=definition_of(function))


def _problem(hook: str, function: Any, marked: dict[str, Any]) -> str:
    """Why `function` cannot implement `hook`; "" if it can."""
    if hook not in HOOKS:
        hint = did_you_mean(hook, HOOKS) or f"hooks are {', '.join(HOOKS)}"
        return f"there is no such hook; {hint}"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "is async; hooks are plain functions"
    if marked.get("wrapper") or marked.get("hookwrapper") or inspect.isgeneratorfunction(function):
        return "is a generator or wrapper; hooks are plain functions"
    known = list(inspect.signature(getattr(hookspecs, hook)).parameters)
    unknown = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in known and parameter.default is parameter.empty
    ]
    if unknown:
        return f"takes {', '.join(unknown)}; this hook offers {', '.join(known) or 'nothing'}"
    return ""
