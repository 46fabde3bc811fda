"""File names of every scheme, beside the real dcmrecv's for the same data sets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rawscu import EXPLICIT_LE, send
from receivers import Receiver, Start
from samples import CT, MR, PRIVATE_CLASS, SECONDARY_CAPTURE, Sample, instance_of

pytestmark = pytest.mark.dcmtk

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
CLASSES = (CT, MR, SECONDARY_CAPTURE, ULTRASOUND, PDF, PRIVATE_CLASS)


def sample(sop_class: str, instance: str, data: bytes | None = None) -> Sample:
    return Sample(instance, sop_class, instance, EXPLICIT_LE, data or instance_of(sop_class, instance))


ONE_OF_EACH = tuple(sample(sop_class, f"1.2.3.{number}") for number, sop_class in enumerate(CLASSES))


def store(receiver: Receiver, *samples: Sample) -> list[str]:
    assert send(receiver.port, samples) == [0] * len(samples)
    return receiver.files()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-s", "+fd"),
        ("+fu", "+fd"),
        ("+ssd",),
        ("+ssd", "-s"),
        ("-fe", ".dcm"),
        ("-fe", "dcm"),
        ("+ssd", "-fe", ".dcm"),
        ("+B",),
        ("--ignore",),
        ("--ignore", "-B"),
    ],
    ids=" ".join,
)
def test_same_names(ours: Start, original: Start, config: Path, options: tuple[str, ...]) -> None:
    names = [store(start("-xf", config, "default", *options), *ONE_OF_EACH) for start in (ours, original)]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        (("+fu",), r"(CT|MR|SC|US|ED|SCa|ECAP|PDF|UNKNOWN)\.X\.[0-9]+(\.[0-9]+)+"),
        (("+fu", "-fe", ".dcm"), r"[A-Za-z]+\.X\.[0-9]+(\.[0-9]+)+\.dcm"),
        (("+fsu",), r"(CT|MR|SC|US|XX|[A-Za-z]+)_[0-9a-f]{16}"),
        (("+fst",), r"20[0-9]{12}\.[0-9]{6}\.[A-Za-z]+"),
        (("+fst", "-fe", ".dcm"), r"20[0-9]{12}\.[0-9]{6}\.[A-Za-z]+\.dcm"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_same_shape(ours: Start, original: Start, config: Path, options: tuple[str, ...], shape: str) -> None:
    prefixes = []
    for start in (ours, original):
        names = store(start("-xf", config, "default", *options), *ONE_OF_EACH)
        assert [name for name in names if not re.fullmatch(shape, name)] == []
        prefixes.append(sorted(re.findall(r"[A-Z][A-Za-z]+", " ".join(names))))
    assert prefixes[0] == prefixes[1]


@pytest.mark.parametrize("scheme", ["+fu", "+fsu", "+fst"])
def test_unique_schemes_never_overwrite(ours: Start, scheme: str) -> None:
    receiver = ours("-pm", scheme)
    assert len(store(receiver, *[sample(CT, "1.2.3")] * 50)) == 50


def test_default_scheme_overwrites_with_a_warning(ours: Start, original: Start, config: Path) -> None:
    first, second = instance_of(CT, "1.2.3"), instance_of(CT, "1.2.3", series_date=b"20200103")
    for start in (ours, original):
        receiver = start("-xf", config, "default")
        assert store(receiver, sample(CT, "1.2.3", first), sample(CT, "1.2.3", second)) == ["CT.1.2.3"]
        assert receiver.only_file().read_bytes().endswith(second)
        assert "W: file already exists, overwriting: out/CT.1.2.3" in receiver.log


KEPT = ("CT.1", "..", "-rf", ".hidden", "1.2 .3", "a:b@c_d", "1.2.3   ", "1" * 64)
REPLACED = ("1/2", "a/../b", "1\\2", 'a"b', "a*?<>|b", "50%$", "1~2", "\x01\x1b[2J", "caf\xe9", "1;2&3")


def stored_name(start: Start, config: Path, instance: str) -> str:
    receiver = start("-xf", config, "default")
    [name] = store(receiver, sample(CT, instance))
    assert {path.name for path in receiver.directory.iterdir()} <= {"out", "stderr.log"}
    return name


@pytest.mark.parametrize("instance", KEPT, ids=ascii)
def test_odd_instance_uids_that_dcmtk_keeps(ours: Start, original: Start, config: Path, instance: str) -> None:
    assert stored_name(ours, config, instance) == stored_name(original, config, instance)


@pytest.mark.parametrize("instance", REPLACED, ids=ascii)
def test_replaced_characters_leave_a_mark(ours: Start, original: Start, config: Path, instance: str) -> None:
    """The original replaces each by `_`, so that two instances may become one file; ours adds a hash to the name."""
    name, mark = stored_name(ours, config, instance).rsplit("~", 1)
    assert name == stored_name(original, config, instance)
    assert re.fullmatch("[0-9a-f]{8}", mark)
