"""Three nodes behind HAProxy, with one bucket, one database and one stream; and what these hold in the end."""

from __future__ import annotations

import csv
import os
import re
import socket
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psycopg

from dcmrecv_core.testing import until
from support.cluster.instances import Instance, data_set_of
from support.cluster.nodes import Node
from support.docs.blocks import blocks_of
from support.programs.haproxy import balancer
from support.programs.postgresql import running_server
from support.servers.nats_server import SUBJECT, Message, NatsServer, nats_server
from support.servers.s3_server import BUCKET, KEYS, S3Server, s3_server

NODES = 3

PER_PEER = 2
"""Associations of one address that a node serves at once."""

STUDY_TIMEOUT = 3

_SETTINGS = f"""
promiscuous = true
output_directory = "out"
layout = "{{StudyInstanceUID}}/{{SOPInstanceUID}}"
bind = "127.0.0.1"
proxy_from = ["127.0.0.1"]
max_per_peer = {PER_PEER}
disable_host_lookup = true
drain = 60
study_timeout = {STUDY_TIMEOUT}
log_level = "info"
plugin = ["s3", "events", "index"]
journal = {{ env = "DATABASE" }}

[plugins.index]
index_url = {{ env = "DATABASE" }}

[plugins.s3]
s3_url = "s3://{BUCKET}/site"
s3_endpoint = "%(s3)s"

[[plugins.events.destinations]]
name = "stream"
url = "%(nats)s"
subject = "{SUBJECT}"
when = ["instance", "study"]
"""

_TO_DO = """
SELECT (SELECT count(*) FROM journal) + (SELECT count(*) FROM deliveries)
    + (SELECT count(*) FROM studies WHERE open)
"""
_WORK = "SELECT (SELECT count(*) FROM journal WHERE node = %s), (SELECT count(*) FROM lanes WHERE node = %s)"
_LOST = "SELECT (SELECT count(*) FROM put_aside) + (SELECT count(*) FROM damaged)"
_INDEXED = """
SELECT sop_instance_uid, study_instance_uid, location, peer_address
FROM instances JOIN series USING (series_instance_uid)
"""


class Indexed(NamedTuple):
    """A row of the index."""

    uid: str
    study: str
    location: str
    peer_address: str


def expected(instance: Instance, address: str) -> Indexed:
    """What the index has to say of an instance that came from this address."""
    return Indexed(instance.uid, instance.study, f"s3://{BUCKET}/{key_of(instance)}", address)


class Cluster:
    """`port` is that of HAProxy, `nodes` are behind it."""

    def __init__(
        self, nodes: list[Node], port: int, control: Path, database: str, s3: S3Server, nats: NatsServer
    ) -> None:
        self.nodes = nodes
        self.port = port
        self._control = control
        self._s3 = s3
        self._nats = nats
        self._database = database

    @property
    def log(self) -> str:
        return "\n".join(node.log for node in self.nodes)

    def rows(self, query: str, *values: object, schema: str = "dcmrecv_delivery") -> list[tuple[object, ...]]:
        with psycopg.connect(self._database, autocommit=True, options=f"-c search_path={schema}") as connection:
            return connection.execute(query.encode(), values).fetchall()

    def until_balanced(self) -> None:
        """Wait until HAProxy sends associations to all nodes."""
        for node in self.nodes:
            node.wait_until_ready()
        until(self._are_all_up, "HAProxy knows that all nodes are up", log=lambda: self.log)

    def _are_all_up(self) -> bool:
        """By the column status of HAProxy's statistics."""
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self._control))
            except (FileNotFoundError, ConnectionRefusedError):  # HAProxy has just been started
                return False
            connection.sendall(b"show stat\n")
            text = b"".join(iter(partial(connection.recv, 65536), b"")).decode()
        rows = [row for row in csv.DictReader(text.removeprefix("# ").splitlines()) if row["pxname"] == "receivers"]
        servers = [row for row in rows if row["svname"] not in ("FRONTEND", "BACKEND")]
        return len(servers) == len(self.nodes) and all(row["status"] == "UP" for row in servers)

    def until_delivered(self, seconds: float = 60.0) -> None:
        """Wait until nothing is to be delivered and no study is open: as long as there is one less within so long."""
        with psycopg.connect(self._database, autocommit=True, options="-c search_path=dcmrecv_delivery") as connection:

            def to_do() -> int:
                [[number]] = connection.execute(_TO_DO).fetchall()
                return int(number)

            least = to_do()
            while least:
                text = f"less is to do than {least} records, deliveries and open studies"
                until(lambda least=least: to_do() < least, text, seconds, log=lambda: self.log)
                least = min(least, to_do())
        assert self.rows(_LOST) == [(0,)], "put aside"

    def work_of(self, node: Node) -> tuple[object, ...]:
        """How many records it has that are in no queue yet, and how many studies in queues it has claimed."""
        [numbers] = self.rows(_WORK, node.name, node.name)
        return numbers

    def indexed(self, studies: Collection[str]) -> dict[str, Indexed]:
        """What the index says of the instances of these studies, by SOP Instance UID."""
        found = (Indexed(*map(str, row)) for row in self.rows(_INDEXED, schema="public"))
        return {each.uid: each for each in found if each.study in studies}

    def assert_stored(self, instances: Collection[Instance]) -> None:
        """Each of these instances is in the bucket, with the bytes that were sent."""
        missing = {key_of(instance) for instance in instances}.difference(self._s3.keys(BUCKET))
        assert missing == set(), f"{len(missing)} are acknowledged, but missing"

        def is_wrong(instance: Instance) -> bool:
            return data_set_of(self._s3.read(BUCKET, key_of(instance))) != instance.data

        with ThreadPoolExecutor(4) as pool:
            wrong = [each for each, bad in zip(instances, pool.map(is_wrong, instances), strict=True) if bad]
        assert wrong == []

    def published(self, studies: Collection[str]) -> Published:
        """What the stream holds of these studies."""
        instances: dict[str, set[str]] = defaultdict(set)
        completions: dict[tuple[str, int], dict[str, Message]] = defaultdict(dict)
        for message in self._nats.messages():
            study = message.event["data"]["study_instance_uid"]
            if study not in studies:
                continue
            if message.event["type"] == "dcmrecv.instance.stored":
                instances[message.event["data"]["sop_instance_uid"]].add(message.id)
            else:
                completions[study, message.event["data"]["revision"]][message.id] = message
        return Published(instances, completions)


class Published(NamedTuple):
    """Ids of the events of each SOP Instance UID; the messages of each study and revision, by their ids."""

    instances: Mapping[str, set[str]]
    completions: Mapping[tuple[str, int], Mapping[str, Message]]

    def completed(self) -> dict[str, set[str]]:
        """The SOP Instance UIDs of the last revision of each study, after the check that each revision has one id."""
        last: dict[str, int] = defaultdict(int)
        for (study, revision), messages in self.completions.items():
            assert len(messages) == 1, f"study {study}, revision {revision}: {len(messages)} completions"
            last[study] = max(last[study], revision)
        found = {}
        for study, revision in last.items():
            assert all((study, number) in self.completions for number in range(1, revision)), study
            [message] = self.completions[study, revision].values()
            found[study] = {each["sop_instance_uid"] for each in message.event["data"]["instances"]}
        return found


def key_of(instance: Instance) -> str:
    return f"site/{instance.study}/{instance.uid}"


@contextmanager
def running_cluster(program: Path, directory: Path) -> Iterator[Cluster]:
    """All nodes are up; `directory` gets the files of all programs."""
    with ExitStack() as stack:
        database = stack.enter_context(running_server()).url
        s3 = stack.enter_context(s3_server(directory))
        nats = stack.enter_context(nats_server(directory / "nats", "max_payload: 8MB\n"))
        settings = _SETTINGS % {"s3": s3.endpoint, "nats": nats.url}
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environment = {**own, **KEYS, "HOME": str(directory), "DATABASE": database}
        nodes = []
        for number in range(1, NODES + 1):
            nodes.append(Node(program, directory / f"node{number}", settings, environment))
            stack.callback(nodes[-1].end)
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait_until_ready()
        control = directory / "haproxy.sock"
        configuration = _configuration(control)
        port = stack.enter_context(balancer(directory, configuration, [node.port for node in nodes]))
        cluster = Cluster(nodes, port, control, database, s3, nats)
        yield cluster
        assert [node.stop() for node in nodes] == [0] * NODES, cluster.log


def _configuration(control: Path) -> str:
    """That of the documentation, for one more node, looked at more often, with a socket for questions about them."""
    [text] = [block.text for block in blocks_of("load-balancers.md") if block.language == "haproxy"]
    third = r"\1    server three 10.0.0.13:11112\2\n"
    text, count = re.subn(r"(    server two 10\.0\.0\.12:11112(.*)\n)", third, text)
    assert count == 1
    text = text.replace(" check\n", " check inter 500ms\n")
    return f"global\n    stats socket {control}\n{text}"
