"""One call of a hook, watched: how it ended, at which line of the plugin, and what it did that it must not.

Lines are those of the plugin's own files, so that a message can name the line to change.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any

from dcmrecv_core.hooks.limits import HookTimeout
from dcmrecv_core.hooks.loader import Found

_WATCHED = frozenset({"os.chdir", "os.fork", "os.forkpty", "sqlite3.connect", "socket.connect", "open"})


class Sources:
    """The files of a plugin: its module, or all of its package."""

    def __init__(self, found: Found) -> None:
        name = type(found.plugin).__module__
        module = found.module or (found.plugin if isinstance(found.plugin, ModuleType) else sys.modules.get(name))
        self.module: ModuleType | None = module
        file = getattr(module, "__file__", None)
        self._file = os.path.realpath(file) if file else ""
        self._package = os.path.dirname(self._file) + os.sep if os.path.basename(self._file) == "__init__.py" else ""

    def has(self, filename: str) -> bool:
        path = os.path.realpath(filename)
        return bool(self._file) and (path == self._file or (bool(self._package) and path.startswith(self._package)))

    def of_frame(self, frame: FrameType | None) -> str:
        """The innermost line of the plugin on a stack, "" if there is none."""
        while frame is not None:
            if self.has(frame.f_code.co_filename):
                return line_of(frame.f_code.co_filename, frame.f_lineno)
            frame = frame.f_back
        return ""

    def of_traceback(self, traceback: TracebackType | None) -> str:
        """The innermost line of the plugin in a traceback, "" if there is none."""
        found = ""
        while traceback is not None:
            filename = traceback.tb_frame.f_code.co_filename
            if self.has(filename):
                found = line_of(filename, traceback.tb_lineno)
            traceback = traceback.tb_next
        return found

    @staticmethod
    def of_function(function: Any) -> str:
        """Where a function is defined."""
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        return line_of(code.co_filename, code.co_firstlineno) if code is not None else ""


def line_of(filename: str, number: int) -> str:
    """A line as messages show it, relative to the current directory if the file is below it."""
    path = Path(os.path.realpath(filename))
    here = Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}:{number}"


@dataclass(slots=True)
class Watched:
    """A call that ended. `returned_at` is the line of its `return`, `error` what it raised, `raised_at` where."""

    result: Any = None
    error: BaseException | None = None
    returned_at: str = ""
    raised_at: str = ""
    events: list[tuple[str, str, str]] = field(default_factory=list)
    """What it did: the name of Python's audit event, its argument, the line."""

    @property
    def too_long(self) -> bool:
        return isinstance(self.error, HookTimeout)


class Watch:
    """Calls hooks of one plugin, each for `seconds` at most."""

    def __init__(self, sources: Sources, seconds: float) -> None:
        self._sources = sources
        self._seconds = seconds

    def call(self, function: Callable[..., Any], *args: Any) -> Watched:
        """Raises nothing but KeyboardInterrupt: all else is a part of the result."""
        watched = Watched()

        def on_profile(frame: FrameType, event: str, _arg: object) -> None:
            if event == "return" and self._sources.has(frame.f_code.co_filename):
                watched.returned_at = line_of(frame.f_code.co_filename, frame.f_lineno)

        def on_audit(event: str, arguments: tuple[Any, ...]) -> None:
            line = self._sources.of_frame(sys._getframe(2))
            if line:
                watched.events.append((event, str(arguments[0]) if arguments else "", line))

        previous = sys.getprofile()
        try:
            with _time_limit(self._seconds), _audited(on_audit):
                sys.setprofile(on_profile)
                try:
                    watched.result = function(*args)
                finally:
                    sys.setprofile(previous)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            watched.error = error
            watched.raised_at = self._sources.of_traceback(error.__traceback__)
        return watched

    def line_of_change(self, function: Callable[..., Any], args: tuple[Any, ...], state: Callable[[], Any]) -> str:
        """Call it again; the line of the plugin after which `state()` has another value, "" if there is none."""
        before, last, found = state(), "", ""

        def local(frame: FrameType, event: str, _arg: object) -> Any:
            nonlocal last, found
            if event in ("line", "return"):
                if not found and last and state() != before:
                    found = last
                last = line_of(frame.f_code.co_filename, frame.f_lineno)
            return local

        def trace(frame: FrameType, _event: str, _arg: object) -> Any:
            return local if self._sources.has(frame.f_code.co_filename) else None

        previous = sys.gettrace()
        try:
            with _time_limit(self._seconds):
                sys.settrace(trace)
                try:
                    function(*args)
                finally:
                    sys.settrace(previous)
        except KeyboardInterrupt:
            raise
        except BaseException:
            return found
        return found


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raises HookTimeout in the block after `seconds`, if this is the main thread; an alarm that was set before, as
    that of pytest-timeout, goes on afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def alarm(_number: int, _frame: FrameType | None) -> None:
        raise HookTimeout(f"longer than {seconds:g} seconds")

    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, alarm)
    rest, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if rest:
            signal.setitimer(signal.ITIMER_REAL, max(rest - (time.monotonic() - started), 0.001), interval)


_listeners: list[Callable[[str, tuple[Any, ...]], None]] = []
_start_thread = threading.Thread.start


def _on_audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _listeners and event in _WATCHED:
        _listeners[-1](event, arguments)


@contextmanager
def _audited(listener: Callable[[str, tuple[Any, ...]], None]) -> Iterator[None]:
    """Tells `listener` what happens in the block: Python's audit events, and the start of threads."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_on_audit)  # cannot be removed: without a listener it does nothing
        _hooked = True

    def start(self: threading.Thread) -> None:
        listener("thread", (self.name,))
        _start_thread(self)

    _listeners.append(listener)
    threading.Thread.start = start  # type: ignore[method-assign]
    try:
        yield
    finally:
        threading.Thread.start = _start_thread  # type: ignore[method-assign]
        _listeners.pop()


_hooked = False
