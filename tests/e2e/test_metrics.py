"""The installed package dcmrecv-metrics: its pages agree with dcmrecvctl."""

from __future__ import annotations

import json
import random
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core.testing import sample_dataset, send, until
from support.paths import ROOT
from support.programs.environment import make_site
from support.programs.postgresql import running_server
from support.programs.receivers import Start, run


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Path:
    return make_site(tmp_path_factory.mktemp("site"), program, ROOT / "plugins" / "dcmrecv-metrics")


@pytest.fixture
def address() -> str:
    """Of this host, with a port; no other program uses it."""
    host = ".".join(["127", *(str(random.randrange(1, 255)) for _ in range(3))])
    with socket.create_server((host, 0)) as listener:
        return f"{host}:{listener.getsockname()[1]}"


def get(address: str, path: str) -> str:
    """ "" while nothing answers."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return str(answer.read(), "utf-8")
    except urllib.error.HTTPError as error:
        with error:
            return str(error.read(), "utf-8")
    except OSError:
        return ""


def test_it_agrees_with_dcmrecvctl(ours: Start, site: Path, program: Path, address: str) -> None:
    receiver = ours("-v", "-pm", "--plugin", "metrics", "--http", address, program=site)
    assert send(receiver.port, *(sample_dataset(SOPInstanceUID=f"1.2.3.{number}") for number in range(3))) == [0] * 3

    until(lambda: get(address, "/readyz") == "ready\n", "the pages", log=lambda: receiver.log)

    def status() -> dict[str, Any]:
        done = run(program.with_name("dcmrecvctl"), "--state-dir", receiver.output / ".dcmrecv", "status", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def shown_status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(get(address, "/status.json"))
        return found

    for document in (status, shown_status):  # the page may be a moment old
        until(
            lambda document=document: document()["totals"]["associations"]["ended"]["released"] == 1,
            "the end of the association",
        )
    shown = shown_status()
    for key in ("version", "pid", "state", "not_ready", "output", "totals", "durations", "refusal_counts", "queues"):
        assert shown[key] == status()[key]
    assert shown["totals"]["instances"]["stored"] == 3
    assert 'dcmrecv_instances_total{result="stored"} 3.0\n' in get(address, "/metrics")
    assert "color-scheme" in get(address, "/style.css"), "it is in the wheel"


def test_a_database_that_is_down(ours: Start, site: Path, address: str, tmp_path: Path) -> None:
    (tmp_path / "site.py").write_text("from dcmrecv_core import hookimpl\n@hookimpl\ndef deliver(event): pass\n")
    with running_server() as database:
        words = ("--plugin", "metrics", "--http", address, "--plugin", tmp_path / "site.py", "--journal", database.url)
        receiver = ours("-pm", *words, program=site)

        def until_answered(text: str) -> None:
            until(lambda: get(address, "/readyz") == text, text, log=lambda: receiver.log)

        until_answered("ready\n")
        assert send(receiver.port, sample_dataset()) == [0]
        database.stop()
        until_answered("not ready\nthe journal's database cannot be used\n")
        assert send(receiver.port, sample_dataset(SOPInstanceUID="1.2.3")) == [0xA700]
        database.start()
        until_answered("ready\n")
        assert send(receiver.port, sample_dataset(SOPInstanceUID="1.2.3")) == [0]
