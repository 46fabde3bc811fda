"""What no response and no report can carry is refused where the plugin makes it."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from dcmrecv_core import EventReport, Response


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0x10000, "1.2", "1.3"), ValueError),
        (("2", "1.2", "1.3"), TypeError),
        ((2, "", "1.3"), ValueError),
        ((2, "1.2", "1" * 65), ValueError),
        ((2, "1.2", "a"), ValueError),
        ((2, "1.2", "1.3", b"data"), TypeError),
    ],
)
def test_reports(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        EventReport(*arguments)


def test_responses() -> None:
    report = EventReport(2, "1.2", "1.3", Dataset())
    assert Response(0, report=report).report is report
    for wrong in (2, Dataset()):
        with pytest.raises(TypeError):
            Response(0, report=wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Response(0, b"data")  # type: ignore[arg-type]
