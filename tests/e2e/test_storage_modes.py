"""What is stored is what was sent, byte for byte, in every transfer syntax; a broken data set is not stored."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from rawscu import EXPLICIT_LE, RawAssociation
from receivers import Receiver, Start
from samples import CT, Sample, instance_of, made_samples, pydicom_samples, stored_file

CANNOT_UNDERSTAND = 0xC000

BROKEN_FILES = {"MR_truncated.dcm", "rtplan_truncated.dcm"}
"""Files of pydicom's whose data sets end inside a value."""

BIT_PRESERVING, NORMAL = ("-pm", "+B", "--no-fsync"), ("-pm", "--no-fsync")


def store_each(receiver: Receiver, samples: Sequence[Sample]) -> tuple[dict[str, int | None], list[str]]:
    """Statuses by name, and the names of those whose file does not hold exactly the bytes sent."""
    contexts = list(dict.fromkeys((sample.sop_class, sample.transfer_syntax) for sample in samples))
    statuses: dict[str, int | None] = {}
    differing = []
    with RawAssociation(receiver.port, [(abstract, [syntax]) for abstract, syntax in contexts]) as association:
        for name, sop_class, instance, syntax, data in samples:
            context_id = 2 * contexts.index((sop_class, syntax)) + 1
            assert association.accepted[context_id] == (0, syntax), f"{name}: {sop_class} in {syntax}"
            statuses[name] = association.store(sop_class, instance, data, context_id=context_id)
            stored = [receiver.output / file for file in receiver.files()]
            if [stored_file(path).data for path in stored] != [data]:
                differing.append(name)
            for path in stored:
                path.unlink()
        association.release()
    return statuses, differing


def test_the_samples_cover_the_transfer_syntaxes() -> None:
    assert len(pydicom_samples()) > 60
    assert len({sample.transfer_syntax for sample in made_samples()}) > 35


@pytest.mark.parametrize("samples", [pydicom_samples, made_samples], ids=["pydicom", "made"])
def test_bit_preserving(ours: Start, samples: object) -> None:
    sent = samples()  # type: ignore[operator]
    statuses, differing = store_each(ours(*BIT_PRESERVING), sent)
    assert {name: status for name, status in statuses.items() if status != 0} == {}
    assert differing == []


@pytest.mark.parametrize("samples", [pydicom_samples, made_samples], ids=["pydicom", "made"])
def test_normal_mode_too_unless_broken(ours: Start, samples: object) -> None:
    sent = samples()  # type: ignore[operator]
    broken = BROKEN_FILES & {sample.name for sample in sent}
    statuses, differing = store_each(ours(*NORMAL), sent)
    expected = dict.fromkeys(statuses, 0) | dict.fromkeys(broken, CANNOT_UNDERSTAND)
    assert statuses == expected
    assert set(differing) == broken


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
