"""Accepted presentation contexts and transfer syntaxes: by a profile as in DCMTK dcmrecv, by -pm in our own way."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.programs.receivers import Start
from support.protocol.pdus import ASSOCIATE_AC, ASSOCIATE_RJ, associate_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT_LE,
    FIND,
    IMPLICIT_LE,
    JPEG,
    JPIP,
    MR,
    PRIVATE_CLASS,
    PRIVATE_SYNTAX,
    RLE,
    VERIFICATION,
)

ACCEPTED, NO_ABSTRACT_SYNTAX = 0, 3

PROPOSAL = [
    (CT, [BIG_ENDIAN, IMPLICIT_LE, EXPLICIT_LE]),
    (CT, [JPEG, IMPLICIT_LE]),
    (CT, [BIG_ENDIAN]),
    (CT, [DEFLATED]),
    (MR, [JPEG]),
    (MR, [PRIVATE_SYNTAX]),
    (PRIVATE_CLASS, [EXPLICIT_LE]),
    (FIND, [IMPLICIT_LE]),
    (VERIFICATION, [IMPLICIT_LE]),
]


@pytest.mark.dcmtk
@pytest.mark.parametrize("profile", ["default", "AllDICOM"])
def test_shipped_profiles(ours: Start, original: Start, profile: str) -> None:
    answers = []
    for start in (ours, original):
        receiver = start("-xf", "/etc/dcmtk/storescp.cfg", profile)
        with RawAssociation(receiver.port, PROPOSAL) as association:
            results = {key: value if value[0] == ACCEPTED else value[0] for key, value in association.accepted.items()}
            answers.append(results)
            association.release()
    assert answers[0] == answers[1]
    assert answers[0][17][0] == ACCEPTED


@pytest.mark.dcmtk
def test_own_profile(ours: Start, original: Start, config: Path) -> None:
    answers = []
    for start in (ours, original):
        with RawAssociation(start("-xf", config, "default").port, PROPOSAL) as association:
            answers.append([association.accepted[number][0] for number in range(1, 2 * len(PROPOSAL), 2)])
            association.release()
    assert answers[0] == answers[1]


def test_promiscuous(ours: Start) -> None:
    """Every storage class and transfer syntax, known or not; no other service."""
    with RawAssociation(ours("-pm").port, PROPOSAL) as association:
        expected = {2 * number + 1: (ACCEPTED, syntaxes[0]) for number, (_, syntaxes) in enumerate(PROPOSAL)}
        expected[1] = (ACCEPTED, EXPLICIT_LE)
        find = 2 * [abstract for abstract, _ in PROPOSAL].index(FIND) + 1
        del expected[find]
        assert association.accepted.pop(find)[0] == NO_ABSTRACT_SYNTAX
        assert association.accepted == expected
        association.release()


LAST = [PRIVATE_SYNTAX, JPIP, BIG_ENDIAN, IMPLICIT_LE]
"""Each of them is chosen before those to the left of it; the first two have the same rank."""


def test_fault_17_promiscuous_chooses_what_more_programs_can_read(ours: Start) -> None:
    port = ours("-pm").port
    assert chosen(port, [*LAST, RLE, JPEG]) == RLE
    assert [chosen(port, LAST[:count]) for count in (1, 2, 3, 4)] == [PRIVATE_SYNTAX, PRIVATE_SYNTAX, *LAST[2:]]


def test_preferred_transfer_syntaxes(ours: Start) -> None:
    port = ours("-pm", "--prefer", "RLELossless", "--prefer", BIG_ENDIAN).port
    assert chosen(port, [*LAST, JPEG, RLE]) == RLE
    assert chosen(port, [*LAST, JPEG]) == BIG_ENDIAN


ALL_CLASSES = """
[[contexts]]
abstract_syntax = "*"
transfer_syntaxes = ["RLELossless", "LittleEndianImplicit"]
"""


def test_transfer_syntaxes_of_all_classes(ours: Start) -> None:
    port = ours("--settings", "all.toml", files={"all.toml": ALL_CLASSES}).port
    assert chosen(port, [*LAST, JPEG, RLE]) == RLE
    assert chosen(port, [*LAST, JPEG]) == IMPLICIT_LE
    assert chosen(port, [IMPLICIT_LE], FIND) is None
    assert chosen(port, [JPEG]) is None


def chosen(port: int, syntaxes: list[str], abstract_syntax: str = CT) -> str | None:
    """The transfer syntax accepted for one context, beside Verification."""
    with RawAssociation(port, [(VERIFICATION, [IMPLICIT_LE]), (abstract_syntax, syntaxes)]) as association:
        association.release()
        result, syntax = association.accepted[3]
        return syntax if result == ACCEPTED else None


@pytest.mark.dcmtk
def test_nothing_acceptable_is_rejected(ours: Start, original: Start) -> None:
    answers = []
    for start in (ours, original):
        with RawAssociation(start().port) as association:
            association.send(associate_rq([(FIND, [IMPLICIT_LE]), (CT, [EXPLICIT_LE])]))
            answers.append(association.read_pdu())
    assert answers[0] == answers[1]
    assert answers[0][0] == ASSOCIATE_RJ


@pytest.mark.dcmtk
@pytest.mark.parametrize("number", [4096, 16384, 131072])
def test_announced_pdu_size(ours: Start, original: Start, number: int) -> None:
    answers = []
    for start in (ours, original):
        with RawAssociation(start("-pdu", str(number)).port) as association:
            association.send(associate_rq([(VERIFICATION, [IMPLICIT_LE])]))
            kind, body = association.read_pdu()
            assert kind == ASSOCIATE_AC
            user = body[body.index(b"\x51\x00\x00\x04") :]
            answers.append(int.from_bytes(user[4:8], "big"))
    assert answers == [number, number]
