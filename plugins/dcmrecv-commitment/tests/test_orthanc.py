"""Orthanc as the requestor, by its REST call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orthanc import OrthancRequestor

from dcmrecv_core.testing import Receiver, deliver_all, sample_dataset
from support.programs.receivers import free_port
from support.servers.requestor import CT

Start = Callable[..., Receiver]
PLUGIN = """\
from dcmrecv_core import hookimpl

@hookimpl
def receive(instance):
    if instance.association.calling_ae_title == "DEID":
        header = instance.copy_header()
        header.SOPInstanceUID = "9" + instance.sop_instance_uid[1:]
        instance.replace_header(header)
"""


def test_success_for_what_is_there_and_failure_for_the_rest(start: Start, tmp_path: Path) -> None:
    (tmp_path / "renames.py").write_text(PLUGIN)
    port = free_port()
    receiver = start(port, title="ORTHANC", more=(str(tmp_path / "renames.py"),))
    whole, removed, flipped, renamed, never = (f"1.2.3.{number}" for number in range(5))
    sent = [sample_dataset(SOPInstanceUID=uid) for uid in (whole, removed, flipped)]
    assert receiver.send(*sent) == [0] * 3
    assert receiver.send(sample_dataset(SOPInstanceUID=renamed), calling_ae_title="DEID") == [0xB000]
    assert not (receiver.output / f"CT.{renamed}").exists()
    orthanc = OrthancRequestor(tmp_path, receiver.port, port)
    try:
        answer = orthanc.commitment(*[(CT, uid) for uid in (whole, removed, flipped, renamed)])
        assert (answer["Status"], answer["Failures"]) == ("Success", []), receiver.log
        assert len(answer["Success"]) == 4
        deliver_all(receiver)
        (receiver.output / f"CT.{removed}").unlink()
        data = bytearray((receiver.output / f"CT.{flipped}").read_bytes())
        data[-3] ^= 1
        (receiver.output / f"CT.{flipped}").write_bytes(data)
        answer = orthanc.commitment(*[(CT, uid) for uid in (whole, removed, flipped, renamed, never)])
    finally:
        orthanc.end()
    assert answer["Status"] == "Failure"
    assert {each["SOPInstanceUID"] for each in answer["Success"]} == {whole, renamed}
    reasons = {each["SOPInstanceUID"]: each["FailureReason"] for each in answer["Failures"]}
    assert reasons == {removed: 0x0112, flipped: 0x0110, never: 0x0112}
