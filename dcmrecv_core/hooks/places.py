"""Where a plugin's code failed, or is now, as FILE:LINE for messages."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any, NamedTuple

from dcmrecv_core.api.errors import PluginError, described

_NOT_SHOWN = ("dcmrecv_core", "importlib", "importlib_metadata")
_GUARD = ("dcmrecv_core.hooks.guards", "guarded")
"""Module and name of the function that calls a hook: its variables are the names of plugin and hook."""

_LONGEST_CHAIN = 3


class Running(NamedTuple):
    """The hook that is running in this thread, and the line of its plugin; each "" if there is none."""

    plugin: str = ""
    hook: str = ""
    place: str = ""


class Home(NamedTuple):
    """Where the function is that implements a hook: the name of its module, and the line that defines it."""

    module: str
    line: str

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Home:
        return cls(str(getattr(function, "__module__", "")), definition_of(function))

    def place_of(self, error: BaseException) -> str:
        """As `place_of`; the function itself if `error` is about what it has returned."""
        return place_of(error, self.module) or self.line


def code_of(function: Any) -> CodeType | None:
    """The code of what can be called, without decorators; None for that of a library in C."""
    written = inspect.unwrap(getattr(function, "__func__", function))
    if isinstance(written, functools.partial):
        written = written.func
    if not hasattr(written, "__code__"):
        written = type(written).__call__  # an object that can be called
    return getattr(written, "__code__", None)


def definition_of(function: Any) -> str:
    """The line that defines a function; "" if there is none."""
    code = code_of(function)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


def add_place(error: PluginError) -> None:
    """Let `error` name the line of the plugin that raised its cause."""
    cause = error.__cause__ or error.__context__
    error.place = error.place or (place_of(cause, None) if cause else "")


def place_of(error: BaseException, module: str | None) -> str:
    """The line of the plugin whose module is called `module` at which `error` was raised, or on the way to there.

    The innermost line in the module or its package counts; else the innermost one that belongs neither to the receiver
    nor to Python's import. "" if there is none.
    """
    if place := _place_of_syntax(error):
        return place
    packages = dict(_places(_frames(error.__traceback__)))
    own = module.partition(".")[0] if module else ""
    return packages.get(own) or next((place for package, place in reversed(packages.items()) if package), "")


def reason_of(error: BaseException, place: str, text: Callable[[BaseException], str] = described) -> str:
    """Kind and text of `error`, the line that raised it with the files on the way from `place`, the line of the plugin,
    and what caused it. Lines of the receiver and of Python itself are left out."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < _LONGEST_CHAIN:
        said = text(cause)
        deeper = _way_to(cause, place)
        verb = "imported" if _place_of_syntax(cause) else "raised"
        at = f", {verb} at {', from '.join(deeper)}" if deeper else ""
        parts.append(type(cause).__name__ + f": {said}" * bool(said) + at)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "; caused by ".join(parts)


def traceback_of(error: BaseException) -> TracebackType | None:
    """The traceback of `error` without the receiver's frames before the plugin's; all of it if there are no others."""
    traceback = error.__traceback__
    while traceback is not None:
        if str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0] != "dcmrecv_core":
            return traceback
        traceback = traceback.tb_next
    return error.__traceback__


def running() -> Running:
    """The hook that is running, and the innermost line of its plugin."""
    places: list[tuple[str, str]] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) == _GUARD:
            names = frame.f_locals
            own = names["home"].module.partition(".")[0]
            place = next((place for package, place in places if package == own), places[-1][1] if places else "")
            return Running(names["plugin"], names["hook"], place)
        places += _places([(frame, frame.f_lineno)])
        frame = frame.f_back
    return Running()


def _way_to(error: BaseException, place: str) -> list[str]:
    """From the line that raised to `place`, without that: the innermost line of each file, a few if there are many."""
    files = {}
    for package, each in _places(_frames(error.__traceback__)):
        if package not in sys.stdlib_module_names:
            files[each.rpartition(":")[0]] = each
    way = list(reversed(files.values()))
    if place in way:
        way = way[: way.index(place)]
    return way if len(way) <= _LONGEST_CHAIN else [*way[: _LONGEST_CHAIN - 1], "...", way[-1]]


def _place_of_syntax(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename and not error.filename.startswith("<"):
        return f"{error.filename}:{error.lineno}"
    return ""


def _frames(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _places(frames: Iterable[tuple[FrameType, int]]) -> Iterator[tuple[str, str]]:
    """Top-level package and place of each frame, in their order."""
    for frame, line in frames:
        name = frame.f_code.co_filename
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _NOT_SHOWN and not name.startswith("<"):
            yield package, f"{name}:{line}"
