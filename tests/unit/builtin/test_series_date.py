"""Directories by Series Date."""

from __future__ import annotations

from datetime import datetime

import pytest

from dcmrecv_builtin import series_date
from dcmrecv_core import RawElement
from dcmrecv_core.api.model import TagLike
from support.plugins import FakeInstance


@pytest.mark.parametrize("vr", ["DA", ""])
@pytest.mark.parametrize(
    ("value", "directory"),
    [
        (b"20200102", "2020/01/02"),
        (b"20200102  ", "2020/01/02"),
        (b"2020.01.02", "2020/01/02"),
        (b"20200102\\20210304", "2020/01/02"),
        (b"20200230", "2020/02/30"),
        (b"00010101", "0001/01/01"),
        (b"0000.01.01", "0000/01/01"),
        (b"99991231", "9999/12/31"),
    ],
)
def test_series_date(value: bytes, directory: str, vr: str) -> None:
    assert series_date.choose_subdir(FakeInstance(RawElement(vr, value))) == f"data/{directory}"


UNDEFINED = (
    *(b"", b" 20200102", b"\\20200102", b"20200102-20200103", b"2020-01-02", b"2020", b"202001", b"20200102101010"),
    *(b"00000000", b"20201301", b"20200100", b"20200132", b"20200102\0", b"yyyymmdd", b"2020.0102", b"\xb2\xb0200102"),
)


@pytest.mark.parametrize(
    "element",
    [None, RawElement("UN", b"20200102"), RawElement("LO", b"20200102"), *(RawElement("DA", v) for v in UNDEFINED)],
    ids=repr,
)
def test_series_date_that_is_none(element: RawElement | None, monkeypatch: pytest.MonkeyPatch) -> None:
    today = datetime.now().strftime("undef/%Y%m%d")
    chosen = series_date.choose_subdir(FakeInstance(element))
    assert chosen in (today, datetime.now().strftime("undef/%Y%m%d"))


def test_series_date_of_any_length_is_not_read() -> None:
    class Long(FakeInstance):
        def raw(self, element: TagLike, limit: int | None = None) -> RawElement | None:
            assert limit is not None and limit <= 0x10000
            return super().raw(element, limit)

    assert series_date.choose_subdir(Long(RawElement("DA", b"20200102"))) == "data/2020/01/02"
