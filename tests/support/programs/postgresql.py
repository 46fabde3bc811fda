"""A PostgreSQL server for tests, from Debian's package, on a Unix socket only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dcmrecv_core.testing import until

_SETTINGS = {"listen_addresses": "", "fsync": "off", "shared_buffers": "16MB"}


def _programs() -> Path:
    """The directory of the newest version's programs in Debian; without them the test fails."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise AssertionError("PostgreSQL is not installed: apt-get install --no-install-recommends postgresql")
    return found[-1].parent


@contextmanager
def postgresql_server() -> Iterator[str]:
    """The URL of an empty database; if we are root, the server runs as the user postgres, because it refuses root."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="postgresql-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "home").mkdir()
        user = None
        if os.geteuid() == 0:
            user = "postgres"
            shutil.chown(directory, user)
            shutil.chown(directory / "home", user)
        log = directory / "log"
        data = directory / "home" / "data"
        initdb = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "index",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]
        subprocess.run(initdb, user=user, cwd=directory, check=True, capture_output=True, timeout=150)
        options = [word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}")]
        command = [programs / "postgres", "-D", data, "-k", directory, *options]
        ready = [programs / "pg_isready", "-h", directory, "-U", "index"]
        with log.open("wb") as output:
            server = subprocess.Popen(command, user=user, cwd=directory, stdout=output, stderr=output)
        try:
            until(
                lambda: server.poll() is not None or subprocess.run(ready, capture_output=True).returncode == 0,
                "PostgreSQL accepts connections",
                log=lambda: log.read_text(errors="replace"),
            )
            if server.poll() is not None:
                raise AssertionError(f"PostgreSQL ended with {server.returncode}:\n{log.read_text(errors='replace')}")
            yield f"postgresql+psycopg://index@/postgres?host={directory}"
        finally:
            server.send_signal(signal.SIGINT)  # the server ends connections itself
            server.wait(20)
