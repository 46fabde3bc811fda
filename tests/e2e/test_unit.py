"""A receiver lives with what the service of `dcmrecvctl unit` allows: systemd itself cannot run in a test."""

from __future__ import annotations

import re
from pathlib import Path

from dcmrecv_core.ctl import unit
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.programs.receivers import Receiver, Start, run, system_program
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

DELIVERS = """\
from dcmrecv_core import hookimpl

@hookimpl
def deliver(event):
    open("done", "w").close()
"""


def allowed(receiver: Receiver) -> set[str]:
    """The system calls of the service's filter."""
    made = unit.units((), Settings(output_directory=str(receiver.output)), "dicom")
    [group] = re.findall(r"^SystemCallFilter=(.*)$", made["service"].text, re.MULTILINE)
    found: set[str] = set()
    groups = [group]
    while groups:
        listed = run(system_program("systemd-analyze"), "syscall-filter", groups.pop()).stdout
        names = [line.strip() for line in listed.splitlines() if line.startswith("    ") and "#" not in line]
        groups += [name for name in names if name.startswith("@")]
        found.update(name for name in names if not name.startswith("@"))
    return found


def test_no_system_call_is_refused(ours: Start, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    prefix = [system_program("strace"), "-D", "-f", "-qq", "-e", "signal=none", "-o", trace]
    options = ["--plugin", "delivers.py", "--on-duplicate", "rename"]
    receiver = ours("-pm", *options, prefix=prefix, files={"delivers.py": DELIVERS})
    for _ in range(2):
        with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
            for uid in ("1.2.3", "1.2.4"):
                assert association.store(CT, uid, instance_of(CT, uid)) == 0
            association.release()
    until(lambda: (receiver.directory / "done").exists(), "an instance is delivered", 30)
    assert receiver.stop() == 0
    calls = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
    assert {"linkat", "fsync", "accept4"} <= calls
    assert calls - allowed(receiver) == set()
