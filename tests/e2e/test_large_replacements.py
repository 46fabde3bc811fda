"""A plugin that replaces whole data sets, within the memory of a worker."""

from __future__ import annotations

from pydicom.filereader import dcmread

from support.data.datasets import identification, pixel_data
from support.programs.receivers import Start
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

PLUGIN = """\
from pydicom import dcmread

from dcmrecv_core import hookimpl


@hookimpl
def receive(instance):
    with instance.open() as file:
        dataset = dcmread(file)
    dataset.PatientName = "nobody"
    instance.replace(dataset)
"""
SIZE = 60 << 20
LIMIT = "160M"
"""pydicom and this program need about 40 MB, the data set of the plugin 60 MB. Two more copies would not fit."""


def test_replace_needs_memory_for_one_copy(ours: Start) -> None:
    receiver = ours(
        *("-pm", "--no-fsync", "--worker-memory", LIMIT, "--plugin", "./plugin.py"),
        files={"plugin.py": PLUGIN},
        env={"OPENBLAS_NUM_THREADS": "1"},  # pydicom loads numpy if it is there, whose threads take as much again
    )
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        data = identification(CT, "1.2.3") + pixel_data(SIZE)
        assert association.store(CT, "1.2.3", data) == 0xB000, receiver.log
        association.release()
    dataset = dcmread(receiver.only_file())
    assert (dataset.PatientName, len(dataset.PixelData)) == ("nobody", SIZE)
