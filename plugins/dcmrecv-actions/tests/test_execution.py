"""Commands executed in this process: what they get, what is logged, what is raised."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from dcmrecv_actions.commands import Command, parse_command
from dcmrecv_actions.execution import LONGEST_LINE, execute
from dcmrecv_actions.fields import OF_INSTANCE, OF_STUDY, of_instance, of_study
from dcmrecv_core import TryAgain, Undeliverable
from dcmrecv_core.testing import fake_association, fake_event, fake_study


def command(text: str) -> Command:
    return parse_command("--on-instance", text, OF_INSTANCE)


def test_environment(tmp_path: Path) -> None:
    event = fake_event(association=fake_association(calling_ae_title="$(id) 'x'"), patient_id="M\u00fcller^J")
    execute(command(f"sh -c 'env > {tmp_path}/env'"), of_instance(event))
    lines = (tmp_path / "env").read_text().splitlines()
    assert "DCMRECV_CALLING_AE_TITLE=$(id) 'x'" in lines
    assert "DCMRECV_PATIENT_ID=M\u00fcller^J" in lines
    assert {line.partition("=")[0] for line in lines if line.startswith("DCMRECV_")} >= {
        f"DCMRECV_{name.upper()}" for name in OF_INSTANCE
    }


def test_what_is_not_known_is_not_set(tmp_path: Path) -> None:
    event = fake_event(recovered=True, calling_ae_title=None)
    execute(command(f"sh -c 'echo ${{DCMRECV_CALLING_AE_TITLE-unset}} > {tmp_path}/title'"), of_instance(event))
    assert (tmp_path / "title").read_text() == "unset\n"


def test_files_of_a_study(tmp_path: Path) -> None:
    study = fake_study(fake_event(location="/in/a b.dcm"), fake_event(location="/in/\u00fc.dcm", sop_instance_uid="2"))
    files = [event.location for event in study.instances]
    execute(parse_command("--on-study", f"tee {tmp_path}/files", OF_STUDY), of_study(study), files)
    assert (tmp_path / "files").read_text() == "/in/a b.dcm\n/in/\u00fc.dcm\n"


@pytest.mark.parametrize("title", ["A\0B", "\ud800"])
def test_a_value_that_no_program_can_be_given(title: str) -> None:
    fields = of_instance(fake_event(calling_ae_title=title))
    with pytest.raises(Undeliverable, match="--on-instance: "):
        execute(command("true"), fields)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("false", "--on-instance: false ended with exit code 1, and said nothing"),
        ("sh -c 'echo one; echo two >&2; echo; exit 9'", "--on-instance: sh ended with exit code 9: two"),
        ("/nowhere/tool", "--on-instance: /nowhere/tool ended with exit code 127: /nowhere/tool: No such file or dir"),
        ("sh -c 'kill -TERM $$'", "--on-instance: sh ended with exit code 143, and said nothing"),
    ],
)
def test_failures(text: str, message: str) -> None:
    with pytest.raises(TryAgain) as caught:
        execute(command(text), of_instance(fake_event()))
    assert str(caught.value).startswith(message)


def test_a_long_line_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "dcmrecv.actions"):
        execute(command("sh -c 'head -c 5000 /dev/zero | tr \"\\0\" x'"), of_instance(fake_event()))
    assert caplog.messages == [f"--on-instance: {'x' * LONGEST_LINE}"]
