"""Each association has a process of its own; a silent, slow or killed one does not hold up the others."""

from __future__ import annotations

import contextlib
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import identification, instance_of, pixel_data_header
from support.data.samples import pydicom_files
from support.programs.receivers import Start, dcmtk
from support.protocol.pdus import store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

INSTANCE = "1.2.3.4"
DATA = instance_of(CT, INSTANCE)
CONTEXTS = [(CT, [EXPLICIT_LE])]

BY_PROCESS = """\
import os
from dcmrecv_core import hookimpl

@hookimpl
def choose_subdir(instance):
    return str(os.getpid())
"""


def test_four_associations_in_four_processes(ours: Start) -> None:
    receiver = ours("-pm", "--plugin", "by_process", files={"by_process.py": BY_PROCESS})
    with contextlib.ExitStack() as stack:
        associations = [stack.enter_context(RawAssociation(receiver.port, CONTEXTS)) for _ in range(4)]
        assert [association.store(CT, INSTANCE, DATA) for association in associations] == [0] * 4
        processes = {int(name.split("/")[0]) for name in receiver.files()}
        assert processes <= receiver.workers()
        for association in associations:
            association.release()
    assert len(processes) == 4


@pytest.mark.dcmtk
def test_four_senders_at_once(ours: Start) -> None:
    receiver = ours("-pm", "+fu")
    files = [path for path in pydicom_files() if path.name in ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm")]
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(dcmtk, "storescu", "-R", "localhost", receiver.port, *files * 5) for _ in range(4)]
        assert [done.result().returncode for done in runs] == [0] * 4
    assert len(receiver.files()) == 4 * 5 * len(files)


def test_killed_worker_leaves_nothing_and_is_replaced(ours: Start) -> None:
    receiver = ours("-pm")
    with RawAssociation(receiver.port, CONTEXTS) as association:
        association.request(
            store_rq(CT, INSTANCE),
            [identification(CT, INSTANCE) + pixel_data_header(8 << 20), bytes(4 << 20)],
            last=False,
        )
        victim = receiver.worker_serving(association.local_port)
        os.kill(victim, signal.SIGKILL)
        assert association.read_pdu() == (0, b"")
    until(lambda: receiver.workers() - {victim}, "the worker is replaced", seconds=5)
    assert receiver.files() == []
    with RawAssociation(receiver.port, CONTEXTS) as association:
        assert association.store(CT, INSTANCE, DATA) == 0
        association.release()
    assert receiver.files() == [f"CT.{INSTANCE}"]
