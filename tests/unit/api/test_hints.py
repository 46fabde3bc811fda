"""The hint for a misspelt name; all of them come from one function."""

from __future__ import annotations

import re

import pytest

from dcmrecv_core import did_you_mean
from support.paths import ROOT

NAMES = ("PatientID", "PatientName", "PatientSex", "Modality", "")


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("PatientId", NAMES, "did you mean PatientID?"),
        ("PatientNmae", ("PatientName", "Modality"), "did you mean PatientName?"),
        ("prot", ("root", "port", "mode"), "did you mean root or port?"),
        ("aaab", ("aaac", "aaad", "aaae", "aaaf"), "did you mean aaaf or aaae or aaad?"),
        ("--output-dir", ("--state-dir", "--output-directory", "--no-subdir"), "did you mean --output-directory?"),
        ("-t", ("-ta", "-td", "-v"), "did you mean -ta or -td?"),
        ("Pat", ("PatA", "PatB", "PatC", "PatD"), "did you mean PatD or PatC or PatB?"),
        ("Rows", NAMES, ""),
        ("", NAMES, ""),
        ("x", (), ""),
    ],
)
def test_similar_names(name: str, known: tuple[str, ...], hint: str) -> None:
    assert did_you_mean(name, known) == hint


def test_among_many_names_one_has_to_be_more_similar() -> None:
    assert did_you_mean("Modalyt", ["Modality"], similarity=0.95) == ""
    assert did_you_mean("modality", ["Modality"], similarity=1) == "did you mean Modality?"


def test_every_hint_comes_from_here() -> None:
    sources = [
        path
        for place in ("dcmrecv_core", "plugins")
        for path in (ROOT / place).rglob("*.py")
        if "tests" not in path.parts
    ]
    others = [path.name for path in sources if re.search(r"get_close_matches|[Dd]id you mean", path.read_text())]
    assert others == ["hints.py"]
