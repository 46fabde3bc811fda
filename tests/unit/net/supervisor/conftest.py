from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from dcmrecv_core.net.admission import Slot
from dcmrecv_core.net.supervisor import pool as pool_module
from support.protocol.pool_driver import Driver, Start, obedient


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The process ids of all that this test forks; it may have children of other tests as well."""
    fork = os.fork
    pids: list[int] = []

    def recorded() -> int:
        pid = fork()
        pids.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", recorded)
    return pids


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    drivers: list[Driver] = []
    fork = os.fork

    def recorded() -> int:
        pid = fork()
        drivers[-1].children.append(pid)
        return pid

    def make(main: Callable[[socket.socket, Slot], int] = obedient, **options: int) -> Driver:
        drivers.append(Driver(main, **options))
        return drivers[-1]

    monkeypatch.setattr(pool_module.os, "fork", recorded)
    yield make
    for driver in drivers:
        driver.close()
