"""The line of each instance that is not stored: whose, which one, why, and where to look."""

from __future__ import annotations

import errno
import logging
import os

import pytest

from dcmrecv_core.api.errors import DataSetError, HookFailure, NameTakenError, StatusError, StorageError
from dcmrecv_core.receive.instance_log import log_failure, log_refusal
from dcmrecv_core.receive.spool import TooLargeError
from dcmrecv_core.storage.directories import storage_error
from support.plugins import ASSOCIATION

LINE = "C-STORE 1.2.3 from SCANNER (192.0.2.7) to ARCHIVE: refused with status"


STORE = "A700: Cannot store file: "


def of_plugin(failure: StatusError) -> StatusError:
    failure.plugin = "mysite"
    return failure


def of_system(number: int) -> StatusError:
    return storage_error(OSError(number, os.strerror(number)), "Cannot store file")


FAILURES = {
    "full": (
        of_system(errno.ENOSPC),
        STORE + "No space left on device (file /d/f; the file system is ",
    ),
    "quota": (
        of_system(errno.EDQUOT),
        STORE + "Disk quota exceeded (file /d/f; the quota is used up)",
    ),
    "not allowed": (
        of_system(errno.EACCES),
        STORE + f"Permission denied (file /d/f; user {os.geteuid()} ",
    ),
    "descriptors": (
        of_system(errno.EMFILE),
        STORE + "Too many open files (file /d/f; no descriptor is ",
    ),
    "unknown": (of_system(errno.EIO), STORE + "Input/output error (file /d/f)"),
    "taken": (
        NameTakenError(0x0111, "/d/f"),
        "0111: File exists already (file /d/f; see --on-duplicate, or on_exists ",
    ),
    "structure": (
        DataSetError("Cut off"),
        "C000: Cut off (file /d/f; the sender's data set is broken; --bit-preserving ",
    ),
    "too large": (
        TooLargeError("Data set is larger than 5 bytes"),
        "A700: Data set is larger than 5 bytes (file /d/f; see --max-instance)",
    ),
    "strict": (StatusError(0xA900, "Differs"), "A900: Differs (file /d/f; see --strict)"),
    "a plugin": (of_plugin(StatusError(0xA900, "no")), "A900 by plugin mysite: no (file /d/f)"),
    "a plugin's disk": (of_plugin(StorageError("gone")), "A700 by plugin mysite: gone (file /d/f)"),
    "a bad result": (HookFailure("no name"), "0110: no name (file /d/f)"),
}


@pytest.mark.parametrize(("failure", "text"), FAILURES.values(), ids=FAILURES)
def test_fault_21_a_failure_says_where_to_look(
    failure: StatusError, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    log_failure(ASSOCIATION, "1.2.3", failure, "/d/f")
    assert caplog.messages[-1].startswith(f"{LINE} {text}")
    level = logging.WARNING if isinstance(failure, NameTakenError) else logging.ERROR
    assert caplog.records[-1].levelno == level


def test_a_failed_hook_is_told_by_its_guard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log_failure(ASSOCIATION, "1.2.3", HookFailure("failed", plugin="mysite", hook="receive"), "")
    [record] = caplog.records
    assert record.getMessage() == f"{LINE} 0110: Plugin mysite failed in receive"
    assert record.levelno == logging.INFO


def test_fault_21_a_refusal_has_the_whole_comment(caplog: pytest.LogCaptureFixture) -> None:
    log_refusal(ASSOCIATION, "1.2.3", "quota", 0xA700, "x" * 100)
    log_refusal(ASSOCIATION, "1.2.3", "quota", 0xA700, "")
    assert caplog.messages == [
        f"{LINE} A700 by plugin quota: {'x' * 100}",
        f"{LINE} A700 by plugin quota: no reason given",
    ]
