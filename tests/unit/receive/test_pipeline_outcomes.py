"""What `stored` and `not_stored` are told, for everything that can become of an instance."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import Discard, Instance, Name, NotStoredOutcome, Refuse, StatusError, StoredOutcome, Warn
from dcmrecv_core.receive.pipeline import InstanceReceiver
from support.plugins import hooks, raising
from support.publishing import Calls
from support.receiving import INSTANCE, PIXELS, data_set, receiver, send
from support.uids import CT

FILE = f"CT.{INSTANCE}"
OTHER_DATA = data_set().replace(PIXELS, PIXELS[::-1])


class Listener:
    """Collects what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.plugin = hooks(
            stored=lambda instance, location, outcome: self.told.append((location, outcome)),
            not_stored=lambda instance, outcome: self.told.append(outcome),
        )


Make = Callable[..., InstanceReceiver]


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def make(tmp_path: Path, listener: Listener) -> Make:
    def make(*plugins: object, **settings: Any) -> InstanceReceiver:
        return receiver(tmp_path, listener.plugin, *plugins, **settings)

    return make


def test_new_kept_and_replaced(make: Make, tmp_path: Path, listener: Listener) -> None:
    place = make(on_duplicate="replace-same")
    for data in (data_set(), data_set(), OTHER_DATA):
        assert send(place, data).status == 0
    assert listener.told == [
        (f"{tmp_path}/{FILE}", StoredOutcome(0, "", how, "replace-same")) for how in ("new", "kept", "replaced")
    ]


def test_the_policy_is_the_one_that_counts(make: Make, tmp_path: Path, listener: Listener) -> None:
    assert send(make(), data_set()).status == 0
    assert send(make(on_duplicate="rename"), OTHER_DATA).status == 0
    assert send(make(hooks(choose_filename=lambda: Name("x", "retry")), on_duplicate="rename"), data_set()).status == 0
    assert listener.told == [
        (f"{tmp_path}/{FILE}", StoredOutcome(0, "", "new", "overwrite")),
        (f"{tmp_path}/{FILE}~2", StoredOutcome(0, "", "new", "rename")),
        (f"{tmp_path}/x", StoredOutcome(0, "", "new", "retry")),
    ]


def test_coerced_and_warned(make: Make, listener: Listener) -> None:
    def change(instance: Instance) -> None:
        header = instance.copy_header()
        header.PatientName = "NOBODY"
        instance.replace_header(header)

    send(make(hooks(receive=change)), data_set())
    send(make(hooks(receive=change), hooks(receive=lambda: Warn(0xB007, "odd"))), data_set())
    outcomes = [outcome for _, outcome in listener.told]  # type: ignore[misc, attr-defined]
    assert [(outcome.status, outcome.comment) for outcome in outcomes] == [
        (0xB000, "Data elements were coerced"),
        (0xB007, "odd"),
    ]


def test_a_writer_elsewhere(make: Make, listener: Listener) -> None:
    send(make(hooks(write=lambda: "s3://bucket/x")), data_set())
    assert listener.told == [("s3://bucket/x", StoredOutcome(0, "", "new", None))]


def test_a_writer_that_saves_twice(make: Make, tmp_path: Path, listener: Listener) -> None:
    """The outcome is that of the location which it returns."""

    def write(instance: Instance, path: str) -> str:
        location = instance.save(path, "keep")
        instance.save("copy", "rename")
        return location

    send(make(hooks(write=write)), data_set())
    assert listener.told == [(f"{tmp_path}/{FILE}", StoredOutcome(0, "", "new", "keep"))]


@pytest.mark.parametrize("verdict", [None, Warn(0xB007, "odd")])
def test_another_content_that_is_not_kept(make: Make, listener: Listener, verdict: Warn | None) -> None:
    """The file that stays under this name is not what was sent."""
    place = make(hooks(receive=lambda: verdict), on_duplicate="keep")
    send(place, data_set())
    listener.told.clear()
    outcome = send(place, OTHER_DATA)
    assert outcome.dropped
    assert listener.told == [NotStoredOutcome(outcome.status, "Another content of this instance is kept", "dcmrecv")]


@pytest.mark.parametrize(
    ("plugin", "settings", "outcome"),
    [
        (hooks(receive=lambda: Refuse(0x0124, "not you")), {}, NotStoredOutcome(0x0124, "not you", "plugin1")),
        (hooks(receive=lambda: Discard("a copy")), {}, NotStoredOutcome(0, "a copy", "plugin1")),
        (hooks(), {"ignore": True}, NotStoredOutcome(0, "--ignore", "ignore")),
        (
            hooks(choose_filename=raising(KeyError("no"))),
            {},
            NotStoredOutcome(0x0110, "Plugin plugin1 failed in choose_filename", "plugin1"),
        ),
        (
            hooks(write=raising(StatusError(0xA700, "no bucket"))),
            {},
            NotStoredOutcome(0xA700, "no bucket", "plugin1"),
        ),
        (
            hooks(choose_subdir=lambda: "a", choose_filename=lambda: Name("..", "keep")),
            {},
            NotStoredOutcome(0x0110, "Plugin plugin1 failed in choose_filename", "plugin1"),
        ),
    ],
    ids=["refused", "discarded", "ignored", "failed", "status", "unfit name"],
)
def test_not_stored(
    make: Make, listener: Listener, plugin: object, settings: dict[str, Any], outcome: NotStoredOutcome
) -> None:
    plugins = [plugin] if vars(plugin) else []
    assert send(make(*plugins, **settings), data_set()).status == outcome.status
    assert listener.told == [outcome]


def test_who_has_refused_among_several(make: Make, listener: Listener) -> None:
    first, last = hooks(receive=lambda: Warn(0xB007, "odd")), hooks(receive=lambda: None)
    send(make(last, hooks(receive=lambda: Refuse(0x0124, "no")), first), data_set())
    assert listener.told == [NotStoredOutcome(0x0124, "no", "plugin2")]


def test_the_disk_is_full(make: Make, listener: Listener) -> None:
    place = make()
    send(place, data_set(), instance="old")
    listener.told.clear()
    with pytest.MonkeyPatch.context() as patch:
        Calls(patch).fail("link", errno.ENOSPC)
        outcome = send(place, data_set())
    assert listener.told == [NotStoredOutcome(0xA700, outcome.comment, "dcmrecv")]


def test_a_name_that_must_not_be_used_again(make: Make, listener: Listener) -> None:
    place = make(on_duplicate="refuse")
    send(place, data_set())
    listener.told.clear()
    outcome = send(place, OTHER_DATA)
    assert listener.told == [NotStoredOutcome(0x0111, outcome.comment, "dcmrecv")]


def test_the_instance_can_be_read_when_it_is_not_stored(tmp_path: Path) -> None:
    read: list[object] = []
    plugin = hooks(
        receive=raising(ValueError("no")),
        not_stored=lambda instance: read.append((instance.get("Modality"), instance.size)),
    )
    send(receiver(tmp_path, plugin, memory=100), data_set())
    assert read == [("CT", len(data_set()))]


def test_there_is_no_instance_without_data_that_can_be_understood(make: Make, listener: Listener) -> None:
    assert send(make(), data_set()[:-1]).status == 0xC000
    assert send(make(max_instance=100), data_set()).status == 0xA700
    assert send(make(strict=True), data_set(), sop_class=f"{CT}.1").status == 0xA900
    assert listener.told == []


def test_listeners_that_know_no_outcome(tmp_path: Path) -> None:
    """Plugins from before the outcome was told."""
    told: list[object] = []
    before = hooks(stored=lambda instance, location: told.append((instance.sop_instance_uid, location)))
    assert send(receiver(tmp_path, before), data_set()).status == 0
    assert told == [(INSTANCE, f"{tmp_path}/{FILE}")]


def test_a_listener_that_fails(make: Make, listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    wrong = hooks(receive=lambda: Refuse(0x0124, "no"), not_stored=raising(RuntimeError("out of order")))
    assert send(make(wrong), data_set()).status == 0x0124
    assert listener.told == [NotStoredOutcome(0x0124, "no", "plugin1")]
    assert "plugin1: not_stored: RuntimeError" in caplog.text
