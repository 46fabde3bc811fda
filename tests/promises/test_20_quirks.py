"""Each quirk has a test here, or a case in the corpus that the list names: instances are stored unchanged, or answered
as the case says, and a C-ECHO afterwards is answered."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from dcmrecv_core.net.worker import session as session_module
from support.corpus import cases
from support.data.datasets import instance_of
from support.data.samples import Sample, made_samples
from support.data.stored_files import stored_file
from support.parity.answers import Accepted, next_answer
from support.programs.receivers import Receiver, Start
from support.promises.promises import promise
from support.protocol.pdus import associate_rq, command_set, data_pdus, status_of, store_rq
from support.protocol.raw_sender import RawAssociation, send
from support.protocol.scripted_connection import Clock
from support.protocol.scripted_worker import ECHO, RELEASE, ScriptedWorker, responses
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE, MR, PRIVATE_CLASS, PRIVATE_SYNTAX, VERIFICATION

pytestmark = promise(20)

IN_THE_CORPUS: dict[str, str] = {
    "UIDs padded with NUL in the negotiation": "UIDs padded with NUL",
    "UIDs padded with blanks in the negotiation": "UIDs padded with blanks",
    "blank calling AE title": "blank titles",
    "UIDs of 64 characters": "SOP Instance UID of 64 characters",
    "private and unknown transfer syntaxes": "anything in a private transfer syntax",
    "even context ids": "context id 2",
    "PDU above the announced limit": "P-DATA-TF longer than announced by one byte",
    "maximum length 0": "maximum length 0",
    "PDVs packed into PDUs": "PDVs of different lengths in one PDU",
    "command and data set in one PDU": "command and data set in one PDU",
    "fragments of odd lengths": "fragments of odd lengths",
    "data sets of odd lengths": "values of odd length",
    "connection closed without a release": "end of the connection behind a message",
    "elements of group 2 in the data set": "elements of group 2",
    "a whole Part 10 file in the data set": "a Part 10 file instead of a data set",
    "trailing padding": "trailing padding",
    "unordered tags": "tags out of order",
    "delimiters after sequences with a length": "delimiter after a sequence with a length",
    "delimiters after empty sequences in items": "delimiter after a sequence of length 0 in an item",
    "sequences that end twice": "sequence that ends twice",
    "encapsulated pixel data of an unknown VR": "pixel data of an unknown VR in items",
    "sequences of a VR of the future": "sequence of an unknown VR",
    "VRs of NULs": "VR of two NULs",
    "text in sequences": "text in a sequence in implicit VR",
    "SQ without items": "sequence of defined length without items",
    "bytes FF after the last element": "bytes FF after the last element",
    "blanks after the last element": "blanks after the last element",
    "a line end after the last element": "a line end after the last element",
    "deflated streams padded to even": "deflated and padded to even",
    "a Message ID used again": "the same message three times at once",
    "move originator of wrong VR": "move originator of wrong form",
    "asynchronous operations that are not supported": "asynchronous operations window",
}


@pytest.mark.parametrize("quirk", IN_THE_CORPUS)
def test_quirk_is_in_the_corpus(quirk: str) -> None:
    """The case has the exact reaction."""
    [case] = [case for case in cases() if case.title == IN_THE_CORPUS[quirk]]
    assert case.reaction("").startswith(("0000", "accept", "abort 2/6"))


@pytest.fixture
def receiver(ours: Start) -> Receiver:
    return ours("-pm", "--no-fsync")


def still_serves(receiver: Receiver) -> bool:
    with RawAssociation(receiver.port, [(VERIFICATION, [IMPLICIT_LE])]) as association:
        status = association.echo()
        association.release()
    return status == 0


def test_38_transfer_syntaxes_in_128_contexts(receiver: Receiver) -> None:
    syntaxes = [sample.transfer_syntax for sample in made_samples()][:38]
    with RawAssociation(receiver.port, [(CT, syntaxes)] * 128) as association:
        assert {result for result, _ in association.accepted.values()} == {0}
        assert len(association.accepted) == 128
        assert association.store(CT, "1.2.3", instance_of(CT, "1.2.3"), context_id=255) in (0, 0xC000)
        association.release()


def test_one_context_for_each_transfer_syntax(receiver: Receiver) -> None:
    samples = made_samples()
    assert send(receiver.port, samples) == [0] * len(samples)
    assert len(receiver.files()) == len(samples)


def test_private_class(receiver: Receiver) -> None:
    sample = Sample("private", PRIVATE_CLASS, "1.2.3", PRIVATE_SYNTAX, b"whatever this is")
    assert send(receiver.port, [sample]) == [0]
    assert stored_file(receiver.only_file()).data == sample.data


def test_one_association_for_each_instance(receiver: Receiver, count: Callable[[int, int], int]) -> None:
    number = count(100, 2000)
    for part in range(number):
        uid = f"1.2.{part}"
        assert send(receiver.port, [Sample("", CT, uid, EXPLICIT_LE, instance_of(CT, uid))]) == [0]
    assert len(receiver.files()) == number


@pytest.mark.parametrize("senders", [1, 8], ids=["in-sequence", "in-parallel"])
def test_one_instance_again_and_again(receiver: Receiver, senders: int) -> None:
    sample = Sample("", CT, "1.2.3", EXPLICIT_LE, instance_of(CT, "1.2.3"))
    with ThreadPoolExecutor(senders) as pool:
        statuses = list(pool.map(lambda _: send(receiver.port, [sample]), range(16)))
    assert statuses == [[0]] * 16
    assert stored_file(receiver.only_file()).data == sample.data


def test_a_new_message_after_half_of_one(receiver: Receiver) -> None:
    """The sender gave up and starts anew on the same association: the standard has no recovery from that."""
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        association.request(store_rq(CT, "1.2.3"), instance_of(CT, "1.2.3")[:300], last=False)
        association.request(store_rq(CT, "1.2.4"), instance_of(CT, "1.2.4"))
        assert str(next_answer(association)) == "Aborted(source=2, reason=5)"
    assert receiver.files() == []
    assert still_serves(receiver)


def test_never_released(receiver: Receiver) -> None:
    """A sender stores and then keeps the connection; others are served meanwhile."""
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as idle:
        assert idle.store(CT, "1.2.3", instance_of(CT, "1.2.3")) == 0
        assert still_serves(receiver)
        assert idle.store(CT, "1.2.4", instance_of(CT, "1.2.4")) == 0


def test_association_held_for_hours(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between messages there is no deadline: here an hour and more without a byte."""
    clock = Clock()
    monkeypatch.setattr(session_module, "time", clock)
    before = clock.now
    said = ScriptedWorker(tmp_path_factory.mktemp("out"), clock).play(ECHO, *[None] * 8000, ECHO, RELEASE).sent
    assert responses(said) == [(7, 0), (7, 0)]
    assert clock.now - before > 3600


def test_pipelined_without_a_window(receiver: Receiver) -> None:
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        for number in range(8):
            association.request(store_rq(CT, f"1.2.{number}", number), instance_of(CT, f"1.2.{number}"))
        answers = [association.response() for _ in range(8)]
        association.release()
    assert [status_of(answer) for answer in answers] == [0] * 8
    assert [answer[0x0120] for answer in answers] == [bytes([number, 0]) for number in range(8)]


def test_closed_without_release_after_each_instance(receiver: Receiver) -> None:
    for part in range(20):
        with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
            assert association.store(CT, f"1.2.{part}", instance_of(CT, f"1.2.{part}")) == 0
    assert len(receiver.files()) == 20


def test_request_message_and_release_in_one_segment(receiver: Receiver) -> None:
    pieces = [
        associate_rq([(MR, [EXPLICIT_LE])]),
        *data_pdus(1, [command_set(store_rq(MR, "1.2.3"))], is_command=True),
        *data_pdus(1, [instance_of(MR, "1.2.3")], is_command=False),
        RELEASE,
    ]
    with RawAssociation(receiver.port) as association:
        association.send(b"".join(pieces))
        association.socket.shutdown(socket.SHUT_WR)
        answers = [type(next_answer(association)).__name__ for _ in range(4)]
    assert answers == [Accepted.__name__, "Response", "Released", "Closed"]
    assert receiver.files() == ["MR.1.2.3"]


def test_named_one_by_one(figure: Callable[[str], None]) -> None:
    here = [name for name in globals() if name.startswith("test_") and "corpus" not in name and "named" not in name]
    figure(f"{len(IN_THE_CORPUS) + len(here)} quirks")
