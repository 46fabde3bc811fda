"""The plugin in a receiver: commands and posts for what it stores, retries, and how a running command ends."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from endpoint import Endpoint

from dcmrecv_core.testing import Receiver, StartReceiver, check_plugin, deliver_all, sample_dataset, until


def instance(number: int, study: str = "1.2.3") -> object:
    return sample_dataset(SOPInstanceUID=f"1.2.{number}", StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1")


def script(directory: Path, text: str) -> Path:
    path = directory / "script.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_an_instance(start_receiver: StartReceiver, tmp_path: Path) -> None:
    tool = script(tmp_path, f'echo "$DCMRECV_ID:$DCMRECV_SOP_INSTANCE_UID:$@" >> {tmp_path}/told; echo said')
    receiver = start_receiver("-pm", "--on-instance", f"{tool} #p/#f '#a to #c' #r", plugins=["actions"])
    receiver.send(instance(1), instance(2), calling_ae_title="CT 1", called_ae_title="ARCHIVE")
    assert deliver_all(receiver) == []
    told = (tmp_path / "told").read_text().splitlines()
    assert [line.partition(":")[2] for line in told] == [
        f"1.2.{number}:{receiver.output}/{name} CT 1 to ARCHIVE 127.0.0.1"
        for number, name in ((1, receiver.files()[0]), (2, receiver.files()[1]))
    ]
    assert len({line.partition(":")[0] for line in told}) == 2
    assert receiver.log.count("I: --on-instance: said\n") == 2


def test_a_command_that_moves_the_file(start_receiver: StartReceiver, tmp_path: Path) -> None:
    receiver = start_receiver("-pm", "--on-instance", f"mv #p/#f {tmp_path}/x#f", plugins=["actions"])
    receiver.send(instance(1))
    assert deliver_all(receiver) == []
    assert receiver.files() == []
    assert len(list(tmp_path.glob("x*.1.2.1"))) == 1
    assert "\nE: " not in receiver.log
    assert "\nW: " not in receiver.log


def test_a_command_that_fails_is_tried_again_in_order(start_receiver: StartReceiver, tmp_path: Path) -> None:
    tool = script(
        tmp_path, f"echo $1 >> {tmp_path}/told; test $(wc -l < {tmp_path}/told) -ge 3 || {{ echo no; exit 3; }}"
    )
    receiver = start_receiver("-pm", "--on-instance", f"{tool} #{{sop_instance_uid}}", plugins=["actions"])
    receiver.send(instance(1), instance(2))
    assert deliver_all(receiver) == []
    assert (tmp_path / "told").read_text().split() == ["1.2.1"] * 3 + ["1.2.2"]
    assert f"--on-instance: {tool} ended with exit code 3: no (SOP instance 1.2.1 " in receiver.log
    assert "Traceback" not in receiver.log


def test_a_program_that_is_not_there(start_receiver: StartReceiver, tmp_path: Path) -> None:
    """Receiving goes on, and it is executed as soon as it is there."""
    receiver = start_receiver("-pm", "--on-instance", f"{tmp_path}/script.sh #f", plugins=["actions"])
    assert f"W: --on-instance: there is no program {tmp_path}/script.sh now\n" in receiver.log
    assert receiver.send(instance(1)) == [0]
    receiver.wait_for_log(f"{tmp_path}/script.sh: No such file or directory")
    script(tmp_path, f"touch {tmp_path}/done")
    assert deliver_all(receiver) == []
    assert (tmp_path / "done").exists()


def test_much_output(start_receiver: StartReceiver) -> None:
    receiver = start_receiver("-pm", "--on-instance", "seq 1000", plugins=["actions"])
    receiver.send(instance(1))
    deliver_all(receiver)
    assert "I: --on-instance: 200\n" in receiver.log
    assert "I: --on-instance: 201\n" not in receiver.log
    assert "I: --on-instance: ... and 800 more lines\n" in receiver.log


def test_studies_and_series(start_receiver: StartReceiver, tmp_path: Path) -> None:
    line = "sh -c 'echo #{revision} #{study_instance_uid} #{number_of_instances} #a #p $(wc -l) >> %s'"
    commands = ["--on-study", line % (tmp_path / "studies"), "--on-series", line % (tmp_path / "series")]
    receiver = start_receiver("-pm", *commands, plugins=["actions"])
    receiver.send(instance(1), instance(2), calling_ae_title="CT1")
    receiver.send(instance(3), instance(9, "4.5"), calling_ae_title="CT2")
    assert deliver_all(receiver) == []
    out = receiver.output
    first = {f"1 1.2.3 3 CT2 {out} 3", f"1 4.5 1 CT2 {out} 1"}
    assert set((tmp_path / "studies").read_text().splitlines()) == first
    assert set((tmp_path / "series").read_text().splitlines()) == first
    receiver.send(instance(4), calling_ae_title="CT3")
    assert deliver_all(receiver) == []
    for name in ("studies", "series"):
        *before, last = (tmp_path / name).read_text().splitlines()
        assert set(before) == first
        assert last == f"2 1.2.3 4 CT3 {out} 4"


def test_urls(start_receiver: StartReceiver, endpoint: Endpoint) -> None:
    endpoint.answers = [(503, {})]
    arguments = ("--on-instance-url", endpoint.url, "--on-study-url", endpoint.url)
    receiver = start_receiver("-pm", *arguments, plugins=["actions"])
    receiver.send(instance(1))
    assert deliver_all(receiver) == []
    posts = [json.loads(endpoint.next_post()[2]) for _ in range(3)]
    assert posts[0] in posts[1:], "it was not taken at first"
    first, study = sorted({each["id"]: each for each in posts}.values(), key=lambda each: str(each["type"]))
    assert first["type"] == "dcmrecv.instance.stored"
    assert first["subject"] == "1.2.1"
    assert study["type"] == "dcmrecv.study.completed"
    assert study["subject"] == "1.2.3"
    assert re.fullmatch(r"dcmrecv://\S+", study["source"])
    assert endpoint.posts.empty()
    assert "token" not in receiver.log


def test_what_a_url_refuses_is_put_aside(start_receiver: StartReceiver, endpoint: Endpoint) -> None:
    endpoint.answers = [(404, {})]
    receiver = start_receiver("-pm", "--on-instance-url", endpoint.url, plugins=["actions"])
    receiver.send(instance(1), instance(2))
    [aside] = deliver_all(receiver)
    assert re.match(r"actions/on-instance-url: \S+: --on-instance-url: 127.0.0.1:\d+ answered 404", aside)


def test_one_action_that_fails_holds_up_no_other(
    start_receiver: StartReceiver, endpoint: Endpoint, tmp_path: Path
) -> None:
    endpoint.answers = [(503, {})] * 3
    arguments = ("--on-study", f"sh -c 'echo #{{id}} >> {tmp_path}/told'", "--on-study-url", endpoint.url)
    failing = ("--on-instance", "false", "--deliver-attempts", 5)
    receiver = start_receiver("-pm", *arguments, *failing, plugins=["actions"])
    receiver.send(instance(1))
    [aside] = deliver_all(receiver)
    assert aside.startswith("actions/on-instance: ")
    ids = {json.loads(endpoint.next_post()[2])["id"] for _ in range(4)}
    assert (tmp_path / "told").read_text().split() == list(ids)


def test_a_changed_command_goes_on_with_the_queue(start_receiver: StartReceiver, tmp_path: Path) -> None:
    settings = tmp_path / "site.toml"
    settings.write_text('plugin = ["actions"]\n[plugins.actions]\non_instance = "false"\n')
    receiver = start_receiver("-pm", "--settings", settings)
    receiver.send(instance(1))
    receiver.wait_for_log("false ended with exit code 1, and said nothing")
    settings.write_text(f'plugin = ["actions"]\n[plugins.actions]\non_instance = "touch {tmp_path}/#f"\n')
    receiver.reload()
    assert deliver_all(receiver) == []
    assert (tmp_path / receiver.files()[0]).exists()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """A file with the process ids of a command and its child, a line for each time that it was executed."""
    pids = tmp_path / "pids"
    yield pids
    for pid in pids.read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def endless(pids: Path) -> Path:
    """A command that ignores SIGTERM and never ends."""
    return script(pids.parent, f"trap '' TERM; sleep 600 & echo $$ $! >> {pids}; while :; do wait; done")


def is_running(pid: str) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def started(pids: Path, times: int = 1) -> list[str]:
    return until(lambda: pids.exists() and len(found := pids.read_text().split()) == 2 * times and found, "it runs")


def test_sigterm_ends_a_command(start_receiver: StartReceiver, running: Path) -> None:
    receiver = start_receiver("-pm", "--on-instance", endless(running), plugins=["actions"])
    receiver.send(instance(1))
    pids = started(running)
    assert receiver.stop() == 0
    until(lambda: not any(map(is_running, pids)), "the command has ended")


def test_a_command_that_ends_in_time_is_done(start_receiver: StartReceiver, running: Path) -> None:
    tool = script(running.parent, f"echo $$ $$ >> {running}; until test -e {running}.end; do sleep 0.05; done")
    receiver = start_receiver("-pm", "--on-instance", tool, plugins=["actions"])
    receiver.send(instance(1))
    started(running)
    receiver.process.send_signal(signal.SIGTERM)
    receiver.wait_for_log("SIGTERM")
    Path(f"{running}.end").touch()
    assert receiver.process.wait(20) == 0  # a second signal would end it at once
    again = Receiver(receiver.directory, "-pm", "--on-instance", tool, plugins=["actions"])
    try:
        assert deliver_all(again) == []
    finally:
        assert again.end() == ""
    assert len(running.read_text().split()) == 2


def test_a_killed_delivery_process_takes_its_command_along(start_receiver: StartReceiver, running: Path) -> None:
    receiver = start_receiver("-pm", "--on-instance", endless(running), plugins=["actions"])
    receiver.send(instance(1))
    pids = started(running)
    [process] = re.findall(r"actions.*on-instance.*: started \(process (\d+)\)", receiver.log)
    os.kill(int(process), signal.SIGKILL)
    until(lambda: not any(map(is_running, pids)), "the command has ended")
    assert started(running, 2)[:2] == pids


def test_a_killed_receiver_takes_its_commands_along(start_receiver: StartReceiver, running: Path) -> None:
    receiver = start_receiver("-pm", "--on-instance", endless(running), plugins=["actions"])
    receiver.send(instance(1))
    pids = started(running)
    receiver.kill()
    until(lambda: not any(map(is_running, pids)), "the command has ended")
    again = Receiver(receiver.directory, "-pm", "--on-instance", endless(running), plugins=["actions"])
    try:
        assert started(running, 2)[:2] == pids
    finally:
        again.kill()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "plugin actions: configure: nothing to do: use --on-instance, --on-series, --on-study, --on-instance-url"),
        (("--on-instance", ""), "plugin actions: configure: --on-instance: the command is empty"),
        (("--on-study", "tool #f"), "--on-study: unknown placeholder #f; there are #p (directory), #a (calling"),
        (("--on-series", "a | b"), "--on-series: no shell reads the command, so '|' does nothing"),
        (("--on-study-url", "ftp://host/x?token=secret"), "--on-study-url: a URL that begins with http:// or https://"),
    ],
)
def test_mistakes_end_the_start(start_receiver: StartReceiver, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(AssertionError, match="ended with 1") as caught:
        start_receiver(*arguments, plugins=["actions"])
    assert message in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_kits_check() -> None:
    check_plugin("actions", options={"on_instance": "true", "on_study": "true"}, arguments=("--on-instance", "true"))


def test_a_command_that_hangs_does_not_hold_up_the_url(
    start_receiver: StartReceiver, endpoint: Endpoint, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    arguments = ("--on-study", f"sh -c 'read line < {tmp_path}/fifo'", "--on-study-url", endpoint.url)
    receiver = start_receiver("-pm", "--study-timeout", "1", *arguments, plugins=["actions"])
    told = []
    for study in ("1.2.3", "4.5"):
        receiver.send(instance(1, study))
        told.append(json.loads(endpoint.next_post()[2])["subject"])
    assert told == ["1.2.3", "4.5"]
