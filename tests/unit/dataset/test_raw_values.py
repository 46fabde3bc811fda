"""What is read without pydicom: UIDs and bytes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dcmrecv_core.dataset.elements import DataSetIndex
from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE
from dcmrecv_core.dataset.raw_values import read_uid
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.dataset.sources import MemorySource
from support.data.datasets import Node, encode


def walk(nodes: list[Node]) -> DataSetIndex:
    return scan(MemorySource(memoryview(encode(nodes, EXPLICIT_LITTLE))), EXPLICIT_LITTLE, whole=True)


@pytest.mark.parametrize(
    ("field", "uid"),
    [(b"1.2.3\0", "1.2.3"), (b"1.2.3  ", "1.2.3"), (b"1.2\0junk", "1.2"), (b"1.2\xff", "1.2ÿ"), (b"", "")],
)
def test_uid(field: bytes, uid: str) -> None:
    index = walk([Node(0x00080018, "UI", field), Node(0x00100020, "LO", b"")])
    assert read_uid(index, 0x00080018) == uid
    assert read_uid(index, 0x00080016) == ""
    assert len(read_uid(walk([Node(0x00080018, "UI", b"1" * 60000)]), 0x00080018)) > 64


def test_uids_and_raw_values_do_without_pydicom() -> None:
    code = """if True:
        import sys
        from dcmrecv_core.dataset.scan import scan
        from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE
        from dcmrecv_core.dataset.sources import MemorySource
        from dcmrecv_core.dataset.raw_values import read_uid
        from dcmrecv_core.dataset.values import get_raw
        data = bytes.fromhex("08001800 5549 0400 312e3200")
        index = scan(MemorySource(memoryview(data)), EXPLICIT_LITTLE, whole=True)
        assert read_uid(index, 0x00080018) == "1.2"
        assert get_raw(index, EXPLICIT_LITTLE, 0x00080018).value == bytes.fromhex("312e3200")
        assert "pydicom" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)}, timeout=30)
