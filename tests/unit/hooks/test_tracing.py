"""What `--trace-hooks` logs and what it does not, and that it costs nothing unless it is on."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from dcmrecv_core import Discard, Name, Refuse, Reject, SupportedContext, Warn
from dcmrecv_core.api.errors import HookFailure, StatusError
from dcmrecv_core.hooks.limits import HookTimeout
from dcmrecv_core.hooks.plugins import Plugins
from dcmrecv_core.hooks.tracing import Call, kind
from dcmrecv_core.settings.settings import Settings
from support.plugins import ASSOCIATION, FakeInstance, hooks, load, raising

LINE = re.compile(r"hook (\w+): plugin ([\w-]+): (.*) \((\d+\.\d) us\)")


def traced(*plugins: object) -> Plugins:
    loaded = load(*plugins)
    loaded.add_builtins(Settings(trace_hooks=True))
    return loaded


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def calls(caplog: pytest.LogCaptureFixture) -> list[tuple[str, ...]]:
    matches = [LINE.fullmatch(line) for line in lines(caplog, logging.INFO)]
    return [match.groups()[:3] for match in matches if match]


def test_every_call_is_logged_in_order(caplog: pytest.LogCaptureFixture) -> None:
    plugins = traced(hooks(choose_filename=lambda: None), hooks(choose_filename=lambda: Name("x", "retry")))
    caplog.set_level(logging.INFO)
    assert plugins.choose_filename(FakeInstance()) == Name("x", "retry")
    assert plugins.choose_subdir(FakeInstance()) == ""
    assert calls(caplog) == [
        ("choose_filename", "plugin1", "name, on_exists=retry"),
        ("choose_subdir", "no-subdir", "text"),
    ]


def test_patient_attributes_are_for_debug_only(caplog: pytest.LogCaptureFixture) -> None:
    secret = "Doe^John"
    plugins = traced(
        hooks(choose_subdir=lambda: secret, choose_filename=lambda: secret, receive=raising(ValueError(secret)))
    )
    for level in (logging.INFO, logging.DEBUG):
        caplog.clear()
        caplog.set_level(level, "dcmrecv.hooks")
        plugins.choose_subdir(FakeInstance())
        plugins.choose_filename(FakeInstance())
        with pytest.raises(HookFailure):
            plugins.receive(FakeInstance())
        assert secret not in "".join(lines(caplog, logging.INFO))
        assert [secret in line for line in lines(caplog, logging.DEBUG)] == [True] * 3 * (level == logging.DEBUG)


def test_notifications_that_fail_say_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    traced(hooks(stored=raising(OSError("x")))).stored(FakeInstance(), "/a")
    assert calls(caplog) == [("stored", "plugin0", "raised OSError")]


def test_a_result_of_the_wrong_type_counts_as_raised(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(HookFailure):
        traced(hooks(receive=lambda: 7)).receive(FakeInstance())
    assert calls(caplog) == [("receive", "plugin0", "raised TypeError")]


@pytest.mark.parametrize("error", [StatusError(0xA700, "full"), HookTimeout("longer")])
def test_errors_go_on_as_they_do_without(error: BaseException) -> None:
    ended: list[type[BaseException]] = []
    for settings in (Settings(), Settings(trace_hooks=True)):
        plugins = load(hooks(receive=raising(error)))
        plugins.add_builtins(settings)
        with pytest.raises(StatusError) as raised:
            plugins.receive(FakeInstance())
        ended.append(raised.type)
    assert ended[0] is ended[1]


def test_it_costs_nothing_unless_it_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wrapper, no clock: the guards are as they are without this module."""
    stack: list[Any] = []

    def receive() -> None:
        import inspect

        stack.append([frame.function for frame in inspect.stack()])

    for settings in (Settings(), Settings(trace_hooks=True)):
        plugins = load(hooks(receive=receive))
        plugins.add_builtins(settings)
        plugins.receive(FakeInstance())
    assert ["report" in frames for frames in stack] == [False, True]


def test_it_can_be_taken_away_again(caplog: pytest.LogCaptureFixture) -> None:
    """A reload may change the settings."""
    plugins = traced(hooks(receive=lambda: None))
    plugins.add_builtins(Settings())
    caplog.set_level(logging.INFO)
    plugins.receive(FakeInstance())
    plugins.choose_subdir(FakeInstance())
    assert calls(caplog) == []


def test_an_observer_gets_results_as_checked() -> None:
    seen: list[Call] = []
    plugins = load(hooks(choose_filename=lambda: "plain"))
    plugins.add_builtins(Settings(), seen.append)
    plugins.choose_filename(FakeInstance())
    plugins.negotiate(ASSOCIATION)
    [call] = seen
    assert call[:3] == ("plugin0", "choose_filename", Name("plain"))
    assert call.microseconds >= 0


KINDS: list[tuple[Any, str]] = [
    (None, "-"),
    (KeyError("x"), "raised KeyError"),
    (Refuse(0xA700, "x"), "Refuse A700"),
    (Warn(0xB000, "x"), "Warn B000"),
    (Reject(), "Reject NO_REASON"),
    (Discard("x"), "Discard"),
    (Name("x", "keep"), "name, on_exists=keep"),
    ((SupportedContext("1.2", None),), "contexts: 1"),
    ("x", "text"),
]


@pytest.mark.parametrize(("result", "expected"), KINDS, ids=[expected for _, expected in KINDS])
def test_results_in_few_words(result: Any, expected: str) -> None:
    assert kind(result) == expected


def test_order_is_the_order_of_calling() -> None:
    asked: list[str] = []

    def asking(name: str) -> Callable[[], None]:
        return lambda: asked.append(name)

    plugins = load(hooks(receive=asking("plugin0")), hooks(receive=asking("plugin1")), hooks(stored=lambda: None))
    plugins.add_builtins(Settings(ignore=True))
    plugins.receive(FakeInstance())
    assert plugins.order("receive") == ("plugin1", "plugin0", "ignore") == (*asked, "ignore")
    assert plugins.order("worker_started") == ()
