"""The load: associations in processes of their own that send encoded requests.

Only the serial number in the SOP Instance UIDs and the calling title are written into the request; a response is
searched for status 0000 and not parsed. The row `null` of the report is the proof that the sender is not the limit.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import time
import traceback
from array import array
from collections.abc import Callable
from typing import NamedTuple

from support.bench.series import FIRST_SERIAL, Series
from support.protocol.pdus import ASSOCIATE_AC, RELEASE_RP, RELEASE_RQ, associate_rq, pdu
from support.uids import EXPLICIT_LE

SUCCESS = struct.pack("<HHIH", 0x0000, 0x0900, 2, 0x0000)
"""The element Status of a response (PS3.7 section 9.3.1.2) when it is Success."""

_RELEASE = pdu(RELEASE_RQ, bytes(4))
_TITLE = 26  # octets 27 to 42 of an A-ASSOCIATE-RQ: the calling title (PS3.8 section 9.3.2)
_PATIENCE = struct.pack("ll", 60, 0)  # in the kernel: a timeout of Python's costs a poll for each call

Work = Callable[[int], "array[int]"]
"""The work of one process, by its number; returns the nanoseconds of each response."""


class Failed(Exception):
    """An instance was not stored, or a process of the load ended."""


class Load(NamedTuple):
    """The instances of one measurement: `instances`, or as many as can be sent in `seconds`."""

    series: Series
    instances: int
    seconds: float
    associations: int = 1
    contexts: tuple[str, ...] = ()
    association_each: bool = False
    titles_change: bool = False
    max_pdu: int = 16384


class Result(NamedTuple):
    """Seconds from the start of the first process to the end of the last, and all response times in nanoseconds."""

    elapsed: float
    times: list[int]


class Sender:
    """One connection after the other to a receiver on localhost."""

    def __init__(self, port: int, load: Load) -> None:
        self._port = port
        self._requests = load.series.requests(load.max_pdu)
        proposed = [(load.series.sop_class, [load.series.transfer_syntax])]
        proposed += [(abstract, [EXPLICIT_LE]) for abstract in load.contexts if abstract != load.series.sop_class]
        self._associate = bytearray(associate_rq(proposed, calling="BENCH"))
        self._buffer = bytearray(1 << 16)

    def connect(self, title: bytes = b"") -> None:
        if title:
            self._associate[_TITLE : _TITLE + len(title)] = title
        self._socket = socket.create_connection(("127.0.0.1", self._port))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(self._associate)
        self._expect(ASSOCIATE_AC)

    def store(self, serial: int) -> None:
        request, places = self._requests[serial % len(self._requests)]
        buffer = self._buffer
        digits = b"%d" % (FIRST_SERIAL + serial)
        for place in places:
            request[place : place + 14] = digits
        self._socket.sendall(request)
        length = self._read()
        if buffer.find(SUCCESS, 0, length) < 0:
            raise Failed(f"not stored: {buffer[:length].hex()}")

    def release(self) -> None:
        self._socket.sendall(_RELEASE)
        self._expect(RELEASE_RP)
        self._socket.close()

    def _expect(self, kind: int) -> None:
        length = self._read()
        if self._buffer[0] != kind:
            raise Failed(f"not PDU {kind}: {self._buffer[:length].hex()}")

    def _read(self) -> int:
        """One PDU into the buffer; its length."""
        receive, view = self._socket.recv_into, memoryview(self._buffer)
        length = 0
        while length < 6 or length < 6 + struct.unpack_from(">I", view, 2)[0]:
            part = receive(view[length:])
            if not part:
                raise Failed("the receiver closed the connection")
            length += part
        return length


def send(port: int, load: Load, first: int, tick: Callable[[], None] | None = None) -> Result:
    """Send `load` under serial numbers from `first` on. Raises Failed."""
    share = load.instances // load.associations
    sender = Sender(port, load)

    def work(number: int) -> array[int]:
        start = first + number * share
        one_by_one = _associations if load.association_each else _instances
        return one_by_one(sender, range(start, start + share), load)

    return in_processes(load.associations, work, tick)


def _instances(sender: Sender, serials: range, load: Load) -> array[int]:
    """All on one association, which may begin too late if the receiver serves one association at a time."""
    clock, store, times = time.perf_counter_ns, sender.store, array("q")
    deadline = clock() + int(load.seconds * 1e9)
    sender.connect()
    for serial in serials:
        start = clock()
        if start > deadline:
            break
        store(serial)
        times.append(clock() - start)
    sender.release()
    return times


def _associations(sender: Sender, serials: range, load: Load) -> array[int]:
    """Each on its own association; the time includes connection, association, instance and release."""
    clock, times = time.perf_counter_ns, array("q")
    deadline = clock() + int(load.seconds * 1e9)
    for serial in serials:
        start = clock()
        if start > deadline:
            break
        sender.connect(b"MODALITY%06d" % (serial % 1_000_000) if load.titles_change else b"")
        sender.store(serial)
        sender.release()
        times.append(clock() - start)
    return times


def in_processes(count: int, work: Work, tick: Callable[[], None] | None = None) -> Result:
    """Run `work` in `count` processes that start at the same time; `tick` is called every 20 ms meanwhile."""
    gate, opener = os.pipe()
    pipes, children = {}, []
    for number in range(count):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(opener)
            _child(gate, writer, work, number)
        os.close(writer)
        pipes[reader] = bytearray()
        children.append(child)
    os.close(gate)
    os.close(opener)  # now all start
    collected = _collect(pipes, tick)
    failed = [child for child in children if os.waitpid(child, 0)[1]]
    if failed:
        raise Failed(f"{len(failed)} of {count} processes of the load failed")
    spans = [part[:2] for part in collected]
    elapsed = max(end for _, end in spans) - min(start for start, _ in spans)
    return Result(elapsed / 1e9, [nanoseconds for part in collected for nanoseconds in part[2:]])


def _child(gate: int, writer: int, work: Work, number: int) -> None:
    code = 1
    try:
        os.read(gate, 1)
        start = time.perf_counter_ns()  # of one clock for all processes
        times = work(number)
        with open(writer, "wb") as pipe:
            pipe.write(array("q", (start, time.perf_counter_ns())) + times)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _collect(pipes: dict[int, bytearray], tick: Callable[[], None] | None) -> list[array[int]]:
    open_pipes = set(pipes)
    while open_pipes:
        ready, _, _ = select.select(open_pipes, (), (), 0.02 if tick else None)
        for reader in ready:
            part = os.read(reader, 1 << 20)
            pipes[reader] += part
            if not part:
                os.close(reader)
                open_pipes.remove(reader)
        if tick:
            tick()
    return [array("q", bytes(data)) for data in pipes.values()]
