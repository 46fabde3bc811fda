"""The program from argv to the supervisor: the order of its checks, its messages, its exit codes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcmrecv_core import cli
from dcmrecv_core.net.supervisor import supervisor
from dcmrecv_core.net.supervisor.listener import Listeners
from dcmrecv_core.settings import contexts
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.settings.syntax_order import rank
from dcmrecv_core.storage import temporary
from dcmrecv_core.storage.temporary import Capabilities
from support.programs.receivers import reserved_port
from support.uids import CT, EXPLICIT_LE, FIND, IMPLICIT_LE, VERIFICATION

Run = Callable[..., int]
IMPORT = "from dcmrecv_core import hookimpl\n"


pytestmark = pytest.mark.usefixtures("logging_as_before")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What would have been served with."""
    found: list[Settings] = []

    class Supervisor:
        def __init__(self, settings: Settings, plugins: object, listeners: Listeners, *_: object) -> None:
            found.append(settings)
            listeners.close()

        def run(self) -> int:
            return 0

    monkeypatch.setattr(supervisor, "Supervisor", Supervisor)
    return found


@pytest.fixture
def run(tmp_path: Path, served: list[Settings], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs it in a fresh directory on a port that is for this test, or on `port`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def start(*arguments: str, port: int | None = None) -> int:
        on = reserved.getsockname()[1] if port is None else port
        return cli.main(["--bind", "127.0.0.1", *arguments, str(on)])

    with reserved_port() as reserved:
        yield start


def test_serves(run: Run, served: list[Settings], capfd: pytest.CaptureFixture[str]) -> None:
    assert run("-v", "-aet", "SCP") == 0
    assert [settings.ae_title for settings in served] == ["SCP"]
    assert capfd.readouterr().err.splitlines() == [
        "I: configuring service class provider ...",
        "W: no configuration file specified, SCP will only support the Verification SOP Class",
        "I: starting service class provider and listening ...",
    ]


def test_an_odd_maximum_length_is_not_changed_without_a_word(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("-pm", "-pdu", "4097") == 0
    assert capfd.readouterr().err == "W: ASSOC: PDV receive length 4097 is odd (using 4096)\n"


@pytest.mark.parametrize("option", ["--help", "--version", "--list-plugins"])
def test_prints_and_ends(capfd: pytest.CaptureFixture[str], served: list[Settings], option: str) -> None:
    assert cli.main([option]) == 0
    out, err = capfd.readouterr()
    assert out.endswith("\n")
    assert err == ""
    assert served == []


PRINTING = {
    "--help": 0,
    "--version": 0,
    "--list-ciphers": 0,
    "--dump-settings": 0,
    "--list-plugins": 0,
    "--list-plugins --json": 0,
    "--new-plugin seen": 0,
    "--explain absent": 1,
    "--foo": 1,
}


@pytest.mark.parametrize(("stderr_too", "unbuffered"), [(False, ""), (False, "1"), (True, "")])
@pytest.mark.parametrize("options", PRINTING)
def test_fault_23_a_reader_that_has_seen_enough(
    tmp_path: Path, options: str, stderr_too: bool, unbuffered: str
) -> None:
    """As `| head -1` or `2>&1 | head -1`: no traceback, and the exit code that it has otherwise."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "dcmrecv_core", *options.split()],
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=closed,
            stderr=closed if stderr_too else subprocess.PIPE,
            timeout=30,
            check=False,
        )
    assert b"Traceback" not in (done.stderr or b"")
    assert b"BrokenPipe" not in (done.stderr or b"")
    assert done.returncode == PRINTING[options]


def test_standard_output_that_is_full() -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "dcmrecv_core", "--version"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("\nerror: cannot write to standard output: No space left on device\n")


def test_lists_plugins_that_are_named(tmp_path: Path, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "listed.py").write_text(IMPORT + "@hookimpl\ndef stored(instance, location): pass\n")
    assert cli.main(["--list-plugins", "--plugin", "listed"]) == 0
    assert capfd.readouterr().out.startswith("listed: active (--plugin listed)\n  hooks   stored\n")
    assert cli.main(["--list-plugins", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["order"]["choose_filename"] == ["instance-uid"]


def test_two_writers_are_named_at_the_start(tmp_path: Path, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("tape", "bucket"):
        (tmp_path / f"{name}.py").write_text(IMPORT + "@hookimpl\ndef write(instance, path): pass\n")
    assert run("-pm", "--plugin", "tape", "--plugin", "bucket") == 0
    assert capfd.readouterr().err == (
        "W: plugins bucket and tape all store instances: bucket is asked first, the next one only if it returns None\n"
    )


def test_explains(tmp_path: Path, run: Run, served: list[Settings], capfd: pytest.CaptureFixture[str]) -> None:
    """In the original's order, as far as that matters without a network."""
    assert cli.main(["--explain", "-xf", "absent", "x", "-od", "missing", "none"]) == 66
    assert cli.main(["--explain", "-od", "missing", "none"]) == 45
    assert cli.main(["--explain", "--plugin", "absent.naming", "none"]) == 1
    capfd.readouterr()
    assert cli.main(["--explain", "none", "other"]) == 1
    assert capfd.readouterr().out == "none: No such file or directory\nother: No such file or directory\n"
    assert served == []


def test_fault_23_explain_names_a_plugin_that_cannot_start(
    tmp_path: Path, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "late.py").write_text(IMPORT + "@hookimpl\ndef worker_started(): import missing_library\n")
    assert cli.main(["--plugin", "late", "--explain", "none"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    said = """ModuleNotFoundError("No module named 'missing_library'")"""
    assert f"E: plugin late: worker_started: {said} at {tmp_path}/late.py:3" in lines
    assert lines[-1] == "F: plugin late: worker_started: failed, so no worker could start"
    assert "dcmrecv_core" not in err


@pytest.mark.parametrize("arguments", [["--foo"], ["-ta", "0"], ["--plugin", "nowhere.naming"]], ids=" ".join)
def test_command_lines_that_cannot_be_read(
    run: Run, served: list[Settings], capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(*arguments) == 1
    assert "error: " in capfd.readouterr().err
    assert served == []


def test_checks_in_the_order_of_dcmtk(tmp_path: Path, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """Everything is wrong at first; what is reported is put right, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run("-xf", "absent", "x", "-od", "missing", port=port) == 66
        assert run("-od", "missing", port=port) == 45
        assert run(port=port) == 64
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("F: cannot")]
    assert errors == [
        "F: cannot load association configuration: unable to open configuration file: absent",
        "F: cannot specify output directory: Directory does not exist",
        f"F: cannot start SCP and listen on port {port}: TCP Initialization Error: Address already in use",
    ]


def test_a_plugin_that_refuses_the_settings(tmp_path: Path, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "refusing.py").write_text(
        IMPORT + "@hookimpl\ndef configure(settings): raise ValueError('no licence')\n"
    )
    assert run("--plugin", "refusing") == 1
    place = tmp_path / "refusing.py"
    assert capfd.readouterr().err == f"F: plugin refusing: configure: ValueError: no licence ({place}:3)\n"


SAID = {
    "nothing": ("", [], "W: no configuration file specified, SCP will only support the Verification SOP Class"),
    "promiscuous": ("", ["-pm"], None),
    "storage": (
        "@hookimpl\ndef stored(instance, location): pass\n",
        [],
        "I: no presentation contexts configured, but a storage plugin: accepting all storage SOP classes",
    ),
    "negotiating": ("@hookimpl\ndef negotiate(association): pass\n", [], None),
}


@pytest.mark.parametrize(("plugin", "arguments", "line"), SAID.values(), ids=SAID)
def test_says_what_is_accepted(
    tmp_path: Path, run: Run, capfd: pytest.CaptureFixture[str], plugin: str, arguments: list[str], line: str | None
) -> None:
    name = "said_" + str(abs(hash(plugin)))
    if plugin:
        (tmp_path / f"{name}.py").write_text(IMPORT + plugin)
        arguments = [*arguments, "--plugin", name]
    assert run("-v", *arguments) == 0
    assert capfd.readouterr().err.splitlines()[1:-1] == ([line] if line else [])


def test_an_output_directory_that_is_not_writable(
    run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.os, "access", lambda path, mode: not mode & os.W_OK)  # root may write everywhere
    assert run() == 45
    assert "\nF: cannot specify output directory: Directory is not writable\nF:   at " in capfd.readouterr().err


def test_fault_24_an_output_directory_that_is_a_file(
    tmp_path: Path, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").touch()
    assert run("-pm", "-od", "taken") == 45
    assert capfd.readouterr().err == (
        "F: cannot specify output directory: Directory does not exist\n"
        f"F:   at {tmp_path}/taken: it is a file, not a directory\n"
    )


def test_an_output_directory_of_a_settings_file(tmp_path: Path, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """The command line does not show it, nor does the log of a service."""
    (tmp_path / "site.toml").write_text('output_directory = "/absent"\n')
    assert run("-pm", "--settings", "site.toml") == 45
    assert capfd.readouterr().err == ("F: cannot specify output directory: Directory does not exist\nF:   at /absent\n")
    assert run("-pm", "-od", "/absent") == 45
    assert capfd.readouterr().err == "F: cannot specify output directory: Directory does not exist\n"


def test_an_output_directory_on_a_failing_disk(
    run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Capabilities:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(temporary.Capabilities, "probe", fail)
    assert run() == 45
    assert "F: cannot specify output directory: [Errno 5] Input/output error\n" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("option", "code"), [("+fd", 0), ("+fu", 45), ("+fsu", 45), ("+fst", 45), ("--on-duplicate keep", 45)]
)
def test_unique_names_need_a_file_system_that_does_not_overwrite(
    run: Run, monkeypatch: pytest.MonkeyPatch, option: str, code: int
) -> None:
    monkeypatch.setattr(temporary.Capabilities, "probe", lambda *_: Capabilities(unnamed=False, noclobber=False))
    assert run(*option.split()) == code


def test_an_error_on_other_systems(
    run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.os, "name", "nt")
    assert cli.main(["11112"]) == 1
    assert "POSIX" in capfd.readouterr().err


def test_the_default_is_verification_in_implicit_little_endian() -> None:
    [context] = contexts.verification_only()
    assert (context.abstract_syntax, context.transfer_syntaxes) == (VERIFICATION, (IMPLICIT_LE,))


def test_standard_storage_prefers_uncompressed_little_endian() -> None:
    supported = {context.abstract_syntax: context.transfer_syntaxes for context in contexts.standard_storage()}
    assert {VERIFICATION, CT} <= supported.keys()
    assert FIND not in supported, "a query is no storage"
    for syntaxes in supported.values():
        assert syntaxes is not None
        assert syntaxes[:2] == (EXPLICIT_LE, IMPLICIT_LE)
        assert "1.2.840.10008.1.2.4.90" in syntaxes
        assert len(set(syntaxes)) == len(syntaxes)


def test_fault_17_standard_storage_has_what_few_can_read_last() -> None:
    for context in contexts.standard_storage():
        assert context.transfer_syntaxes is not None
        ranks = [rank(syntax) for syntax in context.transfer_syntaxes[2:]]
        assert ranks == sorted(ranks)
        assert ranks[0] == rank(EXPLICIT_LE)
