"""`check_plugin`: it finds the mistake in each of these plugins, and names the line to change."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from dcmrecv_core import API_VERSION, PluginError
from dcmrecv_core.testing import PluginCheckError, check_plugin
from dcmrecv_core.testing.plugin_report import Finding
from support.plugins import hooks

pytest_plugins = ["dcmrecv_core.testing"]

WRONG: dict[str, tuple[str, str, str]] = {
    "a number from receive": (
        """
        @hookimpl
        def receive(instance):
            if instance.get("Modality") == "CT":
                return 0xC000  # here
        """,
        "type",
        "None, Refuse, Warn or Discard expected, not 49152; the sender gets 0110",
    ),
    "a name with a slash": (
        """
        @hookimpl
        def choose_filename(instance):
            kind = instance.modality_prefix
            return f"{kind}/{instance.sop_instance_uid}"  # here
        """,
        "value",
        "Chosen file name contains a separator",
    ),
    "no return in write": (
        """
        @hookimpl
        def write(instance, path):
            instance.save(path)  # here
        """,
        "no return",
        "write returns None: return what instance.save returns",
    ),
    "a header that is changed in place": (
        """
        @hookimpl
        def receive(instance):
            kinds = instance.header.get("ImageType")
            if kinds is not None:
                kinds.append("anonymous")  # here
            return None
        """,
        "header",
        "instance.header was changed in place",
    ),
    "a global that outlives the association": (
        """
        patient = "unknown"

        @hookimpl
        def receive(instance):
            global patient
            if instance.get("PatientID"):
                patient = escape(str(instance.get("PatientID")))  # here

        @hookimpl
        def choose_subdir(instance):
            return patient
        """,
        "state",
        "keep it in instance.state or association.state",
    ),
    "an empty Patient ID": (
        """
        @hookimpl
        def choose_subdir(instance):
            patient = instance.get("PatientID")
            return escape(patient.strip())  # here
        """,
        "raises",
        "AttributeError: 'NoneType' object has no attribute 'strip'; the sender gets 0110",
    ),
    "a hook that sleeps": (
        """
        import time

        @hookimpl
        def stored(instance, location):
            if instance.get("PatientID") == "P1":
                time.sleep(60)  # here
        """,
        "slow",
        "takes longer than 0.5 s, and the sender waits",
    ),
    "a thread in configure": (
        """
        import threading

        never = threading.Event()

        @hookimpl
        def configure(settings):
            threading.Thread(target=never.wait, daemon=True, name="pump").start()  # here
        """,
        "thread",
        "starts a thread (pump): workers are forked later",
    ),
    "a connection in configure": (
        """
        import sqlite3

        @hookimpl
        def configure(settings):
            global database
            database = sqlite3.connect(settings.output_directory + "/db")  # here
        """,
        "connection",
        "opens what stays open (sqlite3.connect)",
    ),
    "a file that is not closed": (
        """
        from pydicom import dcmread

        @hookimpl
        def stored(instance, location):
            dataset = dcmread(instance.open(), force=True)  # here
            del dataset
        """,
        "not closed",
        "use `with instance.open() as file:`",
    ),
    "a notification that raises": (
        """
        @hookimpl
        def stored(instance, location):
            family = instance.get("PatientName").family_name  # here
            print("stored", family.upper())
        """,
        "raises",
        "AttributeError: 'NoneType' object has no attribute 'family_name'; the receiver logs it and goes on",
    ),
    "the same name at each attempt": (
        """
        from dcmrecv_core import Name

        @hookimpl
        def choose_filename(instance):
            name = instance.modality_prefix
            return Name(name, "retry")  # here
        """,
        "attempts",
        "attempt 1 gets the same name as attempt 0",
    ),
    "another directory": (
        """
        import os

        @hookimpl
        def worker_started(settings):
            os.chdir(settings.output_directory)  # here
        """,
        "directory",
        "changes the directory of the whole process",
    ),
    "an error of save that is swallowed": (
        """
        from dcmrecv_core import StatusError

        @hookimpl
        def write(instance, path):
            try:
                return instance.save(path)  # here
            except StatusError:
                return path
        """,
        "swallowed",
        "instance.save raised StorageError (A700), and write returned",
    ),
}


def checked(
    directory: Path, source: str, *, seconds: float = 30.0, receiver: bool = False
) -> tuple[list[Finding], int]:
    """The findings in a plugin whose hooks may take so many seconds, and the number of its line that is marked."""
    file = directory / "site_plugin.py"
    file.write_text("from dcmrecv_core import escape, hookimpl\n\n" + textwrap.dedent(source).lstrip())
    marked = [number for number, line in enumerate(file.read_text().splitlines(), 1) if line.endswith("# here")]
    with pytest.raises(PluginCheckError) as failure:
        check_plugin(str(file), seconds=seconds, receiver=receiver)
    assert str(failure.value) == str(failure.value.report)
    return failure.value.report.findings, marked[0]


@pytest.mark.parametrize(("source", "kind", "text"), WRONG.values(), ids=WRONG)
def test_a_wrong_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, kind: str, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    findings, line = checked(tmp_path, source, seconds=0.5 if kind == "slow" else 30.0)
    [finding] = [finding for finding in findings if finding.kind == kind]
    assert finding.where == f"site_plugin.py:{line}"
    assert text in str(finding)
    assert findings[0] is finding, "what it is comes first"


def test_an_assignment_to_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = """
    @hookimpl
    def receive(instance):
        header = instance.header
        header.PatientName = "anonymous"  # here
    """
    [finding, *_], line = checked(tmp_path, source)
    assert finding.where == f"site_plugin.py:{line}"
    assert finding.kind in ("header", "raises")


GOOD = """
from dcmrecv_core import Discard, Refuse, escape, hookimpl


@hookimpl
def receive(instance):
    if instance.get("Modality") == "..":
        return Refuse(0xA900, "no modality")
    if instance.get("Modality") == ".":
        return Discard("a test")


@hookimpl
def choose_subdir(instance):
    return escape(str(instance.get("PatientID", "none")))


@hookimpl
def write(instance, path):
    return instance.save(path)


@hookimpl
def stored(instance, location):
    with instance.open() as file:
        file.read(132)
"""


def test_one_without_mistakes_in_a_receiver(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "good_plugin.py"
    file.write_text(GOOD + '\ndcmrecv_api = ">=0.9,<9"\n')
    report = check_plugin(str(file))
    assert not report.findings
    assert str(report) == capsys.readouterr().out.removesuffix("\n")
    assert report.checks == {
        "interface": f"{'.'.join(map(str, API_VERSION))}, it needs >=0.9,<9",
        "options": "ok, 0 declared",
        "configure": "ok",
        "hooks, in process": "ok",
        "names": "ok",
        "two workers": "ok",
        "reload": "ok",
        "killed worker": "ok",
        "--explain": "ok",
        "end": "ok",
    }


def test_what_only_a_receiver_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook that works in the first process only: the author's own test never meets a second worker."""
    monkeypatch.chdir(tmp_path)
    source = f"""
    import os

    first = {os.getpid()}

    @hookimpl
    def choose_subdir(instance):
        if os.getpid() != first:
            raise RuntimeError("another process")  # here
    """
    [finding], line = checked(tmp_path, source, receiver=True)
    assert (finding.where, finding.hook) == (f"site_plugin.py:{line}", "choose_subdir")
    assert finding.text.startswith("in a receiver (two workers): RuntimeError('another process')")
    assert len(finding.cases) > 40


def test_a_notification_that_fails_in_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = f"""
    import os

    first = {os.getpid()}

    @hookimpl
    def stored(instance, location):
        if os.getpid() != first:
            raise RuntimeError("another process")  # here
    """
    [finding], line = checked(tmp_path, source, receiver=True)
    assert (finding.where, finding.hook) == (f"site_plugin.py:{line}", "stored")


def test_a_delivery_that_makes_a_path_of_a_uid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that is put aside on purpose, which is no mistake."""
    monkeypatch.chdir(tmp_path)
    source = f"""
    from pathlib import Path
    from dcmrecv_core import Undeliverable

    @hookimpl
    def deliver(event):
        Path({str(tmp_path)!r}, event.sop_instance_uid).touch()  # here

    @hookimpl
    def series_completed(series):
        raise Undeliverable("CT: not wanted")
    """
    [finding], line = checked(tmp_path, source, receiver=True)
    assert (finding.where, finding.hook, finding.cases) == (
        f"site_plugin.py:{line}",
        "deliver",
        ["UIDs that are paths"],
    )
    assert "FileNotFoundError(2, " in finding.text


def test_a_receiver_that_a_worker_cannot_start_in(tmp_path: Path) -> None:
    source = """
    @hookimpl
    def configure(settings):
        settings.options["no_such_option"]  # here
    """
    [finding], line = checked(tmp_path, source)
    assert finding.where.endswith(f"site_plugin.py:{line}")
    assert finding.text == "raises KeyError: 'no_such_option'; the receiver does not start"


def test_objects_options_and_what_cannot_be_loaded() -> None:
    seen = []
    plugin = hooks(
        add_options=lambda options: options.add("--root", value="directory", default="here"),
        configure=lambda settings: seen.append(settings.options["root"]),
    )
    report = check_plugin(plugin, options={"root": "there"})
    assert seen == ["there"]
    assert report.checks["in a receiver"] == "left out: no module has this object as `plugin`"
    with pytest.raises(PluginError, match="declares no option rot"):
        check_plugin(plugin, options={"rot": "there"})
