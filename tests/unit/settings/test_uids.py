"""The UID table: lookups, and what it says of storage classes and other services."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dcmrecv_core.settings import uids
from support.uids import CT, DICOMDIR, EXPLICIT_LE, VERIFICATION

STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
PROTOCOL_APPROVAL = "1.2.840.10008.5.1.4.1.1.200.3"


@pytest.mark.parametrize(
    ("name", "uid"),
    [
        ("CTImageStorage", CT),
        ("ctimagestorage", None),
        ("LocalEndianExplicit", EXPLICIT_LE),
        ("OppositeEndianExplicit", "1.2.840.10008.1.2.2"),
        ("XMLEncoding", "1.2.840.10008.1.2.6.2"),
        ("JPEGXL", "1.2.840.10008.1.2.4.112"),
        ("", None),
    ],
)
def test_find_uid(name: str, uid: str | None) -> None:
    assert uids.find_uid(name) == uid


def test_uid_of_knows_the_name_or_says_so() -> None:
    assert uids.uid_of("CTImageStorage") == CT
    with pytest.raises(KeyError, match="there is no UID called 'CTImageStorag'; did you mean CTImageStorage"):
        uids.uid_of("CTImageStorag")
    with pytest.raises(KeyError, match=r"there is no UID called ''.$"):
        uids.uid_of("")


@pytest.mark.parametrize(
    ("uid", "name"),
    [
        (EXPLICIT_LE, "LittleEndianExplicit"),
        ("1.2.840.10008.5.1.4.1.1.88.70", "ImplantationPlanSRDocumentStorage"),
        ("1.2.3", None),
    ],
)
def test_name_of(uid: str, name: str | None) -> None:
    assert uids.name_of(uid) == name


@pytest.mark.parametrize(
    ("uid", "prefix"),
    [(CT, "CT"), (PROTOCOL_APPROVAL, "PA"), (DICOMDIR, None), (VERIFICATION, None), ("1.2.3", None)],
)
def test_modality_prefix(uid: str, prefix: str | None) -> None:
    assert uids.modality_prefix(uid) == prefix


@pytest.mark.parametrize(
    ("uid", "other"),
    [
        (CT, False),
        ("1.2.3", False),
        (VERIFICATION, True),
        (STUDY_ROOT_FIND, True),
        (DICOMDIR, True),
        (EXPLICIT_LE, True),
    ],
)
def test_is_other_service(uid: str, other: bool) -> None:
    assert uids.is_other_service(uid) is other


def test_lists_hold_each_uid_once() -> None:
    for listed, expected in ((uids.storage_sop_classes(), CT), (uids.transfer_syntaxes(), EXPLICIT_LE)):
        assert expected in listed
        assert len(set(listed)) == len(listed) > 60
    assert DICOMDIR not in uids.storage_sop_classes()


def test_table_is_read_when_it_is_needed() -> None:
    code = "from dcmrecv_core.settings import uids; print(uids._table.cache_info().currsize, uids.find_uid('x'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == "0 None\n"
