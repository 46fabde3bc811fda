"""PS3.15 table E.1-1: what becomes of each element under the profile and the options chosen.

The column of the profile comes from the package dicom-anonymizer, edition 2026c. What that lacks is in `data/`: the
columns of the options (edition 2026d, `options.tsv`) and table E.3.4-1 of content items (`content_items.tsv`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from dcmrecv_deidentify.profile.actions import Action

EDITION = "2026c"

RETAIN_UIDS = "retain-uids"
RETAIN_DEVICE = "retain-device-identity"
RETAIN_INSTITUTION = "retain-institution-identity"
RETAIN_PATIENT = "retain-patient-characteristics"
RETAIN_FULL_DATES = "retain-full-dates"
RETAIN_MODIFIED_DATES = "retain-modified-dates"
RETAIN_SAFE_PRIVATE = "retain-safe-private"
CLEAN_DESCRIPTORS = "clean-descriptors"
CLEAN_STRUCTURED_CONTENT = "clean-structured-content"

PROFILE_CODE = ("113100", "Basic Application Confidentiality Profile")
OPTIONS = {
    CLEAN_STRUCTURED_CONTENT: ("113104", "Clean Structured Content Option"),
    CLEAN_DESCRIPTORS: ("113105", "Clean Descriptors Option"),
    RETAIN_FULL_DATES: ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    RETAIN_MODIFIED_DATES: ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    RETAIN_PATIENT: ("113108", "Retain Patient Characteristics Option"),
    RETAIN_DEVICE: ("113109", "Retain Device Identity Option"),
    RETAIN_UIDS: ("113110", "Retain UIDs Option"),
    RETAIN_SAFE_PRIVATE: ("113111", "Retain Safe Private Option"),
    RETAIN_INSTITUTION: ("113112", "Retain Institution Identity Option"),
}
"""Options by their names, with code and meaning of CID 7050 (PS3.16)."""

CODES = ("X", "Z", "D", "U", "X/Z", "X/D", "Z/D", "X/Z/D", "X/Z/U*")
"""All codes of the profile."""

DATES = frozenset(("DA", "DT", "TM"))

_LATER: dict[int, str] = {
    0x3004007F: "X",  # Dose Calculation Model Name, new in 2026d
    0x04000500: "X",  # Encrypted Attributes Sequence: what it holds cannot be checked
}
"""Elements that the profile of dicom-anonymizer does not have."""

_PSEUDONYMS = frozenset(
    (
        0x00080050,  # Accession Number
        0x00100010,  # Patient's Name
        0x00100020,  # Patient ID
        0x00120040,  # Clinical Trial Subject ID
        0x00120042,  # Clinical Trial Subject Reading ID
        0x00200010,  # Study ID
        0x00400512,  # Container Identifier
        0x00400551,  # Specimen Identifier
    )
)
"""Replaced by pseudonyms where the profile says Z or D: what belonged together still does."""

ACQUISITION_CONTEXT = 0x00400555
"""Acquisition Context Sequence, of type 2 in PS3.3 section C.7.6.14."""

OF_REPORTS = (0x00081110, 0x00081111)
"""Referenced Study and Referenced Performed Procedure Step Sequence: of type 2 in structured reports and key object
selections (PS3.3 section C.17); elsewhere of type 3 with at least one item."""

CURVES, OVERLAYS = 0x5000, 0x6000
"""First groups of curves and overlays; all even groups up to xx1E belong to them, and others were used."""


@dataclass(frozen=True)
class Columns:
    """One row of a table: the code of the profile, and those of options by their names."""

    profile: str
    options: Mapping[str, str]

    def under(self, chosen: Iterable[str]) -> set[str]:
        """The codes of the options chosen."""
        return {self.options[option] for option in chosen if option in self.options}


@cache
def attributes() -> dict[int, Columns]:
    """Table E.1-1 by tag, without private attributes, curves and overlays. Raises ImportError, or ValueError for an
    edition of the library that is not understood."""
    from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as profile

    codes = dict(_LATER)
    for code in CODES:
        name = code.replace("/", "_").replace("*", "_STAR") + "_TAGS"
        codes |= {group << 16 | element: code for group, element in _pairs(getattr(profile, name))}
    options = {int(row.pop("tag"), 16): _codes_of(row) for row in _rows("options.tsv")}
    missing = options.keys() - codes.keys()
    if len(codes) < 600 or missing:
        raise ValueError("dicom-anonymizer has another table of actions than the one of PS3.15 " + EDITION)
    return {tag: Columns(code, options.get(tag, {})) for tag, code in codes.items()}


@cache
def content_items() -> dict[tuple[str, str], Columns]:
    """Table E.3.4-1 by coding scheme and code value of the concept name. Of two rows for one code that differ, the one
    that removes counts."""
    items: dict[tuple[str, str], Columns] = {}
    for row in _rows("content_items.tsv"):
        key = row.pop("scheme"), row.pop("code")
        columns = Columns(row.pop("profile"), _codes_of(row))
        if key not in items or columns.profile == "X":
            items[key] = columns
    return items


def _pairs(tags: Iterable[tuple[int, ...]]) -> Iterator[tuple[int, int]]:
    """The tags of one list; repeating groups, which have masks too, are treated apart."""
    for tag in tags:
        if len(tag) == 2:
            yield tag[0], tag[1]


def _rows(name: str) -> Iterator[dict[str, str]]:
    yield from csv.DictReader(read_data(name).splitlines(), delimiter="\t")


def read_data(name: str) -> str:
    """A file in `data/`."""
    return files("dcmrecv_deidentify.profile").joinpath("data", name).read_text("ascii")


def _codes_of(row: Mapping[str, str]) -> dict[str, str]:
    return {option: code for option, code in row.items() if code}


def action_of(tag: int, vr: str, columns: Columns, chosen: frozenset[str]) -> Action:
    """What becomes of the element with this row, VR and number, under the options chosen."""
    codes = columns.under(chosen)
    if "C" in codes and vr in DATES:  # also beside a K: a date that is shifted must not stand beside the true one
        return Action.SHIFT
    if "K" in codes:
        return Action.KEEP
    if "C" in codes:
        if vr == "SQ":
            return Action.CONTENT if CLEAN_STRUCTURED_CONTENT in columns.options else Action.KEEP
        return Action.CLEAN
    return _basic(tag, vr, columns.profile)


def _basic(tag: int, vr: str, code: str) -> Action:
    """Of `X/Z` and the like the first one that keeps the instance conformant whatever the type of the element is."""
    if tag in _PSEUDONYMS:
        return Action.HASH
    if code == "U" or (vr == "UI" and code.endswith("D")):
        return Action.UID
    if code == "X/Z/U*":
        return Action.KEEP  # sequences of references: their UIDs are replaced
    if vr == "SQ" and code in ("X/D", "X/Z", "X/Z/D"):
        return Action.EMPTY if tag in (ACQUISITION_CONTEXT, *OF_REPORTS) else Action.REMOVE  # others are of type 3
    if code.endswith("D"):
        return Action.DUMMY
    return Action.EMPTY if code.endswith("Z") else Action.REMOVE
