"""The digest in a record is that of the data set in the file, however that came there."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import examine_stored
from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE
from dcmrecv_core.receive.journaling import JournalingReceiver, make_receiver
from dcmrecv_core.receive.pipeline import SPOOL_SIZE, Outcome
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.journals.records import Record, read_records
from dcmrecv_core.storage.temporary import Capabilities
from dcmrecv_core.testing import fake_association, sample_dataset
from dcmrecv_core.testing.fakes import encode
from support.data.datasets import deflate
from support.plugins import hooks, load
from support.uids import CT, DEFLATED, EXPLICIT_LE


class Worker:
    """Receives what is sent to it."""

    def __init__(self, directory: Path, plugin: Any, **settings: Any) -> None:
        (directory / "out").mkdir()
        self._state = directory / "state"
        self._state.mkdir()
        made = Settings(output_directory=str(directory / "out"), state_dir=str(self._state), **settings)
        plugins = load(plugin)
        plugins.add_builtins(made)
        plugins.configure(made)
        receiver = make_receiver(made, plugins, Capabilities())
        assert isinstance(receiver, JournalingReceiver)
        self._receiver = receiver

    def send(self, data: bytes, syntax: str = EXPLICIT_LE, *, fragment: int = 0) -> Outcome:
        reception = self._receiver.begin(fake_association(), CT, "1.2.3", syntax, 7)
        size = fragment or len(data)
        for start in range(0, len(data), size):
            piece = memoryview(bytearray(data[start : start + size]))
            reception.write([piece], last=start + size >= len(data))
        return reception.finish()

    def records(self) -> list[Record]:
        paths = sorted((self._state / "journal").glob("*.journal"))
        return [read.record for path in paths for read in read_records(path.read_bytes()) if read.record]

    def check(self) -> None:
        """The last record has the digest of its file."""
        record = self.records()[-1]
        with open(os.fsdecode(record.location), "rb") as file:
            found = examine_stored(file)
        assert record.digest.decode() == found.digest
        assert record.size == found.size
        assert (found.sop_class_uid, found.transfer_syntax_uid) == (CT, record.transfer_syntax_uid.decode())
        assert found.sop_instance_uid == record.sop_instance_uid.decode()


def image(size: int = 1000) -> bytes:
    dataset = sample_dataset(SOPInstanceUID="1.2.3")
    dataset[0x7FE00010].value = random.Random(4).randbytes(size)
    return encode(dataset, EXPLICIT_LITTLE)


SIZES = (1000, 3 * SPOOL_SIZE)


@pytest.mark.parametrize("size", SIZES, ids=["in memory", "in a file"])
@pytest.mark.parametrize("fragment", [0, 16_370, SPOOL_SIZE + 2])
@pytest.mark.parametrize("mode", ["normal", "bit-preserving"])
def test_as_received(tmp_path: Path, size: int, fragment: int, mode: str) -> None:
    worker = Worker(tmp_path, hooks(deliver=lambda event: None), digest=True, storage_mode=mode)
    assert worker.send(image(size), fragment=fragment).status == 0
    worker.check()


@pytest.mark.parametrize("size", SIZES, ids=["in memory", "in a file"])
def test_deflated(tmp_path: Path, size: int) -> None:
    worker = Worker(tmp_path, hooks(deliver=lambda event: None), digest=True)
    assert worker.send(deflate(image(size)), DEFLATED, fragment=16_370).status == 0
    worker.check()


@pytest.mark.parametrize("size", SIZES, ids=["in memory", "in a file"])
@pytest.mark.parametrize("uid", ["1.2.3", "9.9"])
def test_after_a_plugin_has_changed_it(tmp_path: Path, size: int, uid: str) -> None:
    def receive(instance: Any) -> None:
        header = instance.copy_header()
        header.SOPInstanceUID = uid
        header.PatientID = "nobody"
        instance.replace_header(header)

    worker = Worker(tmp_path, hooks(deliver=lambda event: None, receive=receive), digest=True)
    assert worker.send(image(size), fragment=16_370).status == 0xB000
    worker.check()


def test_each_instance_has_its_own(tmp_path: Path) -> None:
    worker = Worker(tmp_path, hooks(deliver=lambda event: None), digest=True)
    for size in (*SIZES, 500, *reversed(SIZES)):
        worker.send(image(size), fragment=16_370)
        worker.check()
    digests = [record.digest for record in worker.records()]
    assert len(set(digests)) == 3
    assert digests[0] == digests[4]


def test_not_asked_for(tmp_path: Path) -> None:
    worker = Worker(tmp_path, hooks(deliver=lambda event: None))
    worker.send(image())
    assert [record.digest for record in worker.records()] == [b""]


def test_a_plugin_may_ask_for_it(tmp_path: Path) -> None:
    plugin = hooks(deliver=lambda event: None)
    plugin.dcmrecv_digest = True
    worker = Worker(tmp_path, plugin)
    worker.send(image())
    worker.check()
