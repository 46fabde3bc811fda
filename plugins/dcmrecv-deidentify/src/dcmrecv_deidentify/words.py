"""Cleaned texts: only words stay that say nothing about a person.

Those are words that the meanings of DICOM's codes have in lower case (so no names of persons), those of imaging in
`data/words.txt`, and small numbers. Whatever is a part of a name or an identifier of the same instance goes anyway.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any

from dcmrecv_deidentify.profile.table import read_data

_TOKEN = re.compile(r"[0-9]+(?:[^0-9A-Za-z]+[0-9]+)*|[A-Za-z][A-Za-z0-9]*")
"""Numbers with nothing but signs between them are one: a date, or a number of a telephone."""
_SMALL_NUMBER = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,2})?")
_WORD = re.compile(r"\b[a-z]{3,}\b")


@cache
def vocabulary() -> AbstractSet[str]:
    """Harmless words, in upper case."""
    from pydicom.sr import _concepts_dict

    words = set(read_data("words.txt").split())
    concepts: Any = _concepts_dict.concepts
    for scheme in concepts.values():
        for codes in scheme.values():
            for meaning, _ in codes.values():
                words.update(word.upper() for word in _WORD.findall(meaning))
    return words


def cleaned(value: bytes, identifying: AbstractSet[str]) -> bytes:
    """What may stay of a text; `identifying` are words in upper case that may not."""
    if b"\x1b" in value:
        return b""  # characters of other sets look like letters here
    known = vocabulary()
    return " ".join(
        token
        for token in _TOKEN.findall(value.decode("ascii", "replace"))
        if (_SMALL_NUMBER.fullmatch(token) or token.upper() in known) and token.upper() not in identifying
    ).encode()


def words_of(value: bytes) -> set[str]:
    """The words of a name or an identifier, in upper case."""
    return {word.upper() for word in re.findall(r"[A-Za-z0-9]+", value.decode("latin-1")) if len(word) > 1}
