"""Deliveries of whole receivers: the state directory full, lost or another's; reloads; dcmrecvctl; memory."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core.delivery.sqlite.store import SqliteStore
from dcmrecv_core.delivery.store import Queue
from dcmrecv_core.testing import until
from support.deliveries import event
from support.programs.receivers import Receiver, Start, run, start_ours
from support.promises.deliveries import DELIVERS, NOTES, data_of, events, notes, process_of
from support.promises.processes import MEGABYTE, proportional_set_size
from support.promises.volumes import empty, fill, mounted
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

CONTEXTS = [(CT, [EXPLICIT_LE])]
ARGUMENTS = ("-pm", "-v", "--plugin", "site.py")
NO_SPACE = "No room in the state directory: No space left on device"

FAILS = (
    NOTES
    + """\
from dcmrecv_core import Undeliverable

@hookimpl
def deliver(event, target):
    if not (HOME / "repaired").exists():
        raise Undeliverable("no such patient")
    note("event", target, event.id, event.sop_instance_uid, event.recovered)
"""
)

TARGETS = (
    NOTES
    + """\
@hookimpl
def add_options(options):
    options.add("--send-to", value="name", type=list)

@hookimpl
def delivery_targets(settings):
    return settings.options["send_to"]

@hookimpl
def deliver(event, target):
    if target == "old":
        raise ConnectionRefusedError
    note("event", target, event.id, event.sop_instance_uid, event.recovered)
"""
)


def store(receiver: Receiver, *uids: str) -> list[int | None]:
    with RawAssociation(receiver.port, CONTEXTS) as association:
        statuses = [association.store(CT, uid, data_of(uid)) for uid in uids]
        association.release()
    return statuses


def until_delivered(receiver: Receiver, *uids: str) -> None:
    def all_there() -> bool:
        return {found.uid for found in events(receiver.directory)} == set(uids)

    until(all_there, f"{len(uids)} instances and no others are delivered", 60, lambda: receiver.log)


def queue(receiver: Receiver, *arguments: str) -> str:
    """What dcmrecvctl prints."""
    command = [sys.executable, "-c", "import sys; from dcmrecv_core.ctl.main import main; sys.exit(main())"]
    done = run(*command, "queue", *arguments, "--state-dir", receiver.output / ".dcmrecv", env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return done.stdout


def until_listed(receiver: Receiver, put_aside: int) -> None:
    """Lines and notes are written before the store is changed."""
    row = re.compile(rf"site/default +0 +0 +0 +{put_aside}\b")
    until(lambda: row.search(queue(receiver, "list")), "nothing is under way", log=lambda: receiver.log)


def test_fault_9_no_instance_is_confirmed_whose_delivery_would_be_lost(ours: Start, directory: Path) -> None:
    state = directory / "state"
    state.mkdir()
    with mounted(state, "3m"):
        receiver = ours(*ARGUMENTS, "--state-dir", state, files={"site.py": DELIVERS})
        fill(state)
        assert store(receiver, "1.2.3", "1.2.4") == [0xA700, 0xA700]
        assert receiver.files() == []
        assert f"C-STORE 1.2.3 from RAWSCU (127.0.0.1) to ANY: refused with status A700: {NO_SPACE}" in receiver.log
        empty(state)
        assert store(receiver, "1.2.5") == [0]
        until_delivered(receiver, "1.2.5")
        assert receiver.stop() == 0


def test_fault_9_a_disk_that_fills_up_later_loses_nothing(ours: Start, directory: Path) -> None:
    """The journal has its room already; the store has to wait for some."""
    state = directory / "state"
    state.mkdir()
    with mounted(state, "16m"):
        receiver = ours(*ARGUMENTS, "--state-dir", state, files={"site.py": DELIVERS})
        with RawAssociation(receiver.port, CONTEXTS) as association:
            assert association.store(CT, "1.0", data_of("1.0")) == 0
            until_delivered(receiver, "1.0")
            fill(state)
            uids = [f"1.{number}" for number in range(1, 600)]
            assert {association.store(CT, uid, data_of(uid)) for uid in uids} == {0}
            receiver.wait_for_log("the state directory cannot be used: database or disk is full")
            empty(state)
            until_delivered(receiver, "1.0", *uids)
            association.release()
        assert receiver.stop() == 0


def test_loss_of_the_state_directory_loses_what_was_due_only(ours: Start, program: Path) -> None:
    receiver = ours(*ARGUMENTS, files={"site.py": FAILS})
    assert store(receiver, "1.2.3") == [0]
    receiver.wait_for_log("put aside")
    assert receiver.stop() == 0
    shutil.rmtree(receiver.output / ".dcmrecv")
    (receiver.directory / "repaired").touch()
    again = start_ours(program, receiver.directory, *ARGUMENTS)
    try:
        assert store(again, "1.2.4") == [0]
        until_delivered(again, "1.2.4")
        assert again.files() == ["CT.1.2.3", "CT.1.2.4"]
        assert again.stop() == 0
    finally:
        again.kill()


def test_a_damaged_page_is_mended_while_the_receiver_runs(ours: Start, program: Path) -> None:
    receiver = ours(*ARGUMENTS, files={"site.py": FAILS.replace("Undeliverable(", "ConnectionError(")})
    uids = [f"1.2.{number}" for number in range(20)]
    assert store(receiver, *uids) == [0] * 20
    receiver.wait_for_log("again in 1 s")
    assert receiver.stop() == 0
    database = receiver.output / ".dcmrecv" / "delivery.sqlite"
    with sqlite3.connect(database) as connection:
        [[page]] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'deliveries'")
        [[size]] = connection.execute("PRAGMA page_size")
    connection.close()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    (receiver.directory / "repaired").touch()
    again = start_ours(program, receiver.directory, *ARGUMENTS)
    try:
        again.wait_for_log(f"a part of {database} cannot be read: put aside as {database}.damaged-")
        again.wait_for_log("rows of the table deliveries could not be read; some deliveries are made again")
        assert store(again, "1.2.99") == [0]
        until_delivered(again, *uids, "1.2.99")
        assert again.stop() == 0
    finally:
        again.kill()


def test_a_newer_store_is_refused_with_both_versions(ours: Start) -> None:
    receiver = ours(*ARGUMENTS, files={"site.py": DELIVERS})
    assert receiver.stop() == 0
    with sqlite3.connect(receiver.output / ".dcmrecv" / "delivery.sqlite") as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    done = run(sys.executable, "-m", "dcmrecv_core", "-od", "out", *ARGUMENTS, "11112", cwd=receiver.directory)
    assert done.returncode == 1
    assert "has version 7, this dcmrecv knows versions up to 1" in done.stderr


def test_processes_that_others_tell_to_end_are_started_again(ours: Start) -> None:
    receiver = ours(*ARGUMENTS, files={"site.py": DELIVERS})
    for uid, name in (("1.2.3", "journal process"), ("1.2.4", "delivery process of site/default")):
        pid = until(lambda name=name: process_of(receiver, name), name, log=lambda: receiver.log)
        os.kill(pid, signal.SIGTERM)
        receiver.wait_for_log(f"{name}: process {pid} ended with exit code 0, starting it again in 1 s")
        assert store(receiver, uid) == [0]
    until_delivered(receiver, "1.2.3", "1.2.4")
    assert receiver.stop() == 0


def test_an_event_that_ends_its_process_holds_up_no_other_study(ours: Start) -> None:
    ends = FAILS.replace('raise Undeliverable("no such patient")', 'event.sop_instance_uid == "1.2.3" and os._exit(3)')
    receiver = ours(*ARGUMENTS, files={"site.py": ends})
    with RawAssociation(receiver.port, CONTEXTS) as association:
        for uid in ("1.2.3", "1.2.4", "1.2.5"):
            assert association.store(CT, uid, data_of(uid, study=f"{uid}.1")) == 0
        association.release()
    until_delivered(receiver, "1.2.4", "1.2.5")
    assert "ended with exit code 3" in receiver.log
    (receiver.directory / "repaired").touch()
    until_delivered(receiver, "1.2.3", "1.2.4", "1.2.5")


def test_two_receivers_do_not_share_a_queue(ours: Start) -> None:
    first = ours(*ARGUMENTS, files={"site.py": DELIVERS})
    done = run(sys.executable, "-m", "dcmrecv_core", "-od", "out", *ARGUMENTS, "11112", cwd=first.directory)
    assert done.returncode == 1
    assert re.search(
        r"plugin site needs the state directory .*, which belongs to another receiver \(.*process "
        rf"{first.process.pid}.*\): give this one its own with --state-dir",
        done.stderr,
    )


def test_without_a_plugin_nothing_is_there(ours: Start) -> None:
    receiver = ours("-pm", "-v")
    assert store(receiver, "1.2.3") == [0]
    names = {path.name for path in (receiver.output / ".dcmrecv").iterdir()}
    assert not {"journal", "delivery.sqlite", "uid-hash.key"} & names
    assert "journal" not in receiver.log


def test_a_reload_changes_targets(ours: Start, directory: Path) -> None:
    settings = directory / "site.toml"

    def write(*targets: str) -> None:
        settings.write_text(f"[plugins.site]\nsend_to = {list(targets)!r}\n")

    write("old", "both")
    receiver = ours(*ARGUMENTS, "--settings", settings, files={"site.py": TARGETS})
    assert store(receiver, "1.2.3") == [0]
    until(lambda: notes(receiver.directory, "event"), "it is delivered", log=lambda: receiver.log)
    receiver.wait_for_log("again in 1 s")
    write("both", "new")
    receiver.process.send_signal(signal.SIGHUP)
    receiver.wait_for_log("settings reloaded")
    assert store(receiver, "1.2.4") == [0]
    wanted = {("both", "1.2.3"), ("both", "1.2.4"), ("new", "1.2.4")}

    def found() -> set[tuple[str, str]]:
        return {(each.target, each.uid) for each in events(receiver.directory)}

    until(lambda: found() == wanted, "what each target gets", log=lambda: receiver.log)
    receiver.wait_for_log(" deliveries wait for site/old, which no plugin claims")
    write("a b")
    receiver.process.send_signal(signal.SIGHUP)
    receiver.wait_for_log("settings not reloaded, nothing has changed: plugin site: delivery_targets: ")
    assert store(receiver, "1.2.5") == [0]
    until(lambda: ("new", "1.2.5") in found(), "it goes on", log=lambda: receiver.log)


def test_dcmrecvctl_while_it_runs(ours: Start) -> None:
    receiver = ours(*ARGUMENTS, files={"site.py": FAILS})
    assert store(receiver, "1.2.3") == [0]
    receiver.wait_for_log("no such patient (SOP instance 1.2.3 from RAWSCU@127.0.0.1), put aside")
    until_listed(receiver, put_aside=1)
    (receiver.directory / "repaired").touch()
    assert queue(receiver, "retry") == "1 retried\n"
    until_delivered(receiver, "1.2.3")
    until_listed(receiver, put_aside=0)
    (receiver.directory / "notes").unlink()
    assert queue(receiver, "replay", "--target", "site/default", "--since", "2020-01-01") == (
        "1 events will be delivered again\n"
    )
    until_delivered(receiver, "1.2.3")


@pytest.fixture
def many(directory: Path) -> Iterator[int]:
    """So many events wait in the state directory of the first receiver."""
    state = directory / "ours0" / "out" / ".dcmrecv"
    state.mkdir(parents=True)
    store = SqliteStore.open(str(state))
    store.begin([Queue("site", "default")], 0)
    for part in range(0, 200_000, 5000):
        taken = [
            event(f"e{number}", uid=f"1.{number}", study=f"2.{number // 100}") for number in range(part, part + 5000)
        ]
        store.take_in(taken, {}, 0, 0.0)
    store.close()
    yield 200_000


@pytest.mark.timeout(400)  # on a busy machine most of it goes into the fixture
def test_events_that_wait_take_no_memory(ours: Start, many: int) -> None:
    source = NOTES + "@hookimpl\ndef deliver(event, target):\n    note('event', event.id)\n    time.sleep(60)\n"
    receiver = ours(*ARGUMENTS, files={"site.py": source})
    until(lambda: notes(receiver.directory, "event"), "a delivery", log=lambda: receiver.log)
    assert f" {many} " in queue(receiver, "list")
    for title in ("journal process", "delivery process of site/default"):
        pid = process_of(receiver, title)
        assert pid is not None
        assert proportional_set_size(pid) < 24 * MEGABYTE, title
    assert proportional_set_size(receiver.process.pid) < 40 * MEGABYTE
