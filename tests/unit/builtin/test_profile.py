"""Presentation contexts of a profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcmrecv_builtin.profile import ProfilePlugin
from dcmrecv_core import ConfigurationError, SupportedContext
from dcmrecv_core.settings.settings import Settings
from support.uids import CT, EXPLICIT_LE

PROFILE = """\
[[TransferSyntaxes]]
[Uncompressed]
TransferSyntax1 = LittleEndianExplicit
[[PresentationContexts]]
[Storage]
PresentationContext1 = CTImageStorage\\Uncompressed
[[Profiles]]
[Default]
PresentationContexts = Storage
"""


def test_profile(tmp_path: Path) -> None:
    profile = ProfilePlugin()
    (tmp_path / "x.cfg").write_text(PROFILE)
    profile.configure(Settings(config_file=(str(tmp_path / "x.cfg"), "Default")).own("profile"))
    context = SupportedContext(CT, (EXPLICIT_LE,))
    assert profile.negotiate() == (context,)


def test_profile_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        ProfilePlugin().configure(Settings(config_file=(str(tmp_path / "missing.cfg"), "Default")).own("profile"))
