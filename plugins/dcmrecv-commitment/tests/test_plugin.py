"""The plugin in a receiver: what is there whole is committed to, and nothing else."""

from __future__ import annotations

import os
import random
import re
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dcmrecv_core.testing import Receiver, deliver_all, sample_dataset, until
from support.programs.certificates import Certificates
from support.programs.receivers import free_port
from support.servers.requestor import CT, Report, Requestor, asking_for, request

Start = Callable[..., Receiver]

NO_SUCH, CHANGED, CONFLICT, NOT_SUPPORTED, DUPLICATE = 0x0112, 0x0110, 0x0119, 0x0122, 0x0131
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"


def stored(receiver: Receiver, *uids: str) -> list[Path]:
    """Send images; their files."""
    assert receiver.send(*[sample_dataset(SOPInstanceUID=uid) for uid in uids]) == [0] * len(uids)
    return [receiver.output / f"CT.{uid}" for uid in uids]


@contextmanager
def answering_stopped(receiver: Receiver) -> Iterator[None]:
    """What is asked for meanwhile is found all at once."""
    started = re.compile(r"background of plugin commitment: started \(process (\d+)\)")
    pid = int(until(lambda: started.search(receiver.log), "the process", log=lambda: receiver.log)[1])
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: "\nState:\tT" in Path(f"/proc/{pid}/status").read_text(), "it has stopped")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_what_is_there_is_committed_to(start: Start, requestor: Requestor) -> None:
    receiver = start(requestor.port)
    stored(receiver, "1.2.3", "1.2.4")
    assert request(receiver.port, asking_for("9.1", "1.2.3", "1.2.4")).Status == 0
    assert requestor.report() == Report(1, "9.1", [(CT, "1.2.3"), (CT, "1.2.4")], {}, "ARCHIVE", "CT1")
    receiver.wait_for_log("storage commitment for CT1, transaction 9.1: 2 instances committed, 0 failed")
    folder = receiver.state_directory / "commitment"
    until(lambda: not list(folder.iterdir()), "the request is gone", log=lambda: receiver.log)


def test_everything_else_is_reported(start: Start, requestor: Requestor) -> None:
    receiver = start(requestor.port)
    names = ("whole", "removed", "flipped", "truncated", "longer", "meta", "other")
    uids = {name: f"1.2.3.{number}" for number, name in enumerate(names)}
    paths = dict(zip(names, stored(receiver, *uids.values()), strict=True))
    assert deliver_all(receiver) == []
    paths["removed"].unlink()
    for name, place in (("flipped", -5), ("meta", 140)):
        data = bytearray(paths[name].read_bytes())
        data[place] ^= 4
        paths[name].write_bytes(data)
    os.truncate(paths["truncated"], paths["truncated"].stat().st_size - 2)
    with paths["longer"].open("ab") as file:
        file.write(b"\0\0")
    paths["other"].write_bytes(paths["whole"].read_bytes())
    never, other_class, query = (CT, "1.2.9"), ("1.2.840.10008.5.1.4.1.1.4", uids["whole"]), (STUDY_ROOT_FIND, "1.2.9")
    request(receiver.port, asking_for("9.1", *uids.values(), never, other_class, query))
    report = requestor.report()
    assert (report.event_type, report.committed) == (2, [(CT, uids["whole"])])
    changed = {(CT, uids[name]): CHANGED for name in ("flipped", "truncated", "longer", "meta", "other")}
    gone = {(CT, uids["removed"]): NO_SUCH, never: NO_SUCH}
    assert report.failed == changed | gone | {other_class: CONFLICT, query: NOT_SUPPORTED}
    log = receiver.log
    assert f"SOP instance {uids['flipped']}, file {paths['flipped']}: it is not what was acknowledged" in log
    assert f"SOP instance {uids['meta']}, file {paths['meta']}: its File Meta Information has changed" in log
    assert f"SOP instance {uids['other']}, file {paths['other']}: it is another instance" in log
    assert f"SOP instance {uids['removed']}: its file {paths['removed']} is gone" in log


def test_what_was_stored_without_a_digest_is_not(start: Start, requestor: Requestor) -> None:
    receiver = start(requestor.port)
    stored(receiver, "1.2.3")
    deliver_all(receiver)
    with closing(sqlite3.connect(receiver.state_directory / "index.sqlite")) as index:
        index.execute("UPDATE instances SET digest = NULL")
        index.commit()
    request(receiver.port, asking_for("9.1", "1.2.3"))
    assert requestor.report().failed == {(CT, "1.2.3"): CHANGED}
    assert "it was stored without a digest, so nothing tells whether it is whole: send it again" in receiver.log
    stored(receiver, "1.2.3")
    request(receiver.port, asking_for("9.2", "1.2.3"))
    assert requestor.report().failed == {}


def test_it_waits_for_the_index(start: Start, requestor: Requestor) -> None:
    """The index is asked when it has what was stored before, however long that takes."""
    receiver = start(requestor.port, "--deliver-processes", 2)
    count = 300
    uids = [f"1.2.3.{number}" for number in range(count)]
    stored(receiver, *uids)
    request(receiver.port, asking_for("9.1", *uids))
    report = requestor.report()
    assert (len(report.committed), report.failed) == (count, {})


PLUGIN = """\
from dcmrecv_core import hookimpl

@hookimpl
def receive(instance):
    header = instance.copy_header()
    header.SOPInstanceUID = f"2.25.{int.from_bytes(instance.sop_instance_uid.encode())}"
    header.PatientName = "nobody"
    instance.replace_header(header)
"""


def test_an_instance_with_another_uid_is_asked_for_by_the_one_that_was_sent(
    start: Start, requestor: Requestor, tmp_path: Path
) -> None:
    (tmp_path / "renames.py").write_text(PLUGIN)
    receiver = start(requestor.port, more=(str(tmp_path / "renames.py"),))
    images = [sample_dataset(SOPInstanceUID=f"1.2.{number}") for number in (3, 4)]
    assert receiver.send(*images) == [0xB000, 0xB000]
    files = sorted(receiver.output.glob("CT.*"))
    assert not any(path.name in ("CT.1.2.3", "CT.1.2.4") for path in files)
    request(receiver.port, asking_for("9.1", "1.2.3", "1.2.4", "1.2.5"))
    report = requestor.report()
    assert (report.committed, report.failed) == ([(CT, "1.2.3"), (CT, "1.2.4")], {(CT, "1.2.5"): NO_SUCH})
    for path in files:
        path.unlink()
    request(receiver.port, asking_for("9.2", "1.2.3", "1.2.4"))
    assert requestor.report().failed == {(CT, "1.2.3"): NO_SUCH, (CT, "1.2.4"): NO_SUCH}


@pytest.mark.parametrize("arguments", [("+B",), ("--layout", "{PatientID}/{SOPInstanceUID}")], ids=["as sent", "names"])
def test_however_it_is_stored(start: Start, requestor: Requestor, arguments: tuple[str, ...]) -> None:
    receiver = start(requestor.port, *arguments)
    large = sample_dataset(SOPInstanceUID="1.2.4")
    large[0x7FE00010].value = random.Random(1).randbytes(3 << 20)
    deflated = sample_dataset(SOPInstanceUID="1.2.5", transfer_syntax_uid="1.2.840.10008.1.2.1.99")
    assert receiver.send(sample_dataset(SOPInstanceUID="1.2.3"), large, deflated) == [0, 0, 0]
    request(receiver.port, asking_for("9.1", "1.2.3", "1.2.4", "1.2.5"))
    report = requestor.report()
    assert (len(report.committed), report.failed) == (3, {})


def test_a_peer_that_leaves_the_role_unanswered_gets_it_all_the_same(start: Start) -> None:
    requestor = Requestor(takes_role=False)
    try:
        receiver = start(requestor.port)
        stored(receiver, "1.2.3")
        request(receiver.port, asking_for("9.1", "1.2.3"))
        assert requestor.report().event_type == 1
        receiver.wait_for_log("CT1 has not taken the proposed role (SCP), it gets the report all the same")
    finally:
        requestor.end()


def test_it_is_tried_again_until_it_is_answered(start: Start) -> None:
    port = free_port()
    receiver = start(port)
    stored(receiver, "1.2.3")
    request(receiver.port, asking_for("9.1", "1.2.3"))
    receiver.wait_for_log(f"storage commitment for CT1: no association with localhost port {port}, again in 2 s")
    requestor = Requestor(port)
    try:
        requestor.statuses = [0x0110, 0x0213]
        assert [requestor.report().transaction_uid for _ in range(3)] == ["9.1"] * 3
        receiver.wait_for_log("1 instances committed, 0 failed; answered with status 0000")
        assert "the report was answered with status 0110, again in" in receiver.log
    finally:
        requestor.end()


def test_one_that_the_peer_refuses_is_not_sent_again(start: Start, requestor: Requestor) -> None:
    requestor.statuses = [0x0115]
    receiver = start(requestor.port)
    stored(receiver, "1.2.3")
    request(receiver.port, asking_for("9.1", "1.2.3"))
    receiver.wait_for_log("1 instances committed, 0 failed; answered with status 0115")
    request(receiver.port, asking_for("9.2", "1.2.3"))
    assert [requestor.report().transaction_uid for _ in range(2)] == ["9.1", "9.2"]


def test_one_that_fails_does_not_hold_up_others(start: Start, requestor: Requestor) -> None:
    receiver = start(requestor.port)
    stored(receiver, "1.2.3")
    requestor.statuses = [0x0110]
    with answering_stopped(receiver):
        for number in (1, 2):
            request(receiver.port, asking_for(f"9.{number}", "1.2.3"))
    asked = [requestor.report().transaction_uid for _ in range(3)]
    assert asked == ["9.1", "9.2", "9.1"]


def test_a_file_that_is_gone_before_the_peer_is_there(start: Start) -> None:
    """What was true when the first report failed does not count."""
    port = free_port()
    receiver = start(port)
    [path] = stored(receiver, "1.2.3")
    request(receiver.port, asking_for("9.1", "1.2.3"))
    receiver.wait_for_log("storage commitment for CT1: no association")
    path.unlink()
    requestor = Requestor(port)
    try:
        assert requestor.report().failed == {(CT, "1.2.3"): NO_SUCH}
    finally:
        requestor.end()


def test_another_request_with_the_same_transaction_uid(start: Start, requestor: Requestor) -> None:
    receiver = start(requestor.port)
    stored(receiver, "1.2.3", "1.2.4")
    with answering_stopped(receiver):
        for uid in ("1.2.3", "1.2.4", "1.2.3"):
            assert request(receiver.port, asking_for("9.1", uid)).Status == 0
    reports = [requestor.report(), requestor.report()]
    assert [(each.event_type, each.failed) for each in reports] == [(1, {}), (2, {(CT, "1.2.4"): DUPLICATE})]
    receiver.wait_for_log("0 instances committed, 1 failed")
    assert requestor.reports.empty(), "the first one was sent again, and has one answer"


def test_it_survives_the_end_of_the_receiver(start: Start) -> None:
    port = free_port()
    receiver = start(port)
    stored(receiver, "1.2.3")
    request(receiver.port, asking_for("9.1", "1.2.3"))
    receiver.process.send_signal(signal.SIGKILL)
    receiver.process.wait(20)
    requestor = Requestor(port)
    try:
        start(port, "-od", receiver.output, "--state-dir", receiver.state_directory)
        report = requestor.report()
        assert (report.transaction_uid, report.committed) == ("9.1", [(CT, "1.2.3")])
    finally:
        requestor.end()


def test_over_tls(start: Start, certificates: Certificates) -> None:
    requestor = Requestor(tls=certificates.server_context())
    key, certificate = certificates.client
    files = {"tls_authority": certificates.authority, "tls_key": key, "tls_certificate": certificate}
    keys = "tls = true\n" + "".join(f'{name} = "{path}"\n' for name, path in files.items())
    try:
        receiver = start(requestor.port, keys=keys)
        stored(receiver, "1.2.3")
        request(receiver.port, asking_for("9.1", "1.2.3"))
        assert requestor.report().committed == [(CT, "1.2.3")]
    finally:
        requestor.end()


def test_a_reload_goes_on_with_what_is_open(start: Start) -> None:
    port = free_port()
    receiver = start(port)
    stored(receiver, "1.2.3")
    request(receiver.port, asking_for("9.1", "1.2.3"))
    receiver.wait_for_log("no association with localhost")
    receiver.reload()
    requestor = Requestor(port)
    try:
        assert requestor.report().transaction_uid == "9.1"
    finally:
        requestor.end()


def test_requests_of_a_title_that_is_no_peer_any_more(start: Start) -> None:
    receiver = start(free_port())
    stored(receiver, "1.2.3")
    request(receiver.port, asking_for("9.1", "1.2.3"))
    assert receiver.stop() == 0
    other = start(free_port(), "-od", receiver.output, "--state-dir", receiver.state_directory, title="CT2")
    other.wait_for_log("1 requests for storage commitment of CT1 have no answer, which is not in peers any more")
