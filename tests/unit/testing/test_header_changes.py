"""Changes inside the values of a header are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dcmrecv_core.testing import fake_instance, sample_dataset
from dcmrecv_core.testing.header_changes import changed_elements


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


CHANGES: dict[str, tuple[Callable[[Dataset], Any], list[str]]] = {
    "nothing": (str, []),
    "entry": (lambda h: h.ImageType.append("AXIAL"), ["ImageType"]),
    "number": (lambda h: h[0x00291001].value.__setitem__(0, "3.5"), ["(0029,1001)"]),
    "entry in an item": (
        lambda h: h.ReferencedImageSequence[0].ImageType.__setitem__(0, "DERIVED"),
        ["ReferencedImageSequence"],
    ),
    "two": (
        lambda h: (h.ImageType.clear(), h.ReferencedImageSequence[0].ImageType.clear()),
        ["ImageType", "ReferencedImageSequence"],
    ),
}


@pytest.mark.parametrize(("change", "names"), CHANGES.values(), ids=CHANGES)
def test_changes_inside_values_are_found(change: Callable[[Dataset], Any], names: list[str]) -> None:
    before, after = header()
    change(after)
    assert changed_elements(before, after) == names
    assert changed_elements(after, before) == names


def test_added_removed_and_set_elements_are_found() -> None:
    before, _ = header()
    after, _ = header()
    del after.StudyDate
    after.PatientAge = "017Y"
    after.PatientName = "nobody"
    assert changed_elements(before, after) == ["StudyDate", "PatientName", "PatientAge"]


def test_values_that_cannot_be_encoded_are_compared_all_the_same() -> None:
    before, _ = header()
    after, _ = header()
    assert changed_elements(before, after) == []
    for changed in (before, after):
        changed.add_new(0x00280010, "US", "many")
    assert changed_elements(before, after) == []
    after[0x00280010].value = "more"
    assert changed_elements(before, after) == ["Rows"]
