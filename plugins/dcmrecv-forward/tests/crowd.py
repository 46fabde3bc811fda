"""Many instances for a receiver that forwards, and what its queues say of them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from peers import SECONDS
from wire import CT, EXPLICIT

from dcmrecv_core.testing import Receiver, fake_event, sample_dataset
from dcmrecv_forward.association import Association
from dcmrecv_forward.connection import Peer
from dcmrecv_forward.stored import opened, read_meta


def data_sets(count: int, studies: int) -> Iterator[tuple[str, bytes]]:
    """SOP Instance UIDs, each with its encoded data set; UIDs of equal length are exchanged in the bytes of one."""
    with opened(fake_event(sample_dataset(SOPInstanceUID="1.2.3.1000000", StudyInstanceUID="1.2.4.100"))) as file:
        file.seek(read_meta(file).offset)
        first = file.read()
    for number in range(count):
        uid, study = f"1.2.3.{1_000_000 + number}", b"1.2.4.%d" % (100 + number % studies)
        yield uid, first.replace(b"1.2.3.1000000", uid.encode()).replace(b"1.2.4.100", study)


def send(port: int, instances: Iterable[tuple[str, bytes]]) -> set[str]:
    """Send them in one association; returns their UIDs."""
    association = Association(Peer("127.0.0.1", port, "ROUTER", "CT1", SECONDS), [(CT, EXPLICIT)])
    uids = set()
    for uid, data in instances:
        response = association.store(1, CT, uid, io.BytesIO(data), len(data))
        assert response.status == 0, response
        uids.add(uid)
    association.release()
    return uids


def queues(receiver: Receiver) -> dict[str, Any]:
    """What `dcmrecvctl queue list` says; nothing is put aside."""
    command = [Path(sys.executable).with_name("dcmrecvctl"), "--state-dir", receiver.output / ".dcmrecv"]
    done = subprocess.run([*command, "queue", "list", "--json"], capture_output=True, timeout=SECONDS, check=True)
    listed = json.loads(done.stdout)
    assert listed["put_aside"] == []
    return {each["queue"]: each for each in listed["queues"]}
