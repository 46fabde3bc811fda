"""A broken data set is stored by --bit-preserving only. tests/promises: sound ones are stored unchanged."""

from __future__ import annotations

import pytest

from support.data.datasets import instance_of
from support.data.stored_files import stored_file
from support.programs.receivers import Start
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

CANNOT_UNDERSTAND = 0xC000
WHOLE = instance_of(CT, "1.2.3")


@pytest.mark.parametrize(
    "data",
    [WHOLE[:-1], WHOLE[:-512], WHOLE[:-516], WHOLE[:9], b"", b"\x08\x00"],
    ids=["in a value", "before a value", "in a header", "in the first value", "empty", "half a tag"],
)
def test_truncated_data_sets_are_refused_and_the_association_goes_on(ours: Start, data: bytes) -> None:
    receiver = ours("-pm")
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        assert association.store(CT, "1.2.3", data) == CANNOT_UNDERSTAND
        assert receiver.files() == []
        assert association.store(CT, "1.2.3", WHOLE) == 0
        association.release()
    assert stored_file(receiver.only_file()).data == WHOLE


@pytest.mark.parametrize("data", [WHOLE[:-1], b"", b"no data set at all"], ids=["truncated", "empty", "text"])
def test_bit_preserving_does_not_look(ours: Start, data: bytes) -> None:
    receiver = ours("-pm", "+B")
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        assert association.store(CT, "1.2.3", data) == 0
        association.release()
    assert stored_file(receiver.only_file()).data == data


def test_a_failed_resend_leaves_the_stored_copy(ours: Start) -> None:
    receiver = ours("-pm")
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        assert association.store(CT, "1.2.3", WHOLE) == 0
        assert association.store(CT, "1.2.3", WHOLE[:-1]) == CANNOT_UNDERSTAND
        association.release()
    assert stored_file(receiver.only_file()).data == WHOLE
