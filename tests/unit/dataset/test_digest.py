"""The digest of a data set, beside the one of xxhash's own."""

from __future__ import annotations

import random
import sys

import pytest
import xxhash

from dcmrecv_core.dataset import digest
from dcmrecv_core.dataset.digest import Digest, digest_of, is_available
from dcmrecv_core.dataset.sources import FileSource, MemorySource
from support.data.sources import unnamed_file

DATA = random.Random(9).randbytes(3_000_001)
EXPECTED = f"xxh128:{xxhash.xxh128(DATA).hexdigest()}"


def test_in_pieces() -> None:
    taken = Digest()
    for start in range(0, len(DATA), 16_381):
        taken.update(memoryview(DATA)[start : start + 16_381])
    assert taken.text() == EXPECTED


def test_of_memory_and_of_a_file() -> None:
    fd = unnamed_file()
    with open(fd, "wb", buffering=0) as file:
        file.write(b"what precedes it" + DATA)
        assert digest_of(MemorySource(memoryview(DATA))) == EXPECTED
        assert digest_of(FileSource(fd, 16, len(DATA))) == EXPECTED
        assert digest_of(FileSource(fd, 16, 0)) == f"xxh128:{xxhash.xxh128(b'').hexdigest()}"


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_available()
    monkeypatch.setitem(sys.modules, "xxhash", None)
    assert not is_available()
    assert digest.EXTRA == "dcmrecv[digest]"
