"""`dcmrecvctl drain`, for a receiver that is played here."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.counters.document import AssociationStatus, Counters
from dcmrecv_core.ctl.main import main
from dcmrecv_core.net.control.address import NAME, open_listener

AT = datetime(2026, 11, 29, 12, 30, tzinfo=UTC)
COUNTERS = Counters(version="0.1.0", pid=4711, state="draining", not_ready=(), started_at=AT, counting_since=AT)


def association(title: str) -> AssociationStatus:
    return AssociationStatus(
        id=title,
        pid=1,
        calling_ae_title=title,
        called_ae_title="ARCHIVE",
        peer_address="192.0.2.1",
        peer_port=1,
        tls=False,
        since=AT,
        instances=0,
        bytes=0,
        last_at=None,
    )


CT, MR = association("CT1"), association("MR\x1b[2J")


@contextmanager
def playing(state: Path, answers: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """A receiver that answers one request after the other, then is gone; the requests."""
    requests: list[dict[str, Any]] = []
    fd = os.open(state, os.O_RDONLY)
    with open_listener(fd) as listener:
        listener.settimeout(20)

        def serve() -> None:
            for number, answer in enumerate(answers, 1):
                connection, _ = listener.accept()
                with connection:
                    connection.setblocking(True)
                    requests.append(json.loads(connection.recv(1000)))
                    if number == len(answers):
                        (state / NAME).unlink()
                    connection.sendall(json.dumps(answer).encode() + b"\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield requests
        thread.join(20)
    os.close(fd)


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setattr("dcmrecv_core.ctl.drain.LOOK_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    return lambda *answers: playing(tmp_path, list(answers))


def status(*associations: AssociationStatus, pid: int = 4711) -> dict[str, Any]:
    return replace(COUNTERS, pid=pid, associations=associations).as_dict()


def test_it_shows_who_is_left_until_the_receiver_is_gone(
    play: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    first = status()
    with play(first, {}, status(CT, MR), status(CT, MR), status(CT), status()) as requests:
        assert main(["drain", "--state-dir", "."]) == 0
    assert [request["command"] for request in requests] == ["status", "drain", *["status"] * 4]
    assert requests[1]["limit"] is None
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("2 associations left: CT1@192.0.2.1 since 2026-11-29 12:30:00")
    assert "\x1b" not in said[0]
    assert [line.partition(" since")[0] for line in said[1:]] == [
        "1 association left: CT1@192.0.2.1",
        "0 associations left",
        "process 4711 has ended",
    ]


def test_another_process_is_another_receiver(play: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    """It was started again at once."""
    with play(status(), {}, status(CT), status(pid=4712)) as requests:
        assert main(["drain", "2.5", "--state-dir", "."]) == 0
    assert requests[1]["limit"] == 2.5
    assert capsys.readouterr().out.endswith("process 4711 has ended\n")


def test_a_receiver_that_refuses(play: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    with play(status(), {"error": "the receiver is stopping"}):
        assert main(["drain", "--state-dir", "."]) == 1
    assert capsys.readouterr().err == "dcmrecvctl: the receiver is stopping\n"


@pytest.mark.parametrize("limit", ["soon", "-1", "inf", "nan"])
def test_a_limit_is_a_number_of_seconds(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["drain", "--", limit])
    assert ended.value.code == 2
    assert f"{limit} is no number of seconds" in capsys.readouterr().err
