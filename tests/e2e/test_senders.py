"""DCMTK's and pynetdicom's senders store pydicom's own files under the names that DCMTK dcmrecv gives them."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE

from dcmrecv_core.testing.sending import await_pause_over
from support.data.samples import pydicom_files
from support.programs.receivers import Receiver, Start, dcmtk
from support.uids import CT, EXPLICIT_LE, MR

pytestmark = pytest.mark.dcmtk

STORESCP_CFG = ("-v", "-xf", "/etc/dcmtk/storescp.cfg", "default")


def dcmsend(receiver: Receiver, files: tuple[Path, ...]) -> None:
    """Sends all files in one association after the other; dcmsend leaves out files that it cannot propose."""
    done = dcmtk("dcmsend", "-v", "-nh", "-nuc", "-dn", "+ma", "localhost", receiver.port, *files)
    assert done.returncode == 0, done.stdout + done.stderr


def storescu(receiver: Receiver, files: tuple[Path, ...]) -> None:
    done = dcmtk("storescu", "-v", "-nh", "localhost", receiver.port, *files)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dcmsend_of_all_files(ours: Start, original: Start) -> None:
    receivers = [ours(*STORESCP_CFG), original(*STORESCP_CFG)]
    for receiver in receivers:
        dcmsend(receiver, pydicom_files())
    stored = [receiver.files() for receiver in receivers]
    assert stored[0] == stored[1]
    assert len(stored[0]) > 50


def test_log_of_a_stored_file_is_the_originals(ours: Start, original: Start) -> None:
    file = next(path for path in pydicom_files() if path.name == "CT_small.dcm")
    logs = []
    for start in (ours, original):
        receiver = start(*STORESCP_CFG)
        dcmsend(receiver, (file,))
        receiver.wait_for_log("Received Association Release Request")
        lines = receiver.log.splitlines()
        wanted = (
            "I: Received C-STORE",
            "I: Stored received object to file: ",
            "I: Sending C-STORE",
            "I: Received Assoc",
        )
        logs.append([line for line in lines if line.startswith(wanted)])
    assert logs[0] == logs[1]
    assert len(logs[0]) == 4


def test_storescu(ours: Start, original: Start) -> None:
    names = ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "SC_rgb_small_odd.dcm")
    files = tuple(path for path in pydicom_files() if path.name in names)
    receivers = [ours("-pm"), original(*STORESCP_CFG)]
    for receiver in receivers:
        storescu(receiver, files)
    assert len(files) == len(receivers[0].files()) == len(names)
    assert receivers[0].files() == receivers[1].files()


def test_pynetdicom(ours: Start) -> None:
    receiver = ours("-pm")
    ae = AE()
    for sop_class in (CT, MR):
        ae.add_requested_context(sop_class, EXPLICIT_LE)
    association = ae.associate("127.0.0.1", receiver.port)
    assert association.is_established
    for path in pydicom_files():
        if path.name in ("CT_small.dcm", "MR_small.dcm"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                await_pause_over(association)
                assert association.send_c_store(dcmread(path)).Status == 0x0000
    association.release()
    assert [name.split(".")[0] for name in receiver.files()] == ["CT", "MR"]


def test_echoscu(ours: Start) -> None:
    done = dcmtk("echoscu", "-v", "localhost", ours().port)
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_a_profile_only_verification_is_accepted(ours: Start) -> None:
    receiver = ours()
    [file] = [path for path in pydicom_files() if path.name == "CT_small.dcm"]
    done = dcmtk("storescu", "localhost", receiver.port, file)
    assert done.returncode != 0
    assert "Rejected Permanent, Source: Service User" in done.stderr
    assert receiver.files() == []
    assert "only support the Verification SOP Class" in receiver.log
