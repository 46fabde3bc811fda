"""Behind a load balancer: limits, hooks and log know the peer that the PROXY header names."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from support.data.datasets import identification
from support.docs.blocks import blocks_of
from support.programs.certificates import Certificates
from support.programs.haproxy import balancer
from support.programs.receivers import Receiver, Start
from support.programs.tls_clients import client_context, tls
from support.protocol.pdus import ASSOCIATE_AC, ASSOCIATE_RJ, associate_rq
from support.protocol.proxy_headers import LOCAL, version_1, version_2
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

CONTEXTS = [(CT, [EXPLICIT_LE])]
HEADERS = pytest.mark.parametrize("header", [version_1, version_2])
FROM_HERE = ("--proxy-from", "127.0.0.1", "-dhl")
LAYOUT = """
from dcmrecv_core import hookimpl

@hookimpl
def choose_subdir(instance):
    return "peer-" + instance.association.peer_address.replace(":", "_")
"""


@HEADERS
@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
def test_hooks_and_log_know_the_peer(ours: Start, header: Callable[[str], bytes], address: str) -> None:
    receiver = ours("-pm", "-v", *FROM_HERE, "--plugin", "by_peer", files={"by_peer.py": LAYOUT})
    with RawAssociation(receiver.port, CONTEXTS, first=header(address)) as association:
        assert association.store(CT, "1.2.3", identification(CT, "1.2.3")) == 0
        association.release()
    assert receiver.files() == [f"peer-{address.replace(':', '_')}/CT.1.2.3"]
    receiver.wait_for_log(f"({address})")
    assert "127.0.0.1" not in receiver.log


@HEADERS
def test_limits_count_by_peer(ours: Start, header: Callable[[str], bytes]) -> None:
    receiver = ours("-pm", *FROM_HERE, "--max-per-peer", "1")

    def answer(address: str) -> tuple[int, bytes]:
        association = stack.enter_context(RawAssociation(receiver.port, first=header(address)))
        association.send(associate_rq(CONTEXTS))
        return association.read_pdu()

    with contextlib.ExitStack() as stack:
        assert [answer(f"192.0.2.{last}")[0] for last in (1, 2, 3)] == [ASSOCIATE_AC] * 3
        assert answer("192.0.2.1")[0] == ASSOCIATE_RJ
    receiver.wait_for_log("from RAWSCU (192.0.2.1) to ANY (local limit exceeded): see --max-per-peer")


@HEADERS
def test_tls_comes_after_the_header(ours: Start, certificates: Certificates, header: Callable[[str], bytes]) -> None:
    receiver = ours(*tls(certificates), *FROM_HERE)
    context = client_context(certificates, certificates.client)
    with RawAssociation(receiver.port, CONTEXTS, tls=context, first=header("192.0.2.7")) as association:
        assert association.store(CT, "1.2.3", identification(CT, "1.2.3")) == 0
        association.release()
    receiver.wait_for_log("(192.0.2.7)")


def test_haproxy_says_who_sends(ours: Start, directory: Path) -> None:
    [configuration] = [block.text for block in blocks_of("load-balancers.md") if block.language == "haproxy"]
    receivers = [ours("-pm", "-v", *FROM_HERE) for _ in range(2)]
    with balancer(directory, configuration, [receiver.port for receiver in receivers]) as port:
        for last in range(20, 24):
            with RawAssociation(port, CONTEXTS, source=f"127.0.0.{last}") as association:
                assert association.store(CT, f"1.2.{last}", identification(CT, f"1.2.{last}")) == 0
                association.release()
    assert sorted(name for receiver in receivers for name in receiver.files()) == [f"CT.1.2.{n}" for n in range(20, 24)]
    for receiver in receivers:
        stored = [name.rpartition(".")[2] for name in receiver.files()]
        assert stored, "one has got all associations"
        for last in stored:
            receiver.wait_for_log(f"(127.0.0.{last})")
        assert receiver.log.count("W:") == receiver.log.count("E:") == 0


def test_without_a_header_there_is_no_association(ours: Start) -> None:
    receiver = ours("-pm", *FROM_HERE)
    with RawAssociation(receiver.port) as association:
        association.send(associate_rq(CONTEXTS))
        assert association.read_pdu() == (0, b"")
    receiver.wait_for_log("connection from load balancer 127.0.0.1 refused: it does not begin with a PROXY header")
    assert_echo_of_others(receiver)


def test_health_checks_of_balancers_are_silent(ours: Start) -> None:
    receiver = ours("-pm", *FROM_HERE)
    for first in (b"", LOCAL, b"PROXY UNKNOWN\r\n"):
        RawAssociation(receiver.port, first=first).socket.close()
    assert_echo_of_others(receiver)
    assert receiver.log.count("W:") == receiver.log.count("E:") == 0


def test_a_reload_changes_who_sends_headers(ours: Start) -> None:
    receiver = ours("-v", "--settings", "dcmrecv.toml", files={"dcmrecv.toml": "promiscuous = true\n"})
    assert_echo_of_others(receiver, source="127.0.0.1")
    (receiver.directory / "dcmrecv.toml").write_text('promiscuous = true\nproxy_from = ["127.0.0.0/8"]\n')
    receiver.process.send_signal(signal.SIGHUP)
    receiver.wait_for_log("settings reloaded")
    with RawAssociation(receiver.port, CONTEXTS, first=version_2("192.0.2.7")) as association:
        association.release()


def assert_echo_of_others(receiver: Receiver, source: str = "127.0.0.2") -> None:
    """A peer that is no load balancer needs no header."""
    with RawAssociation(receiver.port, CONTEXTS, source=source) as association:
        association.release()
