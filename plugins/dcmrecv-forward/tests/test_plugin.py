"""The plugin in a receiver: rules, outages, what is put aside, and its settings."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import SECONDS, Peers
from stow_service import Stow

from dcmrecv_core import TryAgain
from dcmrecv_core.testing import Receiver, StartReceiver, deliver_all, fake_event, fake_settings, sample_dataset, until
from dcmrecv_forward import ForwardPlugin
from dcmrecv_forward.destinations import Destination
from support.programs.receivers import free_port

Start = Callable[..., Receiver]


def table(name: str, kind: str, **fields: Any) -> str:
    """A destination as a settings file has it; JSON's strings, numbers and arrays are TOML's."""
    when = fields.pop("when", {})
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"name": name, "kind": kind, **fields}.items()]
    rules = ", ".join(f"{key} = {json.dumps(value)}" for key, value in when.items())
    return "\n".join(["[[plugins.forward.destinations]]", *lines, f"when = {{ {rules} }}", ""])


@pytest.fixture
def start(start_receiver: StartReceiver, tmp_path: Path) -> Iterator[Start]:
    """Starts a receiver with these destinations."""

    def start_with(*tables: str, arguments: tuple[object, ...] = ()) -> Receiver:
        path = tmp_path / "router.toml"
        path.write_text('plugin = ["forward"]\n' + "".join(tables))
        return start_receiver("-pm", "--settings", path, *arguments)

    yield start_with


def instances(count: int, first: int = 0, **elements: Any) -> list[Any]:
    return [sample_dataset(SOPInstanceUID=f"1.2.3.{number}", **elements) for number in range(first, first + count)]


def test_ct_to_a_and_everything_to_b(start: Start, peers: Peers) -> None:
    a, b = peers.dcmrecv(), peers.dcmrecv()
    receiver = start(
        table("A", "dimse", host="127.0.0.1", port=a.port, called="PACS_A", when={"modality": "CT"}),
        table("B", "dimse", host="127.0.0.1", port=b.port, called="PACS_B"),
    )
    mr = instances(3, 10, Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4", StudyInstanceUID="1.2.9")
    assert receiver.send(*instances(5), *mr) == [0] * 8
    assert deliver_all(receiver) == []
    assert len(a.files()) == 5 and len(b.files()) == 8
    assert "DCMRECV -> PACS_A" in a.log and "DCMRECV -> PACS_B" in b.log
    assert a.log.count("Association Acknowledged") == 1


def test_titles_and_elements(start: Start, tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("title", "element", "both")}
    for path in folders.values():
        path.mkdir()
    receiver = start(
        table("title", "folder", path=str(folders["title"]), when={"calling": ["MR1", "CT*"]}),
        table("element", "folder", path=str(folders["element"]), when={"StationName": "ROOM?"}),
        table("both", "folder", path=str(folders["both"]), when={"called": "ROUTER", "StationName": "ROOM1"}),
    )
    receiver.send(*instances(1, StationName="ROOM1"), calling_ae_title="CT7", called_ae_title="ROUTER")
    receiver.send(*instances(1, 1, StationName="ROOM2"), calling_ae_title="MR1")
    receiver.send(*instances(1, 2), calling_ae_title="US1")
    assert deliver_all(receiver) == []
    found = {name: sorted(each.name for each in path.iterdir()) for name, path in folders.items()}
    assert found == {
        "title": ["CT.1.2.3.0", "CT.1.2.3.1"],
        "element": ["CT.1.2.3.0", "CT.1.2.3.1"],
        "both": ["CT.1.2.3.0"],
    }


def test_to_a_service_with_a_token_in_a_file(start: Start, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("LETMEIN\n")
    stow = Stow()
    try:
        token = f'token = {{ file = "{tmp_path}/token" }}\n'
        receiver = start(table("cloud", "stow", url=f"http://127.0.0.1:{stow.port}/rs") + token)
        receiver.send(*instances(3))
        assert deliver_all(receiver) == []
        assert len(stow.files) == 3 and stow.connections == 1
        assert stow.headers[0]["Authorization"] == "Bearer LETMEIN"
        assert "LETMEIN" not in receiver.log
    finally:
        stow.end()


def test_what_a_destination_refuses_is_put_aside(start: Start, peers: Peers) -> None:
    judge = peers.judge(("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"))
    receiver = start(table("A", "dimse", host="127.0.0.1", port=judge.port, called="JUDGE"))
    judge.status = 0xA900
    receiver.send(*instances(1))
    [line] = deliver_all(receiver)
    assert line.startswith("forward/A: ") and "refused it: status A900" in line
    judge.status = 0xB000
    receiver.send(*instances(2, 1))
    assert len(deliver_all(receiver)) == 1
    receiver.wait_for_log("I: SOP instance 1.2.3.1 sent to A: status B000")
    assert len(judge.received) == 3


def test_a_destination_that_is_down_is_told_once(start: Start, peers: Peers) -> None:
    """Many studies wait for it; the other destination gets them meanwhile."""
    there, gone = peers.dcmrecv(), peers.dcmrecv()
    gone.kill()
    receiver = start(
        table("there", "dimse", host="127.0.0.1", port=there.port, called="A"),
        table("gone", "dimse", host="127.0.0.1", port=gone.port, called="B"),
    )
    receiver.send(*(each for number in range(20) for each in instances(1, number, StudyInstanceUID=f"1.2.4.{number}")))
    until(lambda: len(there.files()) == 20, "all are in the other one", SECONDS, log=lambda: receiver.log)
    receiver.wait_for_log("destination gone is down, instances for it wait: no connection to 127.0.0.1 port")
    gone.start()
    until(lambda: len(gone.files()) == 20, "all are there", SECONDS, log=lambda: receiver.log)
    receiver.wait_for_log("destination gone is back after")
    assert receiver.log.count("destination gone") == 2
    assert "deliver to gone" not in receiver.log
    assert deliver_all(receiver) == []


def test_a_destination_that_never_answers_holds_up_no_other(start: Start, peers: Peers, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        receiver = start(
            table("silent", "dimse", host="127.0.0.1", port=silent.getsockname()[1], called="A", timeout=0.2),
            table("copies", "folder", path=str(tmp_path / "copies")),
        )
        receiver.send(*instances(5))
        until(lambda: len(list((tmp_path / "copies").iterdir())) == 5, "the copies", log=lambda: receiver.log)
        receiver.wait_for_log("destination silent is down, instances for it wait: no answer within 0.2 s")
        assert receiver.stop() == 0


def test_one_instance_that_kills_the_peer_holds_up_only_its_study(start: Start, peers: Peers) -> None:
    judge = peers.judge(("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1"))
    judge.crash_at = "1.2.3.0"
    receiver = start(table("A", "dimse", host="127.0.0.1", port=judge.port, called="JUDGE"))
    receiver.send(*instances(1), *instances(3, 1, StudyInstanceUID="1.2.4"))
    until(lambda: len(judge.received) == 3, "the others", log=lambda: receiver.log)
    receiver.wait_for_log("it aborted the association")
    judge.crash_at = None
    assert deliver_all(receiver) == []
    assert len(judge.received) == 4


MISTAKES = {
    "unknown key": (
        table("A", "dimse", host="a", port=104, calld="A"),
        "plugins.forward.destinations[1].calld: no such key; did you",
    ),
    "kind": (
        table("A", "dimse", host="a", port=104, called="A") + table("B", "dicom"),
        "plugins.forward.destinations[2].kind = 'dicom': one of dimse, stow, folder expected",
    ),
    "rule": (
        table("A", "folder", path="/mnt", when={"modalty": "CT"}),
        "plugin forward: configure: destination 'A': when.modalty: calling, called, modality",
    ),
    "number in a rule": (
        table("A", "folder", path="/mnt", when={"SeriesNumber": 3}),
        "destinations[1].when = {'SeriesNumber': 3}: a table, each value a string or an array, each item a string",
    ),
    "missing": (
        table("A", "dimse", host="a", port=104),
        "plugin forward: configure: destination 'A': called: is missing",
    ),
    "none": ("", "plugin forward: configure: no destination is given"),
}


@pytest.mark.parametrize(("tables", "text"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_end_the_start(start: Start, tables: str, text: str) -> None:
    with pytest.raises(AssertionError, match=r"ended with (1|66)") as caught:
        start(tables)
    assert text in str(caught.value)


def test_reload(start: Start, tmp_path: Path, peers: Peers) -> None:
    """New destinations get what comes from then on; a mistake changes nothing."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = table("one", "folder", path=str(tmp_path / "one"))
    receiver = start(one)
    receiver.send(*instances(1))
    assert deliver_all(receiver) == []
    settings = tmp_path / "router.toml"
    settings.write_text(settings.read_text() + table("two", "folder"))
    with pytest.raises(AssertionError, match="not reloaded"):
        receiver.reload()
    settings.write_text('plugin = ["forward"]\n' + one + table("two", "folder", path=str(tmp_path / "two")))
    receiver.reload()
    receiver.send(*instances(1, 1))
    until(lambda: (tmp_path / "two" / "CT.1.2.3.1").exists(), "the copy", log=lambda: receiver.log)
    assert deliver_all(receiver) == []
    assert len(list((tmp_path / "one").iterdir())) == 2
    assert [each.name for each in (tmp_path / "two").iterdir()] == ["CT.1.2.3.1"]


def test_an_outage_in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """The call does not return before the destination is back."""
    plugin = ForwardPlugin()
    destination = Destination("A", "folder", path=tmp_path / "copies")
    settings = fake_settings(plugin, options={"destinations": [destination]}, output_directory=tmp_path / "out")
    plugin.configure(settings)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            (tmp_path / "copies").mkdir()

    monkeypatch.setattr("dcmrecv_forward.outage.Outage.__init__.__defaults__", (lambda: 0.0, sleep))
    plugin.deliver(fake_event(output_directory=tmp_path / "out"), "A")
    plugin.delivery_stopping()
    assert pauses == [1, 2, 4]
    assert len(list((tmp_path / "copies").iterdir())) == 1
    assert caplog.text.count("is down") == 1


def test_instances_that_fail_in_a_row_are_slowed_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = ForwardPlugin()
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "a").write_bytes(b"in the way of a directory")
    destination = Destination("A", "folder", path=tmp_path / "copies")
    plugin.configure(fake_settings(plugin, options={"destinations": [destination]}, output_directory=tmp_path / "out"))
    pauses: list[float] = []
    monkeypatch.setattr("dcmrecv_forward.outage.Outage.__init__.__defaults__", (lambda: 0.0, pauses.append))
    for _ in range(3):
        with pytest.raises(TryAgain):  # one line in the log, and no traceback
            plugin.deliver(fake_event(output_directory=tmp_path / "out" / "a"), "A")
    assert pauses == [1, 2]


def test_nothing_listens_where_nothing_is_sent(start: Start) -> None:
    """A destination whose rule is never met is not connected to."""
    receiver = start(
        table("A", "dimse", host="127.0.0.1", port=free_port(), called="A", when={"modality": "XA"}),
    )
    receiver.send(*instances(2))
    assert deliver_all(receiver) == []
    assert "is down" not in receiver.log


def test_settings_are_dumped_without_secrets_and_read_back(tmp_path: Path) -> None:
    """An inline array is as good as tables."""
    (tmp_path / "token").write_text("LETMEIN\n")
    (tmp_path / "router.toml").write_text(
        'plugin = ["forward"]\n[plugins.forward]\ndestinations = [\n'
        f'{{ name = "A", kind = "stow", url = "http://a", token = {{ file = "{tmp_path}/token" }} }},\n'
        '{ name = "B", kind = "folder", path = "/mnt/b", when = { calling = "CT1", Rows = ["4", "5"] } },\n]\n'
    )

    def dump(settings: str) -> str:
        command = [sys.executable, "-m", "dcmrecv_core", "--settings", settings, "--dump-settings", "104"]
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        env = {**os.environ, "PYTHONPATH": paths}
        options: Any = {"capture_output": True, "text": True, "timeout": SECONDS, "check": True}
        return str(subprocess.run(command, cwd=tmp_path, env=env, **options).stdout)

    dumped = dump("router.toml")
    assert "LETMEIN" not in dumped
    tables = tomllib.loads(dumped)["plugins"]["forward"]["destinations"]
    assert tables[0]["token"] == {"file": f"{tmp_path}/token"}
    assert tables[1]["when"] == {"calling": "CT1", "Rows": ["4", "5"]}
    (tmp_path / "again.toml").write_text(dumped)
    assert dump("again.toml") == dumped


def test_the_parent_of_all_workers_stays_small() -> None:
    """Neither the plugin nor rules without elements of the data set load pydicom and pynetdicom there."""
    code = (
        "import sys\n"
        "from dcmrecv_forward.destinations import Destination, routes\n"
        "rule = {'modality': 'CT', 'calling': 'A', 'sop_class': 'CTImageStorage', 'PatientID': 'x*'}\n"
        "routes([Destination('A', 'dimse', rule, 'a', 104, 'A')], 'out')\n"
        "assert not {'pydicom', 'pynetdicom'} & set(sys.modules)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
