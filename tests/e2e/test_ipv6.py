"""IPv4, IPv6 or both: which peers can send, and how the log shows their addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.data.datasets import instance_of
from support.programs.certificates import Certificates
from support.programs.receivers import Receiver, Start, start_on_port
from support.programs.tls_clients import client_context
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

LOOPBACKS = ("127.0.0.1", "::1")


@pytest.fixture
def listening(program: Path, directory: Path, started: list[Receiver]) -> Start:
    """Starts our receiver on a port that it binds itself, unlike `ours`."""

    def start(*arguments: object) -> Receiver:
        receiver = start_on_port(directory, program, "-od", "out", "-pm", "-v", *arguments)
        started.append(receiver)
        return receiver

    return start


def delivers(receiver: Receiver, host: str) -> bool:
    """Whether an instance can be sent to `host`; False if the connection is refused."""
    try:
        association = RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])], host=host, calling=host)
    except ConnectionRefusedError:
        return False
    with association:
        assert association.store(CT, "1.2.3", instance_of(CT, "1.2.3")) == 0
        association.release()
    return True


@pytest.mark.parametrize(
    ("option", "reachable"), [("-i4", [True, False]), ("-i6", [False, True]), ("-i0", [True, True])]
)
def test_which_peers_can_send(listening: Start, option: str, reachable: list[bool]) -> None:
    receiver = listening(option)
    assert [delivers(receiver, host) for host in LOOPBACKS] == reachable
    assert len(receiver.files()) == 1
    for host, reached in zip(LOOPBACKS, reachable, strict=True):
        assert (f"I: Association Received localhost: {host} -> ANY" in receiver.log) == reached


def test_addresses_are_shown_as_the_peers_know_them(listening: Start) -> None:
    receiver = listening("-i0", "-dhl")
    for host in LOOPBACKS:
        assert delivers(receiver, host)
        receiver.wait_for_log(f"I: Association Received {host}: {host} -> ANY")


def test_tls_over_ipv6(listening: Start, certificates: Certificates) -> None:
    receiver = listening("-i6", "+tls", *certificates.server, "+cf", certificates.authority)
    context = client_context(certificates, certificates.client)
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])], host="::1", tls=context) as association:
        assert association.store(CT, "1.2.3", instance_of(CT, "1.2.3")) == 0
        association.release()
