"""Each case of tests/corpus is sent to one receiver, in normal mode, with --strict and with --bit-preserving: answers
and files must be exactly those of the case, and the workers must live to the end."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from support.corpus import MODES, Case, cases, expand
from support.data.stored_files import stored_file
from support.parity.answers import Aborted, Accepted, Answer, Closed, Rejected, Released, Response, next_answer
from support.programs.receivers import Receiver, Start
from support.promises.promises import promise
from support.protocol.raw_sender import RawAssociation

pytestmark = promise(13)

PROFILE = """\
[[TransferSyntaxes]]
[Syntaxes]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = LittleEndianImplicit
TransferSyntax3 = BigEndianExplicit
TransferSyntax4 = DeflatedLittleEndianExplicit
TransferSyntax5 = JPEGBaseline
TransferSyntax6 = 1.2.826.0.1.3680043.9.9999.2
[[PresentationContexts]]
[Classes]
PresentationContext1 = VerificationSOPClass\\Syntaxes
PresentationContext2 = CTImageStorage\\Syntaxes
PresentationContext3 = MRImageStorage\\Syntaxes
PresentationContext4 = 1.2.826.0.1.3680043.9.9999.1\\Syntaxes
[[Profiles]]
[Corpus]
PresentationContexts = Classes
"""
OPTIONS = {"": (), "strict": ("--strict",), "preserving": ("+B",)}
GOES_ON = ("accept", *"0123456789ABCDEF")
"""The beginnings of answers that do not end the association."""

ALWAYS = {0x0000, 0x0002, 0x0100, 0x0120, 0x0800, 0x0900, 0x1000}


def test_corpus_is_large() -> None:
    titles = [(case.file, case.title) for case in cases()]
    assert len(titles) == len(set(titles)) >= 150


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode or "normal")
def test_reactions(ours: Start, directory: Path, mode: str, figure: Callable[[str], None]) -> None:
    profile = directory / "corpus.cfg"
    profile.write_text(PROFILE)
    receiver = ours("-xf", profile, "Corpus", *OPTIONS[mode])
    workers = receiver.workers()
    wrong = [text for case in cases() if (text := difference(receiver, case, mode))]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(cases())}", *wrong])
    assert workers <= receiver.workers()
    for trouble in ("internal error", "was killed", "Traceback"):
        assert trouble not in receiver.log
    assert not [line for line in receiver.log.splitlines() if line.startswith("I: forged")]
    figure(f"{len(cases())} inputs in {len(MODES)} modes, 0 reactions differ, 0 workers died")


def difference(receiver: Receiver, case: Case, mode: str) -> str:
    """How the reaction differs from the case; "" if it does not."""
    expected = case.reaction(mode)
    try:
        happened = reaction(receiver, case, 0 if expected == "nothing" else expected.count(",") + 1)
    except (AssertionError, OSError) as error:
        happened = f"{type(error).__name__}: {error}"
    files = [receiver.output / name for name in receiver.files()]
    stored = sorted((stored_file(path).data for path in files), key=case.data.find)
    for path in files:
        path.unlink()
    wanted = expected.replace(" stored", "")
    if happened == wanted and len(files) == expected.count("stored") and (b"".join(stored) == case.data or not files):
        return ""
    return f"{case.file}: {case.title} ({case.reference}): {happened}, {len(files)} files; expected {expected}"


def reaction(receiver: Receiver, case: Case, expected: int) -> str:
    """The answers in the notation of the corpus. AssertionError if there are more answers than `expected`, or if
    the association does not go on when it should; TimeoutError if there are fewer."""
    with RawAssociation(receiver.port, timeout=10) as association:
        if case.file != "requests":
            association.send(expand("$request"))
            assert isinstance(next_answer(association), Accepted)
        with suppress(ConnectionError):  # the receiver may close before all is sent
            association.send(case.sent)
        if case.end == "RST":
            association.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return "close"
        if case.end == "FIN":
            shut(association)
        said = [text_of(next_answer(association)) for _ in range(expected)]
        if not said or said[-1].startswith(GOES_ON):
            association.send(expand("$echo"))
            assert text_of(next_answer(association)) == "0000", "no answer to an echo"
            association.send(expand("$release"))
            assert next_answer(association) == Released(), "no answer to the release"
        if said[-1:] != ["close"]:
            shut(association)
            rest = next_answer(association)
            assert rest == Closed(), f"{', '.join(said)} is not all: {rest}"
    return ", ".join(said) or "nothing"


def shut(association: RawAssociation) -> None:
    with suppress(OSError):  # reset already; earlier answers can still be read
        association.socket.shutdown(socket.SHUT_WR)


def text_of(answer: Answer) -> str:
    match answer:
        case Accepted(contexts, user):
            results = [f"{number}={result}" for number, result, _ in contexts]
            return " ".join(["accept", *results, *("=".join(map(in_hex, item)) for item in user)])
        case Rejected(result, source, reason):
            return f"reject {result}/{source}/{reason}"
        case Aborted(source, reason):
            return f"abort {source}/{reason}"
        case Response(_, elements):
            return " ".join([f"{answer.status:04X}", *(f"{tag:04X}" for tag in sorted(elements.keys() - ALWAYS))])
        case Released():
            return "release"
    return "close"


def in_hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else f"{value:x}" if isinstance(value, int) else str(value)
