"""The guard around every hook implementation.

pluggy neither says which plugin failed, nor limits its time, nor checks what it returns. The guard does all three, so
that a decision fails closed (HookFailure, status 0110) and a notification fails soft (logged).
"""

from __future__ import annotations

import inspect
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, NoReturn

from dcmrecv_core.api import hookspecs
from dcmrecv_core.api.errors import (
    HookFailure,
    PluginError,
    StartError,
    StateDirectoryError,
    StatusError,
    TryAgain,
    Undeliverable,
    described,
)
from dcmrecv_core.api.model import Association, Instance
from dcmrecv_core.api.names import split_directory
from dcmrecv_core.api.services import Response
from dcmrecv_core.api.settings import Locations
from dcmrecv_core.api.verdicts import (
    Accept,
    Also,
    Discard,
    Name,
    Refuse,
    Reject,
    SupportedContext,
    Warn,
    checked_contexts,
    is_failure,
)
from dcmrecv_core.counters.plugin_counts import PluginCounts
from dcmrecv_core.hooks.limits import HookTimeout, PluginLimits
from dcmrecv_core.hooks.places import Home, reason_of, traceback_of
from dcmrecv_core.hooks.tracing import Observer, observed

log = logging.getLogger("dcmrecv.plugins")

START_HOOKS = ("add_options", "configure", "delivery_targets", "completion_targets", "relocate_from")
NOTIFICATION_HOOKS = (
    "worker_stopping",
    "association_accepted",
    "stored",
    "not_stored",
    "association_ended",
    "delivery_stopping",
)
BACKGROUND_HOOKS = ("background", "delivery_started")
COMPLETION_HOOKS = ("series_completed", "study_completed")
QUEUE_HOOKS = ("relocate", *COMPLETION_HOOKS)
"""Their targets are queues of their own; the default one is called like the hook."""

DELIVERY_HOOKS = ("deliver", *QUEUE_HOOKS)
LOCATION_HOOKS = ("open_location", "remove_location")
INSTANCE_HOOKS = ("receive", "choose_subdir", "choose_filename", "write")
ANSWERED_HOOKS = (*INSTANCE_HOOKS, "serve")
"""A StatusError that these raise is the answer."""


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
    locations: Locations | None = None,
) -> Callable[..., Any]:
    """`function` as the registered implementation of `hook`: timed by `limits`, checked and attributed to `plugin`;
    each call is reported to `observer`, if there is one."""
    specification = getattr(hookspecs, hook)
    home = Home.of(function)
    offered = list(inspect.signature(specification).parameters)
    call = _with_named_arguments(function, offered)
    if offered[:1] == ["settings"]:
        call = _with_own_options(call, plugin, locations, limits.counts)
    if observer is not None:
        call = observed(call, plugin, hook, CHECKS.get(hook, _check_nothing), observer)
    if hook in START_HOOKS:
        guarded = _guard_start(call, plugin, hook, built_in, home)
    elif hook in NOTIFICATION_HOOKS:
        guarded = _guard_notification(call, plugin, hook, limits, home)
    elif hook in LOCATION_HOOKS:
        guarded = _guard_location(call, plugin, hook, home)
    elif hook in BACKGROUND_HOOKS:
        guarded = _guard_background(call, plugin, hook, limits, home)
    elif hook in (*DELIVERY_HOOKS, "deliver_many"):
        guarded = _guard_delivery(call, plugin, hook, limits, home)
    elif built_in and hook in INSTANCE_HOOKS:
        guarded = _guard_built_in(call, plugin, hook, limits, home)
    else:
        guarded = _guard_decision(call, plugin, hook, limits, built_in, home)
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


def _with_own_options(
    call: Callable[..., Any], plugin: str, locations: Locations | None, counts: PluginCounts
) -> Callable[..., Any]:
    """A plugin does not know its own name: the settings bring the options of that name."""
    return lambda settings, *others: call(settings.own(plugin, locations, counts.of(plugin)), *others)


def _guard_start(call: Callable[..., Any], plugin: str, hook: str, built_in: bool, home: Home) -> Callable[..., Any]:
    check = CHECKS.get(hook, _check_nothing)

    def guarded(*args: Any) -> Any:
        with no_new_threads(plugin, hook, home.line):
            try:
                result = call(*args)
                return None if result is None else check(result)
            except StartError as error:
                if built_in:  # it is about the user's options, and says so
                    raise
                if isinstance(error, PluginError) and error.plugin:  # the receiver's own, about what the plugin does
                    error.hook = error.hook or hook
                    error.place = error.place or home.place_of(error)
                    raise
                log.debug("plugin %s: %s", plugin, hook, exc_info=True)  # the text says what, not where
                failure = PluginError(described(error), plugin=plugin, hook=hook)
                failure.exit_code = error.exit_code
                raise failure from error
            except (Exception, SystemExit) as error:
                log.debug("plugin %s: %s", plugin, hook, exc_info=True)
                place = home.place_of(error)
                raise PluginError(reason_of(error, place), plugin=plugin, hook=hook, place=place) from error

    return guarded


def _guard_location(call: Callable[..., Any], plugin: str, hook: str, home: Home) -> Callable[..., Any]:
    check = CHECKS[hook]

    def guarded(*args: Any) -> Any:
        try:
            result = call(*args)
            return None if result is None else check(result)
        except (OSError, HookTimeout):  # what the caller expects, or what ends the caller
            raise
        except Exception as error:
            place = home.place_of(error)
            raise PluginError(reason_of(error, place), plugin=plugin, hook=hook, place=place) from error

    return guarded


@contextmanager
def no_new_threads(plugin: str, hook: str = "", place: str = "") -> Iterator[None]:
    """Raises PluginError if there are more threads afterwards: a fork does not copy them, only the locks they hold."""
    before = threading.enumerate()
    yield
    started = [thread.name for thread in threading.enumerate() if thread not in before]
    if started:
        raise PluginError(
            f"threads are alive ({', '.join(started)}), but workers are forked from here; start them in worker_started",
            plugin=plugin,
            hook=hook,
            place=place,
        )


def _guard_notification(
    call: Callable[..., Any], plugin: str, hook: str, limits: PluginLimits, home: Home
) -> Callable[..., Any]:
    timer = limits.timer
    number = limits.number(plugin, hook)

    def guarded(*args: Any) -> None:
        timer.start(number)
        try:
            call(*args)
            timer.stop()
        except BaseException as error:
            timer.stop()
            place = home.place_of(error)
            limits.notice(error)
            _log_failure(plugin, hook, args, error, place)

    return guarded


def _guard_background(
    call: Callable[..., Any], plugin: str, hook: str, limits: PluginLimits, home: Home
) -> Callable[..., Any]:
    """Not timed: it does slow work, in a process of its own."""

    def guarded(*args: Any) -> None:
        try:
            call(*args)
        except BackgroundStopped:
            raise
        except TryAgain as error:
            log.error("plugin %s: %s: %s", plugin, hook, described(error))
            raise HookFailure("failed", plugin=plugin, hook=hook) from error
        except BaseException as error:
            place = home.place_of(error)
            limits.notice(error)
            _log_failure(plugin, hook, args, error, place)
            raise HookFailure("failed", plugin=plugin, hook=hook) from error

    return guarded


def _guard_delivery(
    call: Callable[..., Any], plugin: str, hook: str, limits: PluginLimits, home: Home
) -> Callable[..., Any]:
    """Not timed. What it raises says what failed and where: the caller knows what follows from it, and logs both."""
    check = CHECKS.get(hook)

    def guarded(*args: Any) -> Any:
        try:
            result = call(*args)
            return None if result is None or check is None else check(result)
        except (BackgroundStopped, Undeliverable, TryAgain):
            raise
        except BaseException as error:
            place = home.place_of(error)
            limits.notice(error)
            at = f" at {place}" if place else ""
            raise HookFailure(f"{described(error, repr)}{at}", plugin=plugin, hook=hook) from error

    return guarded


def _guard_decision(
    call: Callable[..., Any], plugin: str, hook: str, limits: PluginLimits, built_in: bool, home: Home
) -> Callable[..., Any]:
    timer = limits.timer
    number = limits.number(plugin, hook)
    check = CHECKS.get(hook, _check_nothing)

    def guarded(*args: Any) -> Any:
        timer.start(number)
        try:
            result = call(*args)
            if result is not None:
                result = check(result)
            timer.stop()
            return result
        except BaseException as error:
            timer.stop()
            place = home.place_of(error)
            limits.notice(error)
            _fail(plugin, hook, args, error, place, built_in)

    return guarded


def _guard_built_in(
    call: Callable[..., Any], plugin: str, hook: str, limits: PluginLimits, home: Home
) -> Callable[..., Any]:
    """Neither timed nor checked, which would cost time for each instance."""

    def guarded(*args: Any) -> Any:
        try:
            return call(*args)
        except BaseException as error:
            place = home.place_of(error)
            limits.notice(error)
            _fail(plugin, hook, args, error, place, built_in=True)

    return guarded


def _fail(plugin: str, hook: str, args: tuple[Any, ...], error: BaseException, place: str, built_in: bool) -> NoReturn:
    """A decision has raised `error`: raises the error for the core."""
    owner = "" if built_in else plugin
    if hook in ANSWERED_HOOKS and isinstance(error, StatusError) and _refuses(error):
        error.plugin = owner
        raise error  # from `save`, or as good as a Refuse: the storage failed, not the plugin
    if hook == "worker_started" and isinstance(error, StateDirectoryError):
        log.debug("plugin %s: %s", plugin, hook, exc_info=error)  # the supervisor says it, once for all workers
    else:
        _log_failure(plugin, hook, args, error, place)
    what = "took too long" if isinstance(error, HookTimeout) else "failed"
    failure = HookFailure(what, plugin=plugin, hook=hook)
    failure.plugin = owner
    raise failure from error


def _refuses(error: StatusError) -> bool:
    """Whether it can be answered: a plugin's subclass may have any attributes."""
    try:
        StatusError(error.status, error.comment, error.elements)
    except Exception:
        return False
    return is_failure(error.status)


def _log_failure(plugin: str, hook: str, args: tuple[Any, ...], error: BaseException, place: str) -> None:
    at = f" at {place}" if place else ""
    shown = (type(error), error, traceback_of(error))
    log.error("plugin %s: %s: %s%s%s", plugin, hook, described(error, repr), at, _subject(args), exc_info=shown)


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
    return result if isinstance(result, Reject | Also | Accept) else checked_contexts(result)


def _check_receive(result: object) -> object:
    if not isinstance(result, Refuse | Warn | Discard):
        raise TypeError(f"None, Refuse, Warn or Discard expected, not {result!r}")
    return result


def _check_subdir(result: object) -> str:
    if not isinstance(result, str | PurePath):
        raise TypeError(f"None, str or PurePath expected, not {result!r}")
    directory = str(result) if isinstance(result, PurePath) else result  # what `escape` made keeps its type
    split_directory(directory)
    return directory


def _check_filename(result: object) -> Name:
    if isinstance(result, str):
        return Name(result)
    if not isinstance(result, Name):
        raise TypeError(f"None, str or Name expected, not {result!r}")
    return result


def _check_write(result: object) -> str:
    if isinstance(result, str | PurePath):
        return str(result)
    raise TypeError(f"None, a path or a URI expected, not {result!r}")


def _check_open_location(result: object) -> object:
    if not callable(getattr(result, "read", None)) or not callable(getattr(result, "close", None)):
        raise TypeError(f"None or a binary file expected, not {result!r}")
    return result


def _check_remove_location(result: object) -> object:
    if not isinstance(result, bool):
        raise TypeError(f"None, True or False expected, not {result!r}")
    return result


def _check_serve(result: object) -> Response:
    if isinstance(result, Response):
        return result
    raise TypeError(f"None or Response expected, not {result!r}")


_TARGET = re.compile(r"[\w.+@:-]{1,64}", re.ASCII)


def _check_targets(result: object) -> tuple[str, ...]:
    if isinstance(result, str | bytes) or not isinstance(result, Iterable):
        raise TypeError(f"None or an iterable of names expected, not {result!r}")
    targets = tuple(result)
    for target in targets:
        if not isinstance(target, str):
            raise TypeError(f"the name of a target is a str, not {target!r}")
        if not _TARGET.fullmatch(target) or target in QUEUE_HOOKS:
            raise ValueError(f"the name of a target has 1 to 64 letters, digits and ._-+@:, not {target!r}")
        if targets.count(target) > 1:
            raise ValueError(f"there are two targets called {target}")
    return targets


CHECKS: dict[str, Callable[[Any], Any]] = {
    "negotiate": _check_negotiate,
    "serve": _check_serve,
    "receive": _check_receive,
    "choose_subdir": _check_subdir,
    "choose_filename": _check_filename,
    "write": _check_write,
    "open_location": _check_open_location,
    "remove_location": _check_remove_location,
    "delivery_targets": _check_targets,
    "completion_targets": _check_targets,
    "relocate_from": _check_subdir,
    "relocate": _check_write,
}
