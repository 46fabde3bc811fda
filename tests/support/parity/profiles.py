"""The association profiles of both programs for rows that send their own requests and messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.uids import (
    CT,
    MR,
    PRIVATE_CLASS,
    PRIVATE_SYNTAX,
    SECONDARY_CAPTURE,
    ULTRASOUND,
    VERIFICATION,
)

PROFILES = f"""\
[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = LittleEndianImplicit
TransferSyntax3 = BigEndianExplicit
[Private]
TransferSyntax1 = {PRIVATE_SYNTAX}
[[PresentationContexts]]
[All]
PresentationContext1 = {VERIFICATION}\\Plain
PresentationContext2 = {CT}\\Plain
PresentationContext3 = {MR}\\Plain
PresentationContext4 = {SECONDARY_CAPTURE}\\Plain
PresentationContext5 = {ULTRASOUND}\\Plain
PresentationContext6 = {PRIVATE_CLASS}\\Private
[[SCPSCURoleSelection]]
[Roles]
Role1 = {CT}\\SCU
Role2 = {MR}\\SCP
Role3 = {SECONDARY_CAPTURE}\\BOTH
[[ExtendedNegotiation]]
[Bytes]
ExtendedNegotiation1 = {CT}\\0102ff
ExtendedNegotiation2 = {ULTRASOUND}\\00
[[Profiles]]
[Default]
PresentationContexts = All
[Roles]
PresentationContexts = All
SCPSCURoleSelection = Roles
[Extended]
PresentationContexts = All
ExtendedNegotiation = Bytes
"""
"""The profiles for all rows: one pair of receivers for each."""


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration file with `PROFILES`."""
    path = tmp_path_factory.mktemp("profiles") / "association.cfg"
    path.write_text(PROFILES)
    return path
