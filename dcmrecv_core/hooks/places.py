"""Where a plugin's code failed, as FILE:LINE for messages."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType


def place_of(error: BaseException, module: str | None) -> str:
    """The line of the plugin whose module is called `module` at which `error` was raised, or on the way to there.

    The innermost line in the module or its package counts; else the innermost one that belongs neither to the receiver
    nor to Python's import. "" if there is none.
    """
    if isinstance(error, SyntaxError) and error.filename and not error.filename.startswith("<"):
        return f"{error.filename}:{error.lineno}"
    packages = dict(_places(error.__traceback__))
    own = module.partition(".")[0] if module else ""
    return packages.get(own) or next((place for package, place in reversed(packages.items()) if package), "")


def _places(frames: TracebackType | None) -> Iterator[tuple[str, str]]:
    """Top-level package and place of each frame, the innermost one last."""
    while frames is not None:
        code = frames.tb_frame.f_code
        package = str(frames.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in ("dcmrecv_core", "importlib", "importlib_metadata") and not code.co_filename.startswith("<"):
            yield package, f"{code.co_filename}:{frames.tb_lineno}"
        frames = frames.tb_next
