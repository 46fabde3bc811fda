"""Which plugins are asked, in which order, and which answer counts."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import (
    Accept,
    Also,
    Discard,
    Ended,
    Name,
    PluginOptions,
    Refuse,
    Reject,
    RejectReason,
    StatusError,
    StoredOutcome,
    Summary,
    SupportedContext,
    Warn,
    hookimpl,
)
from dcmrecv_core.api.errors import CommandLineError, HookFailure, PluginError
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.hooks.plugins import Negotiated, Plugins
from dcmrecv_core.settings.settings import Settings
from support.plugins import ASSOCIATION, FakeInstance, found, hooks, load, raising
from support.uids import CT, IMPLICIT_LE, VERIFICATION

SUMMARY = Summary(0, 0, 0, 0, 0.0, Ended.RELEASED)


def with_builtins(*plugins: object, **settings: Any) -> Plugins:
    loaded = load(*plugins)
    loaded.add_builtins(replace(Settings(), **settings))
    return loaded


def test_later_before_earlier_before_built_in() -> None:
    asked: list[str] = []

    def naming(name: str, answer: str | None) -> Any:
        def choose_filename(instance: object) -> str | None:
            asked.append(name)
            return answer

        return hooks(choose_filename=choose_filename)

    plugins = with_builtins(naming("first", None), naming("second", None))
    assert plugins.choose_filename(FakeInstance()) == Name("CT.1.2.3", by_default="overwrite")
    assert asked == ["second", "first"]
    plugins = with_builtins(naming("first", "one"), naming("second", "two"))
    assert plugins.choose_filename(FakeInstance()) == Name("two")
    assert asked == ["second", "first", "second"], "the first answer counts"


def test_the_order_is_the_same_without_the_built_in_ones() -> None:
    plugins = load(hooks(receive=lambda: Refuse(0xC000, "first")), hooks(receive=lambda: Refuse(0xC000, "second")))
    assert plugins.receive(FakeInstance()) == Refuse(0xC000, "second")


def test_tryfirst_and_trylast() -> None:
    def naming(name: str, **marks: bool) -> Any:
        plugin = hooks()
        plugin.choose_filename = hookimpl(**marks)(lambda instance: name)
        return plugin

    first, plain, last = naming("first", tryfirst=True), naming("plain"), naming("last", trylast=True)
    assert load(first, plain, last).choose_filename(FakeInstance()) == Name("first")
    assert load(plain, last).choose_filename(FakeInstance()) == Name("plain")
    assert with_builtins(last).choose_filename(FakeInstance()) == Name("CT.1.2.3", by_default="overwrite"), (
        "after the built-in ones too"
    )


def test_a_hook_under_another_name() -> None:
    plugin = hooks()
    plugin.put = hookimpl(specname="write")(lambda path: f"put {path}")
    plugins = with_builtins(plugin)
    assert plugins.write(FakeInstance(), "x") == "put x"
    assert plugins.implements("write") and plugins.names_storage()


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        ({}, ["instance-uid", "no-subdir"]),
        ({"filenames": "unique", "subdirs": "series-date"}, ["unique", "series-date"]),
        ({"ignore": True}, ["instance-uid", "no-subdir", "ignore"]),
        (
            {"promiscuous": True, "config_file": ("x.cfg", "default")},
            ["instance-uid", "no-subdir", "promiscuous", "profile"],
        ),
    ],
)
def test_the_settings_choose_the_built_in_ones(settings: dict[str, Any], first: list[str]) -> None:
    plugins = with_builtins(hooks(receive=lambda: None), **settings)
    assert [one.found.name for one in plugins.registered] == ["file-writer", *first, "plugin0"]
    assert [one.named for one in plugins.registered] == [False] * (len(first) + 1) + [True]


def test_a_plugin_cannot_take_a_built_in_ones_name() -> None:
    loaded = Plugins()
    loaded.add(found(hooks(receive=lambda: None), "file-writer"), named=True)
    with pytest.raises(PluginError, match="file-writer"):
        loaded.add(found(hooks(receive=lambda: None), "file-writer"))


@pytest.mark.parametrize(
    ("hook", "storage"),
    [
        ("receive", True),
        ("choose_subdir", True),
        ("choose_filename", True),
        ("write", True),
        ("stored", True),
        ("negotiate", False),
        ("association_ended", False),
        ("configure", False),
    ],
)
def test_naming_a_storage_plugin(hook: str, storage: bool) -> None:
    plugins = with_builtins(hooks(**{hook: lambda: None}))
    assert plugins.names_storage() is storage
    assert plugins.implements(hook)


def test_built_in_ones_are_not_named() -> None:
    assert not with_builtins(ignore=True).names_storage()


# Options and settings


def test_each_plugin_declares_options_of_its_own() -> None:
    class Site:
        def __init__(self, option: str) -> None:
            self.option = option

        @hookimpl
        def add_options(self, options: PluginOptions) -> None:
            options.add(self.option, value="directory")

    registry = PluginOptionRegistry()
    load(Site("--root"), hooks(receive=lambda: None), Site("--cache")).add_options(registry)
    assert {(option.plugin, option.long) for option in registry} == {("plugin0", "--root"), ("plugin2", "--cache")}


@pytest.mark.parametrize("hook", ["configure", "worker_started", "background"])
def test_the_settings_come_with_the_plugins_own_options(hook: str) -> None:
    seen: list[object] = []
    settings = Settings(plugin_options={"plugin0": {"root": "/data"}, "plugin1": {"root": "/more"}})
    plugins = load(*(hooks(**{hook: lambda settings: seen.append(settings.options)}) for _ in range(3)))
    if hook == "background":
        for number in (2, 1, 0):
            plugins.background(f"plugin{number}", settings)
    else:
        getattr(plugins, hook)(settings)
    assert seen == [{}, {"root": "/more"}, {"root": "/data"}]


def test_options_of_another_plugin() -> None:
    settings = Settings(plugin_options={"naming": {"root": "/data"}, "index": {}})
    assert settings.own("index").for_plugin("naming") == {"root": "/data"}
    with pytest.raises(
        LookupError, match=r"'mysite.naming' has options; plugins that have: naming, index, file-writer"
    ):
        settings.own("index").for_plugin("mysite.naming")


def test_the_settings_of_built_in_ones_come_like_those_of_others() -> None:
    settings = Settings(layout="{PatientID}", filename_extension=".dcm")
    assert settings.own("layout").options["layout"] == "{PatientID}"
    assert settings.own("site").for_plugin("file-writer")["filename_extension"] == ".dcm"


def test_configure_refuses() -> None:
    with pytest.raises(PluginError, match="plugin plugin0: configure: OSError: no root"):
        load(hooks(configure=raising(OSError("no root")))).configure(Settings())


def test_a_worker_without_its_connection_does_not_serve() -> None:
    with pytest.raises(HookFailure):
        load(hooks(worker_started=raising(ConnectionError("no database")))).worker_started(Settings())


# negotiate


def answers(*results: object) -> object:
    return load(*(hooks(negotiate=lambda result=result: result) for result in results)).negotiate(ASSOCIATION)


ECHO = SupportedContext(VERIFICATION, None)
STORE = SupportedContext(CT, (IMPLICIT_LE,))
REJECT = Reject(RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED)


def test_the_union_counts() -> None:
    assert answers([ECHO], (STORE for _ in range(1)), None) == Negotiated((STORE, ECHO))


def test_none_and_an_empty_answer() -> None:
    """After None from all the default counts; an empty answer is an answer."""
    assert answers() == Negotiated()
    assert answers(None, None) == Negotiated()
    assert answers(None, []) == Negotiated(())


def test_also_leaves_the_default_as_it_is() -> None:
    assert answers(Also([ECHO]), None) == Negotiated(None, (ECHO,))
    assert answers(Also(iter([ECHO])), [STORE], Also([])) == Negotiated((STORE,), (ECHO,))
    assert answers([], Also([ECHO])) == Negotiated((), (ECHO,)), "an empty answer is no default"


def test_the_first_identity_response_counts() -> None:
    last, first = Accept([ECHO], b"last"), Accept(iter([STORE]), b"first")
    assert answers(last, Also([ECHO]), first, Accept([])) == Negotiated((STORE, ECHO), (ECHO,), b"first")
    assert answers(Accept([ECHO])) == Negotiated((ECHO,))


def test_one_answer_is_passed_on_as_it_is() -> None:
    """The caches of the session compare by identity."""
    contexts = (ECHO, STORE)
    for answer in (contexts, Accept(contexts), Also(contexts)):
        said = answers(answer)
        assert isinstance(said, Negotiated)
        assert (said.contexts or said.also) is contexts


@pytest.mark.parametrize(
    "result",
    [
        lambda: Also([1]),  # type: ignore[arg-type]
        lambda: Also("1.2"),  # type: ignore[arg-type]
        lambda: Accept([STORE], "ticket"),  # type: ignore[arg-type]
        lambda: Accept([STORE], bytes(65534)),  # type: ignore[arg-type]
        lambda: Accept(None),  # type: ignore[arg-type]
        lambda: 1,
        lambda: [1],
    ],
)
def test_wrong_answers_reject(result: Callable[[], Any]) -> None:
    plugins = load(hooks(negotiate=result))
    assert plugins.negotiate(ASSOCIATION) == Reject(RejectReason.NO_REASON, transient=True)


def test_an_identity_response_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    secret = "".join(("open ", "sesame"))  # a traceback shows this line
    assert secret not in repr(Accept((STORE,), secret.encode()))
    load(hooks(negotiate=lambda: Accept((STORE,), secret))).negotiate(ASSOCIATION)  # type: ignore[arg-type]
    assert caplog.text
    assert secret not in caplog.text


@pytest.mark.parametrize(
    "results",
    [(REJECT, [ECHO]), ([ECHO], REJECT), ([ECHO], REJECT, None), (Also([ECHO]), Accept([ECHO], b"1"), REJECT)],
)
def test_any_reject_wins(results: tuple[object, ...]) -> None:
    assert answers(*results) == REJECT


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(), StatusError(0x0124, "no")], ids=repr)
def test_a_failure_rejects(error: BaseException) -> None:
    plugins = load(hooks(negotiate=raising(error)), hooks(negotiate=lambda: [ECHO]))
    assert plugins.negotiate(ASSOCIATION) == Reject(RejectReason.NO_REASON, transient=True)


# Instances


@pytest.mark.parametrize("verdict", [Refuse(0x0124), Discard()])
@pytest.mark.parametrize("earlier", [None, Warn(0xB007)])
def test_a_verdict_not_to_store_is_final(verdict: object, earlier: object) -> None:
    last = hooks(receive=raising(AssertionError("not to be asked")))
    plugins = load(last, hooks(receive=lambda: verdict), hooks(receive=lambda: earlier))
    assert plugins.receive(FakeInstance()) == verdict


@pytest.mark.parametrize("later", [None, Warn(0xB006, "second")])
def test_fault_5_after_a_warning_the_others_are_asked(later: object) -> None:
    asked = []
    plugins = load(
        hooks(receive=lambda: asked.append("last")),
        hooks(receive=lambda: later),
        hooks(receive=lambda: Warn(0xB007, "first")),
    )
    assert plugins.receive(FakeInstance()) == Warn(0xB007, "first")
    assert asked == ["last"]


def test_a_plugin_that_fails_after_a_warning_refuses() -> None:
    plugins = load(hooks(receive=raising(KeyError("PatientID"))), hooks(receive=lambda: Warn(0xB007)))
    with pytest.raises(HookFailure, match="plugin0 failed in receive"):
        plugins.receive(FakeInstance())


def test_no_verdict() -> None:
    assert with_builtins().receive(FakeInstance()) is None


def test_a_failing_decision_is_final() -> None:
    """No other plugin is asked instead: what the failing one would have said is not known."""
    plugins = with_builtins(hooks(choose_filename=raising(KeyError("PatientID"))))
    with pytest.raises(HookFailure, match="plugin0 failed in choose_filename"):
        plugins.choose_filename(FakeInstance())


def test_the_built_in_writer_saves() -> None:
    instance = FakeInstance()
    assert with_builtins().write(instance, "out/x") == "saved out/x"
    assert instance.saved == ["out/x"]


def test_every_notification_is_called_even_if_others_fail(caplog: pytest.LogCaptureFixture) -> None:
    told: list[object] = []
    plugins = load(
        hooks(stored=lambda location: told.append(location), association_ended=lambda summary: told.append(summary)),
        hooks(
            stored=raising(SystemExit()),
            association_ended=raising(RuntimeError("no")),
            worker_stopping=raising(OSError()),
        ),
        hooks(stored=lambda: told.append("too")),
    )
    plugins.stored(FakeInstance(), "here", StoredOutcome(0))
    plugins.association_ended(ASSOCIATION, SUMMARY)
    plugins.worker_stopping()
    assert told == ["too", "here", SUMMARY]
    assert len(caplog.records) == 3


# Writers


def test_fault_5_several_writers_are_named() -> None:
    def writer() -> object:
        return hooks(write=lambda: None)

    assert with_builtins(hooks(receive=lambda: None)).several_writers() == ""
    assert with_builtins(writer()).several_writers() == ""
    assert with_builtins(writer(), hooks(receive=lambda: None), writer()).several_writers() == (
        "plugins plugin2 and plugin0 all store instances: plugin2 is asked first, the next one only if it returns None"
    )


# Locations


def in_background(*plugins: object, **settings: Any) -> Any:
    """The settings that a plugin gets beside `plugins`."""
    seen: list[Any] = []
    loaded = load(*plugins, hooks(configure=lambda settings: seen.append(settings)))
    chosen = replace(Settings(), **settings)
    loaded.add_builtins(chosen)
    loaded.configure(chosen)
    return seen[0]


def test_locations_are_for_the_plugin_that_knows_them(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"file")
    bucket = hooks(
        open_location=lambda location: io.BytesIO(b"object") if location.startswith("s3:") else None,
        remove_location=lambda location: False if location.startswith("s3:") else None,
    )
    settings = in_background(bucket, output_directory=str(tmp_path))
    assert settings.open_location("s3://b/x").read() == b"object"
    with settings.open_location(f"{tmp_path}/x") as file:
        assert file.read() == b"file"
    assert settings.remove_location("s3://b/x") is False
    assert settings.remove_location(f"{tmp_path}/x") is True
    assert not (tmp_path / "x").exists()
    with pytest.raises(FileNotFoundError):
        settings.open_location(f"{tmp_path}/x")


def test_unknown_locations(tmp_path: Path) -> None:
    settings = in_background(output_directory=str(tmp_path))
    with pytest.raises(LookupError, match="no plugin can open s3://b/x"):
        settings.open_location("s3://b/x")
    with pytest.raises(LookupError, match="no plugin can remove s3://b/x"):
        settings.remove_location("s3://b/x")
    with pytest.raises(LookupError, match="no plugin can open s3://b/x"):
        Settings().own("site").open_location("s3://b/x")


@pytest.mark.parametrize(
    ("hook", "result", "error"),
    [
        ("open_location", "text", PluginError),
        ("remove_location", "yes", PluginError),
        ("remove_location", KeyError("bucket"), PluginError),
        ("open_location", ConnectionResetError("bucket"), ConnectionResetError),
    ],
)
def test_wrong_answers_about_locations(hook: str, result: object, error: type[Exception]) -> None:
    answer = raising(result) if isinstance(result, Exception) else lambda: result
    settings = in_background(hooks(**{hook: answer}))
    with pytest.raises(error) as caught:
        getattr(settings, hook)("s3://b/x")
    if error is PluginError:
        assert str(caught.value).startswith(f"plugin plugin0: {hook}: ")


def test_the_time_of_locations_does_not_count() -> None:
    plugins = load(hooks(open_location=lambda: io.BytesIO() if not plugins.limits.timer.running else None))
    plugins.limits.timer.start(1)
    assert plugins.open_location("s3://b/x").read() == b""
    assert plugins.limits.timer.running


def test_digests_need_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = hooks(deliver=lambda event: None)
    without, needing = load(plugin), hooks(deliver=lambda event: None)
    needing.dcmrecv_digest = True
    asked = Settings(digest=True)
    assert not without.takes_digests(Settings())
    assert without.takes_digests(asked)
    assert load(plugin, needing).takes_digests(Settings())
    without.configure(asked)
    monkeypatch.setitem(sys.modules, "xxhash", None)
    without.configure(Settings())
    with pytest.raises(CommandLineError, match=r"^--digest needs the package xxhash: install dcmrecv\[digest\]$"):
        without.configure(asked)
    with pytest.raises(PluginError, match=r"^plugin plugin1: needs the package xxhash: install dcmrecv\[digest\]$"):
        load(plugin, needing).configure(asked)
