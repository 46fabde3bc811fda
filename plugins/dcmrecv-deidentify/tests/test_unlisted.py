"""Elements that the table of the standard does not name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from treated import Site, element

SECRET = "SecretName"
SITES = Callable[..., Site]


@pytest.mark.parametrize(
    ("tag", "vr"),
    [
        (0x00100033, "LO"),
        (0x00100034, "LO"),
        (0x00181003, "LO"),
        (0x0074100C, "LO"),
        (0x21000160, "SH"),
        (0x30020020, "SH"),
        (0x30040006, "LO"),
    ],
)
def test_what_identifies_goes_though_the_table_has_it_not(site: SITES, tag: int, vr: str) -> None:
    result = site().store_with(element(tag, vr, SECRET))
    assert SECRET.encode() not in result.data
    assert result.dataset[tag].value == "REMOVED"


@pytest.mark.parametrize(
    ("tag", "vr"),
    [
        (0x00080010, "SH"),  # Recognition Code
        (0x00402006, "SH"),  # Placer Order Number / Imaging Service Request
        (0x00401060, "LO"),  # Requested Procedure Description (Trial)
        (0x0040A074, "OB"),  # Object Binary Identifier (Trial)
        (0x10101234, "US"),  # Zonal Map: numbers without end
        (0x7F020010, "OW"),  # Variable Pixel Data
        (0x7F020020, "OW"),  # Variable Coefficients SDVN
    ],
)
def test_retired_texts_and_bytes_go(site: SITES, tag: int, vr: str) -> None:
    result = site().store_with(element(tag, vr, SECRET))
    assert SECRET.encode() not in result.data


def test_retired_numbers_stay(site: SITES) -> None:
    place = element(0x00200030, "DS", "1\\2\\3"), element(0x00280005, "US", b"\2\0")
    result = site().store_with(*place)
    assert place[0] in result.data and place[1] in result.data


def test_devices_and_comments_under_options(site: SITES) -> None:
    device, comment = element(0x00181003, "LO", "CR 12"), element(0x30040006, "LO", "axial by Secretname")
    dataset = site("retain-device-identity", "clean-descriptors").store_with(device, comment).dataset
    assert dataset.DeviceID == "CR 12"
    assert dataset.DoseComment == "axial"
