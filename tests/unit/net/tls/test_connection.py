"""Subjects of certificates as text."""

from __future__ import annotations

import pytest

from dcmrecv_core.net.tls.connection import subject_text


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (((("countryName", "DE"),), (("commonName", "ct1"),)), "CN=ct1,C=DE"),
        (((("commonName", "a"), ("userId", "b")),), "CN=a+UID=b"),
        (((("commonName", ' a,b+"\\\n '),),), 'CN=\\ a\\,b\\+\\"\\\\\\0A\\ '),
        ((), ""),
    ],
)
def test_subjects(subject: object, text: str) -> None:
    assert subject_text(subject) == text
