"""pydicom's test files, and made data sets in each transfer syntax that pydicom knows and in a private one, are sent
in both storage modes; the SHA-256 of the stored data set is compared with that of the sent one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from support.data.samples import Sample, made_samples, pydicom_samples
from support.data.stored_files import stored_file
from support.fuzz.odd_data_sets import odd, seeds
from support.fuzz.odd_receptions import OddReceptions
from support.programs.receivers import Receiver, Start
from support.promises.other_receivers import Peer
from support.promises.promises import promise
from support.protocol.raw_sender import RawAssociation
from support.uids import EXPLICIT_LE, IMPLICIT_LE

pytestmark = promise(15)

CANNOT_UNDERSTAND = 0xC000
BROKEN_FILES = {"MR_truncated.dcm", "rtplan_truncated.dcm"}
"""Files of pydicom's whose data sets end inside a value."""


def store_each(receiver: Receiver, samples: Sequence[Sample]) -> tuple[dict[str, int | None], list[str]]:
    """Statuses by name, and the names of samples whose file does not hold exactly the bytes sent. A rejected context
    counts as both."""
    contexts = list(dict.fromkeys((sample.sop_class, sample.transfer_syntax) for sample in samples))
    statuses: dict[str, int | None] = {}
    differing = []
    with RawAssociation(receiver.port, [(abstract, [syntax]) for abstract, syntax in contexts]) as association:
        for name, sop_class, instance, syntax, data in samples:
            context_id = 2 * contexts.index((sop_class, syntax)) + 1
            statuses[name] = None
            if association.accepted[context_id] == (0, syntax):
                statuses[name] = association.store(sop_class, instance, data, context_id=context_id)
            stored = [receiver.output / file for file in receiver.files()]
            if [sha256(stored_file(path).data).digest() for path in stored] != [sha256(data).digest()]:
                differing.append(name)
            for path in stored:
                path.unlink()
        association.release()
    return statuses, differing


def samples() -> tuple[Sample, ...]:
    return (*made_samples(), *pydicom_samples())


def test_the_samples_cover_the_transfer_syntaxes() -> None:
    assert len(pydicom_samples()) > 60
    assert len({sample.transfer_syntax for sample in made_samples()}) > 35


@pytest.mark.parametrize("mode", ["-B", "+B"])
def test_stored_is_sent(ours: Start, mode: str, figure: Callable[[str], None]) -> None:
    statuses, differing = store_each(ours("-pm", "--no-fsync", mode), samples())
    broken = BROKEN_FILES if mode == "-B" else set()
    assert statuses == dict.fromkeys(statuses, 0) | dict.fromkeys(broken, CANNOT_UNDERSTAND)
    assert set(differing) == broken
    syntaxes = len({sample.transfer_syntax for sample in samples()})
    figure(f"{len(samples())} data sets in {syntaxes} transfer syntaxes and 2 modes, 0 changed, 2 broken ones refused")


@pytest.mark.parametrize("memory", [None, 500], ids=["in memory", "spooled"])
def test_fault_18_what_odd_senders_send(
    tmp_path: Path, memory: int | None, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    """Real data sets with delimiters, VRs, lengths, elements and character sets exchanged: after Success they are
    stored as sent, and hooks and layouts see every element that pydicom reads."""
    chance, receptions, number = Random(15), OddReceptions(tmp_path, memory), count(400, 20_000)
    statuses = Counter[int]()
    for _ in range(number):
        seed = chance.choice(seeds())
        deflated = seed.syntax == EXPLICIT_LE and chance.random() < 0.3
        statuses[receptions.status_of(seed, odd(chance, seed), deflated=deflated)] += 1
    assert set(statuses) == {0, CANNOT_UNDERSTAND} and min(statuses.values()) > number / 4
    figure(f"{2 * number} odd data sets, 0 changed, 0 elements unseen")


def test_peer(peer: Peer) -> None:
    """In the two little endian syntaxes without compression, which all of them accept for CT."""
    plain = [sample for sample in made_samples() if sample.transfer_syntax in (IMPLICIT_LE, EXPLICIT_LE)]
    statuses, differing = store_each(peer.receiver, plain)
    peer.does(f"{len(statuses) - len(differing)} of {len(statuses)} plain data sets unchanged")
