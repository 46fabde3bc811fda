"""What goes wrong in a plugin while the receiver runs: each line about it names plugin, hook, file and line."""

from __future__ import annotations

import re

from support.data.datasets import instance_of
from support.programs.receivers import Start
from support.protocol.pdus import store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

SOURCE = """\
import multiprocessing
import os
import signal
from dcmrecv_core import Refuse, hookimpl

@hookimpl
def receive(instance):
    wrong = instance.sop_instance_uid.rpartition(".")[2]
    if wrong == "1":
        raise RuntimeError("out of order")  # raises
    if wrong == "2":
        multiprocessing.get_context("fork").Process(target=print).start()  # forks
    if wrong == "3":
        os.kill(os.getpid(), signal.SIGKILL)
    if wrong == "4":
        import site_nowhere  # imports

@hookimpl  # returns
def choose_subdir(instance):
    return 7 if instance.sop_instance_uid.endswith(".5") else None

@hookimpl  # names
def choose_filename(instance):
    return "a/b" if instance.sop_instance_uid.endswith(".6") else None

@hookimpl
def stored(instance, location):
    if instance.sop_instance_uid.endswith(".7"):
        {}["x"]  # notified

@hookimpl
def deliver(event):
    raise OSError("no route")  # delivers

@hookimpl
def background(settings):
    [].pop()  # in the background
"""

LINES = {
    "raises": "E: plugin faulty: receive: RuntimeError('out of order') at {place} (",
    "forks": "E: plugin faulty: receive: has forked this worker; ",
    "imports": "E: plugin faulty: receive: ModuleNotFoundError(",
    "returns": "E: plugin faulty: choose_subdir: TypeError('None, str or PurePath expected, not 7') at {place} (",
    "names": "E: plugin faulty: choose_filename: ",
    "notified": "E: plugin faulty: stored: KeyError('x') at {place} (",
    "delivers": "W: plugin faulty: deliver",
    "in the background": "E: plugin faulty: background: IndexError('pop from empty list') at {place}",
}
"""How the line begins for what the comment of this name marks."""


def test_fault_23_each_line_names_plugin_hook_file_and_line(ours: Start) -> None:
    receiver = ours("-pm", "--plugin", "./faulty.py", files={"faulty.py": SOURCE})
    for wrong in ("1", "2", "4", "5", "6", "7", "3"):
        uid = f"1.2.{wrong}"
        with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
            association.request(store_rq(CT, uid), instance_of(CT, uid))
            if wrong != "3":
                association.response()
    receiver.wait_for_log("was killed by signal 9")
    assert re.search(
        r"^E: worker \d+ was killed by signal 9 in hook receive of plugin faulty.*1\.2\.3", receiver.log, re.MULTILINE
    )
    numbers = {text.rpartition("  # ")[2]: number for number, text in enumerate(SOURCE.splitlines(), 1)}
    for marker, begin in LINES.items():
        place = f"{receiver.directory}/faulty.py:{numbers[marker]}"
        wanted = begin.format(place=place)
        receiver.wait_for_log(wanted)
        [line, *_] = [line for line in receiver.log.splitlines() if line.startswith(wanted)]
        assert place in line, line
