"""`check_survives`: does all that was acknowledged arrive, whatever is killed, restarted or reloaded meanwhile?"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.api.verdicts import is_failure
from dcmrecv_core.testing.deliveries import JOURNAL, deliver_all
from dcmrecv_core.testing.fakes import sample_dataset
from dcmrecv_core.testing.naming import found_plugin
from dcmrecv_core.testing.plugin_check import words_of
from dcmrecv_core.testing.receiver_checks import failures_of, spec_of
from dcmrecv_core.testing.receivers import LOG_SHOWN, Receiver, until
from dcmrecv_core.testing.sending import Status, send_until_lost

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_UID_ROOT = "1.2.826.0.1.3680043.8.498.1.4"
_PER_ASSOCIATION = 50
_BETWEEN = 5
"""Instances that have to be answered before something is killed, and once more after it."""
_PAUSE = 0.02
_WAITING = 60.0
"""Seconds: dead processes for deliveries and `background` are started again after pauses."""


@dataclass(slots=True)
class Survival:
    """What was sent while `check_survives` killed, restarted and reloaded."""

    acknowledged: list[Dataset] = field(default_factory=list)
    """Answered with Success or a warning; each has a SOP Instance UID of its own."""

    refused: list[tuple[Dataset, Status]] = field(default_factory=list)
    """Answered with a failure."""

    log: str = ""
    """Of the receiver, through all restarts."""


Arrived = Callable[[Receiver, "Dataset"], bool]


def check_survives(
    plugin: Any,
    *,
    options: Mapping[str, Any] | None = None,
    arguments: Sequence[object] = (),
    datasets: Sequence[Dataset] = (),
    arrived: Arrived | None = None,
) -> Survival:
    """Send to a receiver with `plugin` (a module, the object `plugin` of a module, or what `--plugin` takes) while its
    processes are killed; what it has acknowledged must arrive, and no hook may fail.

    A sender sends instance after instance, each with a SOP Instance UID of its own, and sends again what was not
    answered, as modalities do. Meanwhile all workers are killed, twice; the processes for deliveries and `background`
    are killed; the settings are reloaded; the receiver is stopped and started again; its supervisor, with which all of
    it ends, is killed, and the receiver started again. After each step it has to answer again. Then all deliveries are
    awaited, as `deliver_all` does.

    `datasets` are sent in turn, as copies (default: one `sample_dataset()`). `arrived(receiver, dataset)` says whether
    an acknowledged instance is where the plugin brings it; it is called at the end, while the receiver runs. By default
    a file below the output directory must have the instance's SOP Instance UID. `options` are values for those that the
    plugin declares, by key; `arguments` are further options of the receiver's command line.

    Returns what was sent, and the log. Raises AssertionError, with the log, if something acknowledged does not arrive,
    a hook fails, a delivery is put aside, the receiver does not recover, or nothing is acknowledged at all; PluginError
    for a plugin that cannot be loaded by a receiver. Only on Linux.
    """
    found = found_plugin(plugin)
    spec = spec_of(plugin, found)
    if not spec:
        raise PluginError(f"no module has {plugin!r} as its `plugin`, so a receiver cannot load it")
    words = [*words_of(found, options or {}), *arguments]
    with (
        tempfile.TemporaryDirectory(prefix="dcmrecv-") as directory,
        socket.create_server(("127.0.0.1", 0), backlog=16) as listener,
    ):
        receiver = Receiver(Path(directory), "-pm", "--no-fsync", *words, plugins=[spec], listener=listener)
        try:
            survival = _disturb(receiver, _Sender(receiver, datasets or [sample_dataset()]))
            put_aside = deliver_all(receiver, _WAITING) if JOURNAL in receiver.log else []
            problems = [f"put aside: {line}" for line in put_aside] + _missing(receiver, survival, arrived)
        finally:
            fault = receiver.end()
        survival.log = receiver.log
    problems += _failures(found.name, survival.log)
    problems += [fault] if fault else []
    if problems:
        listed = "".join(f"\n  {problem}" for problem in problems)
        shown = survival.log[-LOG_SHOWN:]
        raise AssertionError(f"plugin {found.name} does not survive: {len(problems)} problems{listed}\n{shown}")
    return survival


class _Sender:
    """A thread that sends until it is told to end, and repeats what was not answered."""

    def __init__(self, receiver: Receiver, samples: Sequence[Dataset]) -> None:
        self.survival = Survival()
        self._receiver = receiver
        self._samples = cycle(samples)
        self._numbers = count(1)
        self._end = threading.Event()
        self._gives_up = threading.Event()
        self._last_fault = ""
        self._thread = ThreadPoolExecutor(1)
        self._work: Future[None] = self._thread.submit(self._run)

    @property
    def answered(self) -> int:
        return len(self.survival.acknowledged) + len(self.survival.refused)

    def await_answers(self, after: str) -> None:
        """Wait until the receiver has answered some more."""
        enough = self.answered + _BETWEEN
        self._wait(lambda: self.answered >= enough, f"the receiver answers {after}")

    def end(self) -> None:
        """Stop once all that was sent is answered."""
        self._end.set()
        self._wait(self._work.done, "the last instances are answered")

    def give_up(self) -> None:
        self._gives_up.set()
        self._thread.shutdown()

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        until(
            lambda: condition() or (self._work.done() and self._work.result()),
            what,
            _WAITING,
            lambda: f"{self._last_fault}\n{self._receiver.log}",
        )

    def _run(self) -> None:
        pending: list[Dataset] = []

        def answered(status: Status) -> None:
            dataset = pending.pop(0)
            if is_failure(status):
                self.survival.refused.append((dataset, status))
            else:
                self.survival.acknowledged.append(dataset)

        while not self._gives_up.is_set() and (pending or not self._end.is_set()):
            while len(pending) < _PER_ASSOCIATION and not self._end.is_set():
                pending.append(self._next())
            try:
                send_until_lost(self._receiver.port, tuple(pending), answered)
            except AssertionError as error:  # it is ending or was killed; if it stays so, a deadline says so
                self._last_fault = str(error)
                self._gives_up.wait(_PAUSE)

    def _next(self) -> Dataset:
        dataset = deepcopy(next(self._samples))
        dataset.SOPInstanceUID = f"{_UID_ROOT}.{next(self._numbers)}"
        return dataset


def _disturb(receiver: Receiver, sender: _Sender) -> Survival:
    """All that may happen to a receiver while `sender` sends."""
    steps: tuple[tuple[Callable[[Receiver], object], str], ...] = (
        (_kill_workers, "after all workers were killed"),
        (_kill_workers, "after all workers were killed once more"),
        (_kill_plugin_processes, "after the processes for deliveries and background were killed"),
        (Receiver.reload, "after a reload"),
        (Receiver.restart, "after a restart"),
        (_kill_and_restart, "after it was killed and started again"),
    )
    try:
        sender.await_answers("at first")
        if not sender.survival.acknowledged:
            [*_, (_dataset, status)] = sender.survival.refused
            raise AssertionError(f"no instance is acknowledged, but {status!r}: give datasets that the plugin takes")
        for step, after in steps:
            step(receiver)
            sender.await_answers(after)
        sender.end()
    finally:
        sender.give_up()
    return sender.survival


def _kill_workers(receiver: Receiver) -> None:
    for worker in receiver.workers():
        receiver.kill_worker(worker)


def _kill_plugin_processes(receiver: Receiver) -> None:
    for process in receiver.plugin_processes():
        with suppress(ProcessLookupError):  # it ends by itself just now
            os.kill(process, signal.SIGKILL)


def _kill_and_restart(receiver: Receiver) -> None:
    receiver.kill()
    receiver.restart()


def _missing(receiver: Receiver, survival: Survival, arrived: Arrived | None) -> list[str]:
    """What was acknowledged and did not arrive: a line, or nothing."""
    stored = _uids_of_files(receiver) if arrived is None else set()
    missing = [
        str(dataset.SOPInstanceUID)
        for dataset in survival.acknowledged
        if not (str(dataset.SOPInstanceUID) in stored if arrived is None else arrived(receiver, dataset))
    ]
    if not missing:
        return []
    count = f"{len(missing)} of {len(survival.acknowledged)} acknowledged instances did not arrive"
    return [f"{count}, {missing[0]} is the first{_NO_FILE if arrived is None else ''}"]


def _failures(plugin: str, log: str) -> list[str]:
    """What its hooks did wrong: a line for each hook."""
    failed: dict[str, list[str]] = {}
    for match in failures_of(plugin).finditer(log):
        failed.setdefault(match[1], []).append(match[2])
    return [f"{hook} failed {len(texts)} times, at first: {texts[0]}" for hook, texts in failed.items()]


_NO_FILE = (
    ": no file below the output directory has this UID (for a plugin that stores elsewhere, discards, or changes UIDs, "
    "arrived= says where instances have to be)"
)


def _uids_of_files(receiver: Receiver) -> set[str]:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    found = set()
    for name in receiver.files():
        try:
            meta = dcmread(receiver.output / name, stop_before_pixels=True).file_meta
        except InvalidDicomError:  # a file that the plugin has written beside
            continue
        found.add(str(meta.MediaStorageSOPInstanceUID))
    return found
