"""A decision that fails refuses the instance, a notification that fails is logged; the log says whose it was."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

import pytest

from dcmrecv_core import (
    Discard,
    Ended,
    Name,
    PluginSettings,
    Refuse,
    Reject,
    RejectReason,
    Summary,
    SupportedContext,
    Warn,
)
from dcmrecv_core.api.errors import (
    ConfigurationError,
    HookFailure,
    NameTakenError,
    PluginError,
    StartError,
    StatusError,
    StorageError,
)
from dcmrecv_core.hooks.guards import guard
from dcmrecv_core.hooks.limits import PluginLimits
from dcmrecv_core.settings.settings import Settings
from support.plugins import ASSOCIATION, FakeInstance, raising
from support.uids import VERIFICATION

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "negotiate": (ASSOCIATION,),
    "receive": (FakeInstance(),),
    "choose_subdir": (FakeInstance(),),
    "choose_filename": (FakeInstance(),),
    "write": (FakeInstance(), "a/path"),
    "stored": (FakeInstance(), "a/path"),
    "association_ended": (ASSOCIATION, Summary(1, 0, 0, 100, 0.5, Ended.RELEASED)),
    "worker_started": (Settings(),),
    "worker_stopping": (),
}
DECISIONS = ("worker_started", "negotiate", "receive", "choose_subdir", "choose_filename", "write")
OF_INSTANCES = ("receive", "choose_subdir", "choose_filename", "write")
NOTIFICATIONS = ("stored", "association_ended", "worker_stopping")


class Stop(BaseException):
    """Like KeyboardInterrupt, which pytest would take for its own."""


@pytest.fixture
def limits() -> PluginLimits:
    return PluginLimits()


def call(
    hook: str, result: object = None, error: BaseException | None = None, limits: PluginLimits | None = None
) -> Any:
    """What the guard of a plugin called "site" makes of a hook that returns or raises this."""

    def function() -> object:
        if error is not None:
            raise error
        return result

    return guard(function, "site", hook, limits or PluginLimits())(*ARGUMENTS[hook])


def check_failure(hook: str, caught: pytest.ExceptionInfo[HookFailure], caplog: pytest.LogCaptureFixture) -> None:
    assert caught.value.status == 0x0110
    assert "site" in caught.value.comment and hook in caught.value.comment
    assert len(caught.value.comment) <= 64
    check_log(hook, caplog)


def check_log(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    [record] = caplog.records
    message = record.getMessage()
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None, "the traceback"
    assert "site" in message and hook in message
    if hook not in ("worker_started", "worker_stopping"):
        assert "SCANNER" in message and "192.0.2.7" in message
    if isinstance(next(iter(ARGUMENTS[hook]), None), FakeInstance):
        assert "1.2.3" in message


@pytest.mark.parametrize("hook", DECISIONS)
@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(3), Stop(), MemoryError()], ids=repr)
def test_a_decision_that_raises_fails_closed(
    hook: str, error: BaseException, limits: PluginLimits, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(HookFailure) as caught:
        call(hook, error=error, limits=limits)
    check_failure(hook, caught, caplog)
    assert caught.value.__cause__ is error
    assert not limits.timer.running and not limits.timer.flag[0]


@pytest.mark.parametrize("hook", NOTIFICATIONS)
@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(3), Stop(), StatusError(0xA700, "full")], ids=repr)
def test_a_notification_that_raises_is_logged(
    hook: str, error: BaseException, limits: PluginLimits, caplog: pytest.LogCaptureFixture
) -> None:
    call(hook, error=error, limits=limits)
    check_log(hook, caplog)
    assert not limits.timer.running and not limits.timer.flag[0]


def test_a_long_plugin_name_leaves_a_fit_comment() -> None:
    with pytest.raises(HookFailure) as caught:
        guard(raising(ValueError()), "x" * 100, "receive", PluginLimits())(FakeInstance())
    assert len(caught.value.comment) == 64


@pytest.mark.parametrize("hook", OF_INSTANCES)
@pytest.mark.parametrize("error", [StorageError("full"), NameTakenError(0x0111, "a"), StatusError(0x0124, "not you")])
def test_a_failure_status_passes_through(hook: str, error: StatusError, caplog: pytest.LogCaptureFixture) -> None:
    """The disk that `save` writes to is not the plugin's fault."""
    with pytest.raises(StatusError) as caught:
        call(hook, error=error)
    assert caught.value is error
    assert caplog.records == []


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xFF00, 0x0107])
def test_a_status_that_is_no_failure_does_not(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """The sender must not be told that something is stored."""
    with pytest.raises(HookFailure) as caught:
        call("receive", error=StatusError(status, "well"))
    check_failure("receive", caught, caplog)


@pytest.mark.parametrize(
    "arguments",
    [
        (0xA700, b"bytes"),
        ("A700", "text"),
        (0x1A700, "text"),
        (-1, "text"),
        (0xA700, "text", ("PatientName",)),
        (0xA700, "text", (1 << 40,)),
        (0xA700, "text", 0x00100010),
    ],
    ids=repr,
)
def test_invalid_statuses(arguments: tuple[Any, ...], caplog: pytest.LogCaptureFixture) -> None:
    """Neither when it is made nor when `__init__` is bypassed."""
    with pytest.raises((TypeError, ValueError)):
        StatusError(*arguments)
    error = StatusError(0xA700, "text")
    error.status, error.comment, error.elements = (*arguments, ())[:3]
    with pytest.raises(HookFailure) as caught:
        call("receive", error=error)
    check_failure("receive", caught, caplog)


@pytest.mark.parametrize("hook", ["negotiate", "worker_started"])
def test_a_status_answers_no_association(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(HookFailure) as caught:
        call(hook, error=StatusError(0xA700, "full"))
    check_failure(hook, caught, caplog)


CONTEXT = SupportedContext(VERIFICATION, None)
GOOD: list[tuple[str, object, object]] = [
    ("negotiate", None, None),
    ("negotiate", [CONTEXT], (CONTEXT,)),
    ("negotiate", [CONTEXT, CONTEXT], (CONTEXT, CONTEXT)),
    ("negotiate", (), ()),
    ("negotiate", Reject(RejectReason.LOCAL_LIMIT_EXCEEDED, True), Reject(RejectReason.LOCAL_LIMIT_EXCEEDED, True)),
    ("receive", None, None),
    ("receive", Refuse(0xC000, "no"), Refuse(0xC000, "no")),
    ("receive", Refuse(0x0124), Refuse(0x0124)),
    ("receive", Warn(0xB007, "odd"), Warn(0xB007, "odd")),
    ("receive", Discard("twice"), Discard("twice")),
    ("choose_subdir", "", ""),
    ("choose_subdir", "a/b", "a/b"),
    ("choose_subdir", PurePosixPath("a", "b"), "a/b"),
    ("choose_subdir", None, None),
    ("choose_filename", "x", Name("x")),
    ("choose_filename", Name("x", "keep"), Name("x", "keep")),
    ("write", "s3://bucket/x", "s3://bucket/x"),
    ("write", PurePosixPath("/a/x"), "/a/x"),
]


@pytest.mark.parametrize(("hook", "result", "normal"), GOOD, ids=repr)
def test_good_results(hook: str, result: object, normal: object) -> None:
    assert call(hook, result) == normal


BAD: list[tuple[str, object]] = [
    ("negotiate", True),
    ("negotiate", VERIFICATION),
    ("negotiate", CONTEXT),
    ("negotiate", [CONTEXT, VERIFICATION]),
    ("negotiate", Reject),
    ("receive", 0xC000),
    ("receive", True),
    ("choose_subdir", 7),
    ("choose_subdir", b"a"),
    ("choose_subdir", "/a"),
    ("choose_subdir", "a/../.."),
    ("choose_subdir", "a\0"),
    ("choose_filename", PurePosixPath("x")),
    ("choose_filename", "a/x"),
    ("choose_filename", ""),
    ("choose_filename", ".."),
    ("write", True),
    ("write", b"x"),
]


@pytest.mark.parametrize(("hook", "result"), BAD, ids=repr)
def test_wrong_results_fail_closed(hook: str, result: object, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(HookFailure) as caught:
        call(hook, result)
    check_failure(hook, caught, caplog)


# Arguments


def test_a_function_gets_what_it_names() -> None:
    instance, settings = FakeInstance(), Settings()
    assert guard(lambda: "a", "site", "write", PluginLimits())(instance, "p") == "a"
    assert guard(lambda path: path, "site", "write", PluginLimits())(instance, "p") == "p"
    assert (
        guard(lambda path, instance: path + instance.sop_instance_uid, "site", "write", PluginLimits())(instance, "p")
        == "p1.2.3"
    )
    assert guard(lambda path="": path, "site", "write", PluginLimits())(instance, "p") == "p"
    seen: list[object] = []

    def configure(*, settings: PluginSettings, other: int = 1) -> None:
        seen.append((settings, other))

    guard(configure, "site", "configure", PluginLimits())(settings)
    assert seen == [(settings.own("site"), 1)]


# Time


def test_a_hook_over_its_time(limits: PluginLimits, caplog: pytest.LogCaptureFixture) -> None:
    limits.timer.limit = 2

    def endless() -> None:
        while True:
            try:
                limits.timer.tick()
            except Exception:
                continue  # a plugin that swallows what it can

    with pytest.raises(HookFailure, match="took too long") as caught:
        guard(endless, "site", "receive", limits)(FakeInstance())
    check_failure("receive", caught, caplog)


def test_a_notification_over_its_time(limits: PluginLimits, caplog: pytest.LogCaptureFixture) -> None:
    limits.timer.limit = 1
    guard(lambda: [limits.timer.tick() for _ in range(9)], "site", "stored", limits)(*ARGUMENTS["stored"])
    check_log("stored", caplog)


# Start


@pytest.mark.parametrize("hook", ["add_options", "configure"])
@pytest.mark.parametrize("error", [ValueError("no root"), SystemExit("no root")], ids=repr)
def test_a_plugin_refuses_to_start(hook: str, error: BaseException) -> None:
    with pytest.raises(PluginError, match=rf"plugin site: {hook}: \w+: no root"):
        guard(raising(error), "site", hook, PluginLimits())(Settings())


class Mute(Exception):
    """Has no text: asking for it raises."""

    def __str__(self) -> str:
        raise ValueError

    __repr__ = __str__


class MuteStart(Mute, StartError):
    pass


@pytest.mark.parametrize(("error", "said"), [(Mute(), "Mute: Mute"), (MuteStart(), "MuteStart")], ids=["any", "start"])
def test_errors_without_a_text_are_named(error: Exception, said: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(PluginError, match=rf"^plugin site: configure: {said} \(without a text that can be shown\)"):
        guard(raising(error), "site", "configure", PluginLimits())(Settings())
    with pytest.raises(HookFailure):
        call("receive", error=error)
    assert f"plugin site: receive: {type(error).__name__} (without a text that can be shown)" in caplog.text


def test_fault_23_an_error_of_configure_says_what_has_caused_it() -> None:
    def configure() -> None:
        try:
            int("many")
        except ValueError as error:
            raise LookupError from error

    with pytest.raises(PluginError) as caught:
        guard(configure, "site", "configure", PluginLimits())(Settings())
    line = configure.__code__.co_firstlineno
    assert str(caught.value) == (
        "plugin site: configure: LookupError; caused by ValueError: invalid literal for int() with base 10: 'many', "
        f"raised at {__file__}:{line + 2} ({__file__}:{line + 4})"
    )


def test_fault_23_an_import_that_fails_in_a_hook_is_named(caplog: pytest.LogCaptureFixture) -> None:
    def receive() -> None:
        import site_missing  # type: ignore[import-not-found]  # noqa: F401

    with pytest.raises(HookFailure):
        guard(receive, "site", "receive", PluginLimits())(None)
    place = f"{__file__}:{receive.__code__.co_firstlineno + 1}"
    said = f"""plugin site: receive: ModuleNotFoundError("No module named 'site_missing'") at {place}"""
    assert [record.getMessage() for record in caplog.records] == [said]
    assert "dcmrecv_core" not in caplog.text, "frames of the receiver"


def test_errors_say_whose_they_are() -> None:
    """In fields: nothing has to cut the text."""
    error = ValueError("no root")
    with pytest.raises(PluginError) as start:
        guard(raising(error), "site", "configure", PluginLimits())(Settings())
    place = f"{raising.__code__.co_filename}:{raising.__code__.co_firstlineno + 4}"
    assert (start.value.plugin, start.value.hook, start.value.text) == ("site", "configure", "ValueError: no root")
    assert start.value.place == place
    assert str(start.value) == f"plugin site: configure: ValueError: no root ({place})"
    with pytest.raises(HookFailure) as decision:
        call("receive", error=error)
    assert (decision.value.plugin, decision.value.hook, decision.value.text) == ("site", "receive", "failed")
    assert decision.value.comment == "Plugin site failed in receive"


def test_an_error_that_names_a_plugin_is_not_changed() -> None:
    error = PluginError("option --x belongs to dcmrecv itself", plugin="other")
    with pytest.raises(PluginError) as caught:
        guard(raising(error), "site", "add_options", PluginLimits())(Settings())
    assert caught.value is error


def test_the_text_of_an_error_is_not_taken_for_a_name() -> None:
    with pytest.raises(PluginError, match=r"^plugin site: configure: plugin licence is missing$"):
        guard(raising(PluginError("plugin licence is missing")), "site", "configure", PluginLimits())(Settings())


@pytest.mark.parametrize("hook", [*DECISIONS, *NOTIFICATIONS])
def test_the_log_says_where(hook: str, caplog: pytest.LogCaptureFixture) -> None:
    with suppress(HookFailure):
        call(hook, error=KeyError("PatientID"))
    line = call.__code__.co_firstlineno + 7
    assert f"plugin site: {hook}: KeyError('PatientID') at {__file__}:{line}" in caplog.text


def test_errors_with_an_exit_code_keep_it() -> None:
    with pytest.raises(PluginError, match=r"^plugin site: configure: broken profile$") as caught:
        guard(raising(ConfigurationError("broken profile")), "site", "configure", PluginLimits())(Settings())
    assert caught.value.exit_code == 66


def test_errors_of_built_in_ones_are_not_changed() -> None:
    with pytest.raises(ConfigurationError, match=r"^broken profile$"):
        guard(raising(ConfigurationError("broken profile")), "profile", "configure", PluginLimits(), built_in=True)(
            Settings()
        )


def test_threads_alive_after_configure() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="poller")

    def short_lived() -> None:
        other = threading.Thread(target=int)
        other.start()
        other.join()

    guard(short_lived, "site", "configure", PluginLimits())(Settings())
    try:
        with pytest.raises(PluginError, match=r"plugin site: configure: threads are alive \(poller\)"):
            guard(thread.start, "site", "configure", PluginLimits())(Settings())
    finally:
        done.set()
        thread.join()


def test_an_iterator_is_an_answer_too() -> None:
    assert call("negotiate", iter([CONTEXT])) == (CONTEXT,)
