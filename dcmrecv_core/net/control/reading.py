"""What a receiver counts, together with what is on the disk: its queues, and whether it can store.

The disk may hang, so the supervisor leaves this to the process that asks.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from dcmrecv_core.api.errors import StateDirectoryError
from dcmrecv_core.api.settings import PluginSettings
from dcmrecv_core.api.version import __version__
from dcmrecv_core.counters.document import Counters, OutputStatus, QueueStatus
from dcmrecv_core.net.control.client import ControlConnectionError, ask, socket_of
from dcmrecv_core.storage.mounts import mount_namespace
from dcmrecv_core.storage.usable import OutputDirectory

_NO_DATABASE = "the journal's database cannot be used"
"""Why is in the log: health checks are shown to anybody."""


def read_counters(settings: PluginSettings) -> Counters:
    """What the receiver with these settings counts: in a process of the receiver itself, a worker or one of
    `background` or of deliveries, from shared memory; in any other from the receiver, through its control socket.

    Raises ConnectionError if the receiver cannot be asked, StateDirectoryError if its state directory belongs to
    another one.
    """
    found = settings._counting.read()
    counters = with_output(found) if isinstance(found, Counters) else ask_counters(socket_of(settings.state_directory))
    try:
        return with_queues(counters, settings.state_directory)
    except StateDirectoryError:  # a receiver without one has no queues
        return counters


def ask_counters(path: Path) -> Counters:
    """What the receiver that listens on this control socket counts, without its queues. Raises ConnectionError."""
    answer = ask(path, "status")
    try:
        return with_output(Counters.from_dict(answer))
    except ValueError as error:
        raise ControlConnectionError(
            f"the receiver at {path} has version {answer.get('version')}, which this version, {__version__}, does not "
            "understand"
        ) from error


def with_output(counters: Counters) -> Counters:
    """Not ready if nothing can be stored in the output directory now. Takes half a second at most."""
    problem = "" if counters.output is None else _directory(counters.output).problem()
    return _with_problem(counters, problem) if problem else counters


def _with_problem(counters: Counters, problem: str) -> Counters:
    state = "not ready" if counters.state == "ready" else counters.state
    return replace(counters, state=state, not_ready=(*counters.not_ready, problem))


@lru_cache(maxsize=8)
def _directory(output: OutputStatus) -> OutputDirectory:
    """The same each time: a disk that hangs is asked once."""
    elsewhere = output.mount_namespace not in (0, mount_namespace())
    return OutputDirectory(output.path, output.min_free, "" if elsewhere else output.mount_point, elsewhere=elsewhere)


def with_queues(counters: Counters, state_directory: Path) -> Counters:
    """With the queues in the store of this state directory, if it can be read, and the output directory has answered.
    Not ready if the store is a database that cannot be used now. The supervisor never calls it."""
    if counters.output is not None and not _directory(counters.output).responds:
        return counters
    from dcmrecv_core.delivery.opening import has_database, open_store
    from dcmrecv_core.delivery.store import StoreError

    try:
        with closing(open_store(state_directory)) as store:
            states = store.states()
    except StoreError:  # without a database: nothing delivers
        return _with_problem(counters, _NO_DATABASE) if has_database(state_directory) else counters
    return replace(
        counters,
        queues=tuple(
            QueueStatus(
                queue=str(state.queue),
                waiting=state.waiting,
                failing=state.failing,
                busy=state.busy,
                put_aside=state.put_aside,
                oldest=None if state.oldest is None else datetime.fromtimestamp(state.oldest).astimezone(),
                claimed=state.claimed,
            )
            for state in states
        ),
    )
