"""The guard around every hook implementation.

pluggy neither says which plugin failed, nor limits its time, nor checks what it returns. The guard does all three, so
that a decision fails closed (HookFailure, status 0110) and a notification fails soft (logged).
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, NoReturn

from dcmrecv_core.api import hookspecs
from dcmrecv_core.api.errors import HookFailure, PluginError, StartError, StatusError, described
from dcmrecv_core.api.model import Association, Instance
from dcmrecv_core.api.names import check_filename, split_directory
from dcmrecv_core.api.services import Response
from dcmrecv_core.api.verdicts import (
    MAX_IDENTITY_RESPONSE,
    ON_EXISTS,
    Accept,
    Also,
    Discard,
    Name,
    Refuse,
    Reject,
    RejectReason,
    SupportedContext,
    Warn,
)
from dcmrecv_core.hooks.limits import HookTimeout, PluginLimits
from dcmrecv_core.hooks.tracing import Observer, observed

log = logging.getLogger("dcmrecv.plugins")

START_HOOKS = ("add_options", "configure")
NOTIFICATION_HOOKS = ("worker_stopping", "association_accepted", "stored", "association_ended")
BACKGROUND_HOOKS = ("background",)
INSTANCE_HOOKS = ("receive", "choose_subdir", "choose_filename", "write")
ANSWERED_HOOKS = (*INSTANCE_HOOKS, "serve")
"""A StatusError that these raise is the answer."""

_WARNINGS_BELOW_0200 = (0x0107, 0x0116)


class BackgroundStopped(SystemExit):
    """What SIGTERM raises in a `background` hook, so that its `finally` blocks run."""


def guard(
    function: Callable[..., Any],
    plugin: str,
    hook: str,
    limits: PluginLimits,
    observer: Observer | None = None,
    *,
    built_in: bool = False,
) -> Callable[..., Any]:
    """`function` as the registered implementation of `hook`: timed by `limits`, checked and attributed to `plugin`;
    each call is reported to `observer`, if there is one."""
    specification = getattr(hookspecs, hook)
    offered = list(inspect.signature(specification).parameters)
    call = _with_named_arguments(function, offered)
    if offered == ["settings"]:
        call = _with_own_options(call, plugin)
    if observer is not None:
        call = observed(call, plugin, hook, CHECKS.get(hook, _check_nothing), observer)
    if hook in START_HOOKS:
        guarded = _guard_start(call, plugin, hook, built_in)
    elif hook in NOTIFICATION_HOOKS:
        guarded = _guard_notification(call, plugin, hook, limits)
    elif hook in BACKGROUND_HOOKS:
        guarded = _guard_background(call, plugin, hook, limits)
    else:
        guarded = _guard_decision(call, plugin, hook, limits, built_in)
    # pluggy takes the argument names from this, and so passes all, even to a function that names none: the log needs
    # them to name the instance
    guarded.__wrapped__ = specification  # type: ignore[attr-defined]
    return guarded


def _with_named_arguments(function: Callable[..., Any], offered: list[str]) -> Callable[..., Any]:
    """Takes all arguments that the hook offers, and passes on those that `function` names."""
    parameters = inspect.signature(function).parameters
    named = [name for name in parameters if name in offered]
    if named == offered and all(parameter.kind is not parameter.KEYWORD_ONLY for parameter in parameters.values()):
        return function
    if not named:
        return lambda *args: function()

    def call(*args: Any) -> Any:
        arguments = dict(zip(offered, args, strict=True))
        return function(**{name: arguments[name] for name in named})

    return call


def _with_own_options(call: Callable[..., Any], plugin: str) -> Callable[..., Any]:
    """A plugin does not know its own name: the settings bring the options of that name."""
    return lambda settings: call(settings.own(plugin))


def _guard_start(call: Callable[..., Any], plugin: str, hook: str, built_in: bool) -> Callable[..., Any]:
    def guarded(*args: Any) -> None:
        with no_new_threads(f"plugin {plugin}: {hook}"):
            try:
                call(*args)
            except StartError as error:
                # an error of a built-in plugin is about the user's options, and says so
                text = described(error)
                if built_in or text.startswith(("plugin ", "plugins ")):
                    raise
                failure = PluginError(f"plugin {plugin}: {hook}: {text}")
                failure.exit_code = error.exit_code
                raise failure from error
            except (Exception, SystemExit) as error:
                log.debug("plugin %s: %s", plugin, hook, exc_info=True)
                raise PluginError(f"plugin {plugin}: {hook}: {type(error).__name__}: {described(error)}") from error

    return guarded


@contextmanager
def no_new_threads(who: str) -> Iterator[None]:
    """Raises PluginError if there are more threads afterwards: a fork does not copy them, only the locks they hold."""
    before = threading.enumerate()
    yield
    started = [thread.name for thread in threading.enumerate() if thread not in before]
    if started:
        raise PluginError(
            f"{who}: threads are alive ({', '.join(started)}), but workers are forked from here; "
            "start them in worker_started"
        )


def _guard_notification(call: Callable[..., Any], plugin: str, hook: str, limits: PluginLimits) -> Callable[..., Any]:
    timer = limits.timer

    def guarded(*args: Any) -> None:
        timer.start()
        try:
            call(*args)
            timer.stop()
        except BaseException as error:
            timer.stop()
            limits.memory.release(error)
            _log_failure(plugin, hook, args, error)

    return guarded


def _guard_background(call: Callable[..., Any], plugin: str, hook: str, limits: PluginLimits) -> Callable[..., Any]:
    """Not timed: it does slow work, in a process of its own."""

    def guarded(*args: Any) -> None:
        try:
            call(*args)
        except BackgroundStopped:
            raise
        except BaseException as error:
            limits.memory.release(error)
            _log_failure(plugin, hook, args, error)
            raise HookFailure(f"Plugin {plugin} failed in {hook}") from error

    return guarded


def _guard_decision(
    call: Callable[..., Any], plugin: str, hook: str, limits: PluginLimits, built_in: bool
) -> Callable[..., Any]:
    timer = limits.timer
    # the results of built-in ones need no check, which would cost time for each instance
    check = None if built_in and hook in INSTANCE_HOOKS else CHECKS.get(hook, _check_nothing)

    def guarded(*args: Any) -> Any:
        timer.start()
        try:
            result = call(*args)
            if check is not None and result is not None:
                result = check(result)
            timer.stop()
            return result
        except BaseException as error:
            timer.stop()
            limits.memory.release(error)
            _fail(plugin, hook, args, error)

    return guarded


def _fail(plugin: str, hook: str, args: tuple[Any, ...], error: BaseException) -> NoReturn:
    """A decision has raised `error`: raises the error for the core."""
    if hook in ANSWERED_HOOKS and _refuses(error):
        raise error  # from `save`, or as good as a Refuse: the storage failed, not the plugin
    _log_failure(plugin, hook, args, error)
    what = "took too long" if isinstance(error, HookTimeout) else "failed"
    raise HookFailure(f"Plugin {plugin} {what} in {hook}") from error


def _refuses(error: BaseException) -> bool:
    """Whether it is a StatusError that can be answered: a plugin's subclass may have any attributes."""
    if not isinstance(error, StatusError):
        return False
    try:
        StatusError(error.status, error.comment, error.elements)
    except Exception:
        return False
    return is_failure(error.status)


def is_failure(status: int) -> bool:
    """Whether a DIMSE status says that the instance was not stored (PS3.7 annex C, PS3.4 table B.2-1)."""
    return status >> 12 in (0xA, 0xC) or (status >> 8 in (0x01, 0x02) and status not in _WARNINGS_BELOW_0200)


def _log_failure(plugin: str, hook: str, args: tuple[Any, ...], error: BaseException) -> None:
    log.error("plugin %s: %s: %s%s", plugin, hook, described(error, repr), _subject(args), exc_info=error)


def _subject(args: tuple[Any, ...]) -> str:
    """Whose instance or association it was, for the log line."""
    for arg in args:
        if isinstance(arg, Instance):
            peer = arg.association
            return f" ({peer.calling_ae_title}@{peer.peer_address}, SOP instance {arg.sop_instance_uid})"
        if isinstance(arg, Association):
            return f" ({arg.calling_ae_title}@{arg.peer_address})"
    return ""


def _check_nothing(result: object) -> object:
    return result


def _check_negotiate(result: object) -> Reject | Also | Accept | tuple[SupportedContext, ...]:
    if isinstance(result, Reject) and isinstance(result.reason, RejectReason):
        return result
    if isinstance(result, Also):
        return Also(_supported_contexts(result.contexts))
    if isinstance(result, Accept):
        answer = result.identity_response
        # as bytes it is never shown: it may be a ticket or a token
        if answer is not None and not (isinstance(answer, bytes) and len(answer) <= MAX_IDENTITY_RESPONSE):
            raise TypeError(f"identity_response is at most {MAX_IDENTITY_RESPONSE} bytes, or None")
        return Accept(_supported_contexts(result.contexts), answer)
    return _supported_contexts(result)


def _supported_contexts(result: object) -> tuple[SupportedContext, ...]:
    if isinstance(result, Iterable) and not isinstance(result, str | bytes):
        contexts = tuple(result)
        # often more than a hundred, for each association: each type is checked once
        if all(issubclass(kind, SupportedContext) for kind in set(map(type, contexts))):
            return contexts
    raise TypeError(f"None, Also, Accept, Reject or SupportedContexts expected, not {result!r}")


def _check_receive(result: object) -> object:
    if isinstance(result, Refuse):
        if not is_failure(result.status):
            raise ValueError(f"{result.status:04X} is not a failure status")
    elif isinstance(result, Warn):
        if result.status >> 12 != 0xB:
            raise ValueError(f"{result.status:04X} is not a warning status (Bxxx)")
    elif not isinstance(result, Discard):
        raise TypeError(f"None, Refuse, Warn or Discard expected, not {result!r}")
    if not isinstance(result, Discard) and not isinstance(result.comment, str):
        raise TypeError(f"a comment is a str, not {result.comment!r}")
    return result


def _check_subdir(result: object) -> str:
    if not isinstance(result, str | PurePath):
        raise TypeError(f"None, str or PurePath expected, not {result!r}")
    directory = str(result)
    split_directory(directory)
    return directory


def _check_filename(result: object) -> Name:
    if isinstance(result, str):
        result = Name(result)
    elif not isinstance(result, Name) or not isinstance(result.text, str):
        raise TypeError(f"None, str or Name expected, not {result!r}")
    check_filename(result.text)
    if result.on_exists not in (None, *ON_EXISTS):
        raise ValueError(f"on_exists is one of {', '.join(ON_EXISTS)}, or None, not {result.on_exists!r}")
    if result.by_default not in ON_EXISTS:
        raise ValueError(f"by_default is one of {', '.join(ON_EXISTS)}, not {result.by_default!r}")
    return result


def _check_write(result: object) -> str:
    if isinstance(result, str | PurePath):
        return str(result)
    raise TypeError(f"None, a path or a URI expected, not {result!r}")


def _check_serve(result: object) -> Response:
    if isinstance(result, Response):
        return result
    raise TypeError(f"None or Response expected, not {result!r}")


CHECKS: dict[str, Callable[[Any], Any]] = {
    "negotiate": _check_negotiate,
    "serve": _check_serve,
    "receive": _check_receive,
    "choose_subdir": _check_subdir,
    "choose_filename": _check_filename,
    "write": _check_write,
}
