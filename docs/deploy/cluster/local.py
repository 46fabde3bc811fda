"""Runs a cluster on this machine without containers, to try it out: HAProxy, two nodes, PostgreSQL, an S3 server, NATS.

docs/cluster.md says what has to be installed. It uses haproxy.cfg and node.toml, which are beside this file, with
addresses of this machine. Senders use the port PORT of the environment, or 11112; the next seven are used, too.
Ctrl-C ends the cluster and removes all that was stored in it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

HERE = Path(__file__).parent
FIRST = int(os.environ.get("PORT", "11112"))
SENDERS, ONE, TWO, PAGE_ONE, PAGE_TWO, STORE, DATABASE, EVENTS = range(FIRST, FIRST + 8)
DATABASE_URL = f"postgresql://dcmrecv@127.0.0.1:{DATABASE}/postgres"
STORE_URL = f"http://127.0.0.1:{STORE}"
EVENTS_URL = f"nats://127.0.0.1:{EVENTS}"
SECONDS = 60.0
"""For each program to be ready, and to end."""

KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}  # moto's server asks for some, and takes all


class Cluster:
    """The programs that were started, the last one first to be ended; each has a log file in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: object, ready: Callable[[], bool], user: str | None = None) -> None:
        """Return when it is `ready`; end everything if it is not within `SECONDS`, or if it ends."""
        words = [str(word) for word in command]
        environment = {**os.environ, **KEYS, "JOURNAL": DATABASE_URL, "INDEX_URL": DATABASE_URL}
        with self._log(name).open("wb") as log:
            # in a session of its own, so that Ctrl-C comes to us only
            self.running[name] = process = subprocess.Popen(
                words, cwd=self._directory, env=environment, stdout=log, stderr=log, user=user, start_new_session=True
            )
        deadline = time.monotonic() + SECONDS
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{name} is not ready:\n{self._log(name).read_text(errors='replace')}")
            time.sleep(0.05)

    def watch(self) -> None:
        """Tell what ends, until a signal ends us."""
        while self.running:
            pid, _ = os.wait()
            for name in [name for name, process in self.running.items() if process.pid == pid]:
                print(f"{name} has ended, see {self._log(name)}", flush=True)
                del self.running[name]

    def end(self) -> None:
        while self.running:
            name, process = self.running.popitem()
            process.send_signal(signal.SIGINT if name == "database" else signal.SIGTERM)
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"


def program(name: str, *places: Path) -> Path:
    """Its path: beside the interpreter, in one of `places`, or in PATH."""
    for path in (Path(sys.executable).with_name(name), *(place / name for place in places)):
        if path.exists():
            return path
    found = shutil.which(name)
    if found is None:
        sys.exit(f"{name} is not installed: see docs/cluster.md")
    return Path(found)


def with_addresses(name: str, addresses: Mapping[str, str]) -> str:
    """The file of this name beside us, with addresses of this machine."""
    text = (HERE / name).read_text()
    for old, new in addresses.items():
        if old not in text:
            sys.exit(f"{name} has no {old}")
        text = text.replace(old, new)
    return text


def succeeds(url: str, method: str = "GET") -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def start_database(cluster: Cluster, home: Path) -> None:
    """It refuses root, so it then runs as the user of Debian's package."""
    user = "postgres" if os.geteuid() == 0 else None
    home.mkdir()
    if user is not None:
        shutil.chown(home, user)
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    words = ["-U", "dcmrecv", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
    initdb: list[str | Path] = [program("initdb", *versions), "-D", home / "data", *words]
    subprocess.run(initdb, user=user, cwd=home, check=True, stdout=subprocess.DEVNULL)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": DATABASE,
        "unix_socket_directories": "",
        "max_connections": 300,
    }
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    is_ready: list[str | Path] = [program("pg_isready", *versions), "-q", "-h", "127.0.0.1", "-p", str(DATABASE)]
    cluster.start(
        "database",
        *(program("postgres", *versions), "-D", home / "data", *options),
        ready=lambda: subprocess.run(is_ready, check=False).returncode == 0,
        user=user,
    )


def start(cluster: Cluster, directory: Path) -> None:
    start_database(cluster, directory / "database")
    cluster.start(
        "store",
        *(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", STORE),
        ready=lambda: succeeds(f"{STORE_URL}/images", "PUT"),
    )
    make_stream: list[str | Path] = [sys.executable, HERE / "make_stream.py", EVENTS_URL]
    cluster.start(
        "events",
        *(program("nats-server"), "-a", "127.0.0.1", "-p", EVENTS, "-js", "-sd", directory / "events"),
        ready=lambda: subprocess.run(make_stream, stderr=subprocess.DEVNULL, check=False).returncode == 0,
    )
    addresses = {"172.30.11.10": "127.0.0.1", "http://store:7070": STORE_URL, "nats://events:4222": EVENTS_URL}
    (directory / "node.toml").write_text(with_addresses("node.toml", addresses))
    for name, port, page in (("one", ONE, PAGE_ONE), ("two", TWO, PAGE_TWO)):
        (directory / name).mkdir()
        own = ["-od", directory / name, "--drain", "5", "--http", f"127.0.0.1:{page}", port]
        cluster.start(
            name,
            *(program("dcmrecv"), "-v", "--settings", "node.toml", *own),
            ready=partial(succeeds, f"http://127.0.0.1:{page}/readyz"),
        )
    addresses = {
        "bind :11112": f"bind 127.0.0.1:{SENDERS}",
        "one:11112 port 9104": f"127.0.0.1:{ONE} port {PAGE_ONE}",
        "two:11112 port 9104": f"127.0.0.1:{TWO} port {PAGE_TWO}",
    }
    (directory / "haproxy.cfg").write_text(with_addresses("haproxy.cfg", addresses))
    haproxy = program("haproxy", Path("/usr/sbin"))
    cluster.start("balancer", haproxy, "-db", "-f", "haproxy.cfg", ready=lambda: accepts(SENDERS))


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT is ignored in what a script starts in the background
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="dcmrecv-cluster-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        cluster = Cluster(directory)
        try:
            start(cluster, directory)
            print(f"senders       localhost, port {SENDERS}")
            print(f"nodes         process {cluster.running['one'].pid}, process {cluster.running['two'].pid}")
            print(f"status pages  http://127.0.0.1:{PAGE_ONE}/ http://127.0.0.1:{PAGE_TWO}/")
            print(f"bucket        {STORE_URL}/images")
            print(f"index         {DATABASE_URL}")
            print(f"events        {EVENTS_URL}, stream dicom")
            print(f"logs          {directory}/*.log")
            print("ready; Ctrl-C ends the cluster and removes what was stored", flush=True)
            cluster.watch()
        except KeyboardInterrupt:
            pass
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C would leave some of them behind
            cluster.end()


if __name__ == "__main__":
    main()
