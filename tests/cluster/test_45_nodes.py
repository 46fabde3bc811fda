"""Hosts send through HAProxy to three nodes, one of which is killed every few seconds and started again, and try again.
Then each acknowledged instance has to be in the bucket, the index and the stream, with the address that it came from,
and each revision of a study has to have one completion. A node that stays dead, a rolling restart, a study that comes
to all nodes, limits of an address.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice

import pytest

from dcmrecv_core.testing import until
from support.cluster.cluster import PER_PEER, Cluster, expected
from support.cluster.hosts import CONTEXTS, Host, acknowledged, hosts, sending, stop
from support.cluster.instances import Instance, instances
from support.cluster.nodes import Node
from support.promises.promises import promise
from support.protocol.pdus import ASSOCIATE_AC, ASSOCIATE_RJ, associate_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT

pytestmark = promise(45)

TAKEN_OVER = 30.0
"""Seconds after which the work of a node that has died is another one's."""


def kill_with_work(cluster: Cluster, node: Node) -> bool:
    """Kill it at a moment at which it has work of both kinds; False if it has none just now."""
    node.pause()
    if not all(cluster.work_of(node)):
        node.go_on()
        return False
    node.kill()
    return True


def check(cluster: Cluster, senders: list[Host]) -> dict[Instance, str]:
    """All that was acknowledged is where it has to be; returns it, with the address that it came from."""
    addresses = acknowledged(senders)
    tries = {uid: often for sender in senders for uid, often in sender.tries.items()}
    of = {instance.study for instance in addresses}
    cluster.assert_stored(addresses)
    indexed, published = cluster.indexed(of), cluster.published(of)
    uids = {each.uid for each in addresses}
    assert (uids - indexed.keys(), uids - published.instances.keys()) == (set(), set()), "acknowledged, but missing"
    assert {each.uid: indexed[each.uid] for each in addresses} == {
        each.uid: expected(each, address) for each, address in addresses.items()
    }
    often = {uid: len(published.instances[uid]) for uid in uids}
    assert {uid: found for uid, found in often.items() if found > tries[uid]} == {}
    completed = published.completed()
    assert {each.uid for each in addresses if each.uid not in completed[each.study]} == set()
    return addresses


@pytest.mark.timeout(3000)
def test_nodes_are_killed(cluster: Cluster, count: Callable[[int, int], int], figure: Callable[[str], None]) -> None:
    chance = random.Random(45)
    senders = hosts(cluster.port, "killed", 1_000_000, each=5, pause=0.5)
    kills, wanted = 0, count(200, 20_000)
    with sending(senders):
        while kills < 4 or len(acknowledged(senders)) < wanted:
            time.sleep(count(1, 10))  # the senders go on meanwhile
            node = chance.choice(cluster.nodes)
            node.kill()
            node.start()
            node.wait_until_ready()
            kills += 1
        stop(senders)
    cluster.until_delivered()
    addresses = check(cluster, senders)
    again = sum(often > 1 for sender in senders for often in sender.tries.values())
    figure(f"{kills} nodes killed: 0 of {len(addresses)} lost, {again} of them sent again")


def test_a_node_stays_dead(cluster: Cluster, figure: Callable[[str], None]) -> None:
    """Its work is that of the others within 30 s."""
    senders = hosts(cluster.port, "dead", 20)
    node = cluster.nodes[1]
    with sending(senders):
        until(lambda: kill_with_work(cluster, node), "the node dies with work", log=lambda: cluster.log)
        died = time.monotonic()
    try:
        until(
            lambda: not any(cluster.work_of(node)), "its work is taken over", TAKEN_OVER + 10, log=lambda: cluster.log
        )
        seconds = time.monotonic() - died
        cluster.until_delivered()
    finally:
        node.start()
        node.wait_until_ready()
    check(cluster, senders)
    assert seconds < TAKEN_OVER
    figure(f"work of a dead node taken over after {seconds:.0f} s")


def stop_in_an_association(node: Node, images: list[Instance]) -> None:
    """The first image is stored before, the others while the node drains."""

    def store(images: list[Instance]) -> None:
        assert [association.store(CT, image.uid, image.data) for image in images] == [0] * len(images)

    def end() -> None:
        store(images[1:])
        association.release()

    with RawAssociation(node.port, CONTEXTS, first=b"PROXY TCP4 127.0.0.210 127.0.0.1 40000 11112\r\n") as association:
        store(images[:1])
        assert node.stop(end) == 0, node.log[-3000:]


def test_a_rolling_restart(cluster: Cluster, count: Callable[[int, int], int], figure: Callable[[str], None]) -> None:
    senders = hosts(cluster.port, "rolling", 1_000_000, each=1, pause=0.1)
    restarts = 0
    studies = instances("drained", 30, 10)
    with sending(senders):
        for _ in range(count(1, 10)):
            for node in cluster.nodes:
                stop_in_an_association(node, list(islice(studies, 10)))
                node.start()
                cluster.until_balanced()
                restarts += 1
        stop(senders)
    assert [text for sender in senders for text in sender.failed] == []
    cluster.until_delivered()
    addresses = check(cluster, senders)
    figure(f"{restarts} restarts with draining, {len(addresses)} instances: 0 failed associations")


def test_limits_count_by_client(cluster: Cluster) -> None:
    cluster.until_balanced()
    with ExitStack() as stack:

        def answer(address: str) -> int:
            association = stack.enter_context(RawAssociation(cluster.port, source=address))
            association.send(associate_rq(CONTEXTS))
            return association.read_pdu()[0]

        allowed = PER_PEER * len(cluster.nodes)
        assert [answer("127.0.0.101") for _ in range(allowed)] == [ASSOCIATE_AC] * allowed
        assert answer("127.0.0.101") == ASSOCIATE_RJ
        assert answer("127.0.0.102") == ASSOCIATE_AC
    until(lambda: "(127.0.0.101) to ANY (local limit exceeded)" in cluster.log, "the address in the log")
    assert "(127.0.0.1)" not in cluster.log, "the balancer was taken for a client"


def test_a_slow_sender(cluster: Cluster) -> None:
    """Images of a study come through all nodes, the last one later than the time-out: in an association that was open
    all the time, with another node than the one that has nothing else to do."""
    cluster.until_balanced()
    *images, last = instances("slow", 1, 4)
    with ExitStack() as stack:

        def store(image: Instance, address: str) -> RawAssociation:
            association = stack.enter_context(RawAssociation(cluster.port, CONTEXTS, source=address))
            assert association.store(CT, image.uid, image.data) == 0
            return association

        slow, _, ended = (store(image, f"127.0.0.{201 + number}") for number, image in enumerate(images))
        assert cluster.rows("SELECT count(DISTINCT node) FROM associations WHERE lease > now()") == [(3,)]
        ended.release()
        for other in instances("others", 2, 1):
            store(other, "127.0.0.204").release()
            text = "another study is complete"
            until(lambda other=other: cluster.published({other.study}).completions, text, log=lambda: cluster.log)
        assert slow.store(CT, last.uid, last.data) == 0
    cluster.until_delivered()
    published = cluster.published({last.study})
    assert published.completions.keys() == {(last.study, 1)}
    assert published.completed() == {last.study: {image.uid for image in (*images, last)}}
