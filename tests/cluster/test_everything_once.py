"""What goes through HAProxy to three nodes is in the bucket as it was sent, and once in the index and in the stream."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from support.cluster.cluster import Cluster
from support.cluster.hosts import acknowledged, hosts, sending
from support.cluster.instances import studies

HOSTS = 8


def test_each_instance(cluster: Cluster, count: Callable[[int, int], int], figure: Callable[[str], None]) -> None:
    sent = list(chain.from_iterable(studies(1, count(15, 1000), 20)))
    senders = hosts(cluster.port, sent, HOSTS)
    with sending(senders):
        pass
    assert [text for sender in senders for text in sender.failed] == []
    addresses = acknowledged(senders)
    assert addresses.keys() == set(sent)
    cluster.until_delivered()
    of = {instance.study for instance in sent}
    cluster.stored(sent)
    indexed = cluster.indexed(of)
    assert {uid: each.peer_address for uid, each in indexed.items()} == {
        instance.uid: address for instance, address in addresses.items()
    }
    published = cluster.published(of)
    assert {uid: len(ids) for uid, ids in published.instances.items()} == dict.fromkeys(indexed, 1)
    figure(f"{len(sent)} instances to {len(cluster.nodes)} nodes: each in the bucket, once in index and stream")
