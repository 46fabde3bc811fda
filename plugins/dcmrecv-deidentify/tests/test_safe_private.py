"""Private elements that may stay, with the option that says so."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from treated import Site, element

from dcmrecv_deidentify.encoded.values import check_for
from dcmrecv_deidentify.profile.safe_private import safe_elements

SITES = Callable[..., Site]
FACTOR = (element(0x70530010, "LO", "Philips PET Private Group"), element(0x70531000, "DS", "0.000551"))


def test_what_stays(site: SITES) -> None:
    others = (element(0x70531001, "DS", "1"), element(0x70531105, "LO", "Secret"))
    result = site("retain-safe-private").store_with(*FACTOR, *others)
    block = result.dataset.private_block(0x7053, "Philips PET Private Group")
    assert block[0].value == 0.000551
    assert 1 not in block
    assert b"Secret" not in result.data


def test_in_sequences(site: SITES) -> None:
    result = site("retain-safe-private").store_with(element(0x00081140, "SQ", [FACTOR]))
    assert result.dataset[0x00081140].value[0].private_block(0x7053, "Philips PET Private Group")[0].value == 0.000551


def test_nothing_without_the_option(site: SITES) -> None:
    assert b"Philips" not in site().store_with(*FACTOR).data


@pytest.mark.parametrize("value", [element(0x70531000, "DS", "Secret"), element(0x70531000, "LO", "Secret")])
def test_another_value_than_the_table_says(site: SITES, value: bytes) -> None:
    result = site("retain-safe-private").store_with(FACTOR[0], value)
    assert b"Secret" not in result.data
    assert b"Philips PET" not in result.data


def test_as_un(site: SITES) -> None:
    creator = element(0x00190010, "LO", "SIEMENS MR HEADER")
    gradient = struct.pack("<3d", 1, 0, 0)
    result = site("retain-safe-private").store_with(creator, element(0x0019100E, "UN", gradient))
    assert gradient in result.data


def test_every_value_can_be_checked() -> None:
    assert len(safe_elements()) > 60
    for (_, tag), (vr, multiplicity) in safe_elements().items():
        assert check_for((vr,), multiplicity) is not None
        assert tag >> 16 & 1
