"""Host names for the log: a lookup never delays an association."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from dcmrecv_core.net import hostnames
from dcmrecv_core.net.hostnames import HostNames


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1"])
def test_loopback_needs_no_resolver(address: str) -> None:
    asked: list[str] = []
    assert HostNames(lambda address: asked.append(address) or "x").name(address) == "localhost"
    assert asked == []


def test_the_address_is_shown_until_the_name_is_known() -> None:
    answer = threading.Event()
    asked: list[str] = []

    def look_up(address: str) -> str:
        asked.append(address)
        assert answer.wait(60)
        return "ct1.radiology.example"

    names = HostNames(look_up)
    assert [names.name("10.0.0.1") for _ in range(3)] == ["10.0.0.1"] * 3
    answer.set()
    until(lambda: names.name("10.0.0.1") == "ct1")
    assert asked == ["10.0.0.1"]


@pytest.mark.parametrize("error", [OSError("Unknown host"), UnicodeError("label too long")])
def test_a_host_without_a_name_is_looked_up_once(error: Exception) -> None:
    asked: list[str] = []

    def look_up(address: str) -> str:
        asked.append(address)
        if address == "10.0.0.1":
            raise error
        return "ct2"

    names = HostNames(look_up)
    names.name("10.0.0.1")
    until(lambda: names.name("10.0.0.2") == "ct2")
    assert names.name("10.0.0.1") == "10.0.0.1"
    assert asked == ["10.0.0.1", "10.0.0.2"]


def test_cache_and_queue_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    names = HostNames(lambda address: str(answer.wait(60)))
    for number in range(3 * hostnames._MAX_KNOWN):
        names.name(f"10.0.{number >> 8}.{number & 255}")
    assert len(names._known) <= hostnames._MAX_KNOWN
    assert names._queue.qsize() <= hostnames._MAX_QUEUED
    answer.set()
