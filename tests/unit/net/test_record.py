"""What is known of an association after its worker was killed."""

from __future__ import annotations

import os
import signal

import pytest

from dcmrecv_core.api.model import Association, ProposedContext, UserIdentity
from dcmrecv_core.api.outcomes import Ended, Summary
from dcmrecv_core.net.record import SIZE, AssociationRecord, RecordBoard, decode
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE

CONTEXTS = (
    ProposedContext(1, CT, (EXPLICIT_LE, IMPLICIT_LE), (True, False), b"\0\xff"),
    ProposedContext(3, CT, (IMPLICIT_LE,), None, b""),
    ProposedContext(5, "", ()),
)
ASSOCIATION = Association(
    "SCÄNNER",
    "ARCHIVE",
    "2001:db8::1",
    4711,
    "0123456789abcdef",
    CONTEXTS,
    UserIdentity(2, True, b"me\xff", b"secret"),
    "CN=scanner",
    implementation_class_uid="1.2",
    implementation_version_name="ACME",
)


def test_what_a_killed_worker_leaves() -> None:
    board = RecordBoard(2)
    record, other = board.record(1), board.record(0)
    pid = os.fork()
    if not pid:
        record.open(ASSOCIATION, 1000.0)
        record.count(1, 2, 3, 1 << 40)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    data = record.take(1007.5)
    assert data is not None
    assert decode(data) == (ASSOCIATION, Summary(1, 2, 3, 1 << 40, 7.5, Ended.LOST))
    assert record.take(1008.0) is None, "once"
    assert other.take(1008.0) is None


def test_an_association_that_ended_is_not_lost() -> None:
    record = RecordBoard(1).record(0)
    record.open(ASSOCIATION, 1000.0)
    record.close()
    record.count(1, 0, 0, 1)
    assert record.take(1001.0) is None
    record.open(ASSOCIATION, 1002.0)
    data = record.take(1003.0)
    assert data is not None
    assert decode(data)[1] == Summary(0, 0, 0, 0, 1.0, Ended.LOST), "the counts are those of this one"


@pytest.mark.parametrize("contexts", [128, 1000])
def test_a_large_request(contexts: int) -> None:
    proposed = tuple(ProposedContext(number, CT, (EXPLICIT_LE,) * 5) for number in range(contexts))
    record = RecordBoard(1).record(0)
    association = Association("A", "B", "192.0.2.7", 1, "1", proposed)
    record.open(association, 0.0)
    data = record.take(1.0)
    assert data is not None
    assert decode(data)[0].proposed == (proposed if contexts == 128 else ())


def test_an_identity_that_does_not_fit_is_not_kept() -> None:
    record = RecordBoard(1).record(0)
    identity = UserIdentity(4, False, bytes(SIZE // 2), b"")
    record.open(Association("A", "B", "192.0.2.7", 1, "1", user_identity=identity), 0.0)
    assert record.take(1.0) is None


def test_without_memory_it_does_nothing() -> None:
    record = AssociationRecord()
    record.open(ASSOCIATION, 0.0)
    record.count(1, 1, 1, 1)
    record.close()
    assert record.take(1.0) is None
