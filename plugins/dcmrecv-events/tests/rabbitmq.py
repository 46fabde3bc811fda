"""RabbitMQ of Debian's package, by itself: a node with a name, ports and directories of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pika

from support.programs.receivers import reserved_port

SECONDS = 90.0
"""Erlang and RabbitMQ take about 5 s to start on a machine that has nothing else to do."""

LARGEST = 1_000_000
"""Bytes of a message."""


class RabbitMq:
    """One node. The queue `q` of it is durable, and is there from the first start on."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        program = shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin:/usr/sbin")
        assert program, "rabbitmq-server is missing"
        self._program = program
        self._directory = directory
        self._reserved = [reserved_port() for _ in range(3)]
        self.port, distribution, epmd = (reserved.getsockname()[1] for reserved in self._reserved)
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        (directory / "enabled_plugins").write_text("[].\n")
        settings = f"listeners.tcp.default = 127.0.0.1:{self.port}\nmax_message_size = {LARGEST}\n"
        (directory / "rabbitmq.conf").write_text(settings)
        self._environment = {
            **os.environ,
            "HOME": str(directory),
            "RABBITMQ_NODENAME": f"dcmrecv{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd),
        }

    @property
    def url(self) -> str:
        return f"amqp://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self._directory / "output").read_text()

    def start(self) -> None:
        if self._epmd is None:  # else RabbitMQ would start one that nothing ends
            program = shutil.which("epmd")
            assert program, "epmd is missing"
            self._epmd = subprocess.Popen([program], env=self._environment)
        with open(self._directory / "output", "wb") as output:
            self._process = subprocess.Popen(
                [self._program], env=self._environment, stdout=output, stderr=output, start_new_session=True
            )
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                with self.channel() as channel:
                    channel.queue_declare("q", durable=True)
                return
            except pika.exceptions.AMQPError:
                assert self._process.poll() is None and time.monotonic() < deadline, self.log
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.1)

    def kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(SECONDS)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(SECONDS)
        for reserved in self._reserved:
            reserved.close()

    @contextmanager
    def channel(self) -> Iterator[Any]:
        parameters = pika.ConnectionParameters("127.0.0.1", self.port, socket_timeout=10, blocked_connection_timeout=20)
        connection = pika.BlockingConnection(parameters)
        try:
            yield connection.channel()
        finally:
            connection.close()

    def take(self) -> list[tuple[Any, bytes]]:
        """Properties and body of all messages of the queue, which has none after that."""
        taken = []
        with self.channel() as channel:
            while (got := channel.basic_get("q", auto_ack=True))[0] is not None:
                taken.append(got[1:])
        return taken
