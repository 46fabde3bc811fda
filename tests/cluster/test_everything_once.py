"""What goes through HAProxy to three nodes is in the bucket as it was sent, and once in the index and in the stream;
each revision of a study has one completion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

from support.cluster.cluster import Cluster, expected
from support.cluster.hosts import acknowledged, hosts, sending
from support.promises.promises import promise

pytestmark = promise(45)


@pytest.mark.timeout(3000)
def test_each_instance_and_each_study(
    cluster: Cluster, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    senders = hosts(cluster.port, "once", count(15, 1000))
    with sending(senders):
        pass
    assert [text for sender in senders for text in sender.failed] == []
    addresses = acknowledged(senders)
    cluster.until_delivered()
    of = defaultdict(set)
    for instance in addresses:
        of[instance.study].add(instance.uid)
    cluster.assert_stored(addresses)
    indexed = cluster.indexed(of)
    assert indexed == {instance.uid: expected(instance, address) for instance, address in addresses.items()}
    published = cluster.published(of)
    assert {uid: len(ids) for uid, ids in published.instances.items()} == dict.fromkeys(indexed, 1)
    assert published.completed() == of
    nodes = len(cluster.nodes)
    figure(f"{len(addresses)} instances to {nodes} nodes: each in the bucket, once in index and stream")
    figure(f"{len(of)} studies over {nodes} nodes: one completion for each revision")
