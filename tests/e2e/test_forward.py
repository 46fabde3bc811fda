"""The installed package dcmrecv-forward, beside DCMTK's dcmrecv and dcmrecvctl."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dcmrecv_core.testing import sample_dataset, send, until
from support.paths import ROOT
from support.programs.environment import make_site
from support.programs.receivers import Receiver, Start, run

MR = "1.2.840.10008.5.1.4.1.1.4"
SETTINGS = """
plugin = ["forward"]

[[plugins.forward.destinations]]
name = "A"
kind = "dimse"
host = "127.0.0.1"
port = {a}
called = "PACS_A"
when = {{ modality = "CT" }}

[[plugins.forward.destinations]]
name = "B"
kind = "dimse"
host = "127.0.0.1"
port = {b}
called = "PACS_B"
"""


def settings(a: Receiver, b: Receiver) -> str:
    return SETTINGS.format(a=a.port, b=b.port)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Path:
    return make_site(tmp_path_factory.mktemp("site"), program, ROOT / "plugins" / "dcmrecv-forward")


def test_ct_to_a_and_everything_to_b(ours: Start, original: Start, site: Path, program: Path, config: Path) -> None:
    a, b = (original("-v", "-xf", config, "default") for _ in range(2))
    receiver = ours("-v", "-pm", "--settings", "router.toml", program=site, files={"router.toml": settings(a, b)})
    images = [sample_dataset(SOPInstanceUID=f"1.2.3.{number}") for number in range(3)]
    images.append(sample_dataset(SOPInstanceUID="1.2.3.3", SOPClassUID=MR, Modality="MR"))
    assert send(receiver.port, *images) == [0] * 4

    until(lambda: len(a.files()) == 3 and len(b.files()) == 4, "all are there", log=lambda: receiver.log)
    assert a.files() == ["CT.1.2.3.0", "CT.1.2.3.1", "CT.1.2.3.2"]
    assert b.files() == [*a.files(), "MR.1.2.3.3"]
    assert "DCMRECV -> PACS_A" in a.log and "DCMRECV -> PACS_B" in b.log

    control = program.with_name("dcmrecvctl")

    def waiting() -> dict[str, int]:
        done = run(control, "--state-dir", receiver.output / ".dcmrecv", "queue", "list", "--json")
        return {each["queue"]: each["waiting"] for each in json.loads(done.stdout)["queues"]}

    until(lambda: waiting() == {"forward/A": 0, "forward/B": 0}, "nothing waits", log=lambda: receiver.log)
