"""The plugin that writes files."""

from __future__ import annotations

import pytest

from dcmrecv_builtin import file_writer
from dcmrecv_core import PluginError
from dcmrecv_core.settings.settings import Settings
from support.plugins import FakeInstance


def test_file_writer() -> None:
    assert file_writer.plugin.write(FakeInstance(), "out/a") == "saved out/a"


def test_an_extension_that_no_name_can_have() -> None:
    with pytest.raises(PluginError, match=r"--filename-extension: .* not 256"):
        file_writer.plugin.configure(Settings(filename_extension="x" * 256).own("file-writer"))
