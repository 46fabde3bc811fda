"""`check_plugin` in process: every hook of a plugin, with instances that are hard to read, watched."""

from __future__ import annotations

import dis
import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from dcmrecv_core.api.errors import StatusError, StorageError, described
from dcmrecv_core.api.model import Association, ProposedContext
from dcmrecv_core.api.names import escape
from dcmrecv_core.api.outcomes import Ended, NotStoredOutcome, StoredOutcome, Summary
from dcmrecv_core.api.services import Command, Request, Response, Service
from dcmrecv_core.api.verdicts import Discard, Name, OnExists, Refuse, is_failure
from dcmrecv_core.hooks import guards
from dcmrecv_core.hooks import loader as plugin_loader
from dcmrecv_core.hooks.guards import CHECKS, INSTANCE_HOOKS
from dcmrecv_core.hooks.loader import MARK, Found
from dcmrecv_core.testing.fakes import FakeInstance, fake_association, make_instance
from dcmrecv_core.testing.header_values import values_of
from dcmrecv_core.testing.plugin_report import PluginReport
from dcmrecv_core.testing.torture import Case, cases, more_cases
from dcmrecv_core.testing.watching import Sources, Watch, Watched

_SUMMARY = Summary(1, 0, 0, 1000, 0.1, Ended.RELEASED)
_CHOICES = ("receive", "choose_subdir", "choose_filename")
_ELSEWHERE = "somewhere://else"
"""A location that no plugin has stored."""


class FakeRequest(Request):
    """A request of a service that no plugin offers, or of one that it accepts; without a data set."""

    transfer_syntax_uid = "1.2.840.10008.1.2"

    def __init__(self, service: Service, sop_class_uid: str) -> None:
        self.command = Command(service, 1, sop_class_uid, "1.2.3", action_type_id=1)

    @property
    def dataset(self) -> None:
        return None


class WatchedInstance(FakeInstance):
    """An instance that tells `on_open` of files that it opened, and `on_save`, which may raise, before it saves."""

    __slots__ = ("on_open", "on_save")

    on_open: Callable[[BinaryIO], None] | None
    on_save: Callable[[str], None] | None

    def open(self) -> BinaryIO:
        file = super().open()
        if self.on_open is not None:
            self.on_open(file)
        return file

    def save(self, path: str, on_exists: OnExists | None = None) -> str:
        if self.on_save is not None:
            self.on_save(path)
        return super().save(path, on_exists)

    def save_copy(self, path: str, on_exists: OnExists | None = None) -> str:
        watched, self.on_save = self.on_save, None  # a copy is not where the instance is stored
        try:
            return super().save_copy(path, on_exists)
        finally:
            self.on_save = watched


@dataclass(slots=True)
class _Saving:
    """Whether a hook has saved an instance, and at which line."""

    saved_at: str = ""


class HookChecks:
    """Calls the hooks of one plugin, and reports what they do wrong."""

    def __init__(self, found: Found, report: PluginReport, output: Path, seconds: float) -> None:
        self.functions: dict[str, Callable[..., Any]] = {
            getattr(function, MARK).get("specname") or name: function
            for name, function in plugin_loader.check(found).items()
        }
        self._sources = Sources(found)
        self._watch = Watch(self._sources, seconds)
        self._seconds = seconds
        self._report = report
        self._output = output
        self._settings: Any = None

    def start(self, settings: Any) -> bool:
        """`configure` and `worker_started`; whether the plugin can be used."""
        self._settings = settings
        before = _descriptors()
        watched = self._call("configure", {"settings": settings})
        if watched is None:
            return self._worker_started()
        left = _descriptors() - before
        for event, what, line in watched.events:
            if event == "thread":
                self._report.add(line, "configure", "thread", _THREAD.format(what))
            elif left and event in ("open", "sqlite3.connect", "socket.connect"):
                self._report.add(
                    line, "configure", "connection", _CONNECTION.format(what if event == "open" else event)
                )
        return not watched.error and self._worker_started()

    def _worker_started(self) -> bool:
        self._call("delivery_targets", {"settings": self._settings})
        self._call("relocate_from", {"settings": self._settings})
        for hook in guards.COMPLETION_HOOKS:
            if hook in self.functions:
                self._call("completion_targets", {"settings": self._settings, "hook": hook})
        started = self._call("worker_started", {"settings": self._settings})
        return started is None or not started.error

    def place_of(self, hook: str) -> str:
        """The line where the implementation of `hook` begins."""
        return self._sources.of_function(self.functions[hook])

    def stop(self) -> None:
        self._call("worker_stopping", {})

    def run(self, *, deterministic: bool) -> dict[str, str]:
        """All instances, each in an association of its own; returns by label what was decided about each."""
        instances = list(chain(cases(), more_cases()))
        first = {case.label: self._instance(case) for case in instances}
        self._services()
        if deterministic:
            for case in reversed(instances):
                again = self._instance(case, quick=True)
                for hook in _CHOICES:
                    if first[case.label].get(hook) != again.get(hook):
                        self._depends_on_earlier(hook, case, first[case.label].get(hook), again.get(hook))
        return {label: "/".join(map(str, chosen.values())) for label, chosen in first.items()}

    def _depends_on_earlier(self, hook: str, case: Case, first: Any, again: Any) -> None:
        text = (
            f"{hook} said {first!r}, and {again!r} when the same instance came again after others: "
            "what one instance or association leaves must not reach the next; keep it in instance.state or "
            "association.state (if it is meant: deterministic=False)"
        )
        self._report.add(
            self._stores_at() or self._sources.of_function(self.functions[hook]), hook, "state", text, case.label
        )

    def _stores_at(self) -> str:
        """The first line in a hook that changes a global or an attribute of the plugin."""
        for hook, function in self.functions.items():
            if hook in ("configure", "worker_started", "add_options", "background", "worker_stopping"):
                continue
            code = getattr(getattr(function, "__func__", function), "__code__", None)
            for instruction in dis.get_instructions(code) if code is not None else ():
                if instruction.opname in ("STORE_GLOBAL", "STORE_ATTR") and instruction.positions:
                    file = self._sources.of_function(function).rpartition(":")[0]
                    return f"{file}:{instruction.positions.lineno}"
        return ""

    def _instance(self, case: Case, *, quick: bool = False) -> dict[str, Any]:
        """One association with one instance; returns what was decided, by hook."""
        association = _association_of(case)
        chosen: dict[str, Any] = {}
        self._call("negotiate", {"association": association}, case)
        self._call("association_accepted", {"association": association}, case)
        instance = self._made(case, association)
        instance.may_replace = True
        verdict = self._hook_of("receive", instance, case, chosen)
        instance.may_replace = False
        if isinstance(verdict, Refuse | Discard) or str(chosen.get("receive")).startswith("raised "):
            status = verdict.status if isinstance(verdict, Refuse) else 0
            self._call("not_stored", {"instance": instance, "outcome": NotStoredOutcome(status, by="plugin")}, case)
        else:
            self._hook_of("choose_subdir", instance, case, chosen)
            name = self._hook_of("choose_filename", instance, case, chosen)
            if isinstance(name, Name) and name.on_exists == "retry" and not quick:
                self._try_again(name, case, association)
            if not quick:
                self._store(instance, case, association)
        self._call("association_ended", {"association": association, "summary": _SUMMARY}, case)
        return chosen

    def _store(self, instance: WatchedInstance, case: Case, association: Association) -> None:
        location = self._write(instance, case)
        outcome = StoredOutcome(0)
        self._hook_of("stored", instance, case, {}, location=location, outcome=outcome)
        if "write" in self.functions:
            self._write_when_full(self._made(case, association), case)
        for hook in ("open_location", "remove_location"):
            for place in (location, _ELSEWHERE):
                watched = self._call(hook, {"location": place}, case)
                if watched is not None and hasattr(watched.result, "close"):
                    watched.result.close()

    def _made(self, case: Case, association: Association) -> WatchedInstance:
        instance = make_instance(WatchedInstance, case.dataset, association, str(self._output))
        instance.on_open = instance.on_save = None
        return instance

    def _try_again(self, name: Name, case: Case, association: Association) -> None:
        """With "retry" the next attempt gets another name, the same attempt the same one."""
        names = []
        for attempt in (0, 1, 1):
            instance = self._made(case, association)
            instance.attempt = attempt
            watched = self._watch.call(*self._bound("choose_filename", {"instance": instance}))
            if watched.error:
                return
            names.append((watched.result, watched.returned_at))
        (first, line), (second, _), (again, _) = names
        if first == second:
            text = (
                'on_exists="retry", but attempt 1 gets the same name as attempt 0: make instance.attempt a part of it'
            )
            self._report.add(line, "choose_filename", "attempts", text, case.label)
        elif second != again:
            text = f"attempt 1 is called {_text(second)!r}, and {_text(again)!r} when asked again: {_ONLY_INSTANCE}"
            self._report.add(line, "choose_filename", "attempts", text, case.label)

    def _write(self, instance: WatchedInstance, case: Case) -> str:
        path = str(self._output / escape(instance.sop_instance_uid, ".dcm"))
        if "write" not in self.functions:
            return path
        saving = _Saving()
        instance.on_save = lambda _path: self._saved(saving)
        result = self._hook_of("write", instance, case, {}, path=path)
        instance.on_save = None
        if result is None and saving.saved_at:
            text = "the instance was saved, but write returns None: return what instance.save returns"
            self._report.add(saving.saved_at, "write", "no return", text, case.label)
        return str(result or path)

    def _write_when_full(self, instance: WatchedInstance, case: Case) -> None:
        saving = _Saving()

        def full(_path: str) -> None:
            self._saved(saving)
            raise StorageError("No space left on device")

        instance.on_save = full
        path = str(self._output / "full.dcm")
        watched = self._watch.call(*self._bound("write", {"instance": instance, "path": path}))
        if saving.saved_at and watched.error is None and watched.result is not None:
            text = (
                f"instance.save raised StorageError (A700), and write returned {watched.result!r}: the sender gets "
                "Success for what is not stored; let the error pass"
            )
            self._report.add(saving.saved_at, "write", "swallowed", text, case.label)

    def _saved(self, saving: _Saving) -> None:
        frame = inspect.currentframe()
        saving.saved_at = saving.saved_at or self._sources.of_frame(frame)

    def _services(self) -> None:
        """`serve`, with requests that it does not know."""
        for service in Service:
            request = FakeRequest(service, "1.2.826.0.1.3680043.8.498.77")
            self._call("serve", {"association": fake_association(), "request": request}, None)

    def _hook_of(self, hook: str, instance: WatchedInstance, case: Case, chosen: dict[str, Any], **more: Any) -> Any:
        """A hook that gets an instance; returns its checked result, and puts what was decided into `chosen`."""
        if hook not in self.functions:
            return None
        header = instance.header
        before = values_of(header)
        opened: list[tuple[BinaryIO, str]] = []
        instance.on_open = lambda file: opened.append((file, self._sources.of_frame(inspect.currentframe())))
        watched = self._call(hook, {"instance": instance, **more}, case)
        instance.on_open = None
        if watched is None:
            return None
        for file, line in opened:
            if not file.closed:
                self._report.add(line, hook, "not closed", _NOT_CLOSED, case.label)
                file.close()
        if values_of(header) != before:
            self._header_changed(hook, case, instance, more)
        if hook in _CHOICES:
            chosen[hook] = f"raised {type(watched.error).__name__}" if watched.error else watched.result
        return watched.result if watched.error is None else None

    def _header_changed(self, hook: str, case: Case, instance: WatchedInstance, more: dict[str, Any]) -> None:
        again = self._made(case, instance.association)
        again.may_replace = hook == "receive"
        header = again.header
        function, *args = self._bound(hook, {"instance": again, **more})
        line = self._watch.line_of_change(function, tuple(args), lambda: values_of(header))
        text = (
            "instance.header was changed in place, which changes nothing that is stored: change a copy_header() and "
            "give it to replace_header, in receive"
        )
        self._report.add(line or self._sources.of_function(self.functions[hook]), hook, "header", text, case.label)

    def _bound(self, hook: str, offered: dict[str, Any]) -> tuple[Callable[..., Any], ...]:
        """The function, and the arguments that it names."""
        function = self.functions[hook]
        named = {name: offered[name] for name in inspect.signature(function).parameters if name in offered}
        return (lambda: function(**named),)

    def _call(self, hook: str, offered: dict[str, Any], case: Case | None = None) -> Watched | None:
        """Call a hook and check what came of it; None if the plugin does not have it."""
        if hook not in self.functions:
            return None
        label = case.label if case else ""
        watched = self._watch.call(*self._bound(hook, offered))
        for event, what, line in watched.events:
            if event == "os.chdir":
                text = f"changes the directory of the whole process (to {what!r}): use absolute paths"
                self._report.add(line, hook, "directory", text, label)
            elif event in ("os.fork", "os.forkpty"):
                self._report.add(line, hook, "fork", "forks the worker: use subprocess, or background", label)
        here = self._sources.of_function(self.functions[hook])
        if watched.too_long:
            text = f"takes longer than {self._seconds:g} s, and the sender waits: put slow work into background"
            self._report.add(watched.raised_at or here, hook, "slow", text, label)
        elif watched.error is not None:
            if not self._may_raise(hook, watched.error):
                raised = f"raises {type(watched.error).__name__}: {described(watched.error)}"
                self._report.add(watched.raised_at or here, hook, "raises", f"{raised}; {_consequence(hook)}", label)
        elif watched.result is not None:
            self._check_result(hook, watched, here, label)
        return watched

    def _check_result(self, hook: str, watched: Watched, here: str, label: str) -> None:
        check = CHECKS.get(hook)
        try:
            if check is not None:
                watched.result = check(watched.result)
            elif hook == "serve" and not isinstance(watched.result, Response):
                raise TypeError(f"None or Response expected, not {watched.result!r}")
        except (TypeError, ValueError) as error:
            watched.error = error
            kind = "type" if isinstance(error, TypeError) else "value"
            text = f"returns what the hook does not allow: {error}; {_consequence(hook)}"
            self._report.add(watched.returned_at or here, hook, kind, text, label)

    @staticmethod
    def _may_raise(hook: str, error: BaseException) -> bool:
        """A StatusError that refuses the instance is as good as a Refuse."""
        return hook in INSTANCE_HOOKS and isinstance(error, StatusError) and is_failure(error.status)


_THREAD = "starts a thread ({}): workers are forked later, and do not have it; start it in worker_started"
_CONNECTION = (
    "opens what stays open ({}): all workers are forked with the same connection; open it in worker_started, close it "
    "in worker_stopping"
)
_NOT_CLOSED = "what instance.open() returned is not closed when the hook returns: use `with instance.open() as file:`"
_ONLY_INSTANCE = "a name may depend on the instance, its association and instance.attempt only"


def _consequence(hook: str) -> str:
    if hook in guards.NOTIFICATION_HOOKS or hook in _OTHER_NOTIFICATIONS:
        return "the receiver logs it and goes on, and this work is not done"
    if hook == "negotiate":
        return "the association is rejected"
    if hook in guards.START_HOOKS:
        return "the receiver does not start"
    return "a worker cannot serve" if hook == "worker_started" else "the sender gets 0110"


_OTHER_NOTIFICATIONS = ("association_accepted", "not_stored")


def _association_of(case: Case) -> Association:
    dataset = case.dataset
    proposed = ProposedContext(1, str(dataset.SOPClassUID), (str(dataset.file_meta.TransferSyntaxUID),))
    old = case.association
    return fake_association(
        calling_ae_title=old.calling_ae_title, called_ae_title=old.called_ae_title, proposed=(proposed,)
    )


def _text(name: Any) -> str:
    return name.text if isinstance(name, Name) else str(name)


def _descriptors() -> set[tuple[str, str]]:
    """The open descriptors of this process and what they point to, as far as the system tells."""
    return set(_links(Path("/proc/self/fd")))


def _links(directory: Path) -> Iterator[tuple[str, str]]:
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        try:
            yield name, os.readlink(directory / name)
        except OSError:  # that of the listing itself
            continue
