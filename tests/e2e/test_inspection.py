"""--explain, the trace of hooks and the advice in the log, compared with a receiver."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from support.data.samples import pydicom_files, pydicom_samples
from support.programs.receivers import Start, run
from support.protocol.pdus import ASSOCIATE_RJ, associate_rq
from support.protocol.raw_sender import RawAssociation, send
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, JPEG, MR

NAMING = """
from dcmrecv_core import Name, hookimpl

@hookimpl
def choose_subdir(instance):
    return f"{instance.modality_prefix}/{instance.get('PatientID', 'nobody')}"

@hookimpl
def choose_filename(instance):
    return Name(f"{instance.sop_instance_uid}-{instance.attempt}", "retry")
"""


def test_what_was_explained_is_what_happens(ours: Start, program: Path) -> None:
    receiver = ours("-pm", "--plugin", "naming.py", "-v", "--trace-hooks", files={"naming.py": NAMING})
    options = ["-pm", "--plugin", "naming.py", "-od", "out"]
    done = run(program, *options, "--explain", "--json", *pydicom_files(), cwd=receiver.directory)
    assert done.returncode == 0, done.stderr
    assert receiver.files() == []
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(pydicom_samples()) > 50
    statuses, expected = [], set()
    for explanation, sample in zip(found, pydicom_samples(), strict=True):
        assert explanation["context"]["accepted"]
        assert explanation["sop_instance_uid"] == sample.sop_instance
        statuses += send(receiver.port, [sample])
        if explanation["path"]:
            expected.add(explanation["path"])
    assert [f"{status:04X}" for status in statuses] == [explanation["status"] for explanation in found]
    assert expected <= {f"out/{name}" for name in receiver.files()}
    receiver.wait_for_log("hook choose_subdir: plugin naming: text (")
    assert not re.search("hook .*nobody", receiver.log)


def test_the_advice_of_the_log_is_good(ours: Start) -> None:
    refusing = ours("-v")
    proposal = [(CT, [EXPLICIT_LE]), (MR, [JPEG, IMPLICIT_LE])]
    with RawAssociation(refusing.port) as association:
        association.send(associate_rq(proposal))
        assert association.read_pdu()[0] == ASSOCIATE_RJ
    refusing.wait_for_log("No Acceptable Presentation Contexts")
    lines = [line[2:].strip() for line in refusing.log.splitlines()]
    profile = lines[lines.index("[[TransferSyntaxes]]") : lines.index("or, in the settings file (--settings):")]
    tables = lines[lines.index("[[contexts]]") : lines.index("No Acceptable Presentation Contexts")]
    for arguments, name, text in (("-xf", "refused.cfg", profile), ("--settings", "refused.toml", tables)):
        more = ["Refused"] if arguments == "-xf" else []
        receiver = ours(arguments, name, *more, files={name: "\n".join(text) + "\n"})
        with RawAssociation(receiver.port, proposal) as association:
            assert [result for result, _ in association.accepted.values()] == [0, 0]
            association.release()


@pytest.mark.parametrize("option", ["--list-plugins", "--explain"])
def test_inspection_needs_an_answer_not_a_port(program: Path, directory: Path, option: str) -> None:
    done = run(program, option, "--json", *(["nowhere"] if option == "--explain" else []), cwd=directory)
    assert done.returncode == (option == "--explain")
    assert isinstance(json.loads(done.stdout), dict)
    assert list(directory.iterdir()) == []
