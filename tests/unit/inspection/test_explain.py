"""What `--explain` says about a file is what the receiver does with it, and nothing is written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dcmrecv_core import (
    Accept,
    Also,
    Discard,
    Name,
    Refuse,
    Reject,
    RejectReason,
    SupportedContext,
    Warn,
    escape,
    escape_directory,
)
from dcmrecv_core.api.errors import HookFailure
from dcmrecv_core.api.model import Instance
from dcmrecv_core.hooks.tracing import Call
from dcmrecv_core.inspection.explain import explain
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.file_meta import file_prefix
from support.data.datasets import Node
from support.plugins import hooks, load, raising
from support.receiving import INSTANCE, UNKNOWN, dicom_file
from support.uids import BIG_ENDIAN, CT, DEFLATED, EXPLICIT_LE, IMPLICIT_LE

Explain = Callable[..., dict[str, Any]]
NAMED = f"CT.{INSTANCE}"


def explained(
    output: Path,
    files: list[Path],
    *plugins: object,
    as_json: bool = True,
    sender: tuple[str, str, str] = ("", "", ""),
    **settings: Any,
) -> list[tuple[str, bool]]:
    chosen = replace(Settings(output_directory=str(output), promiscuous=True), **settings)
    loaded = load(*plugins)
    calls: list[Call] = []
    loaded.add_builtins(chosen, calls.append)
    loaded.configure(chosen)
    return list(explain(chosen, loaded, calls, map(str, files), sender=sender, as_json=as_json))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def one(tmp_path: Path, output: Path) -> Explain:
    """Explains one file, `path` or the one that the rest says, with these plugins and settings."""

    def explain_one(
        *plugins: object, path: Path | None = None, syntax: str = EXPLICIT_LE, sop_class: str = CT, **settings: Any
    ) -> dict[str, Any]:
        file = path or dicom_file(tmp_path / "a.dcm", syntax=syntax, sop_class=sop_class)
        [(text, _)] = explained(output, [file], *plugins, **settings)
        found: dict[str, Any] = json.loads(text)
        return found

    return explain_one


def said(found: dict[str, Any], hook: str) -> list[tuple[str, str]]:
    return [(step["plugin"], step["result"]) for step in found["steps"] if step["hook"] == hook]


def test_a_warning_before_other_verdicts(one: Explain) -> None:
    found = one(hooks(receive=lambda: Refuse(0x0124, "no")), hooks(receive=lambda: Warn(0xB007, "odd")))
    assert said(found, "receive") == [("plugin1", "Warn B007 odd"), ("plugin0", "Refuse 0124 no")]
    assert (found["outcome"], found["status"], found["comment"]) == ("refused", "0124", "no")


@pytest.mark.parametrize("character_set", [b"hex ", b"UNDEFINED ", b"idna", b"I\0O_IR 100"])
def test_a_character_set_that_is_none(one: Explain, output: Path, tmp_path: Path, character_set: bytes) -> None:
    path = dicom_file(tmp_path / "b.dcm")
    path.write_bytes(
        path.read_bytes().replace(b"CS\x0a\0ISO_IR 192", b"CS%c\0%b" % (len(character_set), character_set))
    )
    found = one(path=path, layout="{PatientName}/{SOPInstanceUID}")
    assert found["path"] == f"{output}/{'Müller^Jörg'.encode().decode('latin-1')}/{INSTANCE}".replace("\x83", "_")
    assert found["outcome"] == "stored"


def test_fault_11_a_directory_is_shown_as_it_becomes(one: Explain, output: Path) -> None:
    """Joined with `/`, escaped texts are a plain one, which the receiver escapes again."""
    found = one(hooks(choose_subdir=lambda: f"{escape('P/1')}/x"))
    assert found["path"].startswith(f"{output}/P_1~3fe61286~fd19e913/x/")
    assert said(found, "choose_subdir") == [("plugin0", "P_1~3fe61286/x, which becomes P_1~3fe61286~fd19e913/x")]
    found = one(hooks(choose_subdir=lambda: escape_directory(["P/1", "x"])))
    assert found["path"].startswith(f"{output}/P_1~3fe61286/x/")
    assert said(found, "choose_subdir") == [("plugin0", "P_1~3fe61286/x")]


def test_the_whole_way(one: Explain, output: Path) -> None:
    found = one(hooks(choose_subdir=lambda: None), subdirs="series-date")
    assert found["context"] == {
        "accepted": True,
        "rejected": False,
        "reason": "",
        "by": ["promiscuous"],
        "asconfig": [],
        "toml": [],
    }
    assert [(step["hook"], step["plugin"], step["result"]) for step in found["steps"]] == [
        ("negotiate", "promiscuous", "contexts: 1, of this class: 1"),
        ("choose_subdir", "plugin0", "no opinion"),
        ("choose_subdir", "series-date", "data/2020/01/02"),
        ("choose_filename", "instance-uid", NAMED),
        ("write", "file-writer", f"{output}/data/2020/01/02/{NAMED}"),
    ]
    assert all(step["microseconds"] >= 0 for step in found["steps"])
    assert (found["outcome"], found["status"]) == ("stored", "0000")
    assert found["path"] == f"{output}/data/2020/01/02/{NAMED}"
    assert not found["exists"]
    assert (found["sop_class_name"], found["transfer_syntax_name"]) == ("CTImageStorage", "LittleEndianExplicit")


def test_nothing_is_written(tmp_path: Path, output: Path) -> None:
    """Not even what a plugin stores itself, or what is too large for memory."""
    called: list[str] = []

    def receive(instance: Instance) -> None:
        instance.save("straight")
        called.append("receive")

    plugin = hooks(receive=receive, stored=lambda: called.append("stored"))
    large = dicom_file(tmp_path / "large.dcm", Node(0x00420011, "OB", bytes(1 << 21)))
    before = os.stat(output)
    [(text, _)] = explained(output, [large], plugin, subdirs="series-date")
    assert json.loads(text)["outcome"] == "stored"
    assert called == ["receive"]
    assert list(output.iterdir()) == []
    assert os.stat(output).st_mtime_ns == before.st_mtime_ns


def test_a_plugins_write_is_not_called(one: Explain, output: Path) -> None:
    (output / NAMED).touch()
    found = one(hooks(write=raising(AssertionError("called"))))
    assert said(found, "write") == [("plugin0", "not called")]
    assert (found["outcome"], found["path"], found["exists"]) == ("stored", f"{output}/{NAMED}", True)
    assert found["on_exists"] is None, "what it does then is its own affair"


def test_workers_hooks_are_called(one: Explain, output: Path) -> None:
    """With a state directory that is not that of a receiver."""
    called: list[str] = []
    states: list[Path] = []
    plugin = hooks(
        worker_started=lambda settings: called.append("started") or states.append(settings.state_directory),
        worker_stopping=lambda: called.append("stopping"),
        choose_subdir=lambda: "/".join(called),
    )
    assert said(one(plugin), "choose_subdir") == [("plugin0", "started")]
    assert called == ["started", "stopping"]
    assert output not in states[0].parents and not states[0].exists()
    with pytest.raises(HookFailure):
        one(hooks(worker_started=raising(OSError("no database"))))


CONTEXTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no opinion": (
        {"settings": {"promiscuous": False}},
        {"accepted": False, "reason": "abstract syntax not supported", "by": []},
    ),
    "a plugin that stores": (
        {"plugin": hooks(stored=lambda: None), "settings": {"promiscuous": False}},
        {"accepted": True, "by": ["a plugin that stores is named"]},
    ),
    "other transfer syntaxes": (
        {
            "plugin": hooks(negotiate=lambda: [SupportedContext(CT, (IMPLICIT_LE,))]),
            "settings": {"promiscuous": False},
        },
        {"accepted": False, "reason": "transfer syntaxes not supported", "by": []},
    ),
    "two sources, one of them in another syntax": (
        {"plugin": hooks(negotiate=lambda: [SupportedContext(CT, (IMPLICIT_LE,))])},
        {"accepted": True, "by": ["promiscuous"]},
    ),
}


@pytest.mark.parametrize(("given", "expected"), CONTEXTS.values(), ids=CONTEXTS)
def test_contexts(one: Explain, given: dict[str, Any], expected: dict[str, Any], output: Path) -> None:
    plugins = [given["plugin"]] if "plugin" in given else []
    found = one(*plugins, **given.get("settings", {}))
    assert expected.items() <= found["context"].items()
    assert bool(found["context"]["toml"]) == ("not supported" in found["context"]["reason"])
    assert found["path"] == f"{output}/{NAMED}", "what would be, if it were accepted"


VERDICTS = {
    "refused": (Refuse(0xA700, "full"), "refused", "A700", "full", False),
    "warned": (Warn(0xB007, "odd"), "stored", "B007", "odd", True),
    "discarded": (Discard("not mine"), "discarded", "0000", "", False),
    "nonsense": ("yes", "refused", "0110", "Plugin plugin0 failed in receive", False),
}


@pytest.mark.parametrize(("verdict", "outcome", "status", "comment", "named"), VERDICTS.values(), ids=VERDICTS)
def test_verdicts(one: Explain, verdict: object, outcome: str, status: str, comment: str, named: bool) -> None:
    found = one(hooks(receive=lambda: verdict))
    assert (found["outcome"], found["status"], found["comment"]) == (outcome, status, comment)
    assert (found["path"] is not None) == named
    [(plugin, _)] = said(found, "receive")
    assert plugin == "plugin0"


def test_fault_24_a_rejection_is_the_end(tmp_path: Path, output: Path) -> None:
    plugin = hooks(
        negotiate=lambda: Reject(RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED),
        receive=raising(AssertionError("called")),
    )
    file = dicom_file(tmp_path / "a.dcm")
    [(text, fine)] = explained(output, [file], plugin)
    found = json.loads(text)
    assert found["context"]["rejected"]
    assert (found["outcome"], found["status"], found["path"]) == ("rejected", "", None)
    assert [step["hook"] for step in found["steps"]] == ["negotiate", "negotiate"]
    assert fine
    [(text, _)] = explained(output, [file], plugin, as_json=False)
    assert text.splitlines()[-1] == "  outcome          the association is rejected, nothing is received"


def test_fault_24_what_plugins_replace(tmp_path: Path, output: Path) -> None:
    """Which elements, but not their values."""

    def first(instance: Instance) -> None:
        header = instance.copy_header()
        header.SeriesDate = "19991231"
        header.PatientSex = "O"
        del header.PatientName
        instance.replace_header(header)

    def second(instance: Instance) -> Warn:
        header = instance.copy_header()
        header.SeriesDate = "20000101"
        instance.replace_header(header)
        return Warn(0xB007, "odd")

    plugins = [hooks(receive=second), hooks(receive=first)]
    file = dicom_file(tmp_path / "a.dcm")
    [(text, _)] = explained(output, [file], *plugins)
    steps = [step for step in json.loads(text)["steps"] if step["hook"] == "receive"]
    assert [(step["plugin"], step["replaced"]) for step in steps] == [
        ("plugin1", ["SeriesDate changed", "PatientName removed", "PatientSex added"]),
        ("plugin0", ["SeriesDate changed"]),
    ]
    [(text, _)] = explained(output, [file], *plugins, as_json=False)
    assert "plugin1: replaced: SeriesDate changed, PatientName removed, PatientSex added (" in text
    assert "plugin0: Warn B007 odd, replaced: SeriesDate changed (" in text
    assert "19991231" not in text


def test_fault_24_a_plugin_that_replaces_data_has_an_opinion(one: Explain, tmp_path: Path, output: Path) -> None:
    def receive(instance: Instance) -> None:
        header = instance.copy_header()
        header.PatientSex = "O"
        instance.replace_header(header)

    def replace_by_the_same(instance: Instance) -> None:
        instance.replace_header(instance.copy_header())

    assert said(one(hooks(receive=receive)), "receive") == [("plugin0", "replaced")]
    found = one(hooks(receive=replace_by_the_same))
    assert said(found, "receive") == [("plugin0", "replaced")]
    assert [step["replaced"] for step in found["steps"] if step["hook"] == "receive"] == [["no element differs"]]
    assert said(one(hooks(receive=lambda: None)), "receive") == [("plugin0", "no opinion")]


@pytest.mark.parametrize(
    ("answer", "said_of_it"),
    [
        (Accept([SupportedContext(CT, None), SupportedContext(UNKNOWN, None)]), "contexts: 2, of this class: 1"),
        (Also([SupportedContext(UNKNOWN, None)]), "also contexts: 1, of this class: 0"),
    ],
)
def test_answers_to_negotiate_are_counted(one: Explain, answer: object, said_of_it: str) -> None:
    assert said(one(hooks(negotiate=lambda: answer)), "negotiate")[0] == ("plugin0", said_of_it)


def test_services_are_named(one: Explain) -> None:
    found = one(hooks(serve=raising(AssertionError("called"))))
    assert said(found, "serve") == [("plugin0", "not called, it is for DIMSE-N requests")]


def test_replaced_data_are_named_by(one: Explain, output: Path) -> None:
    def receive(instance: Instance) -> None:
        header = instance.copy_header()
        header.SeriesDate = "19991231"
        instance.replace_header(header)

    found = one(hooks(receive=receive), subdirs="series-date")
    assert (found["status"], found["path"]) == ("B000", f"{output}/data/1999/12/31/{NAMED}")


MARK = f"~{hashlib.sha256(INSTANCE.encode()).hexdigest()[:8]}"
EXISTING: dict[tuple[str, str], tuple[str, str, str | None, str]] = {
    ("overwrite", "no DICOM file"): ("stored", "0000", "replaced", ""),
    ("keep", "no DICOM file"): ("refused", "A700", None, ""),
    ("refuse", "no DICOM file"): ("refused", "0111", None, ""),
    ("rename", "no DICOM file"): ("stored", "0000", "new", "~2"),
    ("replace-same", "no DICOM file"): ("stored", "0000", "new", MARK),
    ("replace-same", "another instance"): ("stored", "0000", "new", MARK),
    ("keep", "another instance"): ("stored", "0000", "new", MARK),
    ("replace-same", "another content"): ("stored", "0000", "replaced", ""),
    ("keep", "another content"): ("kept", "0000", "dropped", ""),
    ("refuse", "another content"): ("refused", "0111", None, ""),
    ("replace-same", "the same"): ("kept", "0000", "kept", ""),
    ("overwrite", "the same"): ("kept", "0000", "kept", ""),
    ("refuse", "the same"): ("kept", "0000", "kept", ""),
}


@pytest.mark.parametrize(("on_exists", "what"), EXISTING)
@pytest.mark.parametrize("by", ["name", "option"])
def test_something_is_there(one: Explain, output: Path, by: str, on_exists: Any, what: str) -> None:
    taken = output / "taken"
    if what == "no DICOM file":
        taken.write_text("old")
    else:
        more = [Node(0x0008103E, "LO", b"other ")] if what == "another content" else []
        dicom_file(taken, *more, instance="1.2.9" if what == "another instance" else INSTANCE)
    before = taken.read_bytes()
    name = Name("taken", on_exists if by == "name" else None)
    found = one(hooks(choose_filename=lambda: name), on_duplicate=None if by == "name" else on_exists)
    outcome, status, how, ending = EXISTING[on_exists, what]
    assert (found["outcome"], found["status"], found["how"]) == (outcome, status, how)
    assert (found["exists"], found["on_exists"], found["path"]) == (True, on_exists, f"{output}/taken{ending}")
    assert taken.read_bytes() == before
    assert os.listdir(output) == ["taken"]


def test_names_are_asked_for_until_one_is_free(one: Explain, output: Path) -> None:
    (output / "0").touch()
    (output / "1").mkdir()

    def choose_filename(instance: Instance) -> Name:
        instance.explained.append(f"attempt {instance.attempt}")  # type: ignore[union-attr]
        return Name(str(instance.attempt), "retry")

    found = one(hooks(choose_filename=choose_filename, choose_subdir=lambda: ""))
    assert (found["path"], found["attempts"], found["exists"]) == (f"{output}/2", 3, False)
    assert said(found, "choose_subdir") == [("plugin0", '""')]
    assert said(found, "choose_filename") == [("plugin0", "2, on_exists=retry")], "what was said last"
    assert [step["said"] for step in found["steps"]][-2:] == [["attempt 2"], []]
    found = one(hooks(choose_filename=lambda: Name("0", "retry")))
    assert (found["outcome"], found["status"], found["attempts"]) == ("refused", "A700", 1024)
    assert len(found["steps"]) < 10


def test_no_place_for_a_file(one: Explain, output: Path) -> None:
    (output / "file").touch()
    found = one(hooks(choose_subdir=lambda: "file"))
    assert (found["status"], found["comment"]) == ("A700", "Cannot open directory: Not a directory")
    (output / NAMED).mkdir()
    found = one()
    assert (found["status"], found["comment"]) == ("A700", "Cannot store file: Is a directory")


def test_paths_that_leave(one: Explain) -> None:
    found = one(hooks(choose_subdir=lambda: "../etc"))
    assert (found["outcome"], found["status"], found["path"]) == ("refused", "0110", None)
    assert said(found, "choose_subdir") == [("plugin0", "ValueError: Chosen directory leaves the output directory")]


def test_unfit_names_are_shown_as_stored(one: Explain, output: Path) -> None:
    found = one(hooks(choose_filename=lambda: "a?b"), filename_extension=".dcm")
    assert found["path"].startswith(f"{output}/a_b~")
    assert found["remarks"] == [f"unfit file name, stored as {Path(found['path']).name}"]


@pytest.mark.parametrize("syntax", [EXPLICIT_LE, IMPLICIT_LE, BIG_ENDIAN, DEFLATED])
def test_transfer_syntaxes(one: Explain, output: Path, syntax: str) -> None:
    found = one(syntax=syntax, subdirs="series-date")
    assert (found["outcome"], found["remarks"]) == ("stored", [])
    assert found["path"] == f"{output}/data/2020/01/02/{NAMED}"


def test_an_unknown_transfer_syntax_is_not_checked(one: Explain) -> None:
    found = one(syntax=UNKNOWN)
    assert found["remarks"] == [f"encoding of transfer syntax {UNKNOWN} is not known, stored unchecked"]
    assert (found["outcome"], found["transfer_syntax_name"]) == ("stored", None)


MODES: dict[str, tuple[dict[str, Any], str, str]] = {
    "normal": ({}, "refused", "C000"),
    "bit-preserving": ({"storage_mode": "bit-preserving"}, "stored", "0000"),
    "ignore": ({"ignore": True}, "refused", "C000"),
}


@pytest.mark.parametrize(("settings", "outcome", "status"), MODES.values(), ids=MODES)
def test_the_storage_mode_checks(
    tmp_path: Path, one: Explain, settings: dict[str, Any], outcome: str, status: str
) -> None:
    file = dicom_file(tmp_path / "short.dcm")
    file.write_bytes(file.read_bytes()[:-7])
    found = one(path=file, **settings)
    assert (found["outcome"], found["status"]) == (outcome, status)


def test_what_is_odd(tmp_path: Path, one: Explain) -> None:
    file = tmp_path / "other.dcm"
    dicom_file(file, instance="1.2.3.9")
    found = one(path=file)
    assert found["remarks"] == [f"SOP Instance UID in data set differs from command: {INSTANCE}"]
    assert (found["outcome"], found["sop_instance_uid"]) == ("stored", "1.2.3.9")
    assert one(path=file, strict=True)["status"] == "A900"


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


META, NO_CLASS = file_prefix(CT, INSTANCE, EXPLICIT_LE), file_prefix("", INSTANCE, EXPLICIT_LE)
NONE: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda path: None, "No such file or directory"),
    "empty": (_bytes(b""), "not a DICOM file: no DICM at byte 128"),
    "text": (_bytes(b"text" * 100), "not a DICOM file: no DICM at byte 128"),
    "pipe": (os.mkfifo, "not a DICOM file: not a regular file"),
    "ends in a value": (_bytes(META[:170]), "not a DICOM file: File Meta Information ends too early"),
    "ends in a length": (_bytes(META[:154]), "not a DICOM file: File Meta Information ends too early"),
    "a length beyond the end": (
        _bytes(META[:144] + b"\2\0\1\0OB\0\0\xff\xff\xff\xff"),
        "not a DICOM file: File Meta Information ends too early",
    ),
    "without class": (_bytes(NO_CLASS), "not a DICOM file: no Media Storage SOP Class UID"),
    "without syntax": (_bytes(file_prefix(CT, INSTANCE, "")), "not a DICOM file: no Transfer Syntax UID"),
}


@pytest.mark.parametrize(("make", "error"), NONE.values(), ids=NONE)
def test_what_is_no_dicom_file(tmp_path: Path, output: Path, make: Callable[[Path], object], error: str) -> None:
    path = tmp_path / "none"
    make(path)
    [(text, fine)] = explained(output, [path], as_json=False)
    assert text.startswith(f"{path}: {error}")
    assert text.count("\n") == 1
    assert not fine
    [(text, _)] = explained(output, [path])
    assert json.loads(text)["error"].startswith(error)


def test_file_meta_information_alone_is_no_data_set(tmp_path: Path, one: Explain) -> None:
    (tmp_path / "meta").write_bytes(META)
    assert one(path=tmp_path / "meta")["status"] == "C000"


def test_file_names_that_are_no_text(tmp_path: Path, output: Path) -> None:
    path = dicom_file(tmp_path / os.fsdecode(b"\xff.dcm"))
    [(text, _)] = explained(output, [path], as_json=False)
    assert text.startswith(f"{tmp_path}/\\udcff.dcm\n")
    text.encode()


def test_directories_are_walked_in_order(tmp_path: Path, output: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "b").mkdir(parents=True)
    (tree / "a").mkdir()
    for name in ("z", "b/2", "b/1", "a/0"):
        dicom_file(tree / name)
    (tree / "b/notes").touch()
    found = [json.loads(text)["file"] for text, _ in explained(output, [tree / "b" / "2", tree])]
    assert [os.path.relpath(file, tree) for file in found] == ["b/2", "z", "a/0", "b/1", "b/2", "b/notes"]


def test_each_file_is_on_its_own(tmp_path: Path, output: Path) -> None:
    def receive(instance: Instance) -> None:
        if instance.sop_instance_uid == "1.1":
            instance.association.state["seen"] = True
            raise ValueError("only this one")
        assert not instance.association.state

    first = dicom_file(tmp_path / "1", instance="1.1")
    second = dicom_file(tmp_path / "2")
    found = [json.loads(text) for text, fine in explained(output, [first, second], hooks(receive=receive)) if fine]
    assert [one["outcome"] for one in found] == ["refused", "stored"]
    assert said(found[0], "receive") == [("plugin0", "ValueError: only this one")]
    assert said(found[1], "receive") == [("plugin0", "no opinion")]


def test_fault_24_the_association_that_plugins_see(one: Explain) -> None:
    def choose_subdir(instance: Instance) -> str:
        peer = instance.association
        return f"{peer.calling_ae_title}-{peer.called_ae_title}-{peer.peer_address}"

    assert said(one(hooks(choose_subdir=choose_subdir)), "choose_subdir") == [("plugin0", "EXPLAIN-DCMRECV-127.0.0.1")]
    found = one(hooks(choose_subdir=choose_subdir), ae_title="ARCHIVE")
    assert said(found, "choose_subdir") == [("plugin0", "EXPLAIN-ARCHIVE-127.0.0.1")]
    found = one(hooks(choose_subdir=choose_subdir), ae_title="ARCHIVE", sender=("CT1", "192.0.2.7", "TEACHING"))
    assert said(found, "choose_subdir") == [("plugin0", "CT1-TEACHING-192.0.2.7")]
    fields = ("calling_ae_title", "peer_address", "called_ae_title")
    assert [found[name] for name in fields] == ["CT1", "192.0.2.7", "TEACHING"]


def test_the_association_is_shown_if_it_was_given(tmp_path: Path, output: Path) -> None:
    file = dicom_file(tmp_path / "a.dcm")
    [(text, _)] = explained(output, [file], as_json=False, sender=("CT1", "2001:db8::7", ""))
    assert "  association      CT1@2001:db8::7 -> DCMRECV\n" in text
    [(text, _)] = explained(output, [file], as_json=False)
    assert "  association  " not in text


TEXTS: dict[str, tuple[tuple[object, ...], dict[str, Any], str, str]] = {
    "stored": ((), {}, "accepted", "yes, by promiscuous"),
    "not accepted": ((), {"promiscuous": False}, "outcome", "if it were accepted: stored, status 0000"),
    "refused": ((hooks(receive=lambda: Refuse(0xC001, "no")),), {}, "outcome", "refused, status C001 no"),
    "overwritten": (
        (hooks(choose_filename=lambda: "taken"),),
        {"on_duplicate": "overwrite"},
        "existing file",
        "yes, will be overwritten",
    ),
    "beside it": (
        (hooks(choose_filename=lambda: "taken"),),
        {},
        "existing file",
        "yes, of another instance or content, will stay",
    ),
    "kept": (
        (hooks(choose_filename=lambda: Name("taken", "keep")),),
        {},
        "existing file",
        "yes, will stay, the instance is refused",
    ),
    "again": (
        (hooks(choose_filename=lambda instance: Name("free" * instance.attempt or "taken", "retry")),),
        {},
        "existing file",
        "no (after 1 names that are taken)",
    ),
    "unchecked": ((), {"storage_mode": "bit-preserving"}, "check", "bit-preserving: nothing is checked"),
    "terminal": (
        (hooks(receive=lambda: Refuse(0xC001, "a\x1b[2Jb")),),
        {},
        "outcome",
        r"refused, status C001 a\x1b[2Jb",
    ),
}


@pytest.mark.parametrize(("plugins", "settings", "label", "expected"), TEXTS.values(), ids=TEXTS)
def test_text(
    tmp_path: Path, output: Path, plugins: tuple[object, ...], settings: dict[str, Any], label: str, expected: str
) -> None:
    (output / "taken").touch()
    [(text, _)] = explained(output, [dicom_file(tmp_path / "a.dcm")], *plugins, as_json=False, **settings)
    rows = {line[2:19].strip(): line[19:] for line in text.splitlines()[1:] if line[2:19].strip()}
    assert rows[label] == expected


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    """As `| head -1`: no traceback, and the exit code of success."""
    for number in range(40):
        dicom_file(tmp_path / f"{number}.dcm")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        command = [sys.executable, "-m", "dcmrecv_core", "-pm", "-od", tmp_path, "--explain", tmp_path]
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_comes_after_storing(one: Explain) -> None:
    plugin = hooks(deliver=lambda: None, delivery_targets=lambda: ["pacs1", "pacs2"], study_completed=lambda: None)
    deliver, study = one(plugin)["steps"][-2:]
    assert (deliver["hook"], deliver["result"]) == ("deliver", "after storing, to pacs1, pacs2")
    assert (study["hook"], study["result"]) == ("study_completed", "when no more instances come")
    named = hooks(study_completed=lambda: None, completion_targets=lambda: ["report", "url"])
    assert one(named)["steps"][-1]["result"] == "when no more instances come, to report, url"
    relocate = one(hooks(relocate_from=lambda: "spool", relocate=lambda: None))["steps"][-1]
    assert (relocate["hook"], relocate["result"]) == ("relocate", "after storing, before the hooks below")
    refusing = hooks(receive=lambda: Refuse(0xA900), deliver=lambda: None)
    assert "deliver" not in {step["hook"] for step in one(refusing)["steps"]}
