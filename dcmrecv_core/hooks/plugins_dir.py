"""`--plugins-dir DIR`: every Python file and every package in a directory is a plugin, without being named.

Who can write there runs code as the receiver. So a directory or file that anyone can write to is refused; one that its
group can write to, which is the habit of some systems, or that belongs to neither root nor the receiver's user, gets a
warning. On a read-only file system no user can write.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace

from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.hooks import loader
from dcmrecv_core.hooks.loader import Found

_LEFT_OUT = ("_", ".", "lost+found")
"""How names of helpers, caches, and what editors leave begin; `lost+found` is root's, at the top of a file system."""

_MOST_LINKS = 40
"""That Linux follows for one path."""


def paths_in(directory: str) -> list[str]:
    """The files and packages that may be plugins, in the order of their names.

    Raises PluginError if the directory or something in it cannot be read: a receiver must not run without the plugin
    that this may be.
    """
    try:
        names = sorted(os.listdir(directory))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise PluginError(f"plugins directory {directory} cannot be read: {reason}") from error
    paths = [os.path.join(directory, name) for name in names if not name.startswith(_LEFT_OUT)]
    return [path for path in paths if _may_be_plugin(path)]


def _may_be_plugin(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            return loader.PACKAGE in os.listdir(path)
        return stat.S_ISREG(mode) and path.endswith(".py")
    except OSError as error:
        if not os.path.lexists(path):  # it is gone just now
            return False
        raise PluginError(f"cannot be read: {error.strerror}", plugin=path) from error


def find_all(directory: str, remarks: list[str]) -> Iterator[Found]:
    """The plugins of a directory, each when it is loaded. What an administrator should know is added to `remarks`.

    Raises PluginError if one of them cannot be loaded, or if anyone can write to the directory or to what is in it.
    """
    paths = paths_in(directory)
    for path in dict.fromkeys(_code_of(directory, paths)):
        _check_writers(path, remarks)
    for path in paths:
        found = replace(loader.from_path(path), directory=directory)
        if not loader.check(found, needs_hooks=False):
            raise PluginError(
                "has no hook; is it whole? a name that begins with _ says that it is no plugin", plugin=path
            )
        yield found


def _code_of(directory: str, paths: list[str]) -> Iterator[str]:
    """Everything whose writers decide which code runs: the directory, what is in it, and what links lead to."""
    yield os.path.realpath(directory)
    waiting = [*paths, *filter(os.path.isdir, [os.path.join(directory, "__pycache__")])]
    walked = set()
    while waiting:
        *way, end = _way(waiting.pop())
        yield from (*way, end)
        if end in walked:
            continue
        walked.add(end)
        for root, directories, files in os.walk(end):
            inside = [os.path.join(root, name) for name in (*directories, *files)]
            links = [path for path in inside if os.path.islink(path) and _leads_to_code(path)]
            waiting += links
            yield from (path for path in inside if path not in links)


def _leads_to_code(link: str) -> bool:
    """A link to a directory that is no package may lead to anything, even to what is received."""
    return not os.path.isdir(link) or loader.is_package(link)


def _way(path: str) -> Iterator[str]:
    """The directory of a path, those of what links lead to from there, and the end of the way."""
    for _ in range(_MOST_LINKS):
        directory = os.path.realpath(os.path.dirname(path))
        yield directory
        path = os.path.join(directory, os.path.basename(path))
        if not os.path.islink(path):
            break
        path = os.path.join(directory, os.readlink(path))
    yield os.path.realpath(path)


def _check_writers(path: str, remarks: list[str]) -> None:
    try:
        status = os.stat(path)
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            return
    except OSError as error:
        raise PluginError(f"cannot be read: {error.strerror}", plugin=path) from error
    if status.st_mode & stat.S_IWOTH:
        raise PluginError("anyone can write to it, and so run code as the receiver: chmod o-w", plugin=path)
    if status.st_uid not in (0, os.geteuid()):
        text = f"belongs to user {status.st_uid}, who can so run code as the receiver: chown -R root"
        if not any(remark.endswith(text) for remark in remarks):
            remarks.append(f"{path} {text}")
    if status.st_mode & stat.S_IWGRP:
        remarks.append(f"the group of {path} can write to it, and so run code as the receiver: chmod g-w")
