"""Every DICOM file that comes with pydicom: the walker finds what pydicom finds."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pydicom
import pytest

from dcmrecv_core.api.errors import DataSetError
from dcmrecv_core.dataset.raw_values import split_header
from dcmrecv_core.dataset.scan import encoding_of, scan
from dcmrecv_core.dataset.sources import MemorySource
from dcmrecv_core.dataset.values import read_header
from support.data.samples import data_set_files, data_set_of
from support.data.sources import TinySource

BROKEN = {"MR_truncated.dcm", "rtplan_truncated.dcm", "DICOMDIR-nooffset"}  # all end too early
REMARKABLE = {
    "SC_rgb_jpeg.dcm": ["Implicit VR, against the transfer syntax"],
    "image_dfl.dcm": ["8 bytes after the deflated stream"],
    "nested_priv_SQ.dcm": ["(0001,0002) at 72: Odd length 9"],
}
FILES = data_set_files()


def test_there_are_samples() -> None:
    assert len(FILES) > 150


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_sample(path: Path) -> None:
    found = data_set_of(path)
    assert found is not None
    uid, data = found
    encoding = encoding_of(uid)
    assert encoding is not None
    source = MemorySource(memoryview(data))
    if path.name in BROKEN:
        with pytest.raises(DataSetError):
            scan(source, encoding, whole=True)
        return
    index = scan(source, encoding, whole=True)
    assert index.warnings == REMARKABLE.get(path.name, [])
    tiny = scan(TinySource(data, 32), encoding, whole=True)
    assert (tiny.elements, tiny.pixel_offset, tiny.warnings) == (index.elements, index.pixel_offset, index.warnings)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pydicom.dcmread(io.BytesIO(path.read_bytes()))
        header = read_header(index, encoding)
        assert set(expected.keys()) == set(index.elements)
        assert set(header.keys()) == {tag for tag, *_ in split_header(index)[0]}
        for tag in header.keys():  # noqa: SIM118  iterating a Dataset yields elements
            assert header[tag] == expected[tag]
