"""The plugin for `--layout`: its hooks, and its checks of a pattern at the start."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_builtin.layout import LayoutPlugin
from dcmrecv_core import PluginError, Refuse
from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE
from dcmrecv_core.receive.instance import ReceivedInstance
from dcmrecv_core.settings.settings import Settings
from support.data.datasets import Node, encode
from support.data.layout_instance import sample
from support.paths import DOCS
from support.plugins import hooks
from support.receiving import INSTANCE, receiver, send
from support.uids import CT


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


class Explained(ReceivedInstance):
    """As under `--explain`."""

    __slots__ = ()
    explained: list[str] = []  # noqa: RUF012


def test_what_each_field_gave_is_explained(layout: LayoutPlugin) -> None:
    pattern = "{SeriesDescription|none/here}_{random}/{SeriesDescription||PatientName:upper}/{now:%Y}/{PatientID}"
    layout.configure(Settings(layout=pattern, layout_limit=140).own("layout"))
    instance = sample()
    instance.__class__ = Explained
    Explained.explained.clear()
    directory, name = layout.choose_subdir(instance), layout.choose_filename(instance).text
    none, here, patient, year = directory.split("/")
    assert (none, patient, name) == ("none", "MÜLLER^JÖRG", "P1")
    assert Explained.explained == [
        "{SeriesDescription|none/here} is missing: none/here",
        f"{{random}} gives {here.removeprefix('here_')}",
        f"{{SeriesDescription||PatientName:upper}} gives {patient}, from PatientName",
        f"{{now:%Y}} gives {year}",
        "{PatientID} gives P1",
    ], "of directory and name, once"


def test_a_path_that_is_shortened_is_explained(layout: LayoutPlugin) -> None:
    layout.configure(Settings(layout="{ImageComments}{random}", layout_limit=40).own("layout"))
    instance = sample()
    instance.__class__ = Explained
    Explained.explained.clear()
    assert len(layout.choose_filename(instance).text) == 40
    assert Explained.explained[-1] == "shortened to 40 bytes at most"


def test_the_limit_counts_the_extension_of_the_options(layout: LayoutPlugin) -> None:
    own = Settings(layout="{InstitutionName}{ImageComments}", layout_limit=50, filename_extension=".dcm").own("layout")
    layout.configure(own)
    instance = sample()
    assert (layout.choose_subdir(instance), len(layout.choose_filename(instance).text.encode())) == ("", 46)


def test_a_start_with_a_limit_that_is_too_low(layout: LayoutPlugin) -> None:
    with pytest.raises(PluginError) as caught:
        layout.configure(Settings(layout="{PatientID}/{random}.dcm", layout_limit=50).own("layout"))
    assert str(caught.value) == "--layout-limit: 50 bytes are not enough, this layout needs 53"


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
        ("{InstanceNumber||StudyID}", None, ""),
        ("{StudyID||InstanceNumber}", None, "all but one get names with ~ and a hash"),
        ('{SOPInstanceUID:sub("%S","%Y")}', None, ""),
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


SECRETS = ("Secret", "Hidden", "19010203")


def of_a_patient(comment: bytes = b"") -> bytes:
    """A data set with oddities that are logged."""
    nodes = [
        Node(0x00080005, "CS", b"ISO_IR 192"),
        Node(0x00080016, "UI", CT.encode() + b"\0"),
        Node(0x00080018, "UI", INSTANCE.encode() + b"\0"),
        Node(0x00100010, "PN", b"Secret^\xfcA"),
        Node(0x00100020, "LO", b"Hidden\\a/b\x1b"),
        Node(0x00100030, "DA", b"19010203"),
        Node(0x00100010, "PN", b"Secret^B"),
        Node(0x00104000, "LT", comment),
    ]
    return encode(nodes, EXPLICIT_LITTLE)


@pytest.mark.parametrize(
    ("naming", "shows"),
    [
        ({}, False),
        ({"filenames": "unique"}, False),
        ({"layout": "{PatientName:hash16}/{PatientID:uid}/{sop_instance_uid}"}, False),
        ({"layout": "{PatientName}/{PatientID}/{sop_instance_uid}"}, True),
    ],
    ids=["default", "unique", "hashed layout", "layout"],
)
def test_fault_12_patient_data_are_logged_as_a_path_or_not_at_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, naming: dict[str, Any], shows: bool
) -> None:
    """Stored, sent again with other and with equal content, torn, not writable, refused."""
    page = (DOCS / "conformance.md").read_text()
    assert "Warnings and errors about a file name its path" in page, "which is the exception"
    caplog.set_level(logging.INFO)
    place = receiver(tmp_path, **naming)
    for comment in (b"", b"Hidden", b"Hidden"):
        assert send(place, of_a_patient(comment)).status == 0
    assert send(place, of_a_patient(b"Hidden")[:-1]).status == 0xC000
    for path in list(tmp_path.rglob("*")):
        if path.is_file():
            path.unlink()
            path.mkdir()
    comments = [send(place, of_a_patient(b"other")).comment]
    refusing = receiver(tmp_path, hooks(receive=lambda: Refuse(0x0124, "no")), **naming)
    comments.append(send(refusing, of_a_patient()).comment)
    assert len(caplog.messages) > 5
    paths = re.compile(re.escape(str(tmp_path)) + r"/[^ ]*")
    shown = [secret for secret in SECRETS if any(secret in text for text in caplog.messages)]
    beside_paths = [secret for secret in SECRETS if any(secret in paths.sub("", text) for text in caplog.messages)]
    assert (bool(shown), beside_paths) == (shows, [])
    assert not any(secret in comment for secret in SECRETS for comment in comments)
