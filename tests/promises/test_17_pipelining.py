"""A sender with a small receive buffer sends 64 C-STOREs before it reads the first answer; answers are cut into
fragments of two bytes, and the receiver's send buffer is as small as the kernel lets it be. The instances have 500 000
bytes each, in the full run 4 MiB. So neither the answers nor the instances fit into the buffers of the two sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable

from support.data.datasets import element, identification
from support.data.stored_files import stored_file
from support.parity.answers import Accepted, Closed, Released, Response, next_answer
from support.programs.receivers import Receiver, Start
from support.promises.other_receivers import Peer
from support.promises.promises import promise
from support.protocol.pdus import RELEASE_RQ, associate_rq, command_set, data_pdus, pdu, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(17)

INSTANCES = 64

SMALL_BUFFER = {
    "small_buffer.py": """\
import os, socket, stat
from dcmrecv_core import hookimpl

@hookimpl
def negotiate(association):
    for name in os.listdir("/proc/self/fd"):
        try:
            if not stat.S_ISSOCK(os.stat(int(name)).st_mode):
                continue
        except OSError:  # the descriptor of the list
            continue
        with socket.socket(fileno=os.dup(int(name))) as sock:
            if sock.family == socket.AF_INET:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
"""
}


def instance(number: int, size: int) -> bytes:
    return identification(CT, f"1.2.3.{number}") + element(0x7FE00010, "OW", bytes([number]) * size)


class SenderThatDoesNotRead(RawAssociation):
    """A sender with a receive buffer that is small from the start: if it became small later, the kernel would drop
    segments that it had promised room, and the acknowledgements in them."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(20)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))


def pipelined(receiver: Receiver, size: int, max_pdu: int = 16384) -> list[tuple[int, int]]:
    """(Message ID, status) of each answer in order; fewer if the association ended before."""
    with SenderThatDoesNotRead(receiver.port) as association:
        association.send(associate_rq([(CT, [EXPLICIT_LE])], max_pdu=max_pdu))
        assert isinstance(next_answer(association), Accepted)
        for number in range(INSTANCES):
            for piece in data_pdus(1, [command_set(store_rq(CT, f"1.2.3.{number}", number))], is_command=True):
                association.send(piece)
            association.send(b"".join(data_pdus(1, [instance(number, size)], is_command=False)))
        association.send(pdu(RELEASE_RQ, bytes(4)))
        said = []
        while isinstance(answer := next_answer(association), Response):
            said.append((int.from_bytes(answer.elements[0x0120], "little"), answer.status))
        assert isinstance(answer, Released | Closed)
    return said


def test_sender_that_does_not_read(
    ours: Start, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    size = count(500_000, 4 << 20)
    receiver = ours("-pm", "--no-fsync", "--plugin", "small_buffer", files=SMALL_BUFFER)
    said = pipelined(receiver, size, max_pdu=8)
    assert said == [(number, 0) for number in range(INSTANCES)]
    assert len(receiver.files()) == INSTANCES
    for number in range(INSTANCES):
        assert stored_file(receiver.output / f"CT.1.2.3.{number}").data == instance(number, size)
    figure(f"{len(said)} answers in order, {len(receiver.files())} files of {size} bytes as sent")


def test_peer(peer: Peer) -> None:
    try:
        said = pipelined(peer.receiver, 100_000)
    except OSError as error:
        peer.does(f"ends the connection ({type(error).__name__})")
    else:
        in_order = said == [(number, 0) for number in range(INSTANCES)]
        peer.does(f"{len(said)} of {INSTANCES} answers{', in order' * in_order}")
