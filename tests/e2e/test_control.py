"""Whole receivers and dcmrecvctl: who is connected, what was received and refused, whatever workers and clients do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from dcmrecv_core.counters.document import Counters
from dcmrecv_core.net.control.client import CommandFailedError, ControlConnectionError, ask
from support.data.datasets import instance_of
from support.programs.receivers import Receiver, Start, run, until
from support.promises.threads import beside
from support.protocol.pdus import store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, VERIFICATION

CONTEXTS = [(CT, [EXPLICIT_LE]), (VERIFICATION, [EXPLICIT_LE])]
ECHO = 3  # the context's id
CONTROL = [sys.executable, "-c", "import sys; from dcmrecv_core.ctl.main import main; sys.exit(main())"]
STATE = "out/.dcmrecv"


def control(receiver: Receiver, *arguments: object, state: str = STATE) -> CompletedProcess[str]:
    """Run dcmrecvctl where the receiver was started."""
    return run(*CONTROL, *arguments, "--state-dir", state, cwd=receiver.directory)


def status(receiver: Receiver) -> dict[str, Any]:
    done = control(receiver, "status", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert Counters.from_dict(found).as_dict() == found
    return dict(found)


def socket_of(receiver: Receiver) -> Path:
    return receiver.directory / STATE / "control.sock"


@contextlib.contextmanager
def associations(receiver: Receiver, titles: Sequence[str]) -> Iterator[list[RawAssociation]]:
    """Of two addresses in turn, as one may not have all places."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                RawAssociation(
                    receiver.port, CONTEXTS, calling=title, called="ARCHIVE", source=f"127.0.0.{1 + number % 2}"
                )
            )
            for number, title in enumerate(titles)
        ]


def store(association: RawAssociation, uid: str) -> int | None:
    return association.store(CT, uid, instance_of(CT, uid))


def test_64_associations(ours: Start) -> None:
    """Status agrees with what the senders count, and its answer does not take long."""
    receiver = ours("-pm", "--no-fsync")
    titles = [f"CT{number}" for number in range(64)]
    sent = {title: number % 3 for number, title in enumerate(titles)}
    with associations(receiver, titles) as all_of_them:
        for title, association in zip(titles, all_of_them, strict=True):
            for number in range(sent[title]):
                assert store(association, f"1.2.{title[2:]}.{number}") == 0
            assert association.echo(ECHO) == 0
        found = status(receiver)
        assert {each["calling_ae_title"]: each["instances"] for each in found["associations"]} == sent
        assert {each["peer_port"] for each in found["associations"]} == {each.local_port for each in all_of_them}
        sizes = {each["calling_ae_title"]: each["bytes"] for each in found["associations"]}
        assert sizes["CT2"] == sum(len(instance_of(CT, f"1.2.2.{number}")) for number in range(2))
        assert {each["last_at"] is None for each in found["associations"] if not each["instances"]} == {True}
        assert {each["pid"] for each in found["associations"]} <= {each["pid"] for each in found["workers"]}
        assert {each["state"] for each in found["workers"]} == {"serving"}
        totals = found["totals"]
        assert totals["instances"] == {"stored": sum(sent.values()), "refused": 0, "discarded": 0}
        assert (totals["associations"]["accepted"], totals["echoes"]) == (64, 64)
        assert sum(totals["associations"]["ended"].values()) == 0
        assert totals["bytes"] == sum(sizes.values())
        durations = found["durations"]["instance"]
        assert durations["count"] == sum(sent.values()) and durations["sum"] > 0
        took = [timed(lambda: ask(socket_of(receiver), "status")) for _ in range(20)]
        print(f"64 associations: {1000 * statistics.median(took):.1f} ms, at most {1000 * max(took):.1f} ms")
        for association in all_of_them[:60]:
            association.release()
        for association in all_of_them[60:]:
            association.abort()
    until(lambda: not status(receiver)["associations"], "all have ended")
    ended = status(receiver)["totals"]["associations"]["ended"]
    assert (ended["released"], ended["aborted"]) == (60, 4)


def timed(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def test_killed_workers_vanish_and_their_counts_stay(ours: Start) -> None:
    receiver = ours("-pm", "--no-fsync")
    with associations(receiver, ["KILLED", "OTHER"]) as (killed, other):
        for association, uid in ((killed, "1.2.1"), (killed, "1.2.2"), (other, "1.2.3")):
            assert store(association, uid) == 0
        victim = receiver.worker_serving(killed.local_port)
        os.kill(victim, signal.SIGKILL)
        began = time.monotonic()

        def is_gone() -> bool:
            answer = ask(socket_of(receiver), "status")
            return victim not in {each["pid"] for each in (*answer["workers"], *answer["associations"])}

        until(is_gone, "the killed worker vanishes", log=lambda: receiver.log)
        print(f"it has vanished after {time.monotonic() - began:.3f} s")
        found = status(receiver)
        assert [each["calling_ae_title"] for each in found["associations"]] == ["OTHER"]
        assert found["totals"]["instances"]["stored"] == 3
        assert found["totals"]["associations"]["ended"]["lost"] == 1
        before = found["counting_since"]
        # as many more as there are slots, so that one goes on in that of the killed worker
        with associations(receiver, [f"MORE{number}" for number in range(63)]) as more:
            for number, association in enumerate(more):
                assert store(association, f"1.3.{number}") == 0
        found = status(receiver)
        assert found["totals"]["instances"]["stored"] == 66
        assert (found["totals"]["associations"]["accepted"], found["counting_since"]) == (65, before)


def test_reload(ours: Start) -> None:
    settings = "promiscuous = true\n"
    receiver = ours("--settings", "site.toml", "-v", files={"site.toml": settings})
    done = control(receiver, "reload")
    assert (done.returncode, done.stdout, done.stderr) == (0, "settings reloaded\n", "")
    Path(receiver.directory, "site.toml").write_text(settings + "strickt = true\n")
    done = control(receiver, "reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("dcmrecvctl: settings not reloaded: ") and "strickt" in done.stderr
    assert "settings not reloaded, nothing has changed: " in receiver.log


def test_refusals(ours: Start) -> None:
    refuses = (
        "from dcmrecv_core import Refuse, hookimpl\n\n\n@hookimpl\ndef receive(instance):\n"
        "    if instance.association.calling_ae_title != 'CT9':\n        return Refuse(0x0124, 'no \\x1b[2J order')\n"
    )
    receiver = ours("--plugin", "site.py", "-v", files={"site.py": refuses})
    for number in range(3):
        with associations(receiver, ["CT3"]) as [association]:
            assert store(association, f"1.2.{number}") == 0x0124
    with associations(receiver, ["CT9"]) as [association]:
        assert association.store(CT, "1.2.9", b"no data set") == 0xC000
    with pytest.raises(AssertionError, match="PDU 3"), RawAssociation(receiver.port, [("1.2.3", [EXPLICIT_LE])]):
        pass
    found = status(receiver)
    assert [(each["kind"], each["calling_ae_title"], each["status"], each["count"]) for each in found["refusals"]] == [
        ("instance", "CT3", "0124", 3),
        ("instance", "CT9", "C000", 1),
        ("association", "RAWSCU", "1/1/1", 1),
    ]
    assert found["totals"]["instances"] == {"stored": 0, "refused": 4, "discarded": 0}
    assert found["totals"]["associations"]["rejected"] == 1
    assert {(each["kind"], each["status"], each["reason"], each["count"]) for each in found["refusal_counts"]} == {
        ("instance", "0124", "plugin site", 3),
        ("instance", "C000", "Error: CannotUnderstand", 1),
        ("association", "1/1/1", "no acceptable presentation contexts", 1),
    }
    done = control(receiver, "refusals", "--from", "CT3")
    assert "plugin site: no \\x1b[2J order" in done.stdout and "CT9" not in done.stdout
    [refusal] = json.loads(control(receiver, "refusals", "--from", "CT3", "--json").stdout)
    assert (refusal["reason"], refusal["peer_address"]) == ("plugin site: no \x1b[2J order", "127.0.0.1")
    done = control(receiver, "refusals", "--from", "CT7")
    assert (done.returncode, done.stdout.startswith("nothing was refused since 20")) == (0, True)
    assert "\x1b" not in control(receiver, "status").stdout


def test_a_limit(ours: Start) -> None:
    receiver = ours("-pm", "--max-associations", 1)
    with associations(receiver, ["FIRST"]):  # noqa: SIM117
        with pytest.raises(AssertionError, match="PDU 3"), associations(receiver, ["CT3"]):
            pass
    [refusal] = status(receiver)["refusals"]
    assert (refusal["calling_ae_title"], refusal["called_ae_title"], refusal["status"]) == ("CT3", "ARCHIVE", "2/3/2")
    assert "see --max-associations; 1 of 1 associations open" in refusal["reason"]


def test_it_does_not_run(ours: Start) -> None:
    receiver = ours("-pm")
    assert receiver.stop() == 0
    for command in ("status", "top", "reload", "refusals"):
        done = control(receiver, command)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"dcmrecvctl: no receiver runs with this state directory: there is no {STATE}/control.sock\n"
        )


def test_after_a_crash(ours: Start, directory: Path) -> None:
    """The socket that is left over is replaced."""
    receiver = ours("-pm")
    receiver.kill()
    done = control(receiver, "status")
    assert (done.returncode, done.stderr) == (
        1,
        f"dcmrecvctl: the receiver at {STATE}/control.sock does not run any more\n",
    )
    second = ours("-pm", "-od", receiver.output)
    assert status(receiver)["pid"] == second.process.pid


def test_in_the_runtime_directory(ours: Start, directory: Path) -> None:
    runtime = directory / "run"
    runtime.mkdir()
    receiver = ours("-pm", env={"RUNTIME_DIRECTORY": str(runtime)})
    assert socket_of(receiver).readlink() == runtime / "control.sock"
    assert status(receiver)["pid"] == receiver.process.pid
    done = run(*CONTROL, "--socket", runtime / "control.sock", "status", "--json")
    assert json.loads(done.stdout)["pid"] == receiver.process.pid
    assert receiver.stop() == 0
    assert list(runtime.iterdir()) == []
    assert not socket_of(receiver).is_symlink()


def test_two_receivers_with_one_state_directory(ours: Start) -> None:
    first = ours("-pm")
    second = ours("-pm", "-v", "-od", first.output)
    second.wait_for_log(
        "no control socket, so dcmrecvctl cannot ask this receiver: there is no state directory of this"
    )
    assert status(first)["pid"] == first.process.pid
    assert second.stop() == 0
    assert status(first)["pid"] == first.process.pid


def as_nobody(action: Callable[[], str]) -> str:
    """What a process of user 65534 returns."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.write(theirs, action().encode())
        finally:
            os._exit(0)
    os.close(theirs)
    os.waitpid(pid, 0)
    with os.fdopen(ours) as file:
        return file.read()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_another_user(ours: Start, directory: Path) -> None:
    """Kept out by the mode of the socket, and by the receiver if somebody changes that."""
    receiver = ours("-pm")
    for path in (directory, receiver.directory, receiver.output, receiver.directory / STATE):
        path.chmod(0o755)

    def asking() -> str:
        try:
            return str(ask(socket_of(receiver), "status"))
        except (ControlConnectionError, CommandFailedError) as error:
            return str(error)

    assert as_nobody(asking) == f"user 65534 may not use {socket_of(receiver)}: root and the receiver's own user may"
    socket_of(receiver).chmod(0o777)
    assert as_nobody(asking) == "root and the receiver's own user may ask, no others"
    assert status(receiver)["state"] == "ready"


def test_clients_that_misbehave_do_not_disturb_receiving(ours: Start) -> None:
    """1000 connections, garbage, and some that never read, while instances come."""
    receiver = ours("-pm", "--no-fsync")
    lines = [b"", b"\0" * 300, b"[" * 4000 + b"\n", b"x" * 10_000, b'{"command": "status"}\n', b'{"command": 1}\n']

    def disturb(over: threading.Event) -> None:
        number = 0
        with contextlib.ExitStack() as stack:
            while number < 1000 or not over.is_set():
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.settimeout(5)
                with contextlib.suppress(OSError):
                    client.connect(f"/proc/self/fd/{directory}/control.sock")
                    client.sendall(lines[number % len(lines)])
                number += 1
                if not number % 200:
                    stack.pop_all().close()

    directory = os.open(receiver.directory / STATE, os.O_RDONLY)
    try:
        with beside(disturb), associations(receiver, ["CT1", "CT2"]) as both:
            for number in range(200):
                assert store(both[number % 2], f"1.2.{number}") == 0
    finally:
        os.close(directory)
    assert status(receiver)["totals"]["instances"]["stored"] == 200
    assert "Traceback" not in receiver.log


COUNTS = """\
import json

from dcmrecv_core import hookimpl, read_counters


@hookimpl
def configure(settings):
    global kept, turns
    settings.measure_hooks()
    kept = settings.counter("kept")
    turns = settings.counter("turns")


@hookimpl
def worker_started(settings):
    global own
    own = settings


@hookimpl
def stored(instance, location, outcome):
    kept.add()
    note("worker", own)


@hookimpl
def background(settings):
    turns.add(7)
    note("background", settings)


@hookimpl
def deliver(event, target):
    kept.add(100)


def note(name, settings):
    with open(name + ".new", "w") as file:
        json.dump(read_counters(settings).as_dict(), file)
    import os
    os.replace(name + ".new", name)
"""


def test_plugins_read_and_count(ours: Start) -> None:
    receiver = ours("--plugin", "site.py", files={"site.py": COUNTS})
    with associations(receiver, ["CT3"]) as [association]:
        assert store(association, "1.2.3") == 0
        assert store(association, "1.2.4") == 0
        in_worker = json.loads(Path(receiver.directory, "worker").read_text())
        assert [each["calling_ae_title"] for each in in_worker["associations"]] == ["CT3"]
        assert in_worker["totals"]["instances"]["stored"] == 1, "the second one is not answered yet"
        assert in_worker["pid"] == receiver.process.pid

    def counted() -> dict[str, int]:
        return {each["name"]: each["value"] for each in status(receiver)["plugin_counters"]}

    until(lambda: counted() == {"kept": 202, "turns": 7}, "what all processes count", log=lambda: receiver.log)
    noted = Path(receiver.directory, "background")
    until(noted.exists, "what `background` reads", log=lambda: receiver.log)
    in_background = json.loads(noted.read_text())
    assert (in_background["pid"], in_background["listening"][0]["port"]) == (receiver.process.pid, receiver.port)

    def times() -> dict[tuple[str, str], int]:
        return {(each["plugin"], each["hook"]): each["calls"] for each in status(receiver)["plugin_times"]}

    until(lambda: times()["site", "worker_started"] >= 2, "two workers have started", log=lambda: receiver.log)
    assert times()["site", "stored"] == 2
    until(lambda: status(receiver)["queues"][0]["waiting"] == 0, "all is delivered", log=lambda: receiver.log)
    found = status(receiver)
    assert all(each["seconds"] > 0 for each in found["plugin_times"])
    [queue] = found["queues"]
    assert (queue["queue"], queue["waiting"], queue["claimed"]) == ("site/default", 0, True)


HANGS = """\
import time

from dcmrecv_core import hookimpl


@hookimpl
def receive(instance):
    time.sleep(60)
"""


def test_the_hook_that_a_worker_is_in(ours: Start) -> None:
    receiver = ours("--plugin", "site.py", files={"site.py": HANGS})
    with associations(receiver, ["CT3"]) as [association]:
        association.request(store_rq(CT, "1.2.3"), instance_of(CT, "1.2.3"))

        def hooks() -> list[dict[str, Any]]:
            return [each["hook"] for each in status(receiver)["workers"] if each["hook"]]

        [hook] = until(hooks, "a worker is in a hook", log=lambda: receiver.log)
        assert (hook["plugin"], hook["hook"]) == ("site", "receive")
        assert "is in hook receive of plugin site" in control(receiver, "status").stdout
        association.abort()
        receiver.kill()
