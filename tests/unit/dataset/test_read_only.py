"""A header can be read as any pydicom Dataset, and not be changed."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dcmrecv_core import Instance
from dcmrecv_core.dataset.read_only import ReadOnlyDataset
from dcmrecv_core.testing import fake_instance, sample_dataset


@pytest.fixture
def instance() -> Instance:
    inner = Dataset()
    inner.CodeValue = "inner"
    outer = Dataset()
    outer.CodeValue = "outer"
    outer.PurposeOfReferenceCodeSequence = [inner]
    dataset = sample_dataset(PatientID="0815", ImageType=["ORIGINAL", "PRIMARY"], ProcedureCodeSequence=[outer])
    dataset.private_block(0x0029, "ACME 1.1", create=True).add_new(0x01, "LO", "secret")
    return fake_instance(dataset, in_receive=True)


@pytest.fixture
def header(instance: Instance) -> Dataset:
    return instance.header


def outer(header: Dataset) -> Dataset:
    [item] = header.ProcedureCodeSequence
    assert isinstance(item, Dataset)
    return item


def inner(header: Dataset) -> Dataset:
    [item] = outer(header).PurposeOfReferenceCodeSequence
    assert isinstance(item, Dataset)
    return item


def attribute(name: str, value: Any) -> Callable[[Any], None]:
    return lambda changed: setattr(changed, name, value)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "keyword": attribute("PatientID", "1"),
    "new keyword": attribute("OtherPatientNames", "1"),
    "misspelt keyword": attribute("PatientId", "1"),
    "file meta": attribute("file_meta", None),
    "element": lambda h: h.__setitem__(0x00100020, DataElement(0x00100020, "LO", "1")),
    "value": lambda h: setattr(h["PatientID"], "value", "1"),
    "VR": lambda h: setattr(h["PatientID"], "VR", "SH"),
    "clear value": lambda h: h["PatientID"].clear(),
    "value by name": lambda h: setattr(h.data_element("PatientID"), "value", "1"),
    "value in iteration": lambda h: [setattr(element, "value", None) for element in h],
    "value in walk": lambda h: h.walk(lambda _, element: setattr(element, "value", None)),
    "value in values": lambda h: [h.PatientID, *(setattr(e, "value", None) for e in h.values() if not e.is_raw)],
    "value in items": lambda h: [h.PatientID, *(setattr(e, "value", None) for _, e in h.items() if not e.is_raw)],
    "value in elements": lambda h: [h.PatientID, *(setattr(e, "value", None) for e in h.elements() if not e.is_raw)],
    "add": lambda h: h.add(DataElement(0x00100020, "LO", "1")),
    "add_new": lambda h: h.add_new(0x00101010, "AS", "017Y"),
    "update": lambda h: h.update({"PatientID": "1"}),
    "setdefault": lambda h: h.setdefault("PatientAge", "017Y"),
    "delete keyword": lambda h: h.__delattr__("PatientID"),
    "delete tag": lambda h: h.__delitem__(0x00100020),
    "delete slice": lambda h: h.__delitem__(slice(0x00100000, 0x00110000)),
    "pop": lambda h: h.pop("PatientID"),
    "popitem": lambda h: h.popitem(),
    "clear": lambda h: h.clear(),
    "remove_private_tags": lambda h: h.remove_private_tags(),
    "private element": lambda h: h.private_block(0x0029, "ACME 1.1").add_new(0x02, "LO", "1"),
    "new private block": lambda h: h.private_block(0x0029, "OTHER", create=True),
    "delete private element": lambda h: h.private_block(0x0029, "ACME 1.1").__delitem__(0x01),
    "slice": lambda h: setattr(h[0x00100000:0x00110000], "PatientID", "1"),
    "sliced value": lambda h: setattr(h[0x00100000:0x00110000]["PatientID"], "value", "1"),
    "group": lambda h: setattr(h.group_dataset(0x0010), "PatientID", "1"),
    "item": lambda h: setattr(outer(h), "CodeValue", "1"),
    "item of an item": lambda h: setattr(inner(h), "CodeValue", "1"),
    "new in an item": lambda h: setattr(inner(h), "CodeMeaning", "1"),
    "delete in an item": lambda h: delattr(inner(h), "CodeValue"),
    "append an item": lambda h: h.ProcedureCodeSequence.append(Dataset()),
    "insert an item": lambda h: h.ProcedureCodeSequence.insert(0, Dataset()),
    "extend by items": lambda h: h.ProcedureCodeSequence.extend([Dataset()]),
    "add items": lambda h: h.ProcedureCodeSequence.__iadd__([Dataset()]),
    "set an item": lambda h: h.ProcedureCodeSequence.__setitem__(0, Dataset()),
    "delete an item": lambda h: h.ProcedureCodeSequence.__delitem__(0),
    "clear items": lambda h: outer(h).PurposeOfReferenceCodeSequence.clear(),
    "pop an item": lambda h: outer(h).PurposeOfReferenceCodeSequence.pop(),
    "replace a sequence": attribute("ProcedureCodeSequence", []),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_change_raises_and_names_what_to_call(instance: Instance, change: Callable[[Any], Any]) -> None:
    before = instance.copy_header()
    with pytest.raises(TypeError, match=r"copy_header\(\).*replace_header\(header\)"):
        change(instance.header)
    assert instance.header == before
    with pytest.raises(TypeError, match="copy_header"):  # nor afterwards, when all is decoded
        change(instance.header)
    assert instance.header == before == instance.copy_header()


def test_it_reads_as_any_dataset(header: Dataset, instance: Instance) -> None:
    plain = instance.copy_header()
    assert isinstance(header, Dataset)
    assert isinstance(header["PatientID"], DataElement)
    assert isinstance(header.ProcedureCodeSequence, Sequence)
    assert header == plain
    assert plain == header
    assert header["PatientID"] == plain["PatientID"]
    assert plain["PatientID"] == header["PatientID"]
    assert str(plain).endswith(str(header)), "after the File Meta Information of the copy"
    assert header.to_json_dict() == plain.to_json_dict()
    assert header.get("PatientID") == header.get(0x00100020).value == header[0x0010, 0x0020].value == "0815"
    assert header.get("PatientAge", "none") == "none"
    assert "PatientID" in header
    assert "PatientAge" not in header
    assert 0x00100020 in header
    assert [element.tag for element in header] == sorted(header.keys())
    assert header.private_creators(0x0029) == ["ACME 1.1"]
    assert header.private_block(0x0029, "ACME 1.1")[0x01].value == "secret"
    assert header.get_private_item(0x0029, 0x01, "ACME 1.1").value == "secret"
    assert header[0x00100000:0x00110000].PatientID == "0815"
    assert header.setdefault("PatientID", "1").value == "0815"
    assert header.get_item("PatientID").value == "0815"
    seen: list[str] = []
    header.walk(lambda _, element: seen.append(element.keyword))
    assert seen.count("CodeValue") == 2
    with pytest.raises(KeyError):
        header["PatientAge"]
    with pytest.raises(AttributeError):
        _ = header.PatientAge
    with pytest.raises(KeyError):
        header["NoKeyword"]
    assert header["00100020"].value == "0815"


def test_fault_24_the_header_names_a_keyword_like_the_unknown_one(header: Dataset) -> None:
    said = "there is no element PatientId; did you mean PatientID?"
    with pytest.raises(KeyError) as from_item:
        header["PatientId"]
    with pytest.raises(AttributeError) as from_attribute:
        _ = outer(header).PatientId
    assert from_item.value.args == from_attribute.value.args == (said,)
    assert header.get("PatientId", "none") == "none"
    with pytest.raises(AttributeError, match="no attribute 'patient'"):
        _ = header.patient


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, Dataset.copy], ids=["copy", "deepcopy", "Dataset.copy"])
@pytest.mark.parametrize("decoded", [False, True])
def test_a_copy_can_be_changed(header: Dataset, make: Callable[[Dataset], Dataset], decoded: bool) -> None:
    if decoded:
        str(header)
    changed = make(header)
    assert type(changed) is Dataset
    changed.PatientID = "1"
    changed["PatientName"].value = "1"
    inner(changed).CodeValue = "1"
    outer(changed).PurposeOfReferenceCodeSequence.append(Dataset())
    changed.remove_private_tags()
    assert (header.PatientID, inner(header).CodeValue, str(header.PatientName)) == ("0815", "inner", "Doe^Jane")
    assert header.private_creators(0x0029) == ["ACME 1.1"]


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_copies_of_parts_can_be_changed(header: Dataset, make: Callable[[Any], Any]) -> None:
    element = make(header["PatientID"])
    element.value = "1"
    items = make(header.ProcedureCodeSequence)
    items.append(Dataset())
    items[0].CodeValue = "1"
    assert (header.PatientID, outer(header).CodeValue, len(header.ProcedureCodeSequence)) == ("0815", "outer", 1)


def test_its_elements_can_be_put_into_another_dataset(header: Dataset) -> None:
    other = Dataset()
    other.update(header)
    for element in header:
        other.add(element)
    assert other == header


def test_it_can_be_sent_to_another_process(header: Dataset) -> None:
    assert pickle.loads(pickle.dumps(header)) == header


def test_a_new_element_stays_out_of_an_unchanged_header(header: Dataset) -> None:
    assert type(header) is ReadOnlyDataset
    with pytest.raises(TypeError):
        header.PatientAge = "017Y"
    assert "PatientAge" not in header


def test_a_dataset_made_of_a_header_shares_nothing_with_it(header: Dataset) -> None:
    assert str(header.PatientID) == "0815"
    made = Dataset(header)
    with pytest.raises(TypeError, match=r"instance\.header is read-only"):
        made.PatientID = "changed"
    made.PatientComments = "added"
    del made.ImageType
    assert (header.PatientID, "PatientComments" in header, "ImageType" in header) == ("0815", False, True)


def test_a_header_is_decoded_already(header: Dataset) -> None:
    header.decode()
    assert header.PatientID == "0815"
