"""What a Specific Character Set means: the character sets of the standard, and no other codec of Python's."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import charset

from dcmrecv_core import codecs_of

NO_CHARACTER_SETS = [
    *("hex", "base64", "idna", "rot13", "zlib", "bz2", "UNDEFINED", "undefined", "punycode", "unicode_escape"),
    *("utf-16", "utf-7", "mbcs", "cp1252", "quopri", "uu", "NO SUCH SET", "ISO_IR 999", "ISO_IR 1000", "I\0O_IR 100"),
    *("ISO_IR \u0661\u0660\u0660", "\u00ff\u00fe", "ISO 8859-12", "x" * 70000),
]
ALLOWED = {codecs.lookup(codec).name for codec in [*charset.python_encoding.values(), "iso8859_15"]}


@pytest.mark.parametrize("term", [term for term in charset.python_encoding if term not in ("ISO 2022 GBK",)])
def test_terms_of_the_standard_are_pydicoms(term: str) -> None:
    assert codecs_of(term) == [charset.python_encoding[term]]
    assert codecs_of(f" {term} \0".encode()) == codecs_of(term)


@pytest.mark.parametrize("term", NO_CHARACTER_SETS, ids=lambda term: repr(term[:20]))
def test_what_is_no_character_set_means_the_default_repertoire(term: str) -> None:
    assert codecs_of(term) == ["iso8859"]
    assert codecs_of(f"ISO_IR 100\\{term}") == ["latin_1", "iso8859"]
    assert codecs_of(f"{term}\\ISO 2022 IR 87") == ["iso8859", "iso2022_jp"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *((term, "latin_1") for term in ("ISO_IR-100", "ISO-IR 100", "ISO IR 100", "iso_ir_100", "ISO-8859-1")),
        *((term, "iso2022_jp") for term in ("ISO2022 IR 87", "ISO_2022_IR_87", "ISO-2022-IR-87")),
        *((term, "UTF8") for term in ("UTF-8", "utf8", "ISO_IR_192", "ISO IR 192")),
        ("ISO_IR 203", "iso8859_15"),
        ("ISO_8859-15", "iso8859_15"),
        ("GB2312", "GB2312"),
    ],
)
def test_misspelt_terms(written: str, meant: str) -> None:
    assert codecs_of(written) == [meant]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", ["iso8859"]),
        ("\\ISO 2022 IR 87", ["iso8859", "iso2022_jp"]),
        ("ISO 2022 IR 6\\ISO 2022 IR 13\\ISO 2022 IR 87", ["iso8859", "shift_jis", "iso2022_jp"]),
        ("ISO_IR 192\\ISO 2022 IR 87", ["UTF8"]),
        ("ISO_IR 100\\ISO_IR 192\\GB18030", ["latin_1"]),
        ("\\" * 70000, ["iso8859"]),
    ],
)
def test_code_extensions(written: str, meant: list[str]) -> None:
    assert codecs_of(written) == meant


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(), st.text(), st.lists(st.sampled_from(NO_CHARACTER_SETS)).map("\\".join)))
def test_any_value_means_character_sets_of_the_standard(value: str | bytes) -> None:
    found = codecs_of(value)
    assert found
    assert {codecs.lookup(codec).name for codec in found} <= ALLOWED
