"""HAProxy from Debian's package, with a configuration of the documentation."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.programs.receivers import create_listener

PROGRAM = "/usr/sbin/haproxy"


@contextmanager
def balancer(directory: Path, configuration: str, receivers: Sequence[int]) -> Iterator[int]:
    """The port of HAProxy before receivers on these ports of localhost; they stand in the `configuration` in this order
    as 10.0.0.11 and so on."""
    for number, port in enumerate(receivers, 11):
        configuration = configuration.replace(f"10.0.0.{number}:11112", f"127.0.0.1:{port}")
    with create_listener() as listener:
        listener.set_inheritable(True)
        file = directory / "haproxy.cfg"
        file.write_text(configuration.replace("bind :11112", f"bind fd@{listener.fileno()}"))
        command = [PROGRAM, "-db", "-f", str(file)]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], stderr=subprocess.PIPE)
        try:
            yield listener.getsockname()[1]
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
        finally:
            process.terminate()
            process.wait(20)
            if process.stderr is not None:
                process.stderr.close()
