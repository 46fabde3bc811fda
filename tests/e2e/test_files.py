"""The stored file itself: modes, extension, preamble, File Meta Information."""

from __future__ import annotations

from pathlib import Path

import pytest

from rawscu import EXPLICIT_LE, RawAssociation, send, store_rq
from receivers import Start
from samples import CT, MR, SECONDARY_CAPTURE, Sample, StoredFile, identification, instance_of, stored_file

INSTANCE = "1.2.3.4.5"
SAMPLE = Sample("", CT, INSTANCE, EXPLICIT_LE, instance_of(CT, INSTANCE))


@pytest.mark.dcmtk
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o000], ids=oct)
def test_modes_follow_the_umask(ours: Start, original: Start, config: Path, umask: int) -> None:
    modes = []
    for start in (ours, original):
        receiver = start("-xf", config, "default", "+ssd", umask=umask)
        assert send(receiver.port, [SAMPLE]) == [0]
        below = [path for path in receiver.output.rglob("*") if path.relative_to(receiver.output).parts[0] == "data"]
        modes.append({path.relative_to(receiver.output): oct(path.stat().st_mode) for path in below})
    assert modes[0] == modes[1]
    assert len(modes[0]) == 5


def stored_by(start: Start, config: Path, options: tuple[str, ...], sample: Sample = SAMPLE) -> StoredFile:
    receiver = start("-xf", config, "default", *options)
    assert send(receiver.port, [sample], calling="SENDER AE") == [0]
    return stored_file(receiver.only_file())


IMPLEMENTATION = {0x00020012, 0x00020013}
SOURCE_AE_TITLE = 0x00020016


@pytest.mark.dcmtk
@pytest.mark.parametrize("options", [(), ("+B",)], ids=["normal", "bit-preserving"])
def test_file_meta_information(ours: Start, original: Start, config: Path, options: tuple[str, ...]) -> None:
    mine, theirs = stored_by(ours, config, options), stored_by(original, config, options)
    assert mine.preamble == theirs.preamble == bytes(128)
    assert list(mine.meta) == list(theirs.meta)
    differing = {tag for tag in mine.meta if mine.meta[tag] != theirs.meta[tag]}
    assert differing - {0x00020000} == IMPLEMENTATION
    assert (SOURCE_AE_TITLE in mine.meta) == (options == ("+B",))
    assert all(len(value) % 2 == 0 for _, value in mine.meta.values())
    assert mine.data == SAMPLE.data


def test_implementation_class_uid_is_our_own(ours: Start, config: Path) -> None:
    _, value = stored_by(ours, config, ()).meta[0x00020012]
    assert value.startswith(b"2.25.")


def test_data_set_names_class_and_instance_the_command_names_the_file(ours: Start, config: Path) -> None:
    receiver = ours("-xf", config, "default")
    sample = Sample("", CT, "1.2.3", EXPLICIT_LE, instance_of(MR, "9.8.7"))
    assert send(receiver.port, [sample]) == [0]
    assert receiver.files() == ["CT.1.2.3"]
    meta = stored_file(receiver.only_file()).meta
    assert (meta[0x00020002][1].rstrip(b"\0"), meta[0x00020003][1].rstrip(b"\0")) == (MR.encode(), b"9.8.7")


def test_without_uids_in_the_data_set_the_command_names_them(ours: Start, config: Path) -> None:
    data = identification(SECONDARY_CAPTURE, "1.2.3")[len(identification(SECONDARY_CAPTURE, "1.2.3", None)) :]
    stored = stored_by(ours, config, (), Sample("", SECONDARY_CAPTURE, "1.2.3", EXPLICIT_LE, data))
    assert stored.meta[0x00020002][1].rstrip(b"\0") == SECONDARY_CAPTURE.encode()
    assert stored.meta[0x00020003][1].rstrip(b"\0") == b"1.2.3"


def test_response_names_message_class_and_instance(ours: Start, config: Path) -> None:
    receiver = ours("-xf", config, "default")
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        assert association.store(CT, INSTANCE, SAMPLE.data, message_id=0xFFFE) == 0
        association.request(store_rq(CT, INSTANCE, 77), SAMPLE.data)
        response = association.response()
    assert response[0x0100] == b"\x01\x80"
    assert response[0x0120] == b"\x4d\x00"
    assert response[0x0002].rstrip(b"\0") == CT.encode()
    assert response[0x1000].rstrip(b"\0") == INSTANCE.encode()
    assert response[0x0800] == b"\x01\x01"
    assert response[0x0900] == b"\0\0"
