"""TLS profiles and ciphersuites."""

from __future__ import annotations

import pytest

from dcmrecv_core.settings.tls_profiles import PROFILES, SUITES
from support.programs.original import original


@pytest.mark.dcmtk
def test_suites_are_the_originals() -> None:
    listed = original(["+cc"]).stdout.partition("ciphersuites are:\n")[2].split()
    assert listed == list(SUITES)


def test_profiles_have_only_suites_that_there_are() -> None:
    assert all(suite in SUITES for profile in PROFILES.values() for suite in profile.suites)
