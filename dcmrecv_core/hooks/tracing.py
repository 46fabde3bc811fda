"""What each hook of each plugin said, and how long it took: `--trace-hooks`, and what `--explain` shows.

Calls are observed only if somebody asked for it when the guards were built; otherwise nothing of this is in their way.
A chosen directory or name may hold patient attributes, and so may what an exception says: they are logged at debug.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmrecv_core.api.verdicts import Discard, Name, Refuse, Reject, Warn

if TYPE_CHECKING:
    from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.hooks")


class Call(NamedTuple):
    """One call of one implementation: `result` is the checked result, or the exception that it raised."""

    plugin: str
    hook: str
    result: Any
    microseconds: float


Observer = Callable[[Call], None]


def observed(
    call: Callable[..., Any], plugin: str, hook: str, check: Callable[[Any], Any], observer: Observer
) -> Callable[..., Any]:
    """`call`, which tells `observer` what came of it; a result that `check` refuses counts as raised."""

    def tell(*args: Any) -> Any:
        started = perf_counter()
        try:
            result = call(*args)
            microseconds = (perf_counter() - started) * 1e6
            if result is not None:
                result = check(result)
        except BaseException as error:
            observer(Call(plugin, hook, error, (perf_counter() - started) * 1e6))
            raise
        observer(Call(plugin, hook, result, microseconds))
        return result

    return tell


def wanted(settings: Settings) -> Observer | None:
    """The observer that the settings ask for: `--trace-hooks`, or `-d`."""
    if settings.trace_hooks:
        return log_call
    return _log_result if log.isEnabledFor(logging.DEBUG) else None


def log_call(call: Call) -> None:
    """The observer of `--trace-hooks`."""
    log.info("hook %s: plugin %s: %s (%.1f us)", call.hook, call.plugin, kind(call.result), call.microseconds)
    if log.isEnabledFor(logging.DEBUG):
        _log_result(call)


def _log_result(call: Call) -> None:
    if call.result is not None:
        log.debug("hook %s: plugin %s: result %r", call.hook, call.plugin, call.result)


def kind(result: Any) -> str:
    """The result of a hook in a few words, without anything that a peer sent."""
    match result:
        case None:
            return "-"
        case BaseException():
            return f"raised {type(result).__name__}"
        case Refuse() | Warn():
            return f"{type(result).__name__} {result.status:04X}"
        case Reject():
            return f"Reject {result.reason.name}"
        case Discard():
            return "Discard"
        case Name():
            return "name" if result.on_exists is None else f"name, on_exists={result.on_exists}"
        case tuple():
            return f"contexts: {len(result)}"
    return "text"
