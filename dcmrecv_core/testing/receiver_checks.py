"""`check_plugin` in a receiver: two workers, a reload, a killed worker, deliveries, `--explain`; and its log."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

from dcmrecv_core.hooks.loader import OBJECT, Found
from dcmrecv_core.testing.deliveries import JOURNAL, deliver_all
from dcmrecv_core.testing.fakes import sample_dataset
from dcmrecv_core.testing.plugin_report import PluginReport
from dcmrecv_core.testing.receivers import PATIENCE, Receiver
from dcmrecv_core.testing.sending import send
from dcmrecv_core.testing.torture import Case, cases, more_cases
from dcmrecv_core.testing.watching import Sources, line_of

_RELOADED_UID = "1.2.826.0.1.3680043.8.498.1.3.1"
_KILLED_UID = "1.2.826.0.1.3680043.8.498.1.3.2"
_INSTANCE = re.compile(r" \([^()]*SOP instance ([^ ()]+)[^()]*\)(?:, again in [0-9.]+ s)?")
_FILE = re.compile(r'File "([^"]+)", line (\d+)')


def spec_of(plugin: Any, found: Found) -> str:
    """What `--plugin` has to be given for the same plugin, "" if it cannot load it."""
    if isinstance(plugin, str):
        return os.path.abspath(plugin) if os.path.isfile(plugin) else plugin
    if isinstance(plugin, ModuleType):
        return _module_spec(plugin)
    module = sys.modules.get(type(plugin).__module__)
    return _module_spec(module) if module is not None and vars(module).get(OBJECT) is found.plugin else ""


def _module_spec(module: ModuleType) -> str:
    file = getattr(module, "__file__", None) or ""
    is_package = os.path.basename(file) == "__init__.py"
    return module.__name__ if is_package or not file else os.path.abspath(file)


def failures_of(name: str) -> re.Pattern[str]:
    """For a log: hook and text of what the hooks of a plugin did wrong. What was put aside after that, or because the
    plugin wants it, is none."""
    return re.compile(rf"^E: plugin {re.escape(name)}: (\w+)(?: to \S+)?: (?!.*, put aside)(.*)$", re.MULTILINE)


class ReceiverChecks:
    """Runs a receiver with one plugin, and reports what goes wrong."""

    def __init__(
        self,
        found: Found,
        spec: str,
        arguments: Sequence[object],
        report: PluginReport,
        directory: Path,
        seconds: float,
    ) -> None:
        self._found = found
        self._sources = Sources(found)
        self._report = report
        self._directory = directory
        self._arguments = ("--hook-timeout", max(1, round(seconds)), "--deliver-attempts", 2, *arguments)
        self._plugins = ["--plugin", spec]
        self._spec = spec
        self._labels = {str(case.dataset.SOPInstanceUID): case.label for case in chain(cases(), more_cases())}
        self._failed = failures_of(found.name)
        self._in_process = {finding.where for finding in report.findings}
        self._explained = ""

    def run(self) -> None:
        try:
            receiver = Receiver(
                self._directory / "receiver", "-pm", "--no-fsync", *self._arguments, plugins=[self._spec]
            )
        except AssertionError as error:
            self._report.checks["in a receiver"] = "does not start"
            self._report.add(self._line(str(error)), "configure", "receiver", f"the receiver does not start: {error}")
            return
        try:
            self._add_failures(receiver.log, "start")
            for name, step in (
                ("two workers", self._two_workers),
                ("reload", self._reload),
                ("killed worker", self._killed_worker),
            ):
                self._step(name, partial(step, receiver), lambda: receiver.log)
            if JOURNAL in receiver.log:
                self._step("deliveries", lambda: deliver_all(receiver), lambda: receiver.log)
            self._step("--explain", self._explain, lambda: self._explained)
        finally:
            fault = receiver.end()
        if fault:
            self._report.add(self._line(fault), "worker_stopping", "receiver", fault.splitlines()[0])
        self._report.checks["end"] = "1 findings" if fault else "ok"

    def _step(self, name: str, step: Callable[[], object], log: Callable[[], str]) -> None:
        before, read = len(self._report.findings), len(log())
        try:
            step()
        except AssertionError as error:
            self._report.add(self._line(str(error)), name, "receiver", str(error).splitlines()[0])
        self._add_failures(log()[read:], name)
        found = len(self._report.findings) - before
        self._report.checks[name] = f"{found} findings" if found else "ok"

    def _two_workers(self, receiver: Receiver) -> None:
        instances = list(chain(cases(), more_cases()))
        with ThreadPoolExecutor(2) as senders:
            both = [
                senders.submit(self._send, receiver, instances[::2], "FIRST"),
                senders.submit(self._send, receiver, instances[1::2], "SECOND"),
            ]
            for sender in both:
                sender.result()

    def _send(self, receiver: Receiver, instances: list[Case], title: str) -> None:
        try:
            send(receiver.port, *(case.dataset for case in instances), calling_ae_title=title)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{receiver.log}") from error

    def _reload(self, receiver: Receiver) -> None:
        receiver.reload()
        self._send(receiver, [Case("after a reload", sample_dataset(SOPInstanceUID=_RELOADED_UID))], "SENDER")

    def _killed_worker(self, receiver: Receiver) -> None:
        if sys.platform.startswith("linux"):
            receiver.kill_worker()
            self._send(receiver, [Case("after a kill", sample_dataset(SOPInstanceUID=_KILLED_UID))], "SENDER")

    def _add_failures(self, log: str, step: str) -> None:
        """Report what a part of the log says about the plugin's hooks, unless it was found in process already."""
        starts = [*self._failed.finditer(log)]
        ends = [*(match.start() for match in starts[1:]), len(log)]
        for match, end in zip(starts, ends, strict=False):
            where = self._line(log[match.start() : end])
            if where not in self._in_process:
                uid = _INSTANCE.search(match[2])
                text = f"in a receiver ({step}): {_INSTANCE.sub('', match[2])}"
                self._report.add(where, match[1], "receiver", text, self._labels.get(uid[1], "") if uid else "")

    def _explain(self) -> None:
        file = self._directory / "explained.dcm"
        sample_dataset().save_as(file, enforce_file_format=True)
        output = self._directory / "explained"
        output.mkdir()
        command = [sys.executable, "-P", "-m", "dcmrecv_core", "-pm", "-od", output, *self._plugins, *self._arguments]
        done = subprocess.run(
            [*map(str, command), "--explain", str(file)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
        )
        self._explained = done.stderr
        if done.returncode:
            raise AssertionError(f"ends with {done.returncode}: {done.stderr[-1000:]}")
        written = [str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()]
        if written:
            text = f"writes files although nothing was received ({written[0]}): store in write, by instance.save"
            self._report.add("", "--explain", "explain", text)

    def _line(self, log: str) -> str:
        """The last line of the plugin's file in the tracebacks of a log."""
        file = getattr(self._found.module, "__file__", None) or ""
        lines = [(path, number) for path, number in _FILE.findall(log) if self._sources.has(path)]
        return line_of(lines[-1][0], int(lines[-1][1])) if lines else file
