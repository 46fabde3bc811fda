"""A receiver without a network: takes data sets, gives outcomes and files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
from pydicom.filereader import dcmread

from dcmrecv_core import Instance
from dcmrecv_core.dataset.encodings import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from dcmrecv_core.receive.pipeline import InstanceReceiver, Outcome, Reception
from dcmrecv_core.receive.spool import Spool
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.file_meta import file_prefix
from dcmrecv_core.storage.temporary import Capabilities
from support.data.datasets import Node, deflate, encode
from support.plugins import ASSOCIATION, found, hooks, load
from support.uids import BIG_ENDIAN, CT, DEFLATED, EXPLICIT_LE, IMPLICIT_LE

INSTANCE = "1.2.3.4.5"
UNKNOWN = "1.2.3.4.99"
PIXELS = bytes(range(256)) * 20
LARGE_VALUE = b"large " * 12000

HEAD = (
    Node(0x00080005, "CS", b"ISO_IR 192"),
    Node(0x00080016, "UI", CT.encode() + b"\0"),
    Node(0x00080018, "UI", INSTANCE.encode() + b"\0"),
    Node(0x00080021, "DA", b"20200102"),
    Node(0x00080060, "CS", b"CT"),
    Node(0x00100010, "PN", "Müller^Jörg".encode() + b" "),
    Node(0x00280010, "US", b"\x10\x10"),
    Node(0x00280011, "US", b"\x10\x10"),
)
PIXEL_DATA = Node(0x7FE00010, "OW", PIXELS)
LARGE_SEQUENCE = Node(
    0x00283000, "SQ", [[Node(0x00283002, "US", bytes((2, 2, 0, 0, 16, 0))), Node(0x00283006, "OW", LARGE_VALUE)]]
)
TRAILER = Node(0xFFFCFFFC, "OB", bytes(10))


def data_set(*more: Node, pixel_data: Node | None = PIXEL_DATA, encoding: Encoding = EXPLICIT_LITTLE) -> bytes:
    nodes = [*HEAD, *more, *([pixel_data] if pixel_data else [])]
    return encode(sorted(nodes, key=lambda node: node.tag), encoding)


def in_syntax(syntax: str, *more: Node) -> bytes:
    encoding = {IMPLICIT_LE: IMPLICIT_LITTLE, BIG_ENDIAN: EXPLICIT_BIG}.get(syntax, EXPLICIT_LITTLE)
    encoded = data_set(*more, encoding=encoding)
    return deflate(encoded) if syntax == DEFLATED else encoded


def dicom_file(
    path: Path, *more: Node, syntax: str = EXPLICIT_LE, sop_class: str = CT, instance: str = INSTANCE
) -> Path:
    """Write a DICOM file of the data set `in_syntax`."""
    path.write_bytes(file_prefix(sop_class, instance, syntax) + in_syntax(syntax, *more))
    return path


def receiver(
    root: Path, *plugins: object, capabilities: Capabilities | None = None, memory: int | None = None, **settings: Any
) -> InstanceReceiver:
    """With `memory` bytes for a data set before it is spooled into a file."""
    chosen = replace(Settings(output_directory=str(root)), **settings)
    loaded = load(*plugins)
    loaded.add_builtins(chosen)
    loaded.configure(chosen)
    made = InstanceReceiver(chosen, loaded, capabilities or Capabilities())
    if memory is not None:
        made.spool = Spool(bytearray(memory), chosen.max_instance)
    return made


def send(
    receiver: InstanceReceiver,
    data: bytes,
    *,
    syntax: str = EXPLICIT_LE,
    sop_class: str = CT,
    instance: str = INSTANCE,
    fragment: int = 1000,
) -> Outcome:
    reception = Reception(receiver, ASSOCIATION, sop_class, instance, syntax)
    for start in range(0, len(data), fragment):
        reception.write([memoryview(data)[start : start + fragment]])
    return reception.finish()


def in_receive(
    receiver: InstanceReceiver, data: bytes, function: Callable[[Instance], Any], **how: Any
) -> tuple[Any, Outcome]:
    """What `function` returns or raises in the hook `receive`, and the outcome of the instance."""
    results: list[Any] = []

    def receive(instance: Instance) -> None:
        try:
            results.append(function(instance))
        except Exception as error:
            results.append(error)

    receiver.plugins.add(found(hooks(receive=receive), "asking"))
    outcome = send(receiver, data, **how)
    [result] = results
    if isinstance(result, Exception):
        raise result
    return result, outcome


def stored_data(path: str | None) -> bytes:
    """The data set in a stored file: the bytes after its File Meta Information."""
    assert path is not None
    content = Path(path).read_bytes()
    assert content[:132] == bytes(128) + b"DICM"
    length = int.from_bytes(content[140:144], "little")
    return content[144 + length :]


def read(path: str | None) -> pydicom.FileDataset:
    assert path is not None
    return dcmread(path)
