"""What plugins see of the settings."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from dcmrecv_core import PluginError, PluginSettings
from dcmrecv_core.settings.settings import Settings

OPTIONS = {"site": {"root": "/data", "password": "SECRET"}}


def test_what_there_is() -> None:
    settings = Settings(port=104, output_directory="out", working_directory="/srv", plugin_options=OPTIONS).own("site")
    assert (settings.port, settings.output_directory) == (104, "out")
    assert settings.options == OPTIONS["site"]
    assert settings.state_directory == Path("/srv/out/.dcmrecv")
    assert settings.for_plugin("site") == OPTIONS["site"]
    assert "SECRET" not in repr(settings)


@pytest.mark.parametrize("name", ["ae_title", "layout", "plugin_options", "tls_password"])
def test_anything_else_is_named(name: str) -> None:
    settings = Settings().own("site")
    with pytest.raises(AttributeError, match=f"no '{name}'; there is counter, for_plugin, measure_hooks"):
        getattr(settings, name)
    assert not hasattr(settings, name)


def test_all_that_is_said_to_be_there_is_there() -> None:
    with pytest.raises(AttributeError) as caught:
        PluginSettings().ae_title  # noqa: B018
    names = str(caught.value).partition("there is ")[2].split(", ")
    assert names == sorted(name for name in dir(PluginSettings) if not name.startswith("_"))


def test_it_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().own("site").port = 1  # type: ignore[misc]


def test_a_state_directory_of_another_receiver() -> None:
    settings = Settings(state_dir="state", state_owner="port 104").own("site")
    assert settings.options == {}
    with pytest.raises(PluginError, match=r"state directory state belongs to another receiver \(port 104\)"):
        _ = settings.state_directory
