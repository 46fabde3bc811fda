"""`--plugins-dir DIR`: every Python file and every package in a directory is a plugin, without being named.

Who can write there runs code as the receiver. So a directory or file that anyone can write to is refused; one that its
group can write to, which is the habit of some systems, gets a warning. On a read-only file system no user can write.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace

from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.hooks import loader
from dcmrecv_core.hooks.loader import Found

_LEFT_OUT = ("_", ".")
"""First characters of the names of helpers, caches, and what editors leave."""


def paths_in(directory: str) -> list[str]:
    """The files and packages that may be plugins, in the order of their names. Raises PluginError."""
    try:
        names = sorted(os.listdir(directory))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise PluginError(f"plugins directory {directory} cannot be read: {reason}") from error
    paths = [os.path.join(directory, name) for name in names if not name.startswith(_LEFT_OUT)]
    return [path for path in paths if (path.endswith(".py") and os.path.isfile(path)) or loader.is_package(path)]


def find_all(directory: str, remarks: list[str]) -> Iterator[Found]:
    """The plugins of a directory, each when it is loaded. What an administrator should know is added to `remarks`.

    Raises PluginError if one of them cannot be loaded, or if anyone can write to the directory or to what is in it.
    """
    paths = paths_in(directory)
    for path in dict.fromkeys(_code_of(directory, paths)):
        _check_writers(path, remarks)
    for path in paths:
        found = replace(loader.from_path(path), directory=directory)
        if loader.check(found, needs_hooks=False):
            yield found
        else:
            remarks.append(f"{path} has no hook, so it is no plugin; a name that begins with _ says that it is none")


def _code_of(directory: str, paths: list[str]) -> Iterator[str]:
    """Everything whose writers decide which code runs: the directory, what is in it, and what links point to."""
    yield os.path.realpath(directory)
    compiled = [os.path.join(directory, "__pycache__")]
    for path in map(os.path.realpath, (*paths, *filter(os.path.isdir, compiled))):
        yield os.path.dirname(path)
        yield path
        for root, directories, files in os.walk(path):
            yield from (os.path.join(root, name) for name in (*directories, *files))


def _check_writers(path: str, remarks: list[str]) -> None:
    try:
        mode = os.stat(path).st_mode
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return
    except OSError as error:
        raise PluginError(f"cannot be read: {error.strerror}", plugin=path) from error
    if mode & stat.S_IWOTH:
        raise PluginError("anyone can write to it, and so run code as the receiver: chmod o-w", plugin=path)
    if mode & stat.S_IWGRP:
        remarks.append(f"the group of {path} can write to it, and so run code as the receiver: chmod g-w")
