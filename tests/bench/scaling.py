"""Measures a cluster of one, two and three nodes on this machine, and prints the figures of docs/scaling.md.

    python tests/bench/scaling.py --versitygw PROGRAM [--instances N] [--associations N]

The interpreter has to have what docs/cluster.md installs. All programs share the processors of one machine, so the
processor time for an instance says more than the rate: it is what the model of the page is made of.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import psycopg

from support.bench.load import Load, send
from support.bench.series import SERIES
from support.paths import DOCS
from support.programs.local_cluster import free_ports

_TICKS = os.sysconf("SC_CLK_TCK")


def local() -> ModuleType:
    """docs/deploy/cluster/local.py on free ports."""
    os.environ["PORT"] = str(free_ports(16))
    spec = importlib.util.spec_from_file_location("local", DOCS / "deploy" / "cluster" / "local.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def running(nodes: int, versitygw: Path) -> Iterator[tuple[ModuleType, dict[str, int]]]:
    """The module with the ports, and the process id of each program, which is its session, too."""
    script = local()
    with tempfile.TemporaryDirectory(prefix="dcmrecv-scaling-", dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        cluster = script.Cluster(directory)
        try:
            script.start_database(cluster, directory / "database")
            start_store(cluster, script, versitygw, directory)
            start_nodes(cluster, script, nodes, directory)
            yield script, {name: process.pid for name, process in cluster.running.items()}
        finally:
            cluster.end()


def start_store(cluster: Any, script: ModuleType, versitygw: Path, directory: Path) -> None:
    (directory / "buckets" / "images").mkdir(parents=True)
    keys = {"ROOT_ACCESS_KEY": "any", "ROOT_SECRET_KEY": "any"}
    os.environ.update(keys)
    address = f"127.0.0.1:{script.STORE}"
    command = [versitygw, "--quiet", "--port", address, "posix", directory / "buckets"]
    cluster.start("store", *command, ready=lambda: script.accepts(script.STORE))


def start_nodes(cluster: Any, script: ModuleType, count: int, directory: Path) -> None:
    """With the index and without NATS."""
    text = script.with_addresses("node.toml", {"172.30.11.10": "127.0.0.1", "http://store:7070": script.STORE_URL})
    text = text.partition("[[plugins.events")[0].replace('"index", "events"', '"index"')
    (directory / "node.toml").write_text(text)
    servers = []
    for number in range(count):
        port, page = script.FIRST + 8 + 2 * number, script.FIRST + 9 + 2 * number
        (directory / f"node{number}").mkdir()
        own = ["-od", directory / f"node{number}", "--drain", "5", "--http", f"127.0.0.1:{page}", port]
        command = [script.program("dcmrecv"), "--settings", "node.toml", *own]
        cluster.start(
            f"node{number}", *command, ready=lambda page=page: script.succeeds(f"http://127.0.0.1:{page}/readyz")
        )
        servers.append(f"    server node{number} 127.0.0.1:{port} port {page}\n")
    text = script.with_addresses("haproxy.cfg", {"bind :11112": f"bind 127.0.0.1:{script.SENDERS}"})
    (directory / "haproxy.cfg").write_text(text.partition("    server one")[0] + "".join(servers))
    haproxy = script.program("haproxy", Path("/usr/sbin"))
    cluster.start("balancer", haproxy, "-db", "-f", "haproxy.cfg", ready=lambda: script.accepts(script.SENDERS))


def processor_seconds(sessions: dict[str, int]) -> dict[str, float]:
    """Of all processes of each program until now, those that have ended included."""
    used = dict.fromkeys(sessions, 0.0)
    names = {session: name for name, session in sessions.items()}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        name = names.get(int(fields[3]))
        if name is not None:
            used[name] += sum(map(int, fields[11:15])) / _TICKS
    return used


def asked(url: str, statement: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return int(row[0])


TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'postgres'"
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND pid <> pg_backend_pid()"
WAL = "SELECT wal_bytes FROM pg_stat_wal"
INDEXED = "SELECT count(*) FROM instances"
SIZE = "SELECT pg_database_size('postgres')"


def measure(nodes: int, versitygw: Path, load: Load) -> None:
    with running(nodes, versitygw) as (script, sessions):
        url = script.DATABASE_URL
        send(
            script.SENDERS, load._replace(instances=load.associations), 0
        )  # workers have a connection each from now on
        connections = asked(url, CONNECTIONS)
        before, size = processor_seconds(sessions), asked(url, SIZE)
        transactions, wal = asked(url, TRANSACTIONS), asked(url, WAL)
        result = send(script.SENDERS, load, 1_000_000)
        deadline = time.monotonic() + 120
        while asked(url, INDEXED) < load.instances and time.monotonic() < deadline:
            time.sleep(0.2)
        after = processor_seconds(sessions)
        count = load.instances
        spent = {name: (after[name] - before[name]) * 1000 / count for name in sessions}
        node = sum(value for name, value in spent.items() if name.startswith("node"))
        print(
            f"{nodes} nodes, {load.associations} associations, {'one each' if load.association_each else 'kept open'}: "
            f"{count / result.elapsed:.1f} instances/s; ms of processor for each: nodes {node:.2f}, "
            f"balancer {spent['balancer']:.2f}, database {spent['database']:.2f}, store {spent['store']:.2f}; "
            f"transactions for each {(asked(url, TRANSACTIONS) - transactions) / count:.1f}, "
            f"WAL {(asked(url, WAL) - wal) / count / 1000:.1f} kB, "
            f"size {(asked(url, SIZE) - size) / count / 1000:.1f} kB; connections {connections}; "
            f"median {sorted(result.times)[len(result.times) // 2] / 1e6:.0f} ms",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versitygw", type=Path, required=True)
    parser.add_argument("--instances", type=int, default=400)
    parser.add_argument("--associations", type=int, default=8)
    parser.add_argument("--nodes", type=int, nargs="*", default=[1, 2, 3])
    options = parser.parse_args()
    load = Load(SERIES["530 KB"](), options.instances, 300, associations=options.associations)
    for nodes in options.nodes:
        for association_each in (False, True):
            measure(nodes, options.versitygw, load._replace(association_each=association_each))


if __name__ == "__main__":
    main()
