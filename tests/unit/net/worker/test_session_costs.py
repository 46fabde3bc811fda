"""What the receive path may cost, counted and not timed: bytecodes, function calls, hook calls, kept memory.

The numbers are those of CPython 3.11 plus a tenth, for the versions differ a little. Whoever needs more changes the
number here and says why; `tox -e bench` says what it costs in time. System calls are in e2e/test_system_calls.py.
"""

from __future__ import annotations

import gc
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from dcmrecv_core import compiled
from dcmrecv_core.hooks.plugins import Plugins
from dcmrecv_core.net.handover import Handover
from dcmrecv_core.net.worker.session import Session, Shared
from dcmrecv_core.receive.pipeline import InstanceReceiver
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.temporary import Capabilities
from support.data.datasets import identification
from support.data.samples import pydicom_samples
from support.protocol.pdus import associate_rq, command_set, data_pdus, store_rq
from support.protocol.scripted_connection import Clock, FakeConnection
from support.uids import CT, EXPLICIT_LE

REQUEST = associate_rq([(CT, [EXPLICIT_LE])])

BYTECODES_PER_INSTANCE = (
    {"normal": 2380, "bit-preserving": 2220} if compiled.AVAILABLE else {"normal": 30_000, "bit-preserving": 3750}
)
"""Of a CT slice with 258 elements in one PDU; in Python, 24 000 are those of the walk. The compiled parts read the PDUs
and the command, and walk. Two dozen write the SOP Instance UID where the supervisor finds it if the worker is killed,
eighty count the instance (half a microsecond)."""

CALLS_PER_INSTANCE = (
    {"normal": 88, "bit-preserving": 80} if compiled.AVAILABLE else {"normal": 213, "bit-preserving": 114}
)
"""Functions called, built-in ones not counted."""

BYTECODES_PER_PDU = 1 if compiled.AVAILABLE else 260
"""Of a data set: its header, that of its PDV, and one more fragment to copy."""

BYTECODES_PER_ELEMENT = 90
"""Of a data set that is walked in Python."""

HOOK_CALLS = {"choose_subdir": 1, "choose_filename": 1, "FileWriter.write": 1}
"""Of an instance, however many PDUs it comes in; `receive` and `stored` cost nothing without an implementation."""


class Quiet(FakeConnection):
    """Yields one message at a time, as a sender that waits for each response."""


def slices(numbers: range, *, max_pdu: int = 1 << 17) -> list[bytes]:
    [sample] = [sample for sample in pydicom_samples() if sample.name == "CT_small.dcm"]
    messages = []
    for number in numbers:
        uid = f"{sample.sop_instance[:-6]}{number:06}"
        data = sample.data.replace(sample.sop_instance.encode(), uid.encode())
        messages.append(message(uid, data, max_pdu))
    return messages


def message(uid: str, data: bytes, max_pdu: int = 1 << 17) -> bytes:
    command = data_pdus(1, [command_set(store_rq(CT, uid))], is_command=True)
    return b"".join((*command, *data_pdus(1, [data], is_command=False, max_pdu=max_pdu)))


Serve = Callable[[list[bytes]], None]


@pytest.fixture
def mode() -> str:
    return "normal"


@pytest.fixture
def serve(tmp_path: Path, mode: str) -> Serve:
    """Serves one association with these messages, in this process; all of them have to be stored."""
    settings = Settings(
        promiscuous=True, fsync=False, output_directory=str(tmp_path), storage_mode=mode, max_pdu=1 << 17
    )
    plugins = Plugins()
    plugins.add_builtins(settings)
    plugins.configure(settings)
    shared = Shared(settings, plugins, InstanceReceiver(settings, plugins, Capabilities()), lambda between: False)
    release = b"\5\0\0\0\0\4\0\0\0\0"

    def serve_one(messages: list[bytes]) -> None:
        connection = Quiet(Clock(), [*messages, release])
        Session(connection, Handover(connection, REQUEST, "127.0.0.1", 1), shared).run()  # type: ignore[arg-type]
        success = struct.pack("<HHIH", 0, 0x0900, 2, 0)
        assert connection.sent.count(success) == len(messages)

    return serve_one


@contextmanager
def no_garbage() -> Iterator[None]:
    """Collect what other tests have left before, and nothing meanwhile: finalizers would count."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def bytecodes(action: Callable[[], None]) -> int:
    """Number of bytecodes executed in it."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    with no_garbage():
        sys.settrace(trace)
        try:
            action()
        finally:
            sys.settrace(before)
    return count


def calls(action: Callable[[], None]) -> Counter[str]:
    """The functions that are called in it."""
    counted: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            counted[frame.f_code.co_qualname] += 1

    with no_garbage():
        sys.setprofile(profile)
        try:
            action()
        finally:
            sys.setprofile(None)
    return counted


def more(serve: Serve, few: list[bytes], many: list[bytes], measure: Callable[[Callable[[], None]], Any]) -> Any:
    """The difference in cost between `many` messages and `few`."""
    less = measure(lambda: serve(few))
    return measure(lambda: serve(many)) - less


@pytest.fixture
def warm(serve: Serve) -> Iterator[Serve]:
    """After some slices: caches are filled."""
    serve(slices(range(900, 910)))
    yield serve


@pytest.mark.parametrize("mode", ["normal", "bit-preserving"])
def test_bytecodes_of_an_instance(warm: Serve, mode: str) -> None:
    cost = more(warm, slices(range(10)), slices(range(10, 40)), bytecodes) / 20
    assert 0.4 * BYTECODES_PER_INSTANCE[mode] < cost <= BYTECODES_PER_INSTANCE[mode]


@pytest.mark.parametrize("mode", ["normal", "bit-preserving"])
def test_calls_of_an_instance(warm: Serve, mode: str) -> None:
    def number(action: Callable[[], None]) -> int:
        return calls(action).total()

    cost = more(warm, slices(range(10)), slices(range(10, 40)), number) / 20
    assert 0.4 * CALLS_PER_INSTANCE[mode] < cost <= CALLS_PER_INSTANCE[mode]


def test_bytecodes_of_a_pdu(warm: Serve) -> None:
    """The same slices in 10 times as many PDUs."""
    whole, split = slices(range(20)), slices(range(20, 40), max_pdu=4096)
    pdus = 20 * (len(whole[0]) // 4090)
    cost = more(warm, whole, split, bytecodes) / pdus
    assert 0.4 * BYTECODES_PER_PDU - 1 <= cost <= BYTECODES_PER_PDU


@pytest.mark.usefixtures("in_python")
def test_bytecodes_of_an_element_that_is_walked(warm: Serve) -> None:
    def with_elements(count: int, number: int) -> bytes:
        elements = b"".join(struct.pack("<HH2sH", 0x7001, at + 16, b"LO", 2) + b"ab" for at in range(count))
        uid = f"1.2.{number}"
        return message(uid, identification(CT, uid) + elements)

    few = [with_elements(10, 200 + number) for number in range(20)]
    many = [with_elements(110, 300 + number) for number in range(20)]
    cost = more(warm, few, many, bytecodes) / 20 / 100
    assert 10 < cost <= BYTECODES_PER_ELEMENT


@pytest.mark.parametrize("max_pdu", [4096, 1 << 17])
def test_hooks_are_called_per_instance(warm: Serve, max_pdu: int) -> None:
    def guarded(action: Callable[[], None]) -> Counter[str]:
        counted = calls(action)
        return Counter({hook: counted[hook] for hook in HOOK_CALLS} | {"all": counted[GUARDED]})

    messages = slices(range(12), max_pdu=max_pdu)
    difference = more(warm, slices(range(20, 22)), messages, guarded)
    assert difference == {hook: 10 * count for hook, count in HOOK_CALLS.items()} | {
        "all": 10 * sum(HOOK_CALLS.values())
    }


GUARDED = "_guard_built_in.<locals>.guarded"


@pytest.mark.parametrize("mode", ["normal", "bit-preserving"])
def test_nothing_is_kept_of_an_instance(warm: Serve, mode: str) -> None:
    """Memory blocks before and after 200 more of them."""

    def kept() -> int:
        gc.collect()
        return sys.getallocatedblocks()

    warm(slices(range(50)))
    before = kept()
    for first in range(100, 300, 50):
        warm(slices(range(first, first + 50)))
    assert kept() - before < 200, "blocks, of 200 instances"
