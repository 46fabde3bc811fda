"""Private keys and certificates in DER."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmrecv_core.net.tls import der


@pytest.mark.parametrize(
    ("data", "label"),
    [
        ("30 03 02 01 00 30 00", "PRIVATE KEY"),
        ("30 82 01 00 02 01 00 02 01 05", "RSA PRIVATE KEY"),
        ("30 03 02 01 01 04 00", "EC PRIVATE KEY"),
        ("30 03 30 00 04 00", "ENCRYPTED PRIVATE KEY"),
    ],
)
def test_kinds_of_keys(data: str, label: str) -> None:
    assert der.key_label(bytes.fromhex(data)) == label


@pytest.mark.parametrize(
    "data", [b"", b"0", b"0\x80", b"0\xff", b"-----BEGIN", b"0\x03\x02\x01\x00", b"0\x03\x04\x01\x00\x30"]
)
def test_what_is_no_key(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a private key in DER"):
        der.key_label(data)


def test_a_file_that_is_too_long_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(bytes(1 << 20))
    with pytest.raises(OSError, match="File too large"), der.readable(str(tmp_path / "long"), "CERTIFICATE"):
        pass
