"""Plugins that break: a broken decision refuses the instance, a broken notification is logged, a broken plugin keeps
the receiver from starting. Other instances and plugins are not affected, and the log names the plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.programs.environment import write_files
from support.programs.receivers import Receiver, Start, run, system_program
from support.protocol.pdus import ABORT, store_rq
from support.protocol.raw_sender import RawAssociation, associate_at_last
from support.uids import CT, EXPLICIT_LE

PROCESSING_FAILURE = 0x0110
OUT_OF_RESOURCES = 0xA700
INSTANCE = "1.2.3.4"
DATA = instance_of(CT, INSTANCE)
IMPORT = "from dcmrecv_core import hookimpl\n"
OTHER = "1.2.3.5"


def hook(name: str, body: str, arguments: str = "instance") -> str:
    """A plugin with one hook whose body, an expression, runs for INSTANCE only."""
    function = f"@hookimpl\ndef {name}({arguments}):\n    if instance.sop_instance_uid == {INSTANCE!r}: {body}\n"
    return IMPORT + function


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("receive", "raise RuntimeError('out of order')"),
        ("receive", "raise SystemExit('leaving')"),
        ("receive", "return 0xC000"),
        ("choose_subdir", "raise KeyError('PatientID')"),
        ("choose_subdir", "return 7"),
        ("choose_subdir", "return '../elsewhere'"),
        ("choose_subdir", "return 'a/../../elsewhere'"),
        ("choose_subdir", "return '/tmp/elsewhere'"),
        ("choose_subdir", "return 'nul\\0'"),
        ("choose_filename", "raise ValueError"),
        ("choose_filename", "return b'bytes'"),
        ("choose_filename", "return ''"),
        ("choose_filename", "return '../elsewhere'"),
        ("choose_filename", "return 'sub/elsewhere'"),
        ("choose_filename", "return '..'"),
        ("choose_filename", "return 'nul\\0'"),
        ("write", "raise OSError('no route to archive')"),
        ("write", "return 1"),
    ],
)
def test_decisions_fail_closed(ours: Start, name: str, body: str) -> None:
    arguments = "instance, path" if name == "write" else "instance"
    receiver = ours("-pm", "--plugin", "broken", files={"broken.py": hook(name, body, arguments)})
    before = sorted(receiver.directory.rglob("*"))
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        association.request(store_rq(CT, INSTANCE), DATA)
        response = association.response()
        assert int.from_bytes(response[0x0900], "little") == PROCESSING_FAILURE
        assert 0 < len(response[0x0902].rstrip()) <= 64
        assert [path for path in sorted(receiver.directory.rglob("*")) if path not in before and path.is_file()] == []
        assert association.store(CT, OTHER, instance_of(CT, OTHER)) == 0
        association.release()
    assert receiver.files() == [f"CT.{OTHER}"]
    assert not Path("/tmp/elsewhere").exists()
    assert INSTANCE in receiver.log
    if body.startswith("raise"):
        for detail in ("broken", name, "127.0.0.1", "Traceback"):
            assert detail in receiver.log


def test_notifications_fail_soft(ours: Start) -> None:
    listener = IMPORT + "@hookimpl\ndef stored(instance, location): open('told', 'w').close()\n"
    files = {
        "broken.py": hook("stored", "raise RuntimeError('out of order')", "instance, location"),
        "listener.py": listener,
    }
    receiver = ours("-pm", "--plugin", "listener", "--plugin", "broken", files=files)
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        assert association.store(CT, INSTANCE, DATA) == 0
        association.release()
    assert receiver.files() == [f"CT.{INSTANCE}"]
    assert (receiver.directory / "told").exists()
    for detail in ("broken", "stored", INSTANCE, "127.0.0.1", "Traceback", "out of order"):
        assert detail in receiver.log


def test_a_plugin_that_goes_elsewhere_takes_nothing_along(ours: Start) -> None:
    """The output directory is relative to where the receiver was started."""
    plugin = "import os\n" + IMPORT + "os.chdir('/')\n"
    for name, argument in (("configure", "settings"), ("receive", "instance")):
        plugin += f"@hookimpl\ndef {name}({argument}):\n    os.chdir('/tmp')\n"
    receiver = ours("-v", "--plugin", "./wanderer.py", files={"wanderer.py": plugin})
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        for uid in (INSTANCE, OTHER):
            assert association.store(CT, uid, instance_of(CT, uid)) == 0
    assert receiver.files() == [f"CT.{INSTANCE}", f"CT.{OTHER}"]
    assert f"file: out/CT.{OTHER}" in receiver.log


def test_a_broken_negotiate_rejects_the_association(ours: Start) -> None:
    broken = IMPORT + "@hookimpl\ndef negotiate(association): raise RuntimeError('out of order')\n"
    receiver = ours("-pm", "--plugin", "broken", files={"broken.py": broken})
    with pytest.raises(AssertionError, match="PDU 3 instead of"):
        RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])])
    assert "broken" in receiver.log


HOOK = "@hookimpl\ndef receive(instance): pass\n"

UNFIT = {
    "misspelt hook": (IMPORT + "@hookimpl\ndef choose_filname(instance): return 'x'\n", "choose_filname"),
    "unknown argument": (IMPORT + "@hookimpl\ndef choose_filename(instnace): return 'x'\n", "instnace"),
    "unmarked hook": (IMPORT + HOOK + "def choose_filename(instance): return 'x'\n", "choose_filename"),
    "no hook": ("x = 1\n", "broken"),
    "async hook": (IMPORT + "@hookimpl\nasync def receive(instance): pass\n", "receive"),
    "raises at import": ("raise RuntimeError('no licence')\n", "no licence"),
    "syntax error": ("def\n", "broken"),
    "refuses settings": (IMPORT + "@hookimpl\ndef configure(settings): raise ValueError('no root')\n", "no root"),
    "starts a thread": (
        IMPORT
        + "import threading\n@hookimpl\ndef configure(settings):\n"
        + "    threading.Thread(target=threading.Event().wait, daemon=True).start()\n",
        "thread",
    ),
}


def refused(program: Path, directory: Path, *arguments: str) -> str:
    """Standard error of a start that has to fail with exit code 1."""
    done = run(program, "-od", ".", *arguments, "11112", cwd=directory)
    assert done.returncode == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize(("source", "text"), UNFIT.values(), ids=UNFIT)
def test_refuses_to_start(program: Path, directory: Path, source: str, text: str) -> None:
    write_files(directory, {"broken.py": source})
    message = refused(program, directory, "--plugin", "broken")
    assert "broken" in message
    assert text in message


def test_class_instead_of_an_instance(program: Path, directory: Path) -> None:
    source = IMPORT + "class Plugin:\n    @hookimpl\n    def receive(self, instance): pass\n"
    write_files(directory, {"broken.py": source})
    assert "broken" in refused(program, directory, "--plugin", "broken:Plugin")


def test_loaded_twice(program: Path, directory: Path) -> None:
    write_files(directory, {"mysite.py": IMPORT + HOOK})
    assert "mysite" in refused(program, directory, "--plugin", "mysite", "--plugin", "mysite")


def test_unknown_plugin(program: Path, directory: Path) -> None:
    assert "nowhere.naming" in refused(program, directory, "--plugin", "nowhere.naming")


LEAKY = """\
import os
from dcmrecv_core import hookimpl

LEAKED = []

@hookimpl
def receive(instance):
    if instance.sop_instance_uid.startswith("1.1."):
        try:
            while True:
                LEAKED.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
"""
LINE = "has no free file descriptor ("


def associate(receiver: Receiver) -> RawAssociation:
    """An association; it is proposed again if it is rejected because the next worker begins half a second later."""
    return associate_at_last(receiver.port, [(CT, [EXPLICIT_LE])], lambda: receiver.log)


def test_fault_16_a_worker_without_descriptors_is_replaced(ours: Start) -> None:
    limited = [system_program("prlimit"), "--nofile=100"]
    receiver = ours("-pm", "--plugin", "leaky", "--max-associations", "1", files={"leaky.py": LEAKY}, prefix=limited)
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        assert association.store(CT, "1.2.1", instance_of(CT, "1.2.1")) == 0
        worker = receiver.worker_serving(association.local_port)
        assert association.store(CT, "1.1.1", instance_of(CT, "1.1.1")) == OUT_OF_RESOURCES
        association.release()
    with associate(receiver) as association:
        assert association.store(CT, "1.2.2", instance_of(CT, "1.2.2")) == 0
        association.release()
    until(lambda: worker not in receiver.workers(), "the end of the first worker", log=lambda: receiver.log)
    [line] = [line for line in receiver.log.splitlines() if LINE in line]
    assert line.startswith(f"E: worker {worker} {LINE}")
    assert "limit 100: " in line
    assert line.endswith(" and is replaced: probably a plugin does not close them")
    assert receiver.files() == ["CT.1.2.1", "CT.1.2.2"]


def test_fault_16_an_association_that_can_store_nothing_more_is_aborted(ours: Start) -> None:
    limited = [system_program("prlimit"), "--nofile=100"]
    receiver = ours("-pm", "--plugin", "leaky", files={"leaky.py": LEAKY}, prefix=limited)
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        for uid in ("1.1.1", "1.2.1"):
            assert association.store(CT, uid, instance_of(CT, uid)) == OUT_OF_RESOURCES
        assert association.read_pdu() == (ABORT, bytes((0, 0, 2, 0)))
    receiver.wait_for_log("aborting association with RAWSCU (127.0.0.1) to ANY: no file descriptor is free")
    receiver.wait_for_log(LINE)


IDLE_LEAK = """\
import os
from dcmrecv_core import hookimpl

LEAKED = []

def leak():
    try:
        while True:
            LEAKED.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        os.rename("leak", "leaked")

@hookimpl
def worker_started(settings):
    try:
        os.rename("first", "leak")
    except OSError:
        return
    leak()
"""


def test_fault_16_a_worker_that_cannot_take_a_connection_is_replaced(ours: Start) -> None:
    limited = [system_program("prlimit"), "--nofile=100"]
    files = {"leaky.py": IDLE_LEAK, "first": ""}
    receiver = ours("-pm", "--plugin", "leaky", "--max-associations", "1", files=files, prefix=limited)
    [worker] = receiver.workers()
    assert (receiver.directory / "leaked").exists()
    with associate(receiver) as association:
        assert association.store(CT, "1.2.1", instance_of(CT, "1.2.1")) == 0
        association.release()
    until(lambda: worker not in receiver.workers(), "the end of the first worker", log=lambda: receiver.log)
    assert f"E: worker {worker} {LINE}all 100 are open)" in receiver.log
