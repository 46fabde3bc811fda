"""What plugins say themselves under `--explain`."""

from __future__ import annotations

import json
from pathlib import Path

from dcmrecv_core import Instance
from dcmrecv_core.hooks.tracing import Call
from dcmrecv_core.inspection.explain import explain
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.file_meta import file_prefix
from dcmrecv_core.testing import fake_instance
from support.plugins import hooks, load
from support.receiving import INSTANCE, in_syntax
from support.uids import CT, EXPLICIT_LE


def first(instance: Instance) -> None:
    assert instance.explained is not None
    instance.explained.append("PatientName: removed")
    instance.replace_header(instance.copy_header())


def second(instance: Instance) -> None:
    assert instance.explained == []


def explained(output: Path, files: list[Path], *, as_json: bool) -> list[str]:
    settings = Settings(output_directory=str(output), promiscuous=True)
    plugins = load(hooks(receive=second), hooks(receive=first))
    calls: list[Call] = []
    plugins.add_builtins(settings, calls.append)
    plugins.configure(settings)
    return [text for text, _ in explain(settings, plugins, calls, map(str, files), as_json=as_json)]


def test_each_call_has_its_own_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.dcm"
    file.write_bytes(file_prefix(CT, INSTANCE, EXPLICIT_LE) + in_syntax(EXPLICIT_LE))
    for text in explained(tmp_path, [file, file], as_json=True):
        steps = [step for step in json.loads(text)["steps"] if step["hook"] == "receive"]
        assert [step["said"] for step in steps] == [["PatientName: removed"], []]
    [text] = explained(tmp_path, [file], as_json=False)
    assert "\n                     PatientName: removed\n" in text
    assert "no element differs" not in text


def test_nobody_reads_when_an_instance_is_received() -> None:
    assert fake_instance().explained is None
