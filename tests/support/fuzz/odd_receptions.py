"""A receiver without a network that is sent odd data sets: what it answers, and whether all agree on what it stored."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dcmrecv_core import Instance
from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE, encoding_of
from support.data.datasets import Node, deflate, encode
from support.fuzz.agreement import disagreements, readable_texts
from support.fuzz.odd_data_sets import Seed
from support.plugins import hooks
from support.receiving import receiver, send, stored_data
from support.uids import DEFLATED

LAYOUT = "{PatientID|none}/{SOPInstanceUID}.dcm"
_CHARACTER_SET, _PATIENT_ID = 0x00080005, 0x00100020


class OddReceptions:
    """Sends data sets to one receiver and the patient alone, as pydicom reads it, to another one."""

    def __init__(self, root: Path, memory: int | None = None) -> None:
        for part in ("odd", "sound"):
            (root / part).mkdir()
        self._said: list[str] = []
        self._data = b""
        self._patient: list[Node] = []
        compare = hooks(receive=lambda instance: self._compare(instance))
        self._receiver = receiver(root / "odd", compare, memory=memory, layout=LAYOUT, fsync=False)
        self._sound = receiver(root / "sound", layout=LAYOUT, fsync=False)

    def status_of(self, seed: Seed, data: bytes, *, deflated: bool = False) -> int:
        """The status that these data get; AssertionError if it is Success and something disagrees."""
        self._said, self._data, self._patient = [], data, []
        sent, syntax = (deflate(data), DEFLATED) if deflated else (data, seed.syntax)
        outcome = send(self._receiver, sent, syntax=syntax)
        if outcome.status:
            assert outcome.status == 0xC000 and outcome.location is None, outcome
            return outcome.status
        assert self._said == [], f"{seed.name}: {self._said[0]}: {data.hex()}"
        assert stored_data(outcome.location) == sent, f"{seed.name}: {data.hex()}"
        if self._patient:
            same = send(self._sound, encode(self._patient, EXPLICIT_LITTLE))
            assert directory(outcome.location) == directory(same.location), f"{seed.name}: {data.hex()}"
            os.unlink(same.location or "")
        os.unlink(outcome.location or "")
        return 0

    def _compare(self, instance: Instance) -> None:
        index: Any = instance.index  # type: ignore[attr-defined]
        encoding = encoding_of(instance.transfer_syntax_uid)
        assert encoding is not None
        self._said = disagreements(instance.get, instance.header, index, self._data, encoding)
        read = readable_texts(index, self._data, encoding)
        if _PATIENT_ID in read:
            self._patient = [Node(tag, *read[tag]) for tag in (_CHARACTER_SET, _PATIENT_ID) if tag in read]


def directory(location: str | None) -> str:
    assert location is not None
    return Path(location).parent.name
