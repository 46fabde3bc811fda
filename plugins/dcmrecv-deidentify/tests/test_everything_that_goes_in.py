"""The test files that pydicom has in its wheel, and the instances of the plugin kit: what identifies in them does not
come out, and what comes out is as readable as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pydicom.data
import pytest
from made_instances import CAUTIOUS, table
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID_dictionary
from pynetdicom import AE, _config
from treated import Site
from viewers import check_readable, pixel_bytes

from dcmrecv_core.testing import Receiver, StartReceiver, fake_instance
from dcmrecv_core.testing.torture import Case, cases, more_cases

# some of these instances are wrong, and pydicom says so
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

DATA = Path(pydicom.data.__file__).parent
TRUNCATED = {"MR_truncated.dcm": 0xC000, "rtplan_truncated.dcm": 0xC000}
"""Files that end too early, with the statuses that they get."""
SHORTEST = 6
"""Bytes of a value that can be looked for: shorter ones are anywhere by chance."""


class Sent(NamedTuple):
    """A test file that can be sent."""

    path: Path
    sop_class: str
    syntax: str


def sendable() -> dict[str, Sent]:
    """Those with a storage SOP class, a SOP Instance UID and a transfer syntax, by their names."""
    found = {}
    for path in sorted([*DATA.glob("test_files/**/*.dcm"), *DATA.glob("charset_files/*.dcm")]):
        try:
            dataset = dcmread(path, stop_before_pixels=True)
            found[path.name] = Sent(path, str(dataset.SOPClassUID), str(dataset.file_meta.TransferSyntaxUID))
            assert dataset.SOPInstanceUID
        except Exception:  # made to be wrong in some way
            found.pop(path.name, None)
    return found


FILES = sendable()


def values_of(dataset: Dataset, *, identifying: bool) -> Iterator[bytes]:
    """The values that identify, or all others, at any depth."""
    for element in dataset.iterall():
        if element.VR == "SQ":
            continue
        tag = int(element.tag)
        identifies = element.tag.is_private or tag in table() or element.VR in (*CAUTIOUS, "UI")
        if identifies is not identifying or str(element.value) in UID_dictionary:
            continue
        value = element.value if isinstance(element.value, bytes) else str(element.value).encode("utf-8", "replace")
        yield from (part.strip(b" \0'") for part in re.split(rb"[\\^=\[\],]", value))


def leaks(sent: Dataset, stored: bytes) -> set[bytes]:
    """Values that identify and that are in the stored bytes without their pixel data."""
    kept = b"\n".join(values_of(sent, identifying=False))
    values = {value for value in values_of(sent, identifying=True) if len(value) >= SHORTEST}
    return {value for value in values if value not in kept and is_in(value, stored)}


def is_in(value: bytes, stored: bytes) -> bool:
    """Whether it is there; a number not as a part of a UID or of another number."""
    if re.fullmatch(rb"[0-9.]+", value):
        return re.search(rb"(?<![0-9.])" + re.escape(value) + rb"(?![0-9.])", stored) is not None
    return value in stored


@pytest.fixture
def receiver(start_receiver: StartReceiver, tmp_path: Path) -> Receiver:
    accepted = [word for kind in ("raw-data", "unknown-class") for word in ("--deidentify-accept", kind)]
    key = tmp_path / "key"
    return start_receiver("-pm", "--deidentify-key", key, *accepted, plugins=["deidentify"])


def test_there_are_many_files() -> None:
    assert len(FILES) > 40
    assert len({sent.syntax for sent in FILES.values()}) > 6


def test_files_of_pydicom(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # the bytes of the file as they are
    refused = {}
    for name, sent in FILES.items():
        status = store(receiver, sent)
        stored = [receiver.output / each for each in receiver.files()]
        if status != 0xB000:
            refused[name] = status
            assert not stored
            continue
        check(name, sent.path, *stored)
        stored[0].unlink()  # some files are the same instance
    assert refused == TRUNCATED


def store(receiver: Receiver, sent: Sent) -> int | None:
    """Send a file as it is; the status."""
    entity = AE()
    entity.add_requested_context(sent.sop_class, sent.syntax)
    association = entity.associate("127.0.0.1", receiver.port)
    assert association.is_established
    try:
        answer = association.send_c_store(sent.path)
        return answer.Status if "Status" in answer else None
    finally:
        association.release()


def check(name: str, before: Path, after: Path) -> None:
    sent, stored = dcmread(before), after.read_bytes()
    pixels = pixel_bytes(sent)
    assert leaks(sent, stored.replace(pixels, b"") if pixels else stored) == set(), name
    check_readable(before, after)


@pytest.mark.parametrize("case", [*cases(), *more_cases()], ids=lambda case: case.label)
def test_instances_of_the_kit(site: Callable[..., Site], case: Case, tmp_path: Path) -> None:
    before, after = tmp_path / "before.dcm", tmp_path / "after.dcm"
    instance = fake_instance(case.dataset, association=case.association, in_receive=True)
    with instance.open() as stream:
        before.write_bytes(stream.read())
    assert site().plugin.receive(instance) is None
    with instance.open() as stream:
        after.write_bytes(stream.read())
    check(case.label, before, after)
