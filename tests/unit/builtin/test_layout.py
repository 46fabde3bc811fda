"""The plugin for `--layout`: its hooks, and its checks of a pattern at the start."""

from __future__ import annotations

from typing import Any

import pytest

from dcmrecv_builtin.layout import LayoutPlugin
from dcmrecv_core import PluginError
from dcmrecv_core.settings.settings import Settings
from support.data.layout_instance import sample


@pytest.fixture
def layout() -> LayoutPlugin:
    return LayoutPlugin()


def test_the_hooks(layout: LayoutPlugin) -> None:
    layout.configure(Settings(layout="{PatientID}/{random}").own("layout"))
    instance = sample()
    directory = layout.choose_subdir(instance)
    first = layout.choose_filename(instance)
    assert (directory, first.on_exists, first.by_default) == ("P1", None, "replace-same")
    assert layout.choose_filename(instance) == first, "directory and name are of one moment"


@pytest.mark.parametrize("other", [{"filenames": "unique"}, {"subdirs": "series-date"}])
def test_one_layout_only(layout: LayoutPlugin, other: dict[str, Any]) -> None:
    with pytest.raises(PluginError, match="cannot be combined with other naming options"):
        layout.configure(Settings(layout="{PatientID}", **other).own("layout"))


def test_a_start_with_a_malformed_pattern(layout: LayoutPlugin) -> None:
    with pytest.raises(PluginError) as caught:
        layout.configure(Settings(layout="{PatientId}").own("layout"))
    assert str(caught.value).startswith("--layout: unknown field 'PatientId'")
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("pattern", "on_duplicate", "consequence"),
    [
        ("{PatientID}/{SOPInstanceUID}", None, ""),
        ("{PatientID}/{00200013}.dcm", None, ""),
        ("{sop_instance_uid:hash}", None, ""),
        ("{random}", None, ""),
        ('{"ACME 1.1",0029,01}', None, ""),
        ("{now:%H%M%S}", None, ""),
        ("{now:%Y%m%d}", None, "all but one get names with ~ and a hash"),
        ("{PatientID}/{Modality}", None, "all but one get names with ~ and a hash"),
        ("{PatientID}/{Modality}", "keep", "all but one get names with ~ and a hash"),
        (
            "{ReferencedImageSequence.ReferencedSOPInstanceUID}",
            "overwrite",
            "one of the same name overwrites the other",
        ),
        ("{PatientID}/{Modality}", "rename", ""),
        ("{PatientID}/{Modality}", "refuse", ""),
    ],
)
def test_a_pattern_that_does_not_tell_instances_apart(
    layout: LayoutPlugin, caplog: pytest.LogCaptureFixture, pattern: str, on_duplicate: Any, consequence: str
) -> None:
    layout.configure(Settings(layout=pattern, on_duplicate=on_duplicate).own("layout"))
    assert [text.rpartition(": ")[2] for text in caplog.messages] == ([consequence] if consequence else [])
