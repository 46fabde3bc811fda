"""Small instances, each with data of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from support.data.datasets import PIXEL_DATA, element
from support.uids import CT

LARGE = 300_000
"""Bytes of the pixel data of one instance in 64: more than a socket holds."""


class Instance(NamedTuple):
    """A CT image; what it holds follows from its UIDs."""

    study: str
    uid: str

    @property
    def data(self) -> bytes:
        """Its data set in explicit VR little endian."""
        digest = hashlib.sha256(self.uid.encode()).digest()
        size = LARGE if digest[0] < 4 else 64 * digest[1] + 64
        texts = (
            (0x00080016, "UI", CT),
            (0x00080018, "UI", self.uid),
            (0x00080060, "CS", "CT"),
            (0x00100010, "PN", "Doe^Jane"),
            (0x00100020, "LO", f"P{self.study}"),
            (0x0020000D, "UI", self.study),
            (0x0020000E, "UI", f"{self.study}.1"),
        )
        header = b"".join(element(tag, vr, text.encode()) for tag, vr, text in texts)
        return header + element(PIXEL_DATA, "OW", (digest * (size // 32 + 1))[:size])


def instances(test: str, studies: int, images: int) -> Iterator[Instance]:
    """So many studies of so many instances, one study after the other; no other `test` has them."""
    root = f"1.2.45.{int.from_bytes(test.encode(), 'big')}"
    for number in range(studies):
        study = f"{root}.{number}"
        yield from (Instance(study, f"{study}.1.{image}") for image in range(images))


def data_set_of(file: bytes) -> bytes:
    """The data set of a DICOM file (PS3.10 section 7.1)."""
    assert file[128:132] == b"DICM"
    return file[144 + int.from_bytes(file[140:144], "little") :]
