"""`--log-uids hashed`: no line of the log has a UID that was sent, at any level; the administrator finds it all the
same."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dcmrecv_core.api.settings import UID_HASH_KEY
from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE
from dcmrecv_core.testing import until
from dcmrecv_core.testing.receivers import ACTIVATE
from support.data.datasets import Node, encode, identification, pixel_data
from support.programs.receivers import Receiver, Start, create_listener, run
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

UIDS = {what: f"1.2.826.0.1.3680043.8.498.{number}" for number, what in enumerate(("study", "series", "plain", "new"))}
PRIVATE_CLASS = "1.2.840.113619.4.26"
CONTEXTS = [(CT, [EXPLICIT_LE]), (PRIVATE_CLASS, [EXPLICIT_LE])]

PLUGIN = """\
import os

from dcmrecv_core import Discard, Refuse, hookimpl

@hookimpl
def receive(instance):
    uid = instance.sop_instance_uid
    match uid.rsplit(".")[-1]:
        case "100":
            return Refuse(0xC001, f"study {instance.get('StudyInstanceUID')} is not welcome")
        case "101":
            return Discard(f"{uid} is known")
        case "102":
            raise ValueError(f"cannot treat {instance.get('SeriesInstanceUID')}")
        case "103":
            os._exit(3)
        case "104":
            header = instance.copy_header()
            header.SOPInstanceUID = header.StudyInstanceUID = "2.25.999999"
            instance.replace_header(header, keep_unseen=False)
"""
DELIVERING = """
@hookimpl
def deliver(event, target):
    with open("told", "w") as file:
        file.write(event.original_uid_hash)
"""
WAYS = {"text": (), "json": ("--log-format", "json"), "layout": ("--layout", "{StudyInstanceUID}/{SOPInstanceUID}")}


def data_set(uid: str) -> bytes:
    nodes = [
        Node(0x0020000D, "UI", UIDS["study"].encode() + b"\0"),
        Node(0x0020000E, "UI", UIDS["series"].encode() + b"\0"),
    ]
    return identification(CT, uid) + encode(nodes, EXPLICIT_LITTLE) + pixel_data(2000)


def store(receiver: Receiver, uid: str, data: bytes | None = None) -> int | None:
    with RawAssociation(receiver.port, CONTEXTS) as association:
        status = association.store(CT, uid, data_set(uid) if data is None else data)
        if status is not None:
            association.release()
    return status


def ctl(receiver: Receiver, *uids: str) -> list[str]:
    """What `dcmrecvctl hash-uid` prints for them."""
    program = "import sys; from dcmrecv_core.ctl.main import main; sys.exit(main())"
    done = run(sys.executable, "-c", program, "hash-uid", "--state-dir", receiver.output / ".dcmrecv", *uids)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("level", [(), ("-v",), ("-d",)], ids=["default", "-v", "-d"])
def test_no_line_has_a_uid_that_was_sent(ours: Start, level: tuple[str, ...], way: str) -> None:
    options = ("-pm", "--log-uids", "hashed", "--plugin", "./some.py", *level, *WAYS[way])
    receiver = ours(*options, files={"some.py": PLUGIN})
    uids = [f"1.2.826.0.1.3680043.8.498.{number}" for number in range(99, 106)]
    statuses = [store(receiver, uid) for uid in uids]
    assert statuses == [0, 0xC001, 0, 0x0110, None, 0xB000, 0], receiver.log
    store(receiver, "1.2.826.0.1.3680043.8.498.200", data_set("1.2.826.0.1.3680043.8.498.201"))
    store(receiver, "JOHN-DOE", data_set("1.2.826.0.1.3680043.8.498.202"))
    store(receiver, "1.2.826.0.1.3680043.8.498.203", b"\x08\0\x18\0UI\xff\xff1.2.826.0.1.3680043.8.498.203")
    receiver.wait_for_log("ended with exit code 3")
    assert receiver.stop() == 0
    lines = receiver.log.splitlines()
    assert [line for line in lines if re.search(r"1\.2\.826\.0\.1\.3680043\.8|JOHN", line)] == []
    [refused, failed, broken] = ctl(receiver, uids[1], uids[3], "1.2.826.0.1.3680043.8.498.203")
    [study] = ctl(receiver, UIDS["study"])
    assert any(refused in line and study in line and "is not welcome" in line for line in lines)
    assert any(failed in line for line in lines) and any(broken in line for line in lines)


def test_lines_name_what_the_administrator_needs(ours: Start) -> None:
    receiver = ours("-v", "-pm", "--log-uids", "hashed", "--plugin", "./some.py", files={"some.py": PLUGIN})
    uid = "1.2.826.0.1.3680043.8.498.104"
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE]), (PRIVATE_CLASS, ["1.2.3.4.5.6.7"])]) as association:
        assert association.store(CT, uid, data_set(uid)) == 0xB000
        association.release()
    receiver.stop()
    assert f"C-STORE {ctl(receiver, uid)[0]} from" in receiver.log
    assert "stored in out/CT.2.25.999999 with" in receiver.log  # where the new one is
    assert "127.0.0.1" in receiver.log


def test_the_same_hash_in_events(ours: Start) -> None:
    receiver = ours("-pm", "--log-uids", "hashed", "--plugin", "./some.py", files={"some.py": PLUGIN + DELIVERING})
    uid = "1.2.826.0.1.3680043.8.498.104"
    assert store(receiver, uid) == 0xB000
    [hashed] = ctl(receiver, uid)
    told = receiver.directory / "told"
    until(lambda: told.exists() and told.read_text().startswith(hashed.removeprefix("uid:")), "the event")


def test_from_a_reload_on(ours: Start) -> None:
    site = 'log_level = "info"\npromiscuous = true\n'
    receiver = ours("--settings", "site.toml", files={"site.toml": site})
    assert store(receiver, UIDS["plain"]) == 0
    (receiver.directory / "site.toml").write_text(f'{site}log_uids = "hashed"\n')
    receiver.process.send_signal(signal.SIGHUP)
    receiver.wait_for_log("settings reloaded")
    [hashed] = ctl(receiver, UIDS["new"])
    until(lambda: store(receiver, UIDS["new"]) == 0 and hashed in receiver.log, "a worker with the new settings")


def test_the_state_directory_of_another_receiver_is_not_used(ours: Start, program: Path) -> None:
    first = ours("-pm")
    done = start(program, first.output)
    assert done.returncode == 1
    assert "F: --log-uids hashed needs the state directory" in done.stderr
    assert f"process {first.process.pid}" in done.stderr


def test_without_a_key_it_does_not_start(directory: Path, program: Path) -> None:
    (directory / ".dcmrecv" / UID_HASH_KEY).mkdir(parents=True)
    done = start(program, directory)
    assert done.returncode == 1
    assert re.search(
        rf"^F: --log-uids hashed needs a key: .*/{UID_HASH_KEY}: Is a directory$", done.stderr, re.MULTILINE
    )


def start(program: Path, output: Path) -> subprocess.CompletedProcess[str]:
    """A start that fails, on a socket passed to it."""
    with create_listener() as listener:
        arguments = (program, "-pm", "-od", output, "--log-uids", "hashed")
        activated = (sys.executable, "-I", "-S", ACTIVATE, listener.fileno(), *arguments)
        return run(*activated, pass_fds=(listener.fileno(),))
