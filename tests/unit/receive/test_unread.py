"""A data set of which nothing was converted is written without pydicom, with the same bytes."""

from __future__ import annotations

import io

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from dcmrecv_core.dataset.encodings import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from dcmrecv_core.receive import replacement
from dcmrecv_core.receive.unread import encode_unread
from support.data.datasets import Node, encode

NODES = (
    Node(0x00080005, "CS", b"ISO_IR 100"),
    Node(0x00081140, "SQ", [[Node(0x00081155, "UI", b"1.2\0")]]),
    Node(0x00100010, "PN", b"M\xfcller"),
    Node(0x00280010, "US", b"\1\2"),
    Node(0x00420011, "OB", b"\0\1"),
)
ENCODINGS = pytest.mark.parametrize("encoding", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG])


def unread(encoding: Encoding, codec: str = "latin_1") -> Dataset:
    """A data set as raw elements."""
    data = encode(NODES, encoding)
    read = read_dataset(io.BytesIO(data), not encoding.explicit, encoding.little)
    dataset = Dataset({tag: read.get_item(tag) for tag in read.keys()})  # noqa: SIM118
    dataset.set_original_encoding(not encoding.explicit, encoding.little, codec)
    return dataset


@ENCODINGS
def test_equal_bytes(encoding: Encoding) -> None:
    assert encode_unread(unread(encoding), encoding) == encode(NODES, encoding)


@ENCODINGS
def test_pydicom_is_not_called(encoding: Encoding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pydicom.filewriter.write_dataset", None)
    assert replacement.encode(unread(encoding), encoding) == encode(NODES, encoding)


def test_another_encoding() -> None:
    assert encode_unread(unread(EXPLICIT_LITTLE), IMPLICIT_LITTLE) is None
    assert encode_unread(unread(EXPLICIT_LITTLE), EXPLICIT_BIG) is None


def test_another_character_set() -> None:
    assert encode_unread(unread(EXPLICIT_LITTLE, "utf8"), EXPLICIT_LITTLE) is None


def test_a_converted_element() -> None:
    dataset = unread(EXPLICIT_LITTLE)
    assert dataset.Rows == 0x0201  # which converts it
    assert encode_unread(dataset, EXPLICIT_LITTLE) is None


@pytest.mark.parametrize(
    ("tag", "vr", "length", "value"),
    [
        (0x00100020, "LO", 3, b"odd"),
        (0x00100020, "LO", 0x10000, bytes(0x10000)),
        (0x00081140, "SQ", 0xFFFFFFFF, b""),
        (0x00020010, "UI", 2, b"1\0"),
        (0x00100020, None, 2, b"1 "),
        (0x00100020, "??", 2, b"1 "),
    ],
)
def test_what_pydicom_has_to_write(tag: int, vr: str | None, length: int, value: bytes) -> None:
    element = RawDataElement(BaseTag(tag), vr, length, value, 0, False, True)
    dataset = Dataset({element.tag: element})
    dataset.set_original_encoding(False, True, "iso8859")
    assert encode_unread(dataset, EXPLICIT_LITTLE) is None


def test_elements_out_of_order() -> None:
    dataset = unread(EXPLICIT_LITTLE)
    turned = Dataset(dict(reversed(list(dataset.items()))))
    turned.set_original_encoding(False, True, "latin_1")
    assert encode_unread(turned, EXPLICIT_LITTLE) is None
    assert replacement.encode(turned, EXPLICIT_LITTLE) == encode(NODES, EXPLICIT_LITTLE)
