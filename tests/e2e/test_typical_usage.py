"""The examples of the notes in the man page of DCMTK dcmrecv, word for word, with the port appended."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from support.data.samples import pydicom_files
from support.programs.receivers import Receiver, dcmtk, start_on_port, system_program

pytestmark = pytest.mark.dcmtk

[CT_SMALL] = [path for path in pydicom_files() if path.name == "CT_small.dcm"]


def read(path: Path) -> Dataset:
    """The data set without trailing padding, which dcmsend leaves out."""
    dataset = dcmread(path)
    dataset.pop("DataSetTrailingPadding", None)
    return dataset


UID_NAME = re.escape(f"./CT.{read(CT_SMALL).SOPInstanceUID}")
EXAMPLES = {
    "dcmrecv --verbose --config-file storescp.cfg default": UID_NAME,
    "dcmrecv -v -xf storescp.cfg default --series-date-subdir --short-unique-names --filename-extension .dcm": (
        r"\./data/1997/04/30/CT_[0-9a-f]{16}\.dcm"
    ),
    "dcmrecv -v -xf storescp.cfg default --bit-preserving": UID_NAME,
}
"""Each with the name of the stored file in the log."""


@pytest.mark.parametrize("whose", ["ours", "original"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_example(example: str, whose: str, program: Path, directory: Path, started: list[Receiver]) -> None:
    shutil.copy("/etc/dcmtk/storescp.cfg", directory)
    _, *arguments = shlex.split(example)
    receiver = (
        start_on_port(directory, program, *arguments)
        if whose == "ours"
        else start_on_port(directory, system_program("dcmrecv"), *arguments, clean_exit=-signal.SIGTERM)
    )
    started.append(receiver)
    done = dcmtk("dcmsend", "-v", "127.0.0.1", receiver.port, CT_SMALL)
    assert done.returncode == 0, done.stdout + done.stderr
    receiver.wait_for_log("Received Association Release Request")
    [name] = re.findall("^I: Stored received object to file: (.+)$", receiver.log, re.MULTILINE)
    assert re.fullmatch(EXAMPLES[example], name)
    stored, sent = read(directory / name), read(CT_SMALL)
    assert stored == sent
    assert stored.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
