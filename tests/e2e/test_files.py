"""Stored file and response where they are our own; `tests/parity` compares the rest with DCMTK dcmrecv."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.data.datasets import instance_of
from support.data.samples import Sample
from support.data.stored_files import stored_file
from support.programs.receivers import Start
from support.protocol.pdus import store_rq
from support.protocol.raw_sender import RawAssociation, send
from support.uids import CT, EXPLICIT_LE

INSTANCE = "1.2.3.4.5"
SAMPLE = Sample("", CT, INSTANCE, EXPLICIT_LE, instance_of(CT, INSTANCE))


@pytest.mark.parametrize("scheme", ["+fu", "+fsu", "+fst"])
def test_unique_schemes_never_overwrite(ours: Start, scheme: str) -> None:
    receiver = ours("-pm", scheme)
    assert send(receiver.port, [SAMPLE] * 50) == [0] * 50
    assert len(receiver.files()) == 50


def test_bit_preserving_knows_the_series_date(ours: Start) -> None:
    """DCMTK dcmrecv refuses the combination: it names the file before it reads the data set."""
    receiver = ours("-pm", "+ssd", "+B")
    dates = {"1.2.1": b"20200102", "1.2.2": None}
    samples = [Sample("", CT, uid, EXPLICIT_LE, instance_of(CT, uid, series_date=date)) for uid, date in dates.items()]
    assert send(receiver.port, samples) == [0, 0]
    found = [re.sub(r"undef/20\d{6}/", "undef/TODAY/", name) for name in receiver.files()]
    assert found == ["data/2020/01/02/CT.1.2.1", "undef/TODAY/CT.1.2.2"]


def test_implementation_class_uid_is_our_own(ours: Start, config: Path) -> None:
    receiver = ours("-xf", config, "default")
    assert send(receiver.port, [SAMPLE]) == [0]
    _, value = stored_file(receiver.only_file()).meta[0x00020012]
    assert value.startswith(b"2.25.")


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
