"""Notifications to systemd (sd_notify)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmrecv_core.net.supervisor.notify import Notifier


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket that $NOTIFY_SOCKET names."""
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        yield sock


@pytest.fixture
def notifier(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Notifier:
    """One that systemd hears."""
    systemd.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    return Notifier()


@pytest.mark.parametrize("abstract", [True, False])
def test_notifications(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, abstract: bool) -> None:
    systemd.bind("" if abstract else str(tmp_path / "notify"))
    name = systemd.getsockname()
    monkeypatch.setenv("NOTIFY_SOCKET", "@" + name[1:].decode() if abstract else name)
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    notifier = Notifier()
    assert "NOTIFY_SOCKET" not in os.environ, "plugins' children must not speak for us"
    assert notifier.watchdog_seconds == 1.5
    notifier.ready("listening")
    notifier.alive()
    notifier.stopping()
    assert [systemd.recv(100) for _ in range(3)] == [b"READY=1\nSTATUS=listening", b"WATCHDOG=1", b"STOPPING=1"]


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, None),
        ({"NOTIFY_SOCKET": "@x"}, None),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000"}, 1.5),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "soon"}, None),
    ],
    ids=["no-socket", "no-watchdog", "both", "for-another-process", "nonsense"],
)
def test_watchdog_when_asked(
    systemd: socket.socket, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], seconds: float | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    notifier = Notifier()
    assert notifier.watchdog_seconds == seconds
    notifier.alive()  # without a listener nothing happens


def test_draining_is_no_stop_yet_and_may_extend_the_time_of_one(notifier: Notifier, systemd: socket.socket) -> None:
    notifier.draining(None)
    notifier.draining(68.0)
    assert systemd.recv(100) == b"STATUS=draining"
    assert systemd.recv(100) == b"STATUS=draining\nEXTEND_TIMEOUT_USEC=68000000"


def test_after_an_upgrade_the_old_program_is_silent(notifier: Notifier, systemd: socket.socket) -> None:
    notifier.passed_on(4711)
    assert systemd.recv(100) == b"MAINPID=4711"
    notifier.draining(None)
    notifier.alive()
    notifier.stopping()
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(100)


def test_a_program_that_is_to_take_over_is_silent_until_then(notifier: Notifier, systemd: socket.socket) -> None:
    """With NotifyAccess=all its failure would be the end of the service."""
    notifier.is_silent = True
    notifier.ready("listening")
    notifier.stopping()
    notifier.is_silent = False
    notifier.alive()
    assert systemd.recv(100) == b"WATCHDOG=1"
