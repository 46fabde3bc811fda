"""`--log-uids hashed`: which texts of a record are UIDs, and what stands for them."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import logging.handlers
import queue
import re
from collections.abc import Iterator

import pytest

from dcmrecv_core.logs.hashed_uids import UIDS, hashed_uid
from dcmrecv_core.logs.serving import Serving
from dcmrecv_core.logs.setup import LogWiring
from dcmrecv_core.settings.settings import Settings

log = logging.getLogger("dcmrecv.tests")

pytestmark = pytest.mark.usefixtures("logging_as_before")

KEY = bytes(range(32))
UID = "1.2.826.0.1.3680043.8.498.1"
HASH = hashed_uid(KEY, UID)


@pytest.fixture
def hashing() -> Iterator[None]:
    LogWiring().apply(Settings())
    UIDS.begin(KEY)
    yield
    UIDS.begin(None)
    UIDS.show_proposed(())
    UIDS.show_given((), ())


@pytest.fixture
def serving(hashing: None) -> Serving:
    serving = Serving()
    serving.attach()
    return serving


def logged(capfd: pytest.CaptureFixture[str], text: str, *values: object) -> str:
    log.warning(text, *values)
    return capfd.readouterr().err.removeprefix("W: ").rstrip("\n")


def test_it_is_the_beginning_of_the_hash_in_events() -> None:
    assert f"uid:{hmac.new(KEY, UID.encode(), hashlib.sha256).hexdigest()[:16]}" == HASH


@pytest.mark.usefixtures("hashing")
@pytest.mark.parametrize("form", ["%s", "C-STORE %s from CT1", "/out/CT.%s", "%s/x", "'%s'", "%s.", "a\n%s"])
def test_wherever_it_is(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert logged(capfd, form % UID) == (form % HASH).replace("\n", "\nW: ")
    assert logged(capfd, "%s", form % UID) == (form % HASH).replace("\n", "\\n")


@pytest.mark.usefixtures("hashing")
@pytest.mark.parametrize("uid", ["2.25.123456", "1.2.3.4.5", "1.02.003.4444", "1.2.840.100080.1.1", "0.0.8.498"])
def test_others_are_hashed(uid: str, capfd: pytest.CaptureFixture[str]) -> None:
    expected = hashed_uid(KEY, uid) if uid != "0.0.8.498" else uid  # it might be an address
    assert logged(capfd, "%s", uid) == expected


@pytest.mark.usefixtures("hashing")
@pytest.mark.parametrize(
    "text",
    [
        "CT1 (10.0.0.5) to ARCHIVE",
        "from 1.0.0.127",
        "dcmrecv v0.1.0",
        "after 2.5123 s",
        "1.2.840.10008.5.1.4.1.1.2",
        "2026-11-29T12:00:00.123+00:00",
        "::ffff:1.2.3.4",
    ],
)
def test_what_is_no_uid_of_a_patient_stays(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert logged(capfd, "%s", text) == text


@pytest.mark.usefixtures("hashing")
def test_proposed_classes_stay_until_the_next_association(capfd: pytest.CaptureFixture[str]) -> None:
    UIDS.show_proposed([UID])
    assert logged(capfd, "class %s", UID) == f"class {UID}"
    UIDS.show_proposed([])
    assert logged(capfd, "class %s", UID) == f"class {HASH}"


@pytest.mark.usefixtures("hashing")
def test_uids_that_a_plugin_gave_stay(capfd: pytest.CaptureFixture[str]) -> None:
    UIDS.show_given(["2.25.7777", UID], [UID])
    assert logged(capfd, "%s in 2.25.7777", UID) == f"{HASH} in 2.25.7777"


@pytest.mark.parametrize("uid", [UID, "JOHN^DOE", "7", "1.2.840.10008.1", "a\x1bb"])
def test_the_instance_under_way_whatever_its_sender_calls_it(
    uid: str, serving: Serving, capfd: pytest.CaptureFixture[str]
) -> None:
    serving.begin("10.0.0.5", lambda: uid)
    UIDS.show_proposed([uid])
    assert logged(capfd, "C-STORE %s 77 %s: %r", uid, uid, uid).count(hashed_uid(KEY, uid)) == 3


def test_the_fields_of_a_record(serving: Serving, capfd: pytest.CaptureFixture[str]) -> None:
    LogWiring().apply(Settings(log_format="json"))
    serving.attach()
    serving.begin("10.0.0.5", lambda: UID)
    assert json.loads(logged(capfd, "text").removeprefix("W: "))["instance"] == HASH


@pytest.mark.usefixtures("hashing")
def test_tracebacks(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError(f"no study {UID}")
    except ValueError:
        log.exception("failed")
    text = capfd.readouterr().err
    assert f"ValueError: no study {HASH}" in text and UID not in text and "Traceback" in text


@pytest.mark.usefixtures("hashing")
def test_handlers_of_others(capfd: pytest.CaptureFixture[str]) -> None:
    kept: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(kept)
    log.addHandler(handler)
    try:
        raise ValueError(UID)
    except ValueError:
        log.exception("%(uid)s", {"uid": UID})
    finally:
        log.removeHandler(handler)
    record = kept.get_nowait()
    assert UID not in f"{record.__dict__} {logging.Formatter().format(record)}"


@pytest.mark.usefixtures("hashing")
def test_a_wrong_log_call_shows_no_arguments(capfd: pytest.CaptureFixture[str]) -> None:
    log.warning("%d", UID)
    text = capfd.readouterr().err
    assert re.fullmatch(r"W: a log call of test_hashed_uids\.py, line \d+, has wrong arguments\n", text)


def test_nothing_is_hashed_without_the_option(capfd: pytest.CaptureFixture[str]) -> None:
    LogWiring().apply(Settings())
    assert logged(capfd, "%s", UID) == UID
    assert UIDS.shown(UID) == UID
