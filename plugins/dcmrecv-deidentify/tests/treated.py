"""A configured plugin, and what becomes of data sets in it."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydicom.dataset import Dataset
from pydicom.filereader import dcmread, read_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcmrecv_core import Refuse, codecs_of
from dcmrecv_core.testing import fake_instance, fake_settings, sample_dataset
from dcmrecv_deidentify import DeidentifyPlugin
from dcmrecv_deidentify.encoded.elements import FORMATS, Format

EXPLICIT = FORMATS[True, True]
PIXELS = bytes(range(16))
UNDEFINED = 0xFFFFFFFF


class Stored(NamedTuple):
    """What would be stored: the data set, and all bytes of the file."""

    dataset: Dataset
    data: bytes
    sop_instance_uid: str


class Site:
    """A plugin with these options of the profile; the others by their keys."""

    def __init__(self, directory: Path, options: Sequence[str] = (), **others: Any) -> None:
        self.directory = directory
        self.plugin = DeidentifyPlugin()
        values = {"deidentify_key": directory / "key", "deidentify_options": list(options), **others}
        self.plugin.configure(fake_settings(self.plugin, options=values, output_directory=directory / "output"))

    def judge(self, dataset: Dataset | None = None, **elements: Any) -> Refuse | None:
        """What the plugin says of a sample with these elements."""
        return self.plugin.receive(fake_instance(dataset or sample_dataset(**elements), in_receive=True))

    def store(self, dataset: Dataset | None = None, **elements: Any) -> Stored:
        """What would be stored."""
        instance = fake_instance(dataset or sample_dataset(**elements), in_receive=True)
        refusal = self.plugin.receive(instance)
        assert refusal is None, refusal
        with instance.open() as stream:
            data = stream.read()
            stream.seek(0)
            read = dcmread(stream)
        assert read.PixelData == PIXELS
        return Stored(read, data, instance.sop_instance_uid)

    def store_with(self, *elements: bytes, syntax: str = ExplicitVRLittleEndian) -> Stored:
        """The same of the sample with further encoded elements, in the order of their tags."""
        return self.store(with_elements(elements, syntax))


def with_elements(elements: Iterable[bytes], syntax: str = ExplicitVRLittleEndian) -> Dataset:
    """The sample, with other elements as these very bytes."""
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    sample = fake_instance(sample_dataset(transfer_syntax_uid=syntax))
    with sample.open() as stream:
        received = dcmread(stream)
    given = read_dataset(io.BytesIO(b"".join(elements)), implicit, little)
    sets = given.get_item(0x00080005) or received.get_item(0x00080005)
    dataset = Dataset(dict(sorted({**dict(received.items()), **dict(given.items())}.items())))
    dataset.set_original_encoding(implicit, little, "iso8859" if sets is None else codecs_of(sets.value))
    dataset.file_meta = received.file_meta
    return dataset


def element(tag: int, vr: str, value: bytes | str | Sequence[Sequence[bytes]], fmt: Format = EXPLICIT) -> bytes:
    """An encoded element: a value, or the items of a sequence, each a sequence of encoded elements."""
    if isinstance(value, str):
        value = value.encode("latin-1")
    if not isinstance(value, bytes):
        value = b"".join(fmt.encode_item(b"".join(item)) for item in value)
    if len(value) % 2:
        value += b"\0" if vr in ("UI", "OB", "UN") else b" "
    return fmt.encode(tag, vr, value)


def undefined(tag: int, vr: str, items: Sequence[Sequence[bytes]]) -> bytes:
    """A sequence of undefined length, as its items, in explicit VR."""
    head = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr.encode(), 0, UNDEFINED)
    body = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED) + b"".join(item) + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
        for item in items
    )
    return head + body + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
