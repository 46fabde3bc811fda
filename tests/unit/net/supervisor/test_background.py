"""The `background` hook: its child with a simulated clock and as a process; one database connection a worker."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from dcmrecv_core.hooks.guards import BackgroundStopped
from dcmrecv_core.net import child
from dcmrecv_core.net.supervisor import background as background_module
from dcmrecv_core.net.supervisor.background import (
    DONE,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    STABLE_SECONDS,
    TERMINATED,
    Background,
    Job,
)
from dcmrecv_core.net.supervisor.supervisor import GRACE
from dcmrecv_core.testing import Receiver, StartReceiver, sample_dataset, until
from support.programs.receivers import open_files

pytest_plugins = ["dcmrecv_core.testing"]

# The test runner may have threads; forking is safe as long as the child runs our code only
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

IMPORT = "import os, sqlite3, time\nfrom dcmrecv_core import hookimpl\n"


class Driver:
    """A `Background` with a clock of its own; its children run `main`."""

    def __init__(self, main: Callable[[str], int], *plugins: str) -> None:
        self.now = 1000.0
        self.jobs = {f"background of plugin {plugin}": Job(partial(main, plugin)) for plugin in plugins or ("site",)}
        self.background = Background(self.jobs, GRACE)

    def tick(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.background.tick(self.now)

    def until_one_ends(self) -> None:
        """Wait until one child has ended and was reaped."""
        running = len(self.background)

        def one_less() -> bool:
            for pid, code in child.reap_ended():
                self.background.child_ended(pid, code, self.now)
            return len(self.background) < running

        until(one_less, "the end of a child")

    def until_ended(self) -> None:
        """Wait until all children have ended."""
        while len(self.background):
            self.until_one_ends()


Drive = Callable[..., Driver]


@pytest.fixture
def drive() -> Iterator[Drive]:
    drivers: list[Driver] = []

    def make(main: Callable[[str], int], *plugins: str) -> Driver:
        drivers.append(Driver(main, *plugins))
        return drivers[-1]

    yield make
    for driver in drivers:
        driver.background.stop()
        driver.background.signal_all(signal.SIGKILL)
        driver.until_ended()


def waits(plugin: str) -> int:
    signal.pause()
    return DONE


def obeys(plugin: str) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    return waits(plugin)


@pytest.mark.parametrize("code", [1, TERMINATED])
def test_a_child_that_fails_is_started_again_after_growing_pauses(drive: Drive, code: int) -> None:
    driver = drive(lambda plugin: code)
    driver.tick()
    pause = FIRST_PAUSE
    while pause < 4 * LONGEST_PAUSE:
        driver.until_ended()
        driver.tick(min(pause, LONGEST_PAUSE) - 0.01)
        assert len(driver.background) == 0
        driver.tick(0.02)
        assert len(driver.background) == 1
        pause *= 2


def test_after_stable_work_the_pause_is_short_again(drive: Drive) -> None:
    driver = drive(lambda plugin: 1)
    for _ in range(10):
        driver.tick(LONGEST_PAUSE)
        driver.until_ended()
    driver.tick(LONGEST_PAUSE)
    driver.now += STABLE_SECONDS
    driver.until_ended()
    driver.tick(FIRST_PAUSE)
    assert len(driver.background) == 1


def test_a_hook_that_returns_is_not_started_again(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    driver = drive(lambda plugin: DONE)
    driver.tick()
    driver.until_ended()
    driver.tick(10 * LONGEST_PAUSE)
    assert len(driver.background) == 0
    assert "background of plugin site: done" in caplog.text


def test_an_endless_child_is_started_again_however_it_ends(drive: Drive) -> None:
    driver = drive(lambda plugin: DONE)
    driver.background = Background({"journal process": Job(lambda: DONE, endless=True)}, GRACE)
    driver.tick()
    driver.until_ended()
    driver.tick(FIRST_PAUSE)
    assert len(driver.background) == 1
    driver.background.stop()
    driver.until_ended()
    driver.tick(LONGEST_PAUSE)
    assert len(driver.background) == 0


def test_the_log_names_plugin_process_and_reason(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    driver = drive(waits, "index", "other")
    driver.tick()
    pid = driver.background._children[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    driver.until_one_ends()
    assert [record.getMessage() for record in caplog.records] == [
        f"background of plugin index: process {pid} was killed by signal 9, starting it again in 1 s"
    ]
    assert len(driver.background) == 1


def test_stop_starts_nothing_again(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    driver = drive(obeys)
    driver.tick()
    driver.background.stop()
    driver.until_ended()
    driver.tick(10 * LONGEST_PAUSE)
    assert len(driver.background) == 0
    assert caplog.records == []


def test_new_settings_start_all_again_at_once(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    """Running children are told to end; failed ones wait no longer; finished ones start again."""
    codes = {"fails": 1, "done": DONE}
    driver = drive(lambda plugin: codes[plugin] if plugin in codes else obeys(plugin), "runs", *codes)
    driver.tick()
    while len(driver.background) > 1:
        driver.until_one_ends()
    caplog.clear()
    driver.background.restart_all(driver.now, driver.jobs)
    driver.tick()
    assert len(driver.background) == 3
    driver.until_ended()
    assert not any("runs" in record.getMessage() for record in caplog.records)
    driver.tick()
    assert len(driver.background) == 1, "the successor of the one that ran"


def test_new_settings_may_need_other_children(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    driver = drive(obeys, "leaves", "stays")
    driver.tick()
    stays = {title: job for title, job in driver.jobs.items() if "stays" in title}
    driver.background.restart_all(driver.now, {**stays, "background of plugin new": Job(partial(obeys, "new"))})
    driver.until_ended()
    driver.tick()
    titles = {child.title.rpartition(" ")[2] for child in driver.background._children if child.pid is not None}
    assert titles == {"stays", "new"}
    assert caplog.records == []


def test_a_child_may_have_a_shorter_longest_pause(drive: Drive) -> None:
    driver = drive(lambda plugin: 1)
    driver.background._children[0].job = Job(lambda: 1, longest_pause=2.0)
    for _ in range(5):
        driver.tick(2.0)
        assert len(driver.background) == 1
        driver.until_ended()


def test_sigterm_leaves_what_is_under_way_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    process = background_module._Process(8.0, background_module.STOP_GRACE)
    process._on_stop(signal.SIGTERM, None)
    assert process.stopping
    now[0] += background_module.STOP_GRACE - 0.1
    process._on_tick(signal.SIGALRM, None)
    now[0] += 0.2
    with pytest.raises(BackgroundStopped):
        process._on_tick(signal.SIGALRM, None)
    process._on_tick(signal.SIGALRM, None)


def test_a_child_that_does_not_end_for_its_successor_is_killed(drive: Drive) -> None:
    driver = drive(waits)
    driver.tick()
    driver.background.restart_all(driver.now, driver.jobs)
    driver.tick(GRACE - 0.1)
    [pid] = [child.pid for child in driver.background._children]
    driver.tick(0.2)
    driver.until_ended()
    driver.tick()
    assert [child.pid for child in driver.background._children] not in ([pid], [None])


def test_paused_and_resumed_all_children_are_new_ones(drive: Drive, caplog: pytest.LogCaptureFixture) -> None:
    driver = drive(obeys, "one", "other")
    driver.tick()
    before = {child.pid for child in driver.background._children}
    driver.background.pause(driver.now)
    driver.until_ended()
    driver.tick(LONGEST_PAUSE)
    assert len(driver.background) == 0
    driver.background.restart_all(driver.now, driver.jobs)
    driver.tick()
    assert len(driver.background) == 0, "a reload starts none"
    driver.background.resume()
    driver.tick()
    assert len(driver.background) == 2
    assert not {child.pid for child in driver.background._children} & before
    assert caplog.messages == [], "this end is no failure"


def test_paused_a_child_that_does_not_end_is_killed(drive: Drive) -> None:
    driver = drive(waits)
    driver.tick()
    driver.background.pause(driver.now)
    driver.tick(GRACE - 0.1)
    assert len(driver.background) == 1
    driver.tick(0.2)
    driver.until_ended()


def test_paused_from_the_beginning(drive: Drive) -> None:
    driver = drive(waits)
    driver.background = Background(driver.jobs, GRACE, is_paused=True)
    driver.tick()
    assert len(driver.background) == 0
    driver.background.resume()
    driver.tick()
    assert len(driver.background) == 1


def test_a_fork_that_fails_is_tried_again(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = drive(waits)
    with monkeypatch.context() as patch:
        patch.setattr(background_module, "fork", lambda main: os.close(-1))
        driver.tick()
    driver.tick(FIRST_PAUSE - 0.1)
    assert len(driver.background) == 0
    driver.tick(0.2)
    assert len(driver.background) == 1


def test_an_internal_error_ends_the_child_only(drive: Drive, capfd: pytest.CaptureFixture[str]) -> None:
    def raises(plugin: str) -> int:
        raise RuntimeError("ours")

    driver = drive(raises)
    driver.tick()
    driver.until_ended()
    driver.tick(FIRST_PAUSE)
    assert len(driver.background) == 1


# As processes


def start(start_receiver: StartReceiver, home: Path, source: str, *arguments: object, name: str = "site") -> Receiver:
    plugin = home / f"{name}.py"
    plugin.write_text(IMPORT + source.replace("HOME", repr(str(home))))
    return start_receiver("-pm", *arguments, plugins=[str(plugin)])


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def runs(pid: int) -> bool:
    """Zombies, which init has not reaped yet, do not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


WORKS = """
@hookimpl
def background(settings):
    os.chdir(HOME)
    try:
        with open("pids", "a") as pids:
            print(os.getpid(), file=pids)
        while True:
            time.sleep(60)
    except Exception:
        pass
    finally:
        with open("cleaned", "a") as cleaned:
            print(os.getpid(), file=cleaned)
"""


def test_sigterm_runs_finally_blocks(start_receiver: StartReceiver, tmp_path: Path) -> None:
    receiver = start(start_receiver, tmp_path, WORKS)
    [pid] = until(lambda: lines(tmp_path / "pids"), "background works")
    assert receiver.send(sample_dataset()) == [0]
    assert receiver.stop() == 0
    assert lines(tmp_path / "cleaned") == [pid]
    assert "E:" not in receiver.log
    assert f"background of plugin site: started (process {pid})" in receiver.log


def test_ctrl_c_reaches_the_supervisor_alone(start_receiver: StartReceiver, tmp_path: Path) -> None:
    receiver = start(start_receiver, tmp_path, WORKS)
    [pid] = until(lambda: lines(tmp_path / "pids"), "background works")
    os.kill(int(pid), signal.SIGINT)
    os.kill(int(pid), signal.SIGHUP)
    assert receiver.stop(signal.SIGINT) == 0
    assert lines(tmp_path / "cleaned") == [pid]
    assert "E:" not in receiver.log


def test_a_killed_child_is_started_again(start_receiver: StartReceiver, tmp_path: Path) -> None:
    receiver = start(start_receiver, tmp_path, WORKS)
    [first] = until(lambda: lines(tmp_path / "pids"), "background works")
    os.kill(int(first), signal.SIGKILL)
    _, second = until(lambda: lines(tmp_path / "pids")[1:] and lines(tmp_path / "pids"), "it works again")
    os.kill(int(second), signal.SIGTERM)
    receiver.wait_for_log("was told to end, and not by the supervisor")
    assert lines(tmp_path / "cleaned") == [second]


@pytest.mark.parametrize("fault", ["raise ValueError('broken')", "raise SystemExit(0)"])
def test_what_it_raises_is_logged_with_plugin_and_traceback(
    start_receiver: StartReceiver, tmp_path: Path, fault: str
) -> None:
    receiver = start(start_receiver, tmp_path, f"@hookimpl\ndef background():\n    {fault}\n")
    receiver.wait_for_log("starting it again in 1 s")
    assert "E: plugin site: background: " in receiver.log
    assert f"E:     {fault}" in receiver.log
    assert receiver.send(sample_dataset()) == [0]


def test_a_child_that_does_not_end_is_killed(start_receiver: StartReceiver, tmp_path: Path) -> None:
    source = """
@hookimpl
def background(settings):
    while True:
        try:
            open(os.path.join(HOME, "works"), "w").close()
            time.sleep(60)
        except BaseException:
            pass
"""
    receiver = start(start_receiver, tmp_path, source)
    until((tmp_path / "works").exists, "background works")
    begin = time.monotonic()
    assert receiver.stop() == 0
    assert time.monotonic() - begin > 7
    assert "still running after the grace period" in receiver.log


IN_C_CODE = """
import itertools

@hookimpl
def background():
    with open(os.path.join(HOME, "pids"), "a") as file:
        file.write(f"{os.getpid()}\\n")
    sum(itertools.repeat(0, 10**11))  # a loop in C that looks at no signal
"""


@pytest.mark.parametrize("source", [WORKS, IN_C_CODE], ids=["in Python", "in C"])
def test_fault_16_it_does_not_outlive_the_supervisor(
    start_receiver: StartReceiver, tmp_path: Path, source: str
) -> None:
    receiver = start(start_receiver, tmp_path, source)
    [pid] = until(lambda: lines(tmp_path / "pids"), "background works")
    receiver.kill()
    until(lambda: not runs(int(pid)), "the orphan ends", seconds=5)


def test_where_the_kernel_does_not_kill_it_an_orphan_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    process = background_module._Process(8.0)
    process._on_tick(signal.SIGALRM, None)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(BackgroundStopped):
        process._on_tick(signal.SIGALRM, None)
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    process._on_tick(signal.SIGALRM, None)
    assert ends == [], "it has time to clean up"
    process._orphan_deadline = 0.0
    process._on_tick(signal.SIGALRM, None)
    assert ends == [TERMINATED]


def test_a_reload_starts_it_again(start_receiver: StartReceiver, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('log_level = "info"\n')
    receiver = start(start_receiver, tmp_path, WORKS, "--settings", settings)
    [first] = until(lambda: lines(tmp_path / "pids"), "background works")
    settings.write_text("fsync = false\n")
    receiver.process.send_signal(signal.SIGHUP)
    until(lambda: lines(tmp_path / "pids")[1:], "it works again")
    assert lines(tmp_path / "cleaned") == [first]
    assert "E:" not in receiver.log


def test_it_holds_no_socket_of_the_supervisor(start_receiver: StartReceiver, tmp_path: Path) -> None:
    """Otherwise the port and peers' connections would stay open while a child cleans up."""
    receiver = start(start_receiver, tmp_path, WORKS)
    [pid] = until(lambda: lines(tmp_path / "pids"), "background works")
    assert not [target for target in open_files(int(pid)) if target.startswith("socket:")]
    assert receiver.stop() == 0


CONNECTIONS = """
from dcmrecv_core.net.supervisor import supervisor

supervisor.WAIT_FOR_WORKER = 15.0  # workers that open a database may start slowly
connection = None

@hookimpl
def worker_started(settings):
    global connection
    connection = sqlite3.connect(os.path.join(HOME, "index.db"), timeout=20)  # refuses other threads; not shared
    connection.execute("CREATE TABLE IF NOT EXISTS instances (uid TEXT, opened INTEGER, used INTEGER)")
    connection.execute("CREATE TABLE IF NOT EXISTS workers (pid INTEGER)")
    connection.commit()
    worker_started.pid = os.getpid()

@hookimpl
def stored(instance):
    connection.execute(
        "INSERT INTO instances VALUES (?, ?, ?)", (instance.sop_instance_uid, worker_started.pid, os.getpid())
    )
    connection.commit()
    time.sleep(0.2)  # so that the associations overlap, and several workers are needed

@hookimpl
def worker_stopping():
    connection.execute("INSERT INTO workers VALUES (?)", (os.getpid(),))
    connection.commit()
    connection.close()
"""


def test_a_database_connection_for_each_worker(start_receiver: StartReceiver, tmp_path: Path) -> None:
    receiver = start(start_receiver, tmp_path, CONNECTIONS)
    uids = [[f"1.2.3.{association}.{number}" for number in range(3)] for association in range(4)]

    def send(association: list[str]) -> list[int]:
        return receiver.send(*(sample_dataset(SOPInstanceUID=uid) for uid in association))

    with ThreadPoolExecutor(len(uids)) as senders:
        assert list(senders.map(send, uids)) == [[0, 0, 0]] * len(uids)
    assert receiver.stop() == 0
    assert "E:" not in receiver.log
    connection = sqlite3.connect(tmp_path / "index.db")
    instances = connection.execute("SELECT uid, opened, used FROM instances").fetchall()
    [*workers] = connection.execute("SELECT pid FROM workers").fetchall()
    connection.close()
    assert sorted(uid for uid, _, _ in instances) == sorted(uid for association in uids for uid in association)
    assert all(opened == used for _, opened, used in instances)
    serving = {used for _, _, used in instances}
    assert len(serving) > 1
    assert serving <= {pid for (pid,) in workers}, "each that served has closed its connection"
    assert len(workers) == len(set(workers))
