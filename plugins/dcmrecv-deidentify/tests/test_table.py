"""Each row of PS3.15 table E.1-1 (`data/table_e1_1.tsv`): in the library, and in what is stored, under each option."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag
from treated import Site, element

from dcmrecv_deidentify.encoded.values import SIZES
from dcmrecv_deidentify.profile import table

TABLE = Path(__file__).parent / "data" / "table_e1_1.tsv"
MARKS = {0x00120062, 0x00120063, 0x00120064, 0x00280303}
SECRET = "SECRETVALUE"
UID = "1.2.3.4.5.6789012345"
VALUES = {
    "AS": b"045Y",
    "DA": b"20040119",
    "DT": b"20040119072731",
    "TM": b"072731",
    "DS": b"4711.5",
    "IS": b"4711",
    "UI": UID.encode(),
    "PN": b"Secret^Value",
}


class Row(NamedTuple):
    tag: int
    profile: str
    options: dict[str, str]

    @property
    def vr(self) -> str:
        return dictionary_VR(self.tag).split(" or ")[0]


def rows() -> Iterator[Row]:
    """The rows with a single element."""
    with TABLE.open(newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t"):
            tag = row.pop("tag")
            if "x" not in tag and tag != "private":
                profile = row.pop("profile")
                offered = {option: code for option, code in row.items() if code and option != "clean-graphics"}
                yield Row(int(tag, 16), profile, offered)


ROWS = list(rows())
KNOWN = [row for row in ROWS if keyword_for_tag(row.tag) and row.tag >> 16 > 2]
"""Those that pydicom knows; others are removed whatever they are."""


def test_the_library_has_the_profile_of_the_table() -> None:
    assert len(ROWS) > 650
    found = {tag: columns.profile for tag, columns in table.attributes().items()}
    added = {0x04000500: "X"}  # by us, beyond the table
    assert found == {row.tag: row.profile for row in ROWS} | added


def test_the_options_are_those_of_the_table() -> None:
    found = {tag: dict(columns.options) for tag, columns in table.attributes().items() if columns.options}
    assert found == {row.tag: row.options for row in ROWS if row.options}
    assert {option for row in ROWS for option in row.options} <= table.OPTIONS.keys()


def test_every_code_has_an_action() -> None:
    assert {row.profile for row in ROWS} == set(table.CODES)
    assert {code for row in ROWS for code in row.options.values()} == {"K", "C"}


def value_of(vr: str) -> bytes:
    if vr in SIZES:
        return b"\7" * SIZES[vr]
    return VALUES.get(vr, SECRET.encode())


def encoded(row: Row) -> bytes:
    """An element with a value that is known again, in a sequence in each of its items."""
    if row.vr == "SQ":
        inner = (element(0x00080100, "SH", "C-1"), element(0x00100010, "PN", "Secret^Value"))
        return element(row.tag, "SQ", [inner])
    return element(row.tag, row.vr, value_of(row.vr))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[int, bytes | None]]:
    """The bytes of each row's element under an option ("" for none); None if it was removed."""
    made: dict[str, dict[int, bytes | None]] = {}

    def of(option: str) -> dict[int, bytes | None]:
        if option not in made:
            directory = tmp_path_factory.mktemp("site")
            (directory / "output").mkdir()
            site = Site(directory, [option] if option else [])
            made[option] = {}
            for start in range(0, len(KNOWN), 100):  # a header has room for so many, and each needs its own tag
                part = KNOWN[start : start + 100]
                result = site.store_with(*(encoded(row) for row in sorted(part)))
                for row in part:
                    raw = result.dataset.get_item(row.tag)
                    made[option][row.tag] = None if raw is None else raw.value or b""
        return made[option]

    return of


def check_profile(row: Row, value: bytes | None) -> None:
    """That the value is what the code of the profile says."""
    if row.tag in MARKS:
        return
    sent = encoded(row)[-len(value_of(row.vr)) :]
    if row.profile == "X":
        assert value is None
        return
    if row.vr == "SQ":
        assert value is None or b"Secret" not in value
        assert value is not None or row.profile.startswith("X/")
        return
    assert value is not None
    assert sent not in (value, value.strip(b" \0"))
    assert b"SECRET" not in value.upper()
    if row.profile == "Z" and row.tag not in table._PSEUDONYMS:
        assert value == b""
    if row.profile.endswith("D"):
        assert value.strip(b" ") != b""
    if row.profile == "U":
        assert value.startswith(b"2.25.")


def test_the_profile(stored: Callable[[str], dict[int, bytes | None]]) -> None:
    for row in KNOWN:
        check_profile(row, stored("")[row.tag])


@pytest.mark.parametrize("option", sorted(table.OPTIONS))
def test_an_option(option: str, stored: Callable[[str], dict[int, bytes | None]]) -> None:
    found = stored(option)
    kept = 0
    for row in KNOWN:
        code, value = row.options.get(option), found[row.tag]
        if row.tag in MARKS:
            continue
        if code is None:
            check_profile(row, value)
        elif row.vr == "SQ":
            assert value is None or b"Secret" not in value
        elif code == "K":
            assert value is not None and value.rstrip(b" \0") == value_of(row.vr), hex(row.tag)
            kept += 1
        elif row.vr == "TM":
            assert value == value_of("TM")
        else:
            assert value is None or value.strip(b" \0") not in (b"Secret^Value", value_of(row.vr)), hex(row.tag)
            assert b"SECRET" not in (value or b"")
    if option.startswith("retain-") and option not in (table.RETAIN_MODIFIED_DATES, table.RETAIN_SAFE_PRIVATE):
        assert kept >= 8


def test_what_the_option_is_called(site: Callable[..., Site]) -> None:
    chosen = [option for option in table.OPTIONS if option != table.RETAIN_FULL_DATES]
    dataset = site(*chosen).store().dataset
    assert dataset.PatientIdentityRemoved == "YES"
    codes = [(item.CodeValue, item.CodingSchemeDesignator) for item in dataset.DeidentificationMethodCodeSequence]
    assert codes == [("113100", "DCM"), *((table.OPTIONS[option][0], "DCM") for option in chosen)]
    assert "dcmrecv-deidentify" in dataset.DeidentificationMethod


@pytest.mark.parametrize(
    ("options", "said"),
    [((), "REMOVED"), ((table.RETAIN_MODIFIED_DATES,), "MODIFIED"), ((table.RETAIN_FULL_DATES,), "UNMODIFIED")],
)
def test_what_is_said_of_dates(site: Callable[..., Site], options: tuple[str, ...], said: str) -> None:
    assert site(*options).store().dataset.LongitudinalTemporalInformationModified == said


def test_both_options_for_dates(site: Callable[..., Site]) -> None:
    with pytest.raises(ValueError, match="not both"):
        site(table.RETAIN_FULL_DATES, table.RETAIN_MODIFIED_DATES)


def test_curves_and_overlays_go_as_a_whole(site: Callable[..., Site]) -> None:
    result = site().store_with(
        element(0x50000010, "US", b"\1\0"),
        element(0x50023000, "OW", b"ab"),
        element(0x60000010, "US", b"\1\0"),
        element(0x60003000, "OW", b"ab"),
        element(0x60024000, "LT", SECRET),
    )
    assert not [tag for tag in result.dataset.keys() if tag.group & 0xFF00 in (0x5000, 0x6000)]  # noqa: SIM118
