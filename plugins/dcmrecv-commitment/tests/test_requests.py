"""N-ACTION requests that are odd, each with its status; and the title that may ask."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dcmrecv_commitment.requests import MOST_REFERENCES, STORAGE_COMMITMENT, Asked, Reference, request_of
from dcmrecv_core import Association, Command, Request, Service, StatusError
from dcmrecv_core.testing import Receiver, fake_association
from support.servers.requestor import CT, Requestor, asking_for, request

Start = Callable[..., Receiver]

INSTANCE = "1.2.840.10008.1.20.1.1"


class Given(Request):
    """A request with this data set."""

    transfer_syntax_uid = "1.2.840.10008.1.2.1"

    def __init__(self, dataset: Dataset | None, **fields: object) -> None:
        known = {"service": Service.N_ACTION, "sop_instance_uid": INSTANCE, "action_type_id": 1, **fields}
        self.command = Command(message_id=1, sop_class_uid=STORAGE_COMMITMENT, **known)  # type: ignore[arg-type]
        self._dataset = dataset

    @property
    def dataset(self) -> Dataset | None:
        return self._dataset


def association() -> Association:
    return fake_association(calling_ae_title="CT1", called_ae_title="ARCHIVE")


def status_of(dataset: Dataset | None, **fields: object) -> tuple[int, tuple[int, ...]]:
    with pytest.raises(StatusError) as error:
        request_of(association(), Given(dataset, **fields))
    return error.value.status, error.value.elements


def test_a_good_one() -> None:
    asked = request_of(association(), Given(asking_for("9.1", "1.2.3", ("1.2", "1.2.4"))))
    assert asked == Asked("CT1", "ARCHIVE", "9.1", (Reference(CT, "1.2.3"), Reference("1.2", "1.2.4")))


def test_what_is_no_request_for_storage_commitment() -> None:
    good = asking_for("9.1", "1.2.3")
    assert status_of(good, service=Service.N_GET) == (0x0211, ())
    assert status_of(good, sop_instance_uid="1.2.840.10008.1.20.1.2") == (0x0112, ())
    assert status_of(good, action_type_id=2) == (0x0123, ())


def without(keyword: str) -> Dataset:
    dataset = asking_for("9.1", "1.2.3")
    del dataset[keyword]
    return dataset


def with_item(**elements: str) -> Dataset:
    dataset = asking_for("9.1", "1.2.3")
    item = dataset.ReferencedSOPSequence[0]
    for keyword, value in elements.items():
        item.add_new(keyword, "LT", value)
    return dataset


@pytest.mark.parametrize(
    ("dataset", "tag"),
    [
        (None, None),
        (without("TransactionUID"), 0x00081195),
        (asking_for("", "1.2.3"), 0x00081195),
        (without("ReferencedSOPSequence"), 0x00081199),
        (asking_for("9.1"), 0x00081199),
        (with_item(ReferencedSOPClassUID=""), 0x00081150),
        (with_item(ReferencedSOPInstanceUID=""), 0x00081155),
        (with_item(ReferencedSOPInstanceUID="1.2.x"), 0x00081155),
        (with_item(ReferencedSOPInstanceUID="1.2\\1.3"), 0x00081155),
        (with_item(ReferencedSOPInstanceUID="1" * 65), 0x00081155),
    ],
)
def test_what_lacks_something(dataset: Dataset | None, tag: int | None) -> None:
    assert status_of(dataset) == (0x0115, () if tag is None else (tag,))


def test_a_sequence_that_is_none() -> None:
    dataset = without("ReferencedSOPSequence")
    dataset.add_new(0x00081199, "LO", "1.2.3")
    assert status_of(dataset) == (0x0115, (0x00081199,))


def test_more_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcmrecv_commitment.requests.MOST_REFERENCES", 2)
    assert request_of(association(), Given(asking_for("9.1", "1.1", "1.2"))).references
    assert status_of(asking_for("9.1", "1.1", "1.2", "1.3")) == (0x0213, ())
    assert MOST_REFERENCES == 20_000


def test_in_a_receiver(start: Start, requestor: Requestor) -> None:
    receiver = start(requestor.port)
    good = asking_for("9.1", "1.2.3")
    assert request(receiver.port, good, action=2).Status == 0x0123
    assert request(receiver.port, good, instance="1.2.3").Status == 0x0112
    assert request(receiver.port, without("TransactionUID")).Status == 0x0115
    refused = request(receiver.port, good, title="CT2")
    assert (refused.Status, refused.ErrorComment) == (0x0124, "No address is configured for CT2")
    receiver.wait_for_log("No address is configured for CT2")
    assert request(receiver.port, without("TransactionUID"), title="CT2").Status == 0x0124, "not even decoded"
    assert not (receiver.state_directory / "commitment").exists()
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        assert request(receiver.port, good, syntax=syntax).Status == 0
        assert requestor.report().failed == {(CT, "1.2.3"): 0x0112}
