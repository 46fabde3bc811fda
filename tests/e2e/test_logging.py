"""Log files of a running receiver: several workers, rotation, reload, full disks."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from pathlib import Path

from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.programs.receivers import Receiver, Start, run
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

FILE = """\
log4cplus.rootLogger = INFO, f
log4cplus.appender.f = log4cplus::{kind}Appender
log4cplus.appender.f.File = {path}
log4cplus.appender.f.Append = true
log4cplus.appender.f.MaxFileSize = 200KB
log4cplus.appender.f.MaxBackupIndex = 100
log4cplus.appender.f.layout = log4cplus::PatternLayout
log4cplus.appender.f.layout.ConversionPattern = %i %p: %m%n
"""


def store(receiver: Receiver, uids: list[str]) -> None:
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        for uid in uids:
            assert association.store(CT, uid, instance_of(CT, uid)) == 0
        association.release()


def test_workers_share_a_rolling_file(ours: Start) -> None:
    files = {"log.cfg": FILE.format(kind="RollingFile", path="x.log")}
    receiver = ours("-pm", "--no-fsync", "--ignore", "-lc", "log.cfg", files=files)
    (receiver.directory / "x.log").write_text("x" * 190_000 + "\n")
    uids = [[f"1.2.{sender}.{number}" for number in range(800)] for sender in range(4)]
    senders = [threading.Thread(target=store, args=(receiver, each)) for each in uids]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(120)
    assert receiver.stop() == 0  # a file could be renamed while it is read
    lines = [line for path in receiver.directory.glob("x.log*") for line in path.read_text().splitlines()]
    assert sum("Release Request" in line for line in lines) == 4
    requests = [line for line in lines if "Received C-STORE Request" in line]
    answers = [line for line in lines if "Sending C-STORE Response (Success)" in line]
    assert (len(requests), len(answers)) == (3200, 3200)
    assert len(Counter(line.partition(" ")[0] for line in requests)) > 1
    assert len(list(receiver.directory.glob("x.log.*"))) >= 1
    assert receiver.log == ""


def test_rotation_and_reload(ours: Start) -> None:
    receiver = ours("-pm", "-lc", "log.cfg", files={"log.cfg": FILE.format(kind="File", path="x.log")})
    path = receiver.directory / "x.log"
    store(receiver, ["1.2.1"])
    until(lambda: "Release Request" in path.read_text(), "the first association")
    path.rename(receiver.directory / "rotated")
    store(receiver, ["1.2.2"])
    until(lambda: path.exists() and "Release Request" in path.read_text(), "the second one, in a new file")
    assert "CT.1.2.1" not in path.read_text()
    (receiver.directory / "log.cfg").write_text(FILE.format(kind="File", path="y.log"))
    receiver.process.send_signal(signal.SIGHUP)
    other = receiver.directory / "y.log"
    until(lambda: other.exists() and "settings reloaded" in other.read_text(), "the reload")
    store(receiver, ["1.2.3"])
    until(lambda: "CT.1.2.3" in other.read_text() + path.read_text(), "the third one")
    receiver.stop()
    assert "SIGTERM" in other.read_text()


def test_receiving_goes_on_if_the_log_cannot_be_written(ours: Start) -> None:
    for path, text in (("/dev/full", "No space left on device"), ("/no/such/file", "Unable to open file")):
        receiver = ours("-pm", "-lc", "log.cfg", files={"log.cfg": FILE.format(kind="File", path=path)})
        store(receiver, ["1.2.1", "1.2.2"])
        assert receiver.files() == ["CT.1.2.1", "CT.1.2.2"]
        assert text in receiver.log


def test_an_unknown_level_of_the_root_logger(program: Path, directory: Path) -> None:
    (directory / "log.cfg").write_text("log4cplus.rootLogger = LOUD, c\n")
    done = run(program, "-lc", "log.cfg", "1", cwd=directory)
    assert done.returncode == 1
    assert "error: Specified --log-config file sets an unknown level for rootLogger: LOUD\n" in done.stderr
