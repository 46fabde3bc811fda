"""Changes inside the values of a header are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dcmrecv_core.testing import fake_instance, sample_dataset
from dcmrecv_core.testing.header_values import values_of


def header() -> tuple[Dataset, Dataset]:
    item = Dataset()
    item.ImageType = ["ORIGINAL", "PRIMARY"]
    item.PatientName = "Müller^Jörg"
    dataset = sample_dataset(
        ImageType=["ORIGINAL", "PRIMARY"],
        PatientName="Müller^Jörg",
        ReferencedImageSequence=[item],
    )
    dataset.private_block(0x0029, "ACME 1.1", create=True).add_new(0x01, "DS", ["1.5", "2.5"])
    instance = fake_instance(dataset)
    return instance.copy_header(), instance.header


CHANGES: dict[str, tuple[Callable[[Dataset], Any], bool]] = {
    "nothing": (str, False),
    "entry": (lambda h: h.ImageType.append("AXIAL"), True),
    "number": (lambda h: h[0x00291001].value.__setitem__(0, "3.5"), True),
    "entry in an item": (
        lambda h: h.ReferencedImageSequence[0].ImageType.__setitem__(0, "DERIVED"),
        True,
    ),
    "two": (
        lambda h: (h.ImageType.clear(), h.ReferencedImageSequence[0].ImageType.clear()),
        True,
    ),
}


@pytest.mark.parametrize(("change", "found"), CHANGES.values(), ids=CHANGES)
def test_changes_inside_values_are_found(change: Callable[[Dataset], Any], found: bool) -> None:
    before, after = header()
    change(after)
    assert (values_of(before) != values_of(after)) == found


def test_added_removed_and_set_elements_are_found() -> None:
    before, _ = header()
    for change in ("StudyDate", "PatientAge", "PatientName"):
        after, _ = header()
        if change == "StudyDate":
            del after.StudyDate
        else:
            setattr(after, change, "017Y")
        assert values_of(after) != values_of(before), change
