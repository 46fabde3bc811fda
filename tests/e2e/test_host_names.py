"""Host names in the log: shown once they are known; no association waits for them."""

from __future__ import annotations

import time

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.programs.receivers import Receiver, Start
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

# Python runs a module of this name at its start. Peers get a foreign address, because loopback addresses need no
# resolver. The resolver's answer is in a file; it does not answer before that file exists.
RESOLVER = """\
import os, socket, time

accept = socket.socket.accept

def from_elsewhere(self):
    peer, address = accept(self)
    return peer, ("10.0.0.7", *address[1:])

def ask(address):
    with open("asked", "a") as asked:
        asked.write(address + chr(10))
    while not os.path.exists("answer"):
        time.sleep(0.01)
    return open("answer").read(), [], [address]

socket.socket.accept = from_elsewhere
socket.gethostbyaddr = ask
"""


def start(ours: Start, *arguments: object) -> Receiver:
    return ours("-pm", "-v", *arguments, files={"sitecustomize.py": RESOLVER}, env={"PYTHONPATH": "."})


def deliver(receiver: Receiver, calling: str) -> None:
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])], calling=calling) as association:
        assert association.store(CT, "1.2.3", instance_of(CT, "1.2.3")) == 0
        association.release()


def test_a_resolver_that_hangs_delays_no_peer(ours: Start) -> None:
    """Nor the end of the receiver, which the fixture checks."""
    receiver = start(ours)
    began = time.monotonic()
    for number in range(3):
        deliver(receiver, f"CT{number}")
        receiver.wait_for_log(f"I: Association Received 10.0.0.7: CT{number} -> ANY")
    assert time.monotonic() - began < 15
    until((receiver.directory / "asked").exists, "the resolver is asked")


def test_names_are_shown_once_they_are_known(ours: Start) -> None:
    receiver = start(ours, "--max-associations", "1")  # each worker asks the resolver itself
    (receiver.directory / "answer").write_text("ct1.radiology.example")

    def is_named() -> bool:
        deliver(receiver, "CT")
        return "I: Association Received ct1: CT -> ANY" in receiver.log

    until(is_named, "an association from ct1")


@pytest.mark.parametrize("options", [["-dhl"], ["-ll", "warn"]], ids=["-dhl", "no-reader"])
def test_the_resolver_is_not_asked_in_vain(ours: Start, options: list[str]) -> None:
    receiver = ours("-pm", *options, files={"sitecustomize.py": RESOLVER}, env={"PYTHONPATH": "."})
    deliver(receiver, "CT")
    assert receiver.stop() == 0
    assert not (receiver.directory / "asked").exists()
