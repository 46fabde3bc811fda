"""Other addresses take as many places as they get, in several ways, and stay; then another sender has to be served."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from dcmrecv_core.net.connection import CALL_TIMEOUT
from support.programs.certificates import Certificates
from support.programs.receivers import Start, system_program
from support.programs.tls_clients import client_context, tls
from support.promises.crowds import (
    CONTEXTS,
    associations,
    dribbling,
    dribbling_handshakes,
    reconnecting,
    seconds_until_served,
    silent_handshakes,
)
from support.promises.echoes import echo_seconds
from support.promises.ipv6_network import Ipv6Network
from support.promises.promises import promise
from support.protocol.pdus import ASSOCIATE_AC, ASSOCIATE_RJ, RELEASE_RP, associate_rq, pdu, release_rq
from support.protocol.raw_sender import RawAssociation

pytestmark = promise(40)

FIRST, SECOND, OTHER = "127.0.0.2", "127.0.0.3", "127.0.0.4"
PLACES = 64
WITHIN = 2.0
FOR_ONE = 62
"""Places that one address may have of 64."""

BOTH = [FIRST, SECOND] * (PLACES // 2)

Figure = Callable[[str], None]


@pytest.mark.parametrize(
    ("addresses", "answered"), [([FIRST] * 40, 30), ([FIRST, SECOND] * 16, 32)], ids=["one address", "two addresses"]
)
def test_fault_13_silent_handshakes(
    ours: Start, certificates: Certificates, figure: Figure, addresses: list[str], answered: int
) -> None:
    receiver = ours(*tls(certificates))
    context = client_context(certificates, certificates.client)
    with silent_handshakes(receiver.port, addresses, answered):
        seconds = [seconds_until_served(receiver.port, OTHER, WITHIN, context) for _ in range(3)]
    figure(f"{len(addresses)} silent handshakes of {len(set(addresses))}: served after {max(seconds):.1f} s at most")


@pytest.mark.parametrize(("places", "addresses"), [(1, "AAAA"), (2, "AAAA"), (5, "AAAA"), (8, "AAAB")])
def test_dribbling_handshakes(
    ours: Start, certificates: Certificates, figure: Figure, places: int, addresses: str
) -> None:
    """A byte now and then is no progress in a handshake either; who is ended comes again."""
    receiver = ours(*tls(certificates), "--max-associations", places)
    context = client_context(certificates, certificates.client)
    with dribbling_handshakes(receiver.port, [FIRST if name == "A" else SECOND for name in addresses]):
        seconds = [seconds_until_served(receiver.port, OTHER, WITHIN, context) for _ in range(3)]
    figure(f"4 handshakes that dribble, --max-associations {places}: served after {max(seconds):.1f} s at most")


def test_fault_14_silent_associations(ours: Start, figure: Figure) -> None:
    """They take all places; when they have been silent for long enough, one has to go."""
    idle = 2.0
    receiver = ours("-q", "-pm", "--idle-eviction", int(idle))
    with associations(receiver.port, BOTH):
        seconds = seconds_until_served(receiver.port, OTHER, idle + WITHIN)
        later = [seconds_until_served(receiver.port, OTHER, WITHIN) for _ in range(3)]
    figure(
        f"served {max(seconds - idle, 0):.1f} s after {idle:.0f} s of silence, then after {max(later):.1f} s at most"
    )


def test_a_worker_that_does_not_answer(ours: Start, figure: Figure) -> None:
    """Its association has been idle for longest, and cannot end."""
    idle = 1.0
    receiver = ours("-q", "-pm", "--idle-eviction", int(idle), "--max-associations", 2)
    with associations(receiver.port, [FIRST]) as [first]:
        worker = receiver.worker_serving(first.local_port)
        assert not select.select([first.socket], [], [], 3 * CALL_TIMEOUT)[0], "by then it counts as idle"
        with associations(receiver.port, [FIRST]):
            os.kill(worker, signal.SIGSTOP)
            try:
                seconds = seconds_until_served(receiver.port, OTHER, 5 * idle + WITHIN)
            finally:
                os.kill(worker, signal.SIGCONT)
    figure(f"a stopped worker: served {max(seconds - idle, 0):.1f} s after {idle:.0f} s")


def test_silent_associations_come_again(ours: Start, figure: Figure) -> None:
    """One address has the only place, and requests that wait for it whenever another sender comes: so many that one of
    them has always waited longer."""
    idle, number = 1.0, 16
    receiver = ours("-q", "-pm", "--idle-eviction", int(idle), "--max-associations", 1)
    with reconnecting(receiver.port, FIRST, number):
        seconds = [seconds_until_served(receiver.port, OTHER, idle + WITHIN) for _ in range(5)]
    figure(f"1 place, {number} that come again: served {max(max(seconds) - idle, 0):.1f} s after {idle:.0f} s at most")


@pytest.mark.parametrize("number", [60, FOR_ONE])
def test_one_gateway(ours: Start, figure: Figure, number: int) -> None:
    """With default limits; what it asks for beyond its share is refused, and delays no other."""
    receiver = ours("-q", "-pm")
    with associations(receiver.port, [FIRST] * number) as held:
        if number == FOR_ONE:
            with RawAssociation(receiver.port, source=FIRST) as one_more:
                one_more.send(associate_rq(CONTEXTS))
                seconds = seconds_until_served(receiver.port, OTHER, WITHIN)
                assert one_more.read_pdu() == (ASSOCIATE_RJ, bytes((0, 2, 3, 2)))
        seconds = seconds_until_served(receiver.port, OTHER, WITHIN)
        for association in held:
            association.release()
    figure(f"{number} associations of one address, another served after {seconds:.2f} s")


def test_fault_14_dribbling(ours: Start, figure: Figure) -> None:
    """One address takes its share with messages that never end."""
    receiver = ours("-q", "-pm")
    with associations(receiver.port, [FIRST] * FOR_ONE) as held, dribbling(held):
        seconds = [seconds_until_served(receiver.port, OTHER, WITHIN) for _ in range(3)]
    figure(f"{FOR_ONE} that dribble: served after {max(seconds):.2f} s at most")


def test_fault_14_dribbling_ends(ours: Start, figure: Figure) -> None:
    """Two addresses take all places with such messages; a byte now and then is no progress."""
    window = 3.0
    receiver = ours("-q", "-pm", "--progress-timeout", int(window), "--max-associations", 8)
    with associations(receiver.port, [FIRST, SECOND] * 4) as held, dribbling(held):
        seconds = seconds_until_served(receiver.port, OTHER, window + 2 * WITHIN)
    figure(f"8 of 8 that dribble: served {max(seconds - window, 0):.1f} s after {window:.0f} s")


def test_addresses_of_one_network(ours: Start, figure: Figure) -> None:
    """A host has 2**64 IPv6 addresses."""
    request = associate_rq(CONTEXTS)
    with Ipv6Network() as network, contextlib.ExitStack() as stack:
        ours("-q", "-pm", listener=network.listener)

        def answer(address: str) -> int:
            connection = stack.enter_context(network.connect(address))
            connection.settimeout(10)
            connection.sendall(request)
            return connection.recv(1)[0]

        answers = [answer(f"fd00::{number:x}:2") for number in range(1, FOR_ONE + 2)]
        assert answers == [ASSOCIATE_AC] * FOR_ONE + [ASSOCIATE_RJ]
        began = time.monotonic()
        assert answer("fd00:0:0:1::1") == ASSOCIATE_AC
        seconds = time.monotonic() - began
    assert seconds < WITHIN
    figure(f"{FOR_ONE} addresses of one /64: another one served after {seconds:.2f} s")


def test_a_pause_after_a_key_update(ours: Start, certificates: Certificates) -> None:
    """A TLS record without data is no message that has begun. Python's ssl cannot send one."""
    receiver = ours(*tls(certificates), "--idle-eviction", 1, "--progress-timeout", 1)
    pair, server = certificates.client, f"127.0.0.1:{receiver.port}"
    command = [
        system_program("openssl"),
        "s_client",
        "-tls1_3",
        "-connect",
        server,
        "-cert",
        pair.certificate,
        "-key",
        pair.key,
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        assert client.stdin
        assert client.stdout
        say, output = client.stdin.fileno(), client.stdout.fileno()
        heard = b""

        def ask(said: bytes, answer: bytes) -> None:
            nonlocal heard
            os.write(say, said)
            while answer not in heard:
                assert select.select([output], [], [], 10)[0], f"no {answer!r}"
                more = os.read(output, 65536)
                assert more, f"it ended: {heard!r}"
                heard += more

        ask(associate_rq(CONTEXTS), bytes((ASSOCIATE_AC, 0, 0, 0)))
        assert not select.select([output], [], [], 2 * CALL_TIMEOUT)[0], "by then the receiver waits"
        ask(b"k\n", b"KEYUPDATE")
        assert not select.select([output], [], [], 3)[0], "the receiver says nothing meanwhile"
        ask(release_rq(), pdu(RELEASE_RP, bytes(4)))
        client.kill()
    receiver.wait_for_log("Association Release")


def test_a_pause_while_places_are_free(ours: Start) -> None:
    """A sender makes slices, and is silent for longer than all limits meanwhile; others come and go."""
    receiver = ours("-q", "-pm", "--idle-eviction", 1, "--progress-timeout", 1, "--max-associations", 4)
    with associations(receiver.port, [FIRST, FIRST]) as pausing:
        began = time.monotonic()
        while time.monotonic() - began < 3:
            assert echo_seconds(receiver.port) < WITHIN
        for association in pausing:
            association.release()
