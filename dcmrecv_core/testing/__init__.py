"""A pytest plugin for the tests of plugins: `pytest_plugins = ["dcmrecv_core.testing"]` in `tests/conftest.py`.

It is not registered for every pytest in the environment, and the receiver does not depend on pytest: a plugin's tests
name both. (PYTEST_DONT_REWRITE: nothing here uses `assert`, so it may be imported before pytest loads it.)

* `check_plugin(plugin)`: one line that runs every hook of a plugin, in process and in a receiver;
* `check_naming(plugin)`: one line that tries a naming plugin on instances that modalities really send;
* `check_survives(plugin)`: one line that kills, restarts and reloads a receiver with a plugin while it receives;
* `sample_dataset`, `fake_settings`, `fake_association`, `fake_instance`: the arguments of hooks, made by the receiver's
  own code;
* `fake_event`, `fake_study`, `fake_series`: those of the hooks that are called after storing;
* the fixture `start_receiver`: a whole receiver on a free port, with `receiver.send(dataset)`, `files()` and `log`;
* `deliver_all`: waits until that receiver has delivered what it has stored, without waiting for its clock;
* `until`: waits, with a deadline, for what another process does.

    plugin_check       `check_plugin`
      hook_checks        each hook in process
        watching           one call: its time, its lines, what it did
        header_values      whether it changed a header in place
      receiver_checks    the same plugin in a receiver
      plugin_report      what was found
    naming             `check_naming`
      torture            the instances that both try
    survival           `check_survives`
    fakes              the arguments of hooks, without a network
    deliveries         hooks that are called after storing: their arguments, and waiting for them
    receivers          a receiver as a separate process
      activate           gives it a port that no other process can take
      sending            a sender, by pynetdicom

docs/plugin-kit.md is the reference.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pytest

from dcmrecv_core.api.version import API_VERSION, __version__
from dcmrecv_core.testing.deliveries import deliver_all, fake_event, fake_series, fake_study
from dcmrecv_core.testing.fakes import fake_association, fake_instance, fake_settings, sample_dataset
from dcmrecv_core.testing.naming import check_naming
from dcmrecv_core.testing.plugin_check import check_plugin
from dcmrecv_core.testing.plugin_report import Finding, PluginCheckError, PluginReport
from dcmrecv_core.testing.receivers import Receiver, until
from dcmrecv_core.testing.sending import Status, send
from dcmrecv_core.testing.survival import Survival, check_survives

__all__ = [
    "Finding",
    "PluginCheckError",
    "PluginReport",
    "Receiver",
    "StartReceiver",
    "Status",
    "Survival",
    "check_naming",
    "check_plugin",
    "check_survives",
    "deliver_all",
    "fake_association",
    "fake_event",
    "fake_instance",
    "fake_series",
    "fake_settings",
    "fake_study",
    "sample_dataset",
    "send",
    "start_receiver",
    "until",
]


def pytest_report_header() -> str:
    """At the beginning of pytest's output: with which dcmrecv, and which version of the interface, the tests run."""
    return f"dcmrecv {__version__}, plugin interface {'.'.join(map(str, API_VERSION))}: {Path(__file__).parents[1]}"


class StartReceiver(Protocol):
    """The type of the fixture `start_receiver`."""

    def __call__(self, *arguments: object, plugins: Sequence[str | ModuleType] = ()) -> Receiver: ...


@pytest.fixture
def start_receiver() -> Iterator[StartReceiver]:
    """Starts a receiver: `start_receiver("--site-root", "x", plugins=["mysite"])`.

    `arguments` are options of the command line, `plugins` names as for `--plugin`, or modules. The receiver has a new
    directory of its own and is ready when this returns. If it does not end cleanly after the test, the test fails.
    """
    receivers: list[Receiver] = []
    with tempfile.TemporaryDirectory(prefix="dcmrecv-") as directory:

        def start(*arguments: object, plugins: Sequence[str | ModuleType] = ()) -> Receiver:
            home = Path(directory, str(len(receivers)))
            receivers.append(Receiver(home, *arguments, plugins=plugins))
            return receivers[-1]

        yield start
        faults = [fault for receiver in receivers if (fault := receiver.end())]
    if faults:
        raise AssertionError("\n".join(faults))
