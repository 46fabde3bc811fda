"""The rules of a site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from treated import Site, element

from dcmrecv_deidentify.profile.rules import Rule

SITES = Callable[..., Site]


def stored(site: SITES, *rules: Rule, **elements: Any) -> Any:
    return site(rules=list(rules)).store(**elements).dataset


def test_keep(site: SITES) -> None:
    assert stored(site, Rule("StudyDescription", "keep"), StudyDescription="Trial 7").StudyDescription == "Trial 7"


def test_remove(site: SITES) -> None:
    assert "Manufacturer" not in stored(site, Rule("(0008,0070)", "remove"), Manufacturer="ACME")


def test_empty(site: SITES) -> None:
    assert stored(site, Rule("00080070", "empty"), Manufacturer="ACME").Manufacturer == ""


def test_replace(site: SITES) -> None:
    dataset = stored(site, Rule("InstitutionName", "replace", "Site 12"), InstitutionName="Saint Elsewhere")
    assert dataset.InstitutionName == "Site 12"


def test_replace_what_is_empty(site: SITES) -> None:
    assert stored(site, Rule("PatientComments", "replace", "ours"), PatientComments="").PatientComments == "ours"


def test_hash(site: SITES) -> None:
    rule = Rule("StationName", "hash")
    one, two = (stored(site, rule, StationName=name).StationName for name in ("CT1", "CT2"))
    assert one != two
    assert one == stored(site, rule, StationName="CT1").StationName
    assert len(one) == 16


def test_shift(site: SITES) -> None:
    dataset = stored(site, Rule("StudyDate", "shift"), StudyDate="20240301", SeriesDate="20240301")
    assert dataset.StudyDate not in ("", "20240301")
    assert dataset.SeriesDate == "19000101"


def test_in_sequences_too(site: SITES) -> None:
    inner = [element(0x00081030, "LO", "Trial 7")]
    result = site(rules=[Rule("StudyDescription", "keep")]).store_with(element(0x00081140, "SQ", [inner]))
    assert result.dataset[0x00081140].value[0].StudyDescription == "Trial 7"


def test_x_for_any_digit(site: SITES) -> None:
    rules = [Rule("0018,10xx", "remove"), Rule("0018,1020", "keep")]
    result = site(rules=rules).store_with(element(0x00181020, "LO", "1.0"), element(0x00181040, "LO", "IV"))
    assert result.dataset.SoftwareVersions == "1.0"
    assert "ContrastBolusRoute" not in result.dataset


def test_a_private_element(site: SITES) -> None:
    block = [
        element(0x00290011, "LO", "ACME 1"),
        element(0x00291108, "LO", "kept"),
        element(0x00291109, "LO", "Secret"),
        element(0x00291110, "LO", "Secret"),
    ]
    rules = [Rule("0029,xx08", "keep", creator="ACME 1"), Rule("0029,xx10", "hash", creator="ACME 1")]
    result = site(rules=rules).store_with(*block)
    private = result.dataset.private_block(0x0029, "ACME 1")
    assert private[0x08].value == "kept"
    assert len(private[0x10].value) == 16
    assert 0x09 not in private
    assert b"Secret" not in result.data


def test_a_large_private_element(site: SITES) -> None:
    block = [element(0x00290011, "LO", "ACME 1"), element(0x00291110, "OB", b"kept" * 20_000)]
    large = [*block, element(0x00291120, "OB", b"Secret" * 20_000)]
    result = site(rules=[Rule("0029,xx10", "keep", creator="ACME 1")]).store_with(*large)
    assert b"kept" * 20_000 in result.data
    assert b"Secret" not in result.data


def test_a_private_element_of_another_creator(site: SITES) -> None:
    block = [element(0x00290011, "LO", "ACME 2"), element(0x00291108, "LO", "Secret")]
    result = site(rules=[Rule("0029,xx08", "keep", creator="ACME 1")]).store_with(*block)
    assert b"Secret" not in result.data
    assert b"ACME 2" not in result.data


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Rule("PatientNam", "keep"), r"rules\[1\]: there is no element PatientNam; did you mean PatientName"),
        (Rule("0008,9999", "keep"), "not in the data dictionary"),
        (Rule("0029,1010", "keep"), "creator is needed"),
        (Rule("0028,xx10", "keep", creator="ACME"), "no private element"),
        (Rule("PatientName", "keep", creator="ACME"), "no private element"),
        (Rule("0029,xx10", "shift", creator="ACME"), "not for private elements"),
        (Rule("PatientName", "replace"), "replace needs one"),
        (Rule("PatientName", "keep", "x"), "replace needs one"),
        (Rule("PatientName", "replace", "Müller"), "ASCII"),
        (Rule("PatientName", "shift"), "not for an element of VR PN"),
        (Rule("Rows", "replace", "1"), "not for an element of VR US"),
        (Rule("Rows", "hash"), "not for an element of VR US"),
        (Rule("SOPInstanceUID", "keep"), "names the instance"),
        (Rule("SOPClassUID", "remove"), "no rule can change it"),
        (Rule("PixelData", "remove"), "pass unread"),
        (Rule("PatientIdentityRemoved", "remove"), "always YES"),
        (Rule("0012,006x", "remove"), "no rule can change it"),
        (Rule("LongitudinalTemporalInformationModified", "empty"), "no rule can change it: it says what"),
    ],
    ids=str,
)
def test_rules_that_mean_nothing(site: SITES, rule: Rule, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        site(rules=[rule])


@pytest.mark.parametrize(
    "rule", [Rule("PatientName", "keep"), Rule("0029,xx10", "keep", creator="ACME")], ids=["named", "private"]
)
def test_two_rules_for_one_element(site: SITES, rule: Rule) -> None:
    with pytest.raises(ValueError, match=r"rules\[2\].*a rule for it already"):
        site(rules=[rule, rule])
