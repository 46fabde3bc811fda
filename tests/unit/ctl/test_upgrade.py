"""`dcmrecvctl upgrade`: what it says. (Upgrades are in tests/e2e.)"""

from __future__ import annotations

from typing import Any

import pytest

from dcmrecv_core.ctl import upgrade
from dcmrecv_core.ctl.main import main
from dcmrecv_core.ctl.receiver import Receiver
from dcmrecv_core.net.control.client import CommandFailedError
from dcmrecv_core.net.supervisor.supervisor import GRACE
from dcmrecv_core.net.upgrade.successor import READY_SECONDS, TAKE_SECONDS


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What a receiver was asked that can be upgraded only without a limit."""
    requests: list[tuple[str, dict[str, Any]]] = []

    def ask(self: Receiver, command: str, **arguments: Any) -> dict[str, Any]:
        requests.append((command, arguments))
        if arguments["limit"] is not None:
            raise CommandFailedError("not upgraded: no such library")
        return {"pid": 4712}

    class Status:
        pid = 4711

    monkeypatch.setattr(Receiver, "ask", ask)
    monkeypatch.setattr(upgrade, "ask_counters", lambda path: Status)
    return requests


def test_it_waits_for_longer_than_an_upgrade_can_take(
    asked: list[tuple[str, dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upgrade"]) == 0
    [(command, arguments)] = asked
    assert (command, arguments["limit"]) == ("upgrade", None)
    assert arguments["seconds"] > READY_SECONDS + GRACE + TAKE_SECONDS
    said = capsys.readouterr().out
    assert said == "process 4712 serves, process 4711 ends when its associations have ended\n"


def test_a_reason_why_not(asked: list[tuple[str, dict[str, Any]]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upgrade", "60"]) == 1
    assert asked[0][1]["limit"] == 60
    assert capsys.readouterr().err == "dcmrecvctl: not upgraded: no such library\n"
