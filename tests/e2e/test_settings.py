"""Settings files and SIGHUP with the installed program."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.programs.receivers import Receiver, Start, run
from support.promises.crowds import seconds_until_served
from support.protocol.pdus import ABORT, status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE, MR

SETTINGS = """\
log_level = "info"
filename_extension = ".old"

[[contexts]]
abstract_syntaxes = ["CTImageStorage"]
transfer_syntaxes = ["LittleEndianExplicit"]
"""
OTHER = """\
log_level = "info"
filename_extension = ".new"
port = 11112

[[contexts]]
abstract_syntaxes = ["CTImageStorage", "MRImageStorage"]
"""
CONTEXTS = [(CT, [EXPLICIT_LE]), (MR, [EXPLICIT_LE])]
BROKEN = "settings not reloaded, nothing has changed: "


def store(association: RawAssociation, instance: str) -> None:
    association.request(store_rq(CT, instance), instance_of(CT, instance))
    assert status_of(association.response()) == 0


def accepted(receiver: Receiver) -> set[int]:
    """The contexts that a new association has; it stores nothing."""
    with RawAssociation(receiver.port, CONTEXTS) as association:
        return {number for number, (result, _) in association.accepted.items() if result == 0}


def reload(receiver: Receiver, text: str) -> None:
    times = receiver.log.count(text)
    receiver.process.send_signal(signal.SIGHUP)
    until(lambda: receiver.log.count(text) > times, f"{text!r} in the log", log=lambda: receiver.log)


def test_a_reload(ours: Start) -> None:
    receiver = ours("--settings", "s.toml", files={"s.toml": SETTINGS})
    file = receiver.directory / "s.toml"
    assert accepted(receiver) == {1}
    with RawAssociation(receiver.port, CONTEXTS) as running:
        store(running, "1.1")
        worker = receiver.worker_serving(running.local_port)
        workers = receiver.workers()

        for broken in ("strict = 7", "strict = ", '[plugins.none]\nx = "y"', 'config_file = ["absent", "p"]'):
            file.write_text(broken)
            reload(receiver, BROKEN)
            assert workers <= receiver.workers()
            assert accepted(receiver) == {1}
        assert f"E: {BROKEN}s.toml: strict = 7: true or false expected" in receiver.log

        file.write_text(OTHER)
        old = receiver.workers()
        reload(receiver, "settings reloaded")
        until(lambda: receiver.workers() & old == {worker}, "workers that were idle are replaced")
        assert accepted(receiver) == {1, 3}
        with RawAssociation(receiver.port, CONTEXTS) as fresh:
            store(fresh, "1.2")
        store(running, "1.3")
    until(lambda: worker not in receiver.workers(), "the busy worker is replaced when it is idle")
    assert receiver.files() == ["CT.1.1.old", "CT.1.2.new", "CT.1.3.old"]
    assert "W: port cannot be changed at run time, it stays as it was" in receiver.log


@pytest.mark.parametrize("seconds", [600, 0])
def test_a_new_idle_eviction_holds_for_running_associations(ours: Start, seconds: int) -> None:
    settings = 'promiscuous = true\nmax_associations = 1\nlog_level = "info"\nidle_eviction = '
    receiver = ours("--settings", "s.toml", files={"s.toml": f"{settings}{seconds}\n"})
    with RawAssociation(receiver.port, CONTEXTS) as silent:
        (receiver.directory / "s.toml").write_text(f"{settings}1\n")
        reload(receiver, "settings reloaded")
        seconds_until_served(receiver.port, "127.0.0.2", patience=60)
        assert silent.read_pdu()[0] == ABORT


def test_without_a_file_the_profile_is_read_again(ours: Start, config: Path) -> None:
    text = config.read_text()
    config.write_text(text.replace("PresentationContext3 = MR", "PresentationContext99 = MR"))
    receiver = ours("-v", "-xf", config, "default")
    assert accepted(receiver) == {1}
    config.write_text(text)
    reload(receiver, "settings reloaded")
    assert accepted(receiver) == {1, 3}
    config.write_text("[[Profiles]]")
    reload(receiver, BROKEN)
    assert accepted(receiver) == {1, 3}


ASKS_EARLY = """\
import os, signal
from pathlib import Path
from dcmrecv_core import hookimpl

@hookimpl
def configure(settings):
    if not Path("asked").exists():
        Path("asked").touch()
        os.kill(os.getpid(), signal.SIGHUP)
"""


def test_a_reload_during_the_start_waits(ours: Start) -> None:
    receiver = ours("-pm", "-v", "--plugin", "early.py", files={"early.py": ASKS_EARLY})
    until(lambda: "settings reloaded" in receiver.log, "the reload", log=lambda: receiver.log)
    assert accepted(receiver) == {1, 3}
    assert receiver.stop() == 0


LOGGING = """\
[handlers.file]
class = "logging.FileHandler"
filename = "log"
[root]
level = "INFO"
handlers = ["file"]
"""


def test_a_rotated_log_is_opened_anew(ours: Start) -> None:
    receiver = ours("-pm", "-lc", "logging.toml", files={"logging.toml": LOGGING})
    log, rotated = receiver.directory / "log", receiver.directory / "log.1"
    log.rename(rotated)
    receiver.process.send_signal(signal.SIGHUP)
    until(lambda: log.exists() and "settings reloaded" in log.read_text(), "the new log is written to")
    before = rotated.read_text()
    accepted(receiver)
    until(lambda: "Association" in log.read_text(), "workers write to the new log")
    assert rotated.read_text() == before


def test_background_children_get_the_new_settings(ours: Start) -> None:
    plugin = """\
import time
from dcmrecv_core import hookimpl

@hookimpl
def background(settings):
    with open("extensions", "a") as file:
        print(settings.for_plugin("file-writer")["filename_extension"], file=file)
    while True:
        time.sleep(60)
"""
    receiver = ours("--settings", "s.toml", files={"s.toml": 'plugin = ["slow"]\n' + SETTINGS, "slow.py": plugin})
    extensions = receiver.directory / "extensions"
    until(lambda: extensions.exists() and extensions.read_text() == ".old\n", "the child runs")
    (receiver.directory / "s.toml").write_text('plugin = ["slow"]\n' + OTHER)
    reload(receiver, "settings reloaded")
    until(lambda: extensions.read_text() == ".old\n.new\n", "it was started again", log=lambda: receiver.log)
    assert "E:" not in receiver.log


def test_a_dumped_command_line_serves_the_same(ours: Start, program: Path, config: Path) -> None:
    dumped = run(program, "--dump-settings", "-xf", config, "default", "-fe", ".dcm", "104")
    assert dumped.returncode == 0, dumped.stderr
    receiver = ours("--settings", "s.toml", files={"s.toml": dumped.stdout})
    with RawAssociation(receiver.port, CONTEXTS) as association:
        store(association, "1.1")
    assert receiver.files() == ["CT.1.1.dcm"]


@pytest.mark.parametrize("option", [[], ["--dump-settings"]])
def test_a_broken_file_ends_the_start_with_66(program: Path, directory: Path, option: list[str]) -> None:
    (directory / "s.toml").write_text("max_pdu = 1")
    ended = run(program, "--settings", "s.toml", *option, "104", cwd=directory)
    assert ended.returncode == 66
    assert "error: s.toml: max_pdu = 1: an integer from 4096 to 131072 expected\n" in ended.stderr
