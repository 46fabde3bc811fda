"""The code of the plugins that are loaded: its modules, and whether its files change (`--reload-plugins`)."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.hooks.loader import is_package
from dcmrecv_core.hooks.plugins_dir import paths_in

if TYPE_CHECKING:
    from dcmrecv_core.hooks.loader import Found

_SOURCE = ".py"

State = dict[str, tuple[int, int, int]]
"""By file its time of change, size and number; of one that cannot be looked at nothing."""


def forget_modules(plugins: Iterable[Found]) -> dict[str, ModuleType]:
    """Let the next import of these plugins load their packages from their files. Returns the modules that were
    forgotten, by name, for `remember_modules`."""
    packages = {found.package for found in plugins}
    own = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in packages}
    for name in own:
        del sys.modules[name]
    importlib.invalidate_caches()
    return own


def remember_modules(plugins: Iterable[Found], modules: dict[str, ModuleType]) -> None:
    """Take back `forget_modules`: `plugins` were loaded meanwhile, or were to be."""
    forget_modules(plugins)
    sys.modules.update(modules)


class Watch:
    """Looks from time to time at the files of the plugins that `plugins` returns: those of their packages, whether they
    are imported or not, and those in plugins directories, which may be new."""

    def __init__(self, plugins: Callable[[], Iterable[Found]], directories: Iterable[str]) -> None:
        self._plugins = plugins
        self._directories = tuple(directories)
        self._known = self._seen = self._look()

    def changed(self) -> str:
        """A file that has changed, is new or is gone, once nothing has changed any more since the last look, because
        an editor or git may need a moment; "" if there is none. It counts as known from now on."""
        before, self._seen = self._seen, self._look()
        if self._seen == self._known or self._seen != before:
            return ""
        known, self._known = self._known, self._seen
        return _first_difference(known, self._seen)

    def differs(self) -> str:
        """A file that is not as it was when the code was loaded; "" if there is none."""
        return _first_difference(self._known, self._look())

    def _look(self) -> State:
        state = {}
        for path in self._files():
            with suppress(OSError):  # it is gone just now
                status = os.stat(path)
                state[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return state

    def _files(self) -> Iterator[str]:
        for package in (sys.modules.get(found.package) for found in self._plugins()):
            for path in getattr(package, "__path__", ()):
                yield from _sources(path)
            if file := getattr(package, "__file__", None):
                yield file
        for directory in self._directories:
            with suppress(PluginError):
                for path in paths_in(directory):
                    yield from [path] if path.endswith(_SOURCE) else _sources(path)


def _first_difference(before: State, after: State) -> str:
    return next((path for path in sorted(before | after) if before.get(path) != after.get(path)), "")


def _sources(package: str) -> Iterator[str]:
    """The files of a package and of those in it; another directory in it may hold anything, even what is received."""
    for root, directories, files in os.walk(package):
        directories[:] = [name for name in directories if is_package(os.path.join(root, name))]
        yield from (os.path.join(root, name) for name in files if name.endswith(_SOURCE))
