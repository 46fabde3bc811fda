"""Result and time of each call of a plugin's hook: for `--trace-hooks` and `--explain`.

Calls are observed only if there is an observer when the guards are made; otherwise this costs nothing.
A chosen directory or name may hold patient attributes, and so may what an exception says: they are logged at debug.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmrecv_core.api.services import Response
from dcmrecv_core.api.verdicts import Accept, Also, Discard, Name, Refuse, Reject, Warn

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
    """`call`, with its result reported to `observer`; one that `check` refuses counts as raised."""

    def report(*args: Any) -> Any:
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

    return report


def observer_for(settings: Settings) -> Observer | None:
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
    """The result of a hook in a few words, with no text that a peer sent."""
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
        case Also():
            return f"also contexts: {len(result.contexts)}"
        case Accept():
            return f"contexts: {len(result.contexts)}"
        case Response():
            return f"Response {result.status:04X}"
        case tuple():
            return f"contexts: {len(result)}"
    return "text"
