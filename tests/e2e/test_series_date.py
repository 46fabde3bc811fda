"""`+ssd`: the directory that each Series Date leads to, beside the real dcmrecv."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rawscu import EXPLICIT_LE, send
from receivers import Start
from samples import CT, Sample, instance_of

DATES = (
    b"20200102",
    b"20200102  ",
    b"2020.01.02",
    b"20200102\\20210304",
    b"20200230",
    b"20210229",
    b"20201131",
    b"00010101",
    b"0000.01.01",
    b"99991231",
    None,
    b"",
    b" 20200102",
    b"\\20200102",
    b"20200101-20200102",
    b"2020-01-02",
    b"2020",
    b"202001",
    b"20200102103000",
    b"00000000",
    b"20201301",
    b"20200132",
    b"20200100",
    b"20200102\0\0",
    b"yyyymmdd",
)
CASES = [(date, "DA") for date in DATES] + [(b"20200102", "LO"), (b"20200102", "UN")]


def directories(start: Start, config: Path, *options: str) -> dict[str, str]:
    """Series Date and VR -> directory, with the current date made anonymous."""
    receiver = start("-xf", config, "default", "+ssd", *options)
    samples = [
        Sample("", CT, f"1.2.{number}", EXPLICIT_LE, instance_of(CT, f"1.2.{number}", series_date=date, vr=vr))
        for number, (date, vr) in enumerate(CASES)
    ]
    assert send(receiver.port, samples) == [0] * len(samples)
    found = {}
    for name in receiver.files():
        directory, file = name.rsplit("/", 1)
        date, vr = CASES[int(file.rsplit(".", 1)[1])]
        found[f"{date!r} {vr}"] = re.sub(r"undef/20\d{6}$", "undef/TODAY", directory)
    assert len(found) == len(CASES)
    return found


@pytest.mark.dcmtk
def test_same_directories(ours: Start, original: Start, config: Path) -> None:
    mine, theirs = directories(ours, config), directories(original, config)
    assert mine == theirs
    assert set(mine.values()) > {"data/2020/01/02", "undef/TODAY"}


def test_bit_preserving_knows_the_date_too(ours: Start, config: Path) -> None:
    """The original refuses this combination: it names the file before it reads the data set."""
    found = directories(ours, config, "+B")
    assert found["b'20200102' DA"] == "data/2020/01/02"
    assert found["None DA"] == "undef/TODAY"
