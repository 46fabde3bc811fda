"""Reloading: errors that the probe finds change nothing; settings that it finds valid are applied."""

from __future__ import annotations

import logging
import os
import resource
import selectors
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.api.errors import ConfigurationError, OutputDirectoryError, PluginError
from dcmrecv_core.api.settings import PluginSettings
from dcmrecv_core.config.settings_keys import key_of
from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Queue, QueueState
from dcmrecv_core.hooks.plugins import Plugins
from dcmrecv_core.logs.setup import LogWiring
from dcmrecv_core.net import child
from dcmrecv_core.net.supervisor import reload as reload_module
from dcmrecv_core.net.supervisor.reload import Reload, SettingsSource
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.temporary import Capabilities
from support.deliveries import event
from support.plugins import hooks, load

# The test runner may have threads; forking is safe as long as the child runs our code only
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

OLD = Settings(port=104, log_level="info")
NEW = Settings(port=104, log_level="info", strict=True, filename_extension=".dcm")
OLD_SEEN, NEW_SEEN = OLD.own("site"), NEW.own("site")
"""As plugins see them."""

SUPERVISOR = os.getpid()


def in_probe() -> bool:
    return os.getpid() != SUPERVISOR


@dataclass
class Driver:
    """A supervisor that consists of `Reload` only. Tests may replace `read` and `check`; `seen` is called when it has
    taken over settings."""

    plugins: Plugins
    read: Callable[[], Settings] = lambda: NEW
    check: Callable[[Settings], Capabilities] = lambda _: Capabilities(unnamed=False)
    obeyed: list[tuple[Settings, Capabilities]] = field(default_factory=list)
    seen: Callable[[], None] = lambda: None
    load_code: Callable[[], Callable[[], None]] = lambda: lambda: None
    watch: Any = None
    before: Settings = OLD

    def __post_init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        source = SettingsSource(
            lambda: self.read(),
            lambda settings: self.check(settings),
            key=key_of,
            apply_logging=LogWiring().apply,
            load_code=lambda: self.load_code(),
            watch=self.watch,
        )
        self.reload = Reload(self.selector, self.before, self.plugins, source, self.apply_settings, self.close_in_child)
        self.plugins.add_builtins(OLD)
        self.plugins.configure(OLD)

    def apply_settings(self, settings: Settings, capabilities: Capabilities, tls: object) -> None:
        self.obeyed.append((settings, capabilities))
        self.seen()

    def close_in_child(self) -> None:
        assert in_probe()

    def turn(self) -> None:
        for key, _ in self.selector.select(0.05):
            key.data(key.fileobj, time.monotonic())

    def finish(self) -> None:
        """Wait for the end of the probe, and of later ones."""
        end = time.monotonic() + 60
        while self.selector.get_map():
            assert time.monotonic() < end, "the probe does not end"
            self.turn()

    def run(self) -> None:
        self.reload.begin()
        self.finish()


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, factory = root.handlers[:], root.level, logging.getLogRecordFactory()
    root.setLevel(logging.INFO)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.setLogRecordFactory(factory)


class Probes:
    """The processes that this test has forked."""

    def __init__(self) -> None:
        self.pids: set[int] = set()

    def fork(self, main: Callable[[], int]) -> int:
        pid = child.fork(main)
        self.pids.add(pid)
        return pid

    def reap(self) -> None:
        self.pids -= {pid for pid in self.pids if os.waitpid(pid, os.WNOHANG)[0]}


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> Probes:
    made = Probes()
    monkeypatch.setattr(reload_module, "fork", made.fork)
    return made


@pytest.fixture
def make(probes: Probes) -> Iterator[Callable[..., Driver]]:
    made: list[Driver] = []

    def start(*plugins: object, **source: Any) -> Driver:
        made.append(Driver(load(*plugins), **source))
        return made[-1]

    yield start
    for driver in made:
        driver.reload.drop_probe()
        driver.selector.close()
    end = time.monotonic() + 60
    while probes.pids:
        assert time.monotonic() < end, "a probe does not end"
        probes.reap()


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_new_settings_are_applied(make: Callable[..., Driver], caplog: pytest.LogCaptureFixture) -> None:
    configured: list[PluginSettings] = []
    driver = make(hooks(configure=lambda settings: configured.append(settings)))
    driver.run()
    [(settings, capabilities)] = driver.obeyed
    assert settings == NEW
    assert not capabilities.unnamed, "the probe's result for the output directory"
    assert configured == [OLD_SEEN, NEW_SEEN]
    assert caplog.messages == ["settings reloaded"]


def test_only_the_probe_checks_the_output_directory(make: Callable[..., Driver]) -> None:
    def check(settings: Settings) -> Capabilities:
        if not in_probe():
            raise OSError("the supervisor hangs")
        return Capabilities()

    driver = make(check=check)
    driver.run()
    assert len(driver.obeyed) == 1


def refuse(settings: object = None) -> Any:
    raise ConfigurationError("s.toml: max_pdu = 1: an integer from 4096 to 131072 expected")


def fail(settings: object = None) -> Any:
    raise OutputDirectoryError("cannot specify output directory: Directory does not exist\n  at /data: it is a file")


def die(settings: object = None) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def break_down(settings: object = None) -> Any:
    raise ZeroDivisionError


def refuse_new(settings: PluginSettings) -> None:
    if settings == NEW_SEEN:
        raise ValueError("no licence")


NOT_ENDED = "the process that checks the settings ended without an answer"
REFUSED: dict[str, tuple[list[object], dict[str, Any], str]] = {
    "file": ([], {"read": refuse}, "s.toml: max_pdu = 1: an integer from 4096 to 131072 expected"),
    "directory": ([], {"check": fail}, "cannot specify output directory: Directory does not exist"),
    "plugin": ([hooks(configure=refuse_new)], {}, "plugin plugin0: configure: ValueError: no licence"),
    "killed": ([], {"check": die}, NOT_ENDED),
    "bug": ([], {"check": break_down}, NOT_ENDED),
    "profile": ([], {"read": lambda: replace(NEW, config_file=("absent", "p"))}, "absent: unable to open"),
    "log configuration": ([], {"read": lambda: replace(NEW, log_config="absent")}, "Specified --log-config file does"),
}


@pytest.mark.parametrize(("plugins", "source", "reason"), REFUSED.values(), ids=REFUSED)
def test_invalid_settings_change_nothing(
    make: Callable[..., Driver],
    caplog: pytest.LogCaptureFixture,
    plugins: list[object],
    source: dict[str, Any],
    reason: str,
) -> None:
    configured: list[PluginSettings] = []
    driver = make(*plugins, hooks(configure=lambda settings: configured.append(settings)), **source)
    driver.run()
    assert driver.obeyed == []
    assert configured == [OLD_SEEN]
    error, *places = errors(caplog)
    assert error.startswith(f"settings not reloaded, nothing has changed: {reason}")
    assert places == (["  at /data: it is a file"] if source == {"check": fail} else [])


def test_a_probe_that_hangs_ends(
    make: Callable[..., Driver], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload_module, "PROBE_SECONDS", 1)
    driver = make(check=lambda _: signal.pause())
    driver.run()
    assert driver.obeyed == []
    assert errors(caplog) == [f"settings not reloaded, nothing has changed: {NOT_ENDED}"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    """The store of a receiver that delivers to the target `old`."""
    monkeypatch.chdir(tmp_path)
    directory = OLD.state_directory
    directory.mkdir()
    opened = SqliteStore.open(str(directory))
    opened.begin([Queue("plugin0", "old")], 0)
    yield opened
    opened.close()


def delivers_to(targets: Callable[[], list[str]]) -> object:
    return hooks(deliver=lambda: None, delivery_targets=targets)


def test_new_targets_have_their_queues_before_the_settings_count(
    make: Callable[..., Driver], store: SqliteStore
) -> None:
    driver = make(delivers_to(lambda: ["new"]))
    found: list[QueueState] = []
    driver.seen = lambda: found.extend(store.states())
    driver.run()
    assert [str(state.queue) for state in found if state.claimed] == ["plugin0/new", "plugin0/old"]
    # this is the journal process from before
    store.take_in([event("e1")], {}, 0, 0.0)
    assert {str(state.queue): state.waiting for state in store.states()} == {"plugin0/new": 1, "plugin0/old": 1}


def test_targets_that_changed_after_the_probe_are_not_used(
    make: Callable[..., Driver], store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = delivers_to(lambda: ["new"] if in_probe() else ["newer"])
    driver = make(plugin)
    driver.run()
    assert driver.obeyed == []
    changed = "the targets of deliveries have changed while the settings were read"
    assert errors(caplog) == [f"settings not reloaded, nothing has changed: {changed}"]


def test_a_store_that_cannot_be_used_changes_nothing(
    make: Callable[..., Driver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    driver = make(delivers_to(lambda: ["new"]))
    driver.run()
    assert driver.obeyed == []
    [error] = errors(caplog)
    assert "nothing has changed: the store of deliveries cannot be used: there is no" in error


def test_a_failure_after_the_probe_is_undone(make: Callable[..., Driver], caplog: pytest.LogCaptureFixture) -> None:
    """For the plugins, the file changes between the two readings."""

    def configure_last(settings: Settings) -> None:
        if settings == NEW_SEEN and not in_probe():
            raise ValueError("changed")

    configured: list[PluginSettings] = []
    # the later plugin is asked first
    driver = make(hooks(configure=configure_last), hooks(configure=lambda settings: configured.append(settings)))
    driver.run()
    assert driver.obeyed == []
    assert configured == [OLD_SEEN, NEW_SEEN, OLD_SEEN]
    [error] = errors(caplog)
    assert error.startswith(
        f"settings not reloaded, nothing has changed: plugin plugin0: configure: ValueError: changed ({__file__}:"
    )


class FakeWatch:
    """Files that have changed, one for each look."""

    def __init__(self, *changes: str) -> None:
        self.changes = list(changes)

    def changed(self) -> str:
        return self.changes.pop(0) if self.changes else ""

    def differs(self) -> str:
        return self.changes[0] if self.changes else ""


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_fault_29_code_is_loaded_when_a_file_changes(
    make: Callable[..., Driver], caplog: pytest.LogCaptureFixture
) -> None:
    loaded: list[bool] = []

    def load_code() -> Callable[[], None]:
        loaded.append(in_probe())
        return lambda: loaded.append(in_probe())

    before = replace(OLD, reload_plugins=True)
    driver = make(load_code=load_code, watch=FakeWatch("", "site.py", "", "other.py"), before=before)
    driver.read = lambda: replace(NEW, reload_plugins=True, plugins=("b",))
    now = 0.0
    for turns in ([1], [1, 0.1, 1], [1]):
        for seconds in turns:
            now += seconds
            driver.reload.tick(now)
        driver.finish()
    # the probe's copy of the list is its own
    assert loaded == [False, False]
    assert [settings.plugins for settings, _ in driver.obeyed] == [("b",), ("b",)], "named anew, too"
    assert messages(caplog, logging.INFO) == [
        "site.py has changed: loading the plugins again",
        "plugins loaded again",
        "other.py has changed: loading the plugins again",
        "plugins loaded again",
    ]
    driver.run()
    assert messages(caplog, logging.INFO)[-1] == "settings reloaded"
    assert loaded == [False, False]


@pytest.mark.parametrize("where", ["probe", "supervisor", "configure"])
def test_fault_29_code_that_fails_leaves_the_code_before(
    make: Callable[..., Driver], caplog: pytest.LogCaptureFixture, where: str
) -> None:
    calls: list[str] = []

    def load_code() -> Callable[[], None]:
        if in_probe() == (where == "probe") and where != "configure":
            raise PluginError("cannot be loaded: SyntaxError", plugin="site", place="site.py:2")
        calls.append("loaded")
        return lambda: calls.append("taken back")

    def configure(settings: Settings) -> None:
        if where == "configure" and settings == NEW_SEEN and not in_probe():
            raise ValueError("no root")

    watch = FakeWatch("site.py")
    driver = make(
        hooks(configure=configure), load_code=load_code, watch=watch, before=replace(OLD, reload_plugins=True)
    )
    driver.reload.tick(1)
    driver.finish()
    assert driver.obeyed == []
    assert calls == (["loaded", "taken back"] if where == "configure" else [])
    [error] = errors(caplog)
    assert error.startswith("plugins not loaded again, nothing has changed: plugin ")
    assert error.endswith("(site.py:2)" if where != "configure" else ")")


def test_code_is_not_loaded_without_the_option(make: Callable[..., Driver]) -> None:
    driver = make(watch=FakeWatch("site.py"))
    driver.reload.tick(1)
    assert not driver.selector.get_map()


def test_no_code_is_loaded_at_the_end(make: Callable[..., Driver]) -> None:
    driver = make(watch=FakeWatch("site.py"), before=replace(OLD, reload_plugins=True))
    driver.reload.abandon()
    driver.reload.tick(1)
    assert not driver.selector.get_map()


def test_fixed_settings_stay_with_a_warning(make: Callable[..., Driver], caplog: pytest.LogCaptureFixture) -> None:
    other = replace(NEW, port=105, bind="::1", max_associations=1, plugins=("site",))
    driver = make(read=lambda: other)
    driver.run()
    assert [settings for settings, _ in driver.obeyed] == [NEW]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        f"{name} cannot be changed at run time, it stays as it was"
        for name in ("port", "bind", "max_associations", "plugin")
    ]


def test_a_signal_during_a_reload_starts_another_one(make: Callable[..., Driver], probes: Probes) -> None:
    driver = make()
    driver.reload.begin()
    driver.reload.begin()
    driver.reload.begin()
    assert len(probes.pids) == 1
    driver.finish()
    assert [settings for settings, _ in driver.obeyed] == [NEW, NEW]


def test_a_reload_without_a_free_descriptor_changes_nothing(
    make: Callable[..., Driver], caplog: pytest.LogCaptureFixture
) -> None:
    driver = make()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        driver.reload.begin()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert errors(caplog) == ["settings not reloaded, nothing has changed: cannot start a process: Too many open files"]
    driver.run()
    assert [settings for settings, _ in driver.obeyed] == [NEW]


def test_a_supervisor_that_stops_applies_nothing(make: Callable[..., Driver]) -> None:
    driver = make()
    driver.reload.begin()
    driver.reload.drop_probe()
    driver.turn()
    assert driver.obeyed == []


def test_who_has_asked_is_told_the_outcome(make: Callable[..., Driver]) -> None:
    """Each once, and of a reload that began after the question."""
    told: list[tuple[str, str]] = []
    answers = iter(["no such key", ""])

    def check(settings: Settings) -> Capabilities:
        if reason := reasons[0]:
            raise OutputDirectoryError(reason)
        return Capabilities()

    reasons = [next(answers)]
    driver = make(check=check)
    driver.reload.begin(lambda reason: told.append(("first", reason)))
    driver.reload.begin(lambda reason: told.append(("second", reason)))
    driver.reload.begin(lambda reason: told.append(("third", reason)))
    assert told == []
    reasons[0] = next(answers)  # the first probe has its copy
    driver.finish()
    assert told == [("first", "no such key"), ("second", ""), ("third", "")]
    driver.run()
    assert len(told) == 3


def test_who_has_asked_is_told_that_there_is_no_process(
    make: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_fork() -> int:
        raise OSError(11, "Resource temporarily unavailable")

    told: list[str] = []
    monkeypatch.setattr(child.os, "fork", no_fork)
    make().reload.begin(told.append)
    assert told == ["cannot start a process: Resource temporarily unavailable"]


def test_built_in_plugins_follow_the_settings(make: Callable[..., Driver]) -> None:
    driver = make(read=lambda: replace(NEW, promiscuous=True, filenames="unique"))
    driver.run()
    names = [registered.found.name for registered in driver.plugins.registered]
    assert names == ["file-writer", "unique", "no-subdir", "promiscuous"]


def test_a_fork_that_fails(
    make: Callable[..., Driver], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_fork() -> int:
        raise OSError(11, "Resource temporarily unavailable")

    driver = make()
    monkeypatch.setattr(child.os, "fork", no_fork)
    driver.run()
    assert "cannot start a process: Resource temporarily unavailable" in errors(caplog)[0]


def test_abandoned_nothing_changes_and_everybody_is_told(make: Callable[..., Driver]) -> None:
    driver = make()
    told: list[str] = []
    driver.reload.begin(told.append)
    driver.reload.begin(told.append)
    driver.reload.abandon()
    assert told == ["the receiver takes no new associations any more"] * 2
    driver.turn()
    assert not driver.selector.get_map()
    assert driver.obeyed == []
    driver.reload.abandon()
    assert len(told) == 2
