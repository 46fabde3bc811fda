"""Converts keys, certificates and revocation lists from DER to PEM, which Python's `ssl` reads."""

from __future__ import annotations

import base64
import errno
import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

_SEQUENCE, _INTEGER, _OCTET_STRING = 0x30, 0x02, 0x04
_LONGEST = 60_000
"""Bytes of PEM: it is written to a pipe before anything reads, and a pipe holds 64 KiB."""


def pem(label: str, der: bytes) -> bytes:
    """`der` in PEM (RFC 7468)."""
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()


def key_label(der: bytes) -> str:
    """The PEM label of a private key: PKCS #8, encrypted or not (RFC 5958), PKCS #1 (RFC 8017) or SEC 1 (RFC 5915).

    They differ in their first elements. PKCS #8: version and algorithm, or, encrypted, the encryption's algorithm;
    PKCS #1: version and modulus; SEC 1: version and the key as octets. Raises ValueError for anything else.
    """
    if not der.startswith(bytes([_SEQUENCE])):
        raise ValueError("not a private key in DER")
    first = _content(der, 0)
    if der[first : first + 1] == bytes([_SEQUENCE]):
        return "ENCRYPTED PRIVATE KEY"
    second = _content(der, first) + 1  # a version is one octet
    labels = {_SEQUENCE: "PRIVATE KEY", _INTEGER: "RSA PRIVATE KEY", _OCTET_STRING: "EC PRIVATE KEY"}
    kind = der[second] if der[first : first + 1] == bytes([_INTEGER]) and second < len(der) else None
    if kind not in labels:
        raise ValueError("not a private key in DER")
    return labels[kind]


def _content(der: bytes, offset: int) -> int:
    """Where the content of the element at `offset` begins."""
    length = der[offset + 1] if offset + 1 < len(der) else 0
    return offset + 2 + (length & 0x7F if length & 0x80 else 0)


@contextmanager
def readable(path: str, label: str | None) -> Iterator[str]:
    """A path from which OpenSSL can read the DER file `path` as PEM; `path` itself without `label`.

    It is a pipe that can be read once, so that no key is written to a disk. Raises OSError.
    """
    if label is None:
        yield path
        return
    with open(path, "rb") as file:
        data = pem(label, file.read(_LONGEST))
    if len(data) > _LONGEST:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
        os.close(writing)
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)
