"""What becomes of an instance, stage by stage, and what the sender is told."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import Discard, Instance, Name, Refuse, StatusError, Warn
from dcmrecv_core.dataset import walker
from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE
from dcmrecv_core.receive.pipeline import Outcome, Reception
from support.data.datasets import Node, deflate, encode
from support.plugins import ASSOCIATION, hooks, raising
from support.publishing import HIDDEN, Calls, Mount, is_directory, is_file, names, without_links
from support.receiving import HEAD, INSTANCE, UNKNOWN, data_set, in_syntax, receiver, send, stored_data
from support.uids import BIG_ENDIAN, CT, DEFLATED, EXPLICIT_LE, IMPLICIT_LE, MR

FILE = f"CT.{INSTANCE}"
SIZES = pytest.mark.parametrize("memory", [None, 100], ids=["in memory", "spooled"])
BIT_PRESERVING = {"storage_mode": "bit-preserving"}


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """How many are open more than at the start."""

    def count() -> int:
        gc.collect(1)
        return len(os.listdir("/proc/self/fd"))

    before = count()
    return lambda: count() - before


@SIZES
@pytest.mark.parametrize("mode", [{}, BIT_PRESERVING], ids=["normal", "bit preserving"])
@pytest.mark.parametrize("syntax", [EXPLICIT_LE, IMPLICIT_LE, BIG_ENDIAN, DEFLATED, UNKNOWN])
def test_what_is_stored_is_what_was_sent(
    tmp_path: Path, memory: int | None, mode: dict[str, Any], syntax: str, descriptors: Callable[[], int]
) -> None:
    data = in_syntax(syntax)
    place = receiver(tmp_path, memory=memory, **mode)
    for _ in range(2):
        assert send(place, data, syntax=syntax) == Outcome(0, location=f"{tmp_path}/{FILE}")
        assert stored_data(f"{tmp_path}/{FILE}") == data
    assert names(tmp_path) == [FILE]
    del place
    assert descriptors() == 0


@pytest.mark.parametrize("fragment", [1, 7, 99, 10**6])
def test_fragments_of_any_size(tmp_path: Path, fragment: int) -> None:
    send(receiver(tmp_path, memory=100), data_set(), fragment=fragment)
    assert stored_data(f"{tmp_path}/{FILE}") == data_set()


def test_fragments_are_copied(tmp_path: Path) -> None:
    data = bytearray(data_set())
    reception = Reception(receiver(tmp_path), ASSOCIATION, CT, INSTANCE, EXPLICIT_LE)
    reception.write([memoryview(data)[:100], memoryview(data)[100:]])
    assert reception.size == len(data)
    data[:] = bytes(len(data))
    assert reception.finish().status == 0
    assert stored_data(f"{tmp_path}/{FILE}") == data_set()


@SIZES
def test_one_after_the_other(tmp_path: Path, memory: int | None) -> None:
    """The buffer is used again: nothing of an instance gets into the next, even if one is dropped."""
    place = receiver(tmp_path, memory=memory)
    send(place, data_set(), instance="1")
    dropped = Reception(place, ASSOCIATION, CT, "2", EXPLICIT_LE)
    dropped.write([memoryview(data_set())])
    dropped.discard()
    dropped.discard()
    short = encode(HEAD[:3], EXPLICIT_LITTLE)
    send(place, short, instance="3")
    assert names(tmp_path) == ["CT.1", "CT.3"]
    assert (stored_data(f"{tmp_path}/CT.1"), stored_data(f"{tmp_path}/CT.3")) == (data_set(), short)


@pytest.mark.parametrize("capabilities", [None, HIDDEN], ids=["unnamed", "hidden"])
def test_nothing_stays_of_what_is_dropped(tmp_path: Path, capabilities: Any, descriptors: Callable[[], int]) -> None:
    place = receiver(tmp_path, memory=100, capabilities=capabilities)
    reception = Reception(place, ASSOCIATION, CT, INSTANCE, EXPLICIT_LE)
    reception.write([memoryview(data_set())])
    assert len(names(tmp_path)) == (capabilities is HIDDEN)
    reception.discard()
    del reception, place
    assert names(tmp_path) == []
    assert descriptors() == 0


# The check


BROKEN: dict[str, tuple[bytes, str]] = {
    "truncated in a value": (data_set()[:-1], EXPLICIT_LE),
    "truncated in a header": (encode(HEAD, EXPLICIT_LITTLE) + b"\x10\x00", EXPLICIT_LE),
    "in another encoding": (in_syntax(BIG_ENDIAN), EXPLICIT_LE),
    "not deflated": (data_set(), DEFLATED),
    "cut deflated": (deflate(data_set())[:-5], DEFLATED),
    "nothing": (b"", EXPLICIT_LE),
    "nothing in an unknown encoding": (b"", UNKNOWN),
}


@SIZES
@pytest.mark.parametrize(("data", "syntax"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_understood(tmp_path: Path, memory: int | None, data: bytes, syntax: str) -> None:
    place = receiver(tmp_path, memory=memory)
    outcome = send(place, data, syntax=syntax)
    assert outcome.status == 0xC000
    assert 0 < len(outcome.comment) <= 64
    assert (outcome.location, outcome.discarded) == (None, False)
    assert names(tmp_path) == []
    assert send(place, data_set()).status == 0


def test_bit_preserving_checks_nothing(tmp_path: Path) -> None:
    for number, (data, syntax) in enumerate(BROKEN.values()):
        outcome = send(receiver(tmp_path, **BIT_PRESERVING), data, syntax=syntax, instance=f"{number}")
        assert outcome.status == 0
        assert stored_data(outcome.location) == data


def test_an_unknown_encoding_is_stored_unchecked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert send(receiver(tmp_path), b"not a data set", syntax=UNKNOWN).status == 0
    assert f"encoding of transfer syntax {UNKNOWN} is not known, stored unchecked" in caplog.text


def test_oddities_are_stored_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = encode([*HEAD, HEAD[3]], EXPLICIT_LITTLE)
    assert send(receiver(tmp_path), data).status == 0
    assert stored_data(f"{tmp_path}/{FILE}") == data
    assert INSTANCE in caplog.text and "(0008,0021)" in caplog.text


@pytest.mark.parametrize(
    ("sop_class", "instance", "tag"),
    [(MR, INSTANCE, 0x00080016), (CT, "9.8.7", 0x00080018)],
    ids=["class", "instance"],
)
def test_a_data_set_that_differs_from_its_command(
    tmp_path: Path, sop_class: str, instance: str, tag: int, caplog: pytest.LogCaptureFixture
) -> None:
    """In doubt the sender's data win; the name is that of the command."""
    outcome = send(receiver(tmp_path), data_set(), sop_class=sop_class, instance=instance)
    assert outcome.status == 0
    assert names(tmp_path) == [f"{'CT' if sop_class == CT else 'MR'}.{instance}"]
    assert "differs from command" in caplog.text
    strict = receiver(tmp_path / "strict", strict=True)
    outcome = send(strict, data_set(), sop_class=sop_class, instance=instance)
    assert (outcome.status, outcome.elements) == (0xA900, (tag,))
    assert names(tmp_path / "strict") == []
    assert send(strict, data_set()).status == 0


def test_a_data_set_without_its_uids(tmp_path: Path) -> None:
    data = encode([Node(0x00080060, "CS", b"CT")], EXPLICIT_LITTLE)
    assert send(receiver(tmp_path), data).status == 0
    assert send(receiver(tmp_path, strict=True), data).status == 0xA900


def test_an_odd_data_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    odd = Node(0x00100020, "LO", b"odd")
    assert send(receiver(tmp_path), data_set(odd)).status == 0
    assert "(0010,0020)" in caplog.text and "Odd length" in caplog.text
    outcome = send(receiver(tmp_path / "strict", strict=True), data_set(odd))
    assert outcome.status == 0xA900 and "Odd length" in outcome.comment
    assert outcome.elements == (0x00100020,)
    assert names(tmp_path / "strict") == []


def test_our_own_limits_are_no_fault_of_the_sender(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walker, "MAX_ELEMENTS", 5)
    assert send(receiver(tmp_path, strict=True), data_set()).status == 0
    assert "hooks do not see the rest" in caplog.text


def test_a_command_without_class(tmp_path: Path) -> None:
    """The data set's counts; without one it cannot be understood, or where nothing is looked at, the class is wrong."""
    assert send(receiver(tmp_path), data_set(), sop_class="").location == f"{tmp_path}/{FILE}"
    same_instance = Node(0x00080018, "UI", INSTANCE.encode() + b"\0")
    for bare in (Node(0x00080060, "CS", b"CT"), same_instance):
        outcome = send(receiver(tmp_path / "bare"), encode([bare], EXPLICIT_LITTLE), sop_class="")
        assert (outcome.status, outcome.elements) == (0xC000, (0x00080016,))
    for settings, syntax in ((BIT_PRESERVING, EXPLICIT_LE), ({}, UNKNOWN)):
        assert send(receiver(tmp_path / "bare", **settings), data_set(), sop_class="", syntax=syntax).status == 0x0122
    assert names(tmp_path) == [FILE]


# The hooks


def test_the_order_of_the_hooks(tmp_path: Path) -> None:
    calls: list[object] = []
    plugin = hooks(
        receive=lambda instance: calls.append("receive"),
        choose_subdir=lambda instance: calls.append("choose_subdir"),
        choose_filename=lambda instance: calls.append("choose_filename"),
        write=lambda instance, path: calls.append(f"write {path}"),
        stored=lambda instance, location: calls.append(f"stored {location} {Path(location).exists()}"),
    )
    send(receiver(tmp_path, plugin), data_set())
    path = f"{tmp_path}/{FILE}"
    assert calls == ["receive", "choose_subdir", "choose_filename", f"write {path}", f"stored {path} True"]


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (Refuse(0x0124, "not you"), Outcome(0x0124, "not you", by="plugin0")),
        (Refuse(0xA700, "x" * 99), Outcome(0xA700, "x" * 99, by="plugin0")),
        (Discard("a copy"), Outcome(0, discarded=True)),
    ],
)
@SIZES
def test_verdicts_that_store_nothing(tmp_path: Path, verdict: object, outcome: Outcome, memory: int | None) -> None:
    plugin = hooks(receive=lambda: verdict, choose_subdir=raising(AssertionError()), stored=raising(AssertionError()))
    place = receiver(tmp_path, plugin, memory=memory)
    assert send(place, data_set()) == outcome
    assert names(tmp_path) == []


def test_a_warning_stores(tmp_path: Path) -> None:
    place = receiver(tmp_path, hooks(receive=lambda: Warn(0xB007, "odd")))
    assert send(place, data_set()) == Outcome(0xB007, "odd", location=f"{tmp_path}/{FILE}")


@SIZES
def test_fault_5_a_warning_does_not_keep_names_in_the_data(tmp_path: Path, memory: int | None) -> None:
    """The plugin that warns is asked before the one that takes the patient's name away."""

    def hide_name(instance: Instance) -> None:
        header = instance.copy_header()
        header.PatientName = "NOBODY"
        instance.replace_header(header)

    plugins = hooks(receive=hide_name), hooks(receive=lambda: Warn(0xB007, "odd"))
    place = receiver(tmp_path, *plugins, memory=memory)
    assert send(place, data_set()) == Outcome(0xB007, "odd", location=f"{tmp_path}/{FILE}")
    stored = stored_data(tmp_path / FILE)
    assert b"NOBODY" in stored
    assert "Müller".encode() not in stored


def test_ignore(tmp_path: Path) -> None:
    """Received and checked, then dropped."""
    place = receiver(tmp_path, ignore=True)
    assert send(place, data_set()) == Outcome(0, discarded=True)
    assert send(place, data_set()[:-1]).status == 0xC000
    assert names(tmp_path) == []


def test_names_of_plugins(tmp_path: Path) -> None:
    plugin = hooks(choose_subdir=lambda: "a//b*/.", choose_filename=lambda: "c|d")
    outcome = send(receiver(tmp_path, plugin, filename_extension=".dcm"), data_set())
    [name] = names(tmp_path)
    assert outcome.location == f"{tmp_path}/{name}"
    assert name.startswith("a/b_~") and name.endswith(".dcm") and "/c_d~" in name


@pytest.mark.parametrize("extension", ["", ".dcm"])
def test_an_unfit_instance_uid_is_marked_once(tmp_path: Path, extension: str) -> None:
    send(receiver(tmp_path, filename_extension=extension), data_set(), instance="1/2")
    [name] = names(tmp_path)
    assert name.count("~") == 1 and name.startswith("CT.1_2~") and name.endswith(extension)


def test_on_exists(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    outcomes = {
        how: send(receiver(tmp_path, hooks(choose_filename=lambda how=how: Name("a", how))), data_set())
        for how in ("keep", "refuse")
    }
    assert outcomes["keep"] == Outcome(0xA700, "The existing file is not a whole file of this instance")
    assert outcomes["refuse"].status == 0x0111
    assert (tmp_path / "a").read_bytes() == b"old"


@SIZES
def test_another_name_is_asked_for(tmp_path: Path, memory: int | None) -> None:
    for number in range(5):
        (tmp_path / f"a{number}").write_bytes(b"old")
    plugin = hooks(choose_filename=lambda instance: Name(f"a{instance.attempt}", "retry"))
    assert send(receiver(tmp_path, plugin, memory=memory), data_set()).location == f"{tmp_path}/a5"
    assert stored_data(f"{tmp_path}/a5") == data_set()


def test_but_not_for_ever(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    asked: list[int] = []
    plugin = hooks(choose_filename=lambda instance: asked.append(instance.attempt) or Name("a", "retry"))
    assert send(receiver(tmp_path, plugin), data_set()).status == 0xA700
    assert asked == list(range(1024))
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_third_partys_writer(tmp_path: Path) -> None:
    """Where it says that the data went is what the listeners and the log are told."""
    kept: list[bytes] = []
    told: list[str] = []

    def write(instance: Instance, path: str) -> str:
        with instance.open() as file:
            kept.append(file.read())
        return f"s3://bucket/{os.path.relpath(path, tmp_path)}"

    outcome = send(receiver(tmp_path, hooks(write=write, stored=lambda location: told.append(location))), data_set())
    assert outcome == Outcome(0, location=f"s3://bucket/{FILE}")
    assert told == [f"s3://bucket/{FILE}"]
    assert kept[0].endswith(data_set())
    assert names(tmp_path) == []


def test_a_writer_that_saves_elsewhere(tmp_path: Path) -> None:
    def write(instance: Instance, path: str) -> str:
        instance.save(f"{path}.copy")
        return instance.save("a/b")

    assert send(receiver(tmp_path, hooks(write=write), memory=100), data_set()).location == f"{tmp_path}/a/b"
    assert names(tmp_path) == [f"{FILE}.copy", "a/b"]
    assert stored_data(f"{tmp_path}/a/b") == stored_data(f"{tmp_path}/{FILE}.copy") == data_set()


def test_a_writers_own_word_on_taken_names(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"old")
    refuse = hooks(write=lambda instance, path: instance.save(path, "refuse"))
    assert send(receiver(tmp_path, refuse), data_set()).status == 0x0111
    retry = hooks(
        write=lambda instance, path: instance.save(path, "retry"),
        choose_filename=lambda instance: f"a{instance.attempt}" if instance.attempt else FILE,
    )
    assert send(receiver(tmp_path, retry), data_set()).location == f"{tmp_path}/a1"


DECISIONS = ("receive", "choose_subdir", "choose_filename", "write")


@SIZES
@pytest.mark.parametrize("hook", DECISIONS)
def test_a_failing_decision(tmp_path: Path, hook: str, memory: int | None, caplog: pytest.LogCaptureFixture) -> None:
    place = receiver(tmp_path, hooks(**{hook: raising(RuntimeError("out of order"))}), memory=memory)
    outcome = send(place, data_set())
    assert (outcome.status, outcome.location) == (0x0110, None)
    assert "plugin0" in outcome.comment and hook in outcome.comment
    assert names(tmp_path) == []
    record = next(record for record in caplog.records if record.exc_info)
    for text in ("plugin0", hook, "out of order", "SCANNER", "192.0.2.7", INSTANCE):
        assert text in record.getMessage()


@pytest.mark.parametrize("hook", DECISIONS)
def test_a_decision_with_a_status(tmp_path: Path, hook: str) -> None:
    place = receiver(tmp_path, hooks(**{hook: raising(StatusError(0x0124, "not you", (0x00100020,)))}))
    assert send(place, data_set()) == Outcome(0x0124, "not you", (0x00100020,), by="plugin0")


def test_a_failing_listener(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    place = receiver(
        tmp_path, hooks(stored=lambda location: told.append(location)), hooks(stored=raising(SystemExit(1)))
    )
    assert send(place, data_set()).status == 0
    assert told == [f"{tmp_path}/{FILE}"]
    assert "plugin1: stored: SystemExit(1)" in caplog.text


# Faults of the disk


def test_a_full_disk_while_spooling(tmp_path: Path, mount: Mount) -> None:
    """The rest of the data set is taken and dropped, so that the association goes on."""
    root = mount(tmp_path / "small", "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    place = receiver(root, memory=1000)
    large = data_set(pixel_data=Node(0x7FE00010, "OW", bytes(200_000)))
    for _ in range(2):
        outcome = send(place, large)
        assert (outcome.status, outcome.location) == (0xA700, None)
        assert "No space left" in outcome.comment and len(outcome.comment) <= 64
        assert names(root) == []
        assert send(place, data_set()).status == 0
        os.unlink(root / FILE)


@SIZES
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
@pytest.mark.parametrize("function", ["open", "writev", "fsync", "link"])
def test_faults(tmp_path: Path, memory: int | None, function: str, code: int, descriptors: Callable[[], int]) -> None:
    place = receiver(tmp_path, memory=memory)
    send(place, data_set(), instance="old")
    with pytest.MonkeyPatch.context() as patch:
        calls = Calls(patch)
        calls.fail(function, code)
        outcome = send(place, data_set())
    assert (outcome.status, outcome.location) == (0xA700, None)
    assert len(outcome.comment) <= 64
    assert calls.made.count("fsync") <= 1
    assert names(tmp_path) == ["CT.old"]
    assert send(place, data_set()).status == 0, "when the cause is gone it works again"
    del place
    assert descriptors() == 0


@SIZES
def test_a_fault_after_a_failed_flush_of_the_directory(tmp_path: Path, memory: int | None) -> None:
    place = receiver(tmp_path, memory=memory)
    with pytest.MonkeyPatch.context() as patch:
        Calls(patch).fail("fsync", errno.EIO, is_directory)
        assert send(place, data_set()).status == 0xA700
    assert names(tmp_path) == []


def test_a_writer_cannot_save_what_was_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second flush may succeed, but only because the kernel has forgotten what it could not write."""
    failures = iter([True])
    Calls(monkeypatch).fail("fsync", errno.EIO, lambda fd: is_file(fd) and next(failures, False))

    def write(instance: Instance, path: str) -> str:
        try:
            return instance.save(path)
        except StatusError:
            return instance.save("elsewhere")

    assert send(receiver(tmp_path, hooks(write=write), memory=100), data_set()).status == 0xA700
    assert names(tmp_path) == []


def test_the_spooled_file_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Calls(monkeypatch).fail("pread", errno.EIO)
    outcome = send(receiver(tmp_path, memory=100), data_set())
    assert (outcome.status, outcome.location) == (0xA700, None)
    assert names(tmp_path) == []


def test_no_memory_in_the_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender hears of it, and the next instance is stored."""
    place = receiver(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("dcmrecv_core.receive.pipeline.scan", lambda *args, **more: bytes(1 << 62))
        patch.setattr(place.plugins.limits.memory, "release", lambda error: None)
        outcome = send(place, data_set())
    assert (outcome.status, outcome.comment) == (0xA700, "Out of memory")
    assert send(place, data_set()).status == 0


def test_a_failing_close_of_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.close

    def close(fd: int) -> None:
        regular = is_file(fd)
        original(fd)
        if regular:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "close", close)
    assert send(receiver(tmp_path, memory=100), data_set()).status == 0
    assert stored_data(f"{tmp_path}/{FILE}") == data_set()


def test_unique_names_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_links(Calls(monkeypatch))
    place = receiver(tmp_path, capabilities=HIDDEN, filenames="unique", memory=100)
    assert [send(place, data_set()).status for _ in range(3)] == [0, 0, 0]
    assert len(names(tmp_path)) == 3


# What the log says of bad input and bad luck: whose it was, which instance, and where it was to go

LINE = f"C-STORE {INSTANCE} from SCANNER (192.0.2.7) to ARCHIVE:"
WHO = f"SCANNER@192.0.2.7, SOP instance {INSTANCE}"


def test_the_log_names_sender_instance_and_file_of_odd_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    send(receiver(tmp_path), encode([*HEAD, HEAD[3]], EXPLICIT_LITTLE))
    [text] = caplog.messages
    assert text.startswith(f"{WHO}: ") and text.endswith(f" ({tmp_path}/{FILE})")


def test_the_log_names_sender_and_instance_of_what_is_no_data_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert send(receiver(tmp_path), data_set()[:-5]).status == 0xC000
    [text] = caplog.messages
    assert text.startswith(f"{LINE} refused with status C000: (7FE0,0010) at ")
    assert text.endswith("; the sender's data set is broken; --bit-preserving stores it unchecked)")


def test_what_is_odd_is_logged_though_it_is_refused_then(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    plugin = hooks(receive=lambda: Refuse(0xA900, "not wanted"))
    send(receiver(tmp_path, plugin), encode([*HEAD, HEAD[3]], EXPLICIT_LITTLE))
    assert caplog.messages[0] == f"{LINE} refused with status A900 by plugin plugin0: not wanted"
    assert caplog.messages[1].startswith(f"{WHO}: ") and "(0008,0021)" in caplog.messages[1]
    assert len(caplog.messages) == 2


def test_the_log_names_sender_instance_and_file_of_a_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).mkdir()
    outcome = send(receiver(tmp_path), data_set())
    assert outcome.status == 0xA700
    assert caplog.messages[-2:] == [
        f"cannot store received object: {tmp_path}/{FILE}: Is a directory",
        f"{LINE} refused with status A700: Cannot store file: Is a directory (file {tmp_path}/{FILE}; a directory has "
        "this name)",
    ]


@pytest.mark.parametrize("action", ["replace-same", "overwrite"])
def test_the_log_names_whose_file_replaces_another(
    tmp_path: Path, action: Any, caplog: pytest.LogCaptureFixture
) -> None:
    place = receiver(tmp_path, on_duplicate=action)
    for text in (b"first ", b"second"):
        send(place, data_set(Node(0x0008103E, "LO", text)))
    assert caplog.messages == [f"file already exists, overwriting: {tmp_path}/{FILE} ({WHO})"]


def test_dcmrecv_s_own_line_of_that(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = receiver(tmp_path)
    for _ in range(2):
        send(place, data_set())
    assert caplog.messages == [f"file already exists, overwriting: {tmp_path}/{FILE}\n  by {WHO}"]
