"""Between dcmrecv-s3 and moto's server is a port that refuses connections, hangs, or fails requests, while senders
store and workers, the process that uploads, and the receiver are killed. With a spool, all that was acknowledged ends
up in the bucket, byte for byte, also what competes for one key, and is delivered with its place there. Without one,
each failure has a status, a reason and a limit in time.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from dcmrecv_core.testing import until
from support.programs.environment import write_files
from support.programs.receivers import Receiver, create_listener, start_ours
from support.promises.commitment import installed
from support.promises.deliveries import NOTES, check_ids, events, kill_process, kill_worker, notes
from support.promises.outages import WAYS, Port, port_before
from support.promises.promises import promise
from support.promises.senders import Sender, instance, sending
from support.promises.ways_to_disk import CONTEXTS
from support.protocol.pdus import status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.servers.s3_server import BUCKET, KEYS, S3Server, s3_server
from support.uids import CT

pytestmark = promise(46)

TIMEOUT = 2
BUSY = 10.0
"""Seconds that a busy machine may need beside it."""

SPOOL = ("--s3-spool", "spool")
ELEMENT = b"\x08\0\x18\0UI"
"""The begin of SOP Instance UID."""
UPLOADS = "delivery process of s3/relocate"
SITE = (
    NOTES
    + """\
@hookimpl
def choose_filename(instance):
    number = int(instance.sop_instance_uid.rpartition(".")[2])
    return "CT.same" if number % 8 == 0 else f"CT.{instance.sop_instance_uid}"

@hookimpl
def deliver(event, target):
    with event.open() as file:
        assert file.read(132).endswith(b"DICM")
    note("event", target, event.id, event.sop_instance_uid, event.recovered)
    note("location", event.location)
"""
)


class Place(NamedTuple):
    """A server, the port in front of it that can be damaged, and receivers that store there, one after the other."""

    server: S3Server
    port: Port
    start: Callable[..., Receiver]
    number: int
    home: Path


@pytest.fixture
def place(program: Path, directory: Path) -> Iterator[Place]:
    files, packages = installed(["s3"])
    home = directory / "ours"
    write_files(home, {**files, "site.py": SITE})
    running: list[Receiver] = []
    of_aws = {name: "" for name in os.environ if name.startswith("AWS_")}
    environment = {**packages, **of_aws, **KEYS, "HOME": str(home)}
    with (
        s3_server(directory) as server,
        port_before(int(server.endpoint.rpartition(":")[2])) as port,
        create_listener() as listener,
    ):

        def start(*more: object) -> Receiver:
            options = ("-pm", "-v", "--plugin", "site.py", "--plugin", "s3", "--s3-url", f"s3://{BUCKET}")
            at = ("--s3-endpoint", f"http://127.0.0.1:{port.number}", "--s3-timeout", TIMEOUT)
            running.append(start_ours(program, home, *options, *at, *more, env=environment, listener=listener))
            return running[-1]

        try:
            yield Place(server, port, start, listener.getsockname()[1], home)
        finally:
            for receiver in running:
                receiver.kill()


@contextmanager
def down(port: Port, way: str) -> Iterator[None]:
    port.damage(way)
    try:
        yield
    finally:
        port.mend()


def kept(server: S3Server) -> dict[str, bytes]:
    """Of each instance in the bucket its object."""
    found: dict[str, bytes] = {}
    for key in server.keys(BUCKET):
        if key.startswith(".dcmrecv-probe-"):  # the store went down before it could be removed
            continue
        data = server.read(BUCKET, key)
        assert ELEMENT in data, f"{key} is no instance: {len(data)} bytes, {data[:200]!r}"
        at = data.index(ELEMENT) + len(ELEMENT)
        uid = data[at + 2 : at + 2 + int.from_bytes(data[at : at + 2], "little")].rstrip(b"\0").decode()
        assert uid not in found, f"{uid} is there twice, the second time as {key}"
        found[uid] = data
    return found


def check(server: S3Server, senders: list[Sender]) -> int:
    """Everything that was acknowledged is there as it was sent; how much that is."""
    found = kept(server)
    acknowledged = {uid for sender in senders for uid in sender.acknowledged}
    assert sorted(acknowledged - found.keys()) == [], "acknowledged, but missing"
    for uid in acknowledged:
        sender, number = map(int, uid.split(".")[-2:])
        assert found[uid].endswith(instance(sender, number)[1]), f"{uid} is not what was sent"
    return len(acknowledged)


def until_everything_is_uploaded(home: Path, receiver: Receiver, senders: list[Sender]) -> None:
    missing = {uid for sender in senders for uid in sender.acknowledged}

    def one_less() -> bool:
        count = len(missing)
        missing.difference_update(event.uid for event in events(home))
        return not missing or len(missing) < count

    while missing:
        until(one_less, f"one more of {len(missing)} is delivered", 40, log=lambda: receiver.log)
    spool = home / "out" / "spool"
    until(lambda: not any("." not in name for name in os.listdir(spool)), "an empty spool", log=lambda: receiver.log)


def until_they_store(receiver: Receiver, senders: list[Sender]) -> None:
    before = [len(sender.acknowledged) for sender in senders]

    def more() -> bool:
        return all(len(sender.acknowledged) > known for sender, known in zip(senders, before, strict=True))

    until(more, "they go on", 40, lambda: receiver.log)


def kill_while_they_send(place: Place, receiver: Receiver, senders: list[Sender], chance: random.Random) -> Receiver:
    """All that can be killed; returns the receiver that is started then, when instances are stored in it."""
    time.sleep(chance.uniform(0.2, 0.5))  # the senders go on meanwhile
    kill_worker(receiver, chance)
    kill_process(receiver, UPLOADS)
    receiver.kill()
    again = place.start(*SPOOL)
    before = sum(len(sender.acknowledged) for sender in senders)
    until(
        lambda: sum(len(sender.acknowledged) for sender in senders) > before + 20, "they go on", log=lambda: again.log
    )
    return again


@pytest.mark.timeout(1800)
def test_with_a_spool(place: Place, count: Callable[[int, int], int], figure: Callable[[str], None]) -> None:
    receiver = place.start(*SPOOL)
    chance = random.Random(46)
    everybody: list[Sender] = []
    seconds = 0.0
    for way in WAYS:
        before = len(events(place.home))
        with down(place.port, way):
            began = time.monotonic()
            with sending(place.number, count(2, 6), first=len(everybody)) as senders:
                everybody += senders
                receiver = kill_while_they_send(place, receiver, senders, chance)
            time.sleep(count(0, {"refuses": 600, "hangs": 60, "fails": 60}[way]))
            seconds += time.monotonic() - began
            assert before or not events(place.home), "nobody is told before it is in the bucket"
        assert [text for sender in senders for text in sender.wrong] == []
    kill_process(receiver, UPLOADS)  # while it uploads what has waited
    until_everything_is_uploaded(place.home, receiver, everybody)
    check_ids(events(place.home))
    places = {location for location, _ in notes(place.home, "location")}
    assert {location.removeprefix(f"s3://{BUCKET}/") for location in places} <= set(place.server.keys(BUCKET))
    acknowledged = check(place.server, everybody)
    figure(f"down {len(WAYS)} times, {seconds:.0f} s, with {3 * len(WAYS)} kills: 0 of {acknowledged} lost")


def store(number: int, uid: str, data: bytes) -> tuple[int | None, str, float]:
    """Status, Error Comment, and the seconds that it took."""
    with RawAssociation(number, CONTEXTS) as association:
        began = time.monotonic()
        association.request(store_rq(CT, uid, 1), data)
        response = association.response()
        seconds = time.monotonic() - began
        association.release()
    return status_of(response), response.get(0x0902, b"").decode().strip(), seconds


def refused(place: Place, receiver: Receiver, way: str) -> tuple[str, float]:
    """Reason and seconds of an instance that is refused."""
    status, comment, seconds = store(place.number, *instance(99, 0))
    assert (status, comment[:4]) == (0xA700, "S3: "), f"{way}: {receiver.log}"
    assert seconds < TIMEOUT + BUSY, f"{way}: {receiver.log}"
    return comment, seconds


@pytest.mark.timeout(1800)
def test_without_a_spool(place: Place, count: Callable[[int, int], int], figure: Callable[[str], None]) -> None:
    receiver = place.start()
    found: list[tuple[str, float]] = []
    with sending(place.number, 2) as senders:
        for way in WAYS * count(1, 5):
            with down(place.port, way):
                found.append(refused(place, receiver, way))
                receiver.kill()
                receiver = place.start()
                found.append(refused(place, receiver, way))
            until_they_store(receiver, senders)
    statuses = [text.rpartition(" ")[2] for sender in senders for text in sender.wrong]
    assert set(statuses) == {"A700"}
    acknowledged = check(place.server, senders)
    reasons, longest = {reason for reason, _ in found}, max(seconds for _, seconds in found)
    figure(
        f"{len(statuses)} refused with A700 for {len(reasons)} reasons, after {longest:.1f} s at most "
        f"(limit {TIMEOUT} s): 0 of {acknowledged} acknowledged lost"
    )
