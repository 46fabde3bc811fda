"""Whether a file that is to be kept is whole: compared with another data set of the same instance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dcmrecv_core.storage.content import FileContent
from dcmrecv_core.storage.existing import find_existing
from dcmrecv_core.storage.file_meta import file_prefix
from support.data.datasets import identification, pixel_data
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE

UNKNOWN = "1.2.3.4.99"
BEFORE_PIXELS = identification(CT, "1.2.3")
LARGE = BEFORE_PIXELS + pixel_data(1 << 20)
"""Several times what is compared at once."""
BLACK = BEFORE_PIXELS + pixel_data(512)[:12] + bytes(512)


def is_whole(path: Path, stored: bytes, received: bytes, stored_as: str = EXPLICIT_LE, received_as: str = "") -> bool:
    path.write_bytes(file_prefix(CT, "1.2.3", stored_as) + stored)
    existing = find_existing(str(path))
    assert existing is not None
    with existing:
        return existing.is_whole(FileContent(file_prefix(CT, "1.2.3", received_as or stored_as), [received]))


TORN: dict[str, Callable[[bytes], bytes]] = {
    "cut in an element": lambda data: data[:-10],
    "cut before Pixel Data": lambda data: data[: len(BEFORE_PIXELS)],
    "cut between two elements": lambda data: data[: data.index(b"\x10\0\x10\0PN")],
    "zeros from Pixel Data on": lambda data: data[: len(BEFORE_PIXELS)].ljust(len(data), b"\0"),
    "zeros from half of Pixel Data on": lambda data: data[: len(data) // 2].ljust(len(data), b"\0"),
    "zeros from where a comparison begins": lambda data: data[: 1 << 19].ljust(len(data), b"\0"),
    "zeros only": lambda data: bytes(len(data)),
    "nothing": lambda data: b"",
}


@pytest.mark.parametrize("tear", TORN.values(), ids=list(TORN))
@pytest.mark.parametrize("syntax", [EXPLICIT_LE, UNKNOWN])
def test_a_beginning_is_not_whole(tmp_path: Path, tear: Callable[[bytes], bytes], syntax: str) -> None:
    assert not is_whole(tmp_path / "x", tear(LARGE), LARGE, syntax)


@pytest.mark.parametrize(
    ("stored", "received"),
    [
        (LARGE, LARGE),
        (LARGE, BEFORE_PIXELS),
        (LARGE + bytes(1 << 20), LARGE),
        (BLACK, BLACK),
        (BLACK + bytes(64), BLACK),
        (BEFORE_PIXELS.replace(b"Jane", b"Joan"), LARGE),
    ],
    ids=["equal", "with more elements", "padded", "ends in zeros", "ends in zeros, padded", "another content"],
)
def test_a_whole_one(tmp_path: Path, stored: bytes, received: bytes) -> None:
    assert is_whole(tmp_path / "x", stored, received)


def test_with_padding_in_what_was_received(tmp_path: Path) -> None:
    assert is_whole(tmp_path / "x", BLACK, BLACK + bytes(1 << 19))


def test_in_an_unknown_encoding_it_is_not_shorter(tmp_path: Path) -> None:
    lengths = {length: is_whole(tmp_path / "x", b"x" * length, b"y" * 10, UNKNOWN) for length in (1, 9, 10, 11)}
    assert lengths == {1: False, 9: False, 10: True, 11: True}
    assert not is_whole(tmp_path / "x", b"", b"", UNKNOWN)


def test_in_another_transfer_syntax_bytes_say_nothing(tmp_path: Path) -> None:
    assert is_whole(tmp_path / "x", BEFORE_PIXELS, LARGE, received_as=IMPLICIT_LE)
