"""How long certificates and revocation lists are valid. Python's `ssl` tells it of a connected peer's only."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

_BLOCK = re.compile(rb"-----BEGIN (CERTIFICATE|TRUSTED CERTIFICATE|X509 CRL)-----(.*?)-----END \1-----", re.DOTALL)
_INTEGER, _UTC_TIME, _GENERALIZED_TIME, _VERSION = 0x02, 0x17, 0x18, 0xA0

Kind = Literal["certificate", "revocation list"]


class Validity(NamedTuple):
    """The time after which a certificate or a revocation list is not accepted any more."""

    kind: Kind
    end: datetime


def validities(path: Path, kind: Kind, *, is_der: bool) -> Iterator[Validity]:
    """Those of all certificates or revocation lists in a file, or in the files of a directory. What cannot be read is
    left out: the start has said so. Raises OSError."""
    if path.is_dir():
        for file in sorted(path.iterdir()):
            if file.is_file():
                yield from validities(file, kind, is_der=is_der)
        return
    for data in _encoded(path.read_bytes(), kind, is_der=is_der):
        try:
            end = _end_of_list(data) if kind == "revocation list" else _end_of_certificate(data)
        except (ValueError, IndexError):
            continue
        if end is not None:
            yield Validity(kind, end)


def _encoded(content: bytes, kind: Kind, *, is_der: bool) -> Iterator[bytes]:
    if is_der:
        yield content
        return
    for label, base64 in _BLOCK.findall(content):
        if (label == b"X509 CRL") == (kind == "revocation list"):
            try:
                yield ssl.PEM_cert_to_DER_cert(
                    f"-----BEGIN CERTIFICATE-----{base64.decode('ascii')}-----END CERTIFICATE-----"
                )
            except ValueError:
                continue


def _end_of_certificate(der: bytes) -> datetime:
    """RFC 5280, section 4.1: version (optional), serial number, signature, issuer, validity."""
    elements = _elements(_inner(der))
    tag, _ = next(elements)
    before = 3 if tag == _VERSION else 2
    _, validity = list(elements)[before]
    _, end = _elements(validity)
    return _time(*end)


def _end_of_list(der: bytes) -> datetime | None:
    """Section 5.1: version (optional), signature, issuer, this update, next update (optional)."""
    elements = [element for element in _elements(_inner(der)) if element[0] != _INTEGER]
    following = elements[3]
    return _time(*following) if following[0] in (_UTC_TIME, _GENERALIZED_TIME) else None


def _inner(der: bytes) -> bytes:
    """The content of the first element in the first element: what is signed."""
    _, outer = next(_elements(der))
    _, signed = next(_elements(outer))
    return signed


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element (ITU-T X.690, section 8.1). Raises ValueError where one is cut off."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        if at + length > len(der):
            raise ValueError("cut off")
        yield tag, der[at : at + length]
        at += length


def _time(tag: int, content: bytes) -> datetime:
    """Sections 4.1.2.5.1 and 4.1.2.5.2: two digits of a year are those from 1950 on."""
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
