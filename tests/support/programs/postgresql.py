"""A PostgreSQL server for tests, from Debian's package, on a Unix socket only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dcmrecv_core.testing import until

_SETTINGS = {"listen_addresses": "", "fsync": "off", "shared_buffers": "16MB"}


def _programs() -> Path:
    """The directory of the newest version's programs in Debian; without them the test fails."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise AssertionError("PostgreSQL is not installed: apt-get install --no-install-recommends postgresql")
    return found[-1].parent


class PostgresqlServer:
    """A server in `directory`, which can be stopped and started again; `url` is that of an empty database. If we are
    root, it runs as the user postgres, because it refuses root."""

    def __init__(self, directory: Path) -> None:
        self._programs = _programs()
        self._directory = directory
        self._data = directory / "home" / "data"
        self._user = "postgres" if os.geteuid() == 0 else None
        self._server: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://index@/postgres?host={directory}"
        directory.chmod(0o755)
        (directory / "home").mkdir()
        if self._user is not None:
            shutil.chown(directory, self._user)
            shutil.chown(directory / "home", self._user)
        words = ["-U", "index", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        initdb = [self._programs / "initdb", "-D", self._data, *words]
        subprocess.run(initdb, user=self._user, cwd=directory, check=True, capture_output=True, timeout=150)

    def start(self) -> None:
        """It accepts connections afterwards."""
        log = self._directory / "log"
        options = [word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}")]
        command = [self._programs / "postgres", "-D", self._data, "-k", self._directory, *options]
        ready = [self._programs / "pg_isready", "-h", self._directory, "-U", "index"]
        with log.open("ab") as output:
            self._server = server = subprocess.Popen(
                command, user=self._user, cwd=self._directory, stdout=output, stderr=output
            )
        until(
            lambda: server.poll() is not None or subprocess.run(ready, capture_output=True).returncode == 0,
            "PostgreSQL accepts connections",
            60,
            log=lambda: log.read_text(errors="replace"),
        )
        if server.poll() is not None:
            raise AssertionError(f"PostgreSQL ended with {server.returncode}:\n{log.read_text(errors='replace')}")

    def signal(self, number: int) -> None:
        """To it, and then to all its processes: a server that is stopped starts no more of them."""
        assert self._server is not None
        os.kill(self._server.pid, number)
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text().split()
        for pid in map(int, children):
            with suppress(ProcessLookupError):  # it ends by itself just now
                os.kill(pid, number)

    def stop(self) -> None:
        """It ends connections itself."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(60)
            self._server = None


@contextmanager
def running_server() -> Iterator[PostgresqlServer]:
    """A server with an empty database."""
    with tempfile.TemporaryDirectory(prefix="postgresql-", dir="/tmp") as name:
        server = PostgresqlServer(Path(name))
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def postgresql_server() -> Iterator[str]:
    """The URL of an empty database, as SQLAlchemy takes it."""
    with running_server() as server:
        yield server.url.replace("postgresql:", "postgresql+psycopg:", 1)
