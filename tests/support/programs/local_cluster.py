"""The cluster of docs/cluster.md on this machine, as its page starts it, on ports that are free."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dcmrecv_core.testing import until
from support.docs.blocks import blocks_of
from support.docs.transcripts import Step, missing, steps_of
from support.paths import ROOT
from support.programs.receivers import run

DOCUMENTED = 11112
"""The first of the eight ports on the page."""

_SECONDS = 150.0


@dataclass
class LocalCluster:
    first_port: int
    directory: Path
    environment: Mapping[str, str]

    def here(self, text: str) -> str:
        """A text of the page, with our ports."""
        return re.sub(r"\b1111[2-9]\b", lambda found: str(int(found[0]) - DOCUMENTED + self.first_port), text)

    def run_documented(self, step: Step) -> None:
        """It succeeds, and prints what the page shows."""
        done = run("sh", "-ec", self.here(step.command), cwd=self.directory, env=dict(self.environment))
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"{step.command}\n{said}"
        lost = missing([self.here(line) for line in step.shown], said)
        assert lost is None, f"{step.command}\n{lost!r} is not in:\n{said}"


def documented_steps() -> tuple[Step, Step, list[Step]]:
    """What the page says: the command that installs, the one that starts the cluster, those in another terminal."""
    consoles = [list(steps_of(block.text)) for block in blocks_of("cluster.md") if block.language == "console"]
    [install, start], others = consoles
    return install, start, others


@contextmanager
def local_cluster(environment: Mapping[str, str], directory: Path) -> Iterator[LocalCluster]:
    """Run by the command of the page in a directory with the documentation in it; ended as by Ctrl-C."""
    _, start, _ = documented_steps()
    shutil.copytree(ROOT / "docs" / "deploy", directory / "docs" / "deploy")
    cluster = LocalCluster(free_ports(8), directory, environment)
    log = directory / "cluster.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", "-ec", f"exec {start.command}"],
            cwd=directory,
            env={**environment, "PORT": str(cluster.first_port)},
            stdout=output,
            stderr=output,
        )
    try:
        until(
            lambda: process.poll() is not None or "\nready; " in log.read_text(),
            "the cluster is ready",
            _SECONDS,
            log.read_text,
        )
        lost = missing([cluster.here(line) for line in start.shown], log.read_text())
        assert lost is None, f"{lost!r} is not in:\n{log.read_text()}"
        yield cluster
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(_SECONDS)
    assert code == 0, log.read_text()


def free_ports(count: int) -> int:
    """The first of so many in a row, below those that the system gives to others."""
    while True:
        first = random.randrange(15000, 30000)
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first


def with_programs(scripts: Path) -> dict[str, str]:
    """Variables with which `python` and our programs are those of an environment."""
    return {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
