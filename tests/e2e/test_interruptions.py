"""Transfers that break off leave no files; SIGTERM lets running ones finish."""

from __future__ import annotations

import signal
import socket
import struct
import time

import pytest

from dcmrecv_core.testing import until
from support.data.datasets import identification, instance_of, pixel_data_header
from support.data.stored_files import stored_file
from support.programs.receivers import Receiver, Start
from support.protocol.pdus import ABORT, RELEASE_RP, RELEASE_RQ, data_pdus, pdu, status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

INSTANCE = "1.2.3.4"
DATA = instance_of(CT, INSTANCE)
CONTEXTS = [(CT, [EXPLICIT_LE])]
GRACE = 7.0
"""Seconds that an instance under way has after SIGTERM."""

MODES = pytest.mark.parametrize("mode", ["-B", "+B"])
SIZES = pytest.mark.parametrize("size", [4096, 4 << 20], ids=["small", "spooled"])


def half(size: int = 4 << 20) -> list[bytes]:
    """A data set with one half of its pixel data, `size` bytes."""
    return [identification(CT, INSTANCE) + pixel_data_header(2 * size), bytes(size)]


def half_way(receiver: Receiver, size: int = 4 << 20) -> RawAssociation:
    """An association in the middle of a data set."""
    association = RawAssociation(receiver.port, CONTEXTS)
    association.request(store_rq(CT, INSTANCE), half(size), last=False)
    return association


def check_nothing_stored_and_still_serving(receiver: Receiver) -> None:
    """The next instance is stored, and is the only file: a later association proves that the earlier one has ended."""
    with RawAssociation(receiver.port, CONTEXTS) as association:
        assert association.store(CT, "1.2.3.5", instance_of(CT, "1.2.3.5")) == 0
        association.release()
    until(lambda: receiver.files() == ["CT.1.2.3.5"], f"nothing but the next instance: {receiver.files()}")


@MODES
@SIZES
def test_abort(ours: Start, mode: str, size: int) -> None:
    receiver = ours("-v", "-pm", mode)
    with half_way(receiver, size) as association:
        association.abort()
    receiver.wait_for_log("Received Association Abort Request")
    check_nothing_stored_and_still_serving(receiver)


@MODES
@SIZES
def test_disconnect(ours: Start, mode: str, size: int) -> None:
    receiver = ours("-pm", mode)
    with half_way(receiver, size) as association:
        port = association.local_port
    receiver.wait_until_over(port)
    check_nothing_stored_and_still_serving(receiver)


def test_reset(ours: Start) -> None:
    receiver = ours("-pm")
    with half_way(receiver) as association:
        receiver.worker_serving(association.local_port)
        association.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    check_nothing_stored_and_still_serving(receiver)


@MODES
def test_release_in_mid_message(ours: Start, mode: str) -> None:
    receiver = ours("-pm", mode)
    with half_way(receiver) as association:
        association.send(pdu(RELEASE_RQ, bytes(4)))
        assert association.read_pdu()[0] == RELEASE_RP
    check_nothing_stored_and_still_serving(receiver)


def test_disconnect_before_the_response_keeps_the_file(ours: Start) -> None:
    receiver = ours("-pm")
    with RawAssociation(receiver.port, CONTEXTS) as association:
        association.request(store_rq(CT, INSTANCE), DATA)
    until(lambda: receiver.files() == [f"CT.{INSTANCE}"], "the complete instance is stored")


def test_sigterm_when_idle(ours: Start) -> None:
    receiver = ours("-pm")
    start = time.monotonic()
    assert receiver.stop() == 0
    assert time.monotonic() - start < GRACE


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_the_instance_under_way_finish(ours: Start, signum: signal.Signals) -> None:
    receiver = ours("-pm", "-v")
    with RawAssociation(receiver.port, CONTEXTS) as association:
        middle = len(DATA) // 2
        association.request(store_rq(CT, INSTANCE), DATA[:middle], last=False)
        receiver.wait_for_log("Received C-STORE Request")  # otherwise no instance is being received yet
        receiver.process.send_signal(signum)
        until(lambda: refuses_connections(receiver), "new associations are refused")
        for piece in data_pdus(1, [DATA[middle:]], is_command=False):
            association.send(piece)
        assert status_of(association.response()) == 0
        assert association.read_pdu()[0] in (ABORT, 0)
    assert receiver.process.wait(20) == 0
    assert stored_file(receiver.only_file()).data == DATA


def refuses_connections(receiver: Receiver) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=1) as probe:
            return probe.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_idle_associations_do_not_hold_up_sigterm(ours: Start) -> None:
    receiver = ours("-pm")
    with RawAssociation(receiver.port, CONTEXTS) as association:
        assert association.store(CT, INSTANCE, DATA) == 0
        assert receiver.stop() == 0
        assert association.read_pdu()[0] in (ABORT, 0)


def test_second_signal_ends_at_once(ours: Start) -> None:
    receiver = ours("-pm")
    with half_way(receiver):
        receiver.process.send_signal(signal.SIGTERM)
        until(lambda: refuses_connections(receiver), "the first signal is seen")
        start = time.monotonic()
        assert receiver.stop() == 0
        assert time.monotonic() - start < GRACE
    assert receiver.files() == []
