"""`dcmrecvctl check`: what a start would refuse, and what would go wrong later."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dcmrecv_core import cli
from dcmrecv_core.ctl.checking import check as command
from dcmrecv_core.ctl.checking import surroundings
from dcmrecv_core.ctl.main import main
from dcmrecv_core.delivery import preparation
from dcmrecv_core.net.supervisor import supervisor
from dcmrecv_core.net.supervisor.listener import Listeners
from dcmrecv_core.settings.settings import Settings
from dcmrecv_core.storage.mounts import Mount
from support.programs.certificates import Certificates, Pair, openssl
from support.programs.receivers import reserved_port

pytestmark = pytest.mark.usefixtures("logging_as_before")

PLUGIN = "from dcmrecv_core import hookimpl\n"
DELIVERS = PLUGIN + "@hookimpl\ndef deliver(event, target): pass\n"
NOW = datetime.now(UTC)
Check = Callable[..., list[str]]


@pytest.fixture
def port() -> Iterator[int]:
    """A port that no one listens on: it is bound for the length of a test, as other tests run."""
    with reserved_port() as reserved:
        yield reserved.getsockname()[1]


@pytest.fixture
def check(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Check:
    """The lines for these arguments, in a fresh directory on a free port."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def checked(*arguments: object, on: object = port, now: datetime = NOW) -> list[str]:
        shown = ["--bind", "127.0.0.1", *map(str, arguments), *([] if on is None else [str(on)])]
        return [str(finding) for finding in command.check(shown, now)]

    return checked


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def only(lines: list[str]) -> str:
    [line] = lines
    return line


def test_nothing_is_wrong_and_nothing_is_left(check: Check, tmp_path: Path) -> None:
    assert check("-pm") == []
    assert list(tmp_path.iterdir()) == []


# What a start refuses


@pytest.mark.parametrize(
    ("arguments", "error", "to_do"),
    [
        (["--wat"], "Unknown option --wat", "did you mean"),
        (["-od", "absent", "-pm"], "Directory does not exist at ", "make it"),
        (["-od", "/proc", "-pm"], "cannot specify output directory", "another directory"),
        (["--plugin", "absent"], "plugin absent: neither", "--list-plugins"),
        (["-xf", "absent", "Default"], "absent", "correct the file"),
        (
            ["-pm", "+tls", "no-key", "no-certificate"],
            "Unable to load private TLS key from 'no-key' (OpenSSL",
            "rights",
        ),
        (["-pm", "-lc", "absent"], "--log-config file does not exist", "--help"),
        (["--layout", "{Wrong"], "", ""),
        (["--settings", "absent.toml"], "absent.toml", "correct the file"),
    ],
)
def test_what_a_start_refuses(check: Check, arguments: list[str], error: str, to_do: str) -> None:
    line = only([line for line in check(*arguments) if line.startswith("error: ")])
    before, _, after = line.rpartition("; ")
    assert error in line
    assert to_do in (after if before else line)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-pm"],
        ["-pm", "--bind", "192.0.2.1"],
        ["-pm", "--bind", "no address"],
        ["-pm", "-od", "file"],
        ["-pm", "+tls", "file", "file"],
        ["-pm", "-xf", "file", "Default"],
        ["-pm", "-lc", "file"],
        ["-pm", "--log-format", "json", "-lc", "log.cfg"],
        ["-pm", "--trace-hooks"],
        ["-pm", "--max-pdu", "1"],
        ["-pm", "--layout", "{"],
        ["-pm", "--plugin", "broken.py"],
        ["-pm", "--plugin", "fails.py"],
        ["-pm", "--plugin", "targets.py"],
        ["-pm", "--settings", "wrong.toml"],
        ["-pm", "--state-dir", "file", "--plugin", "delivers.py"],
        ["-pm", "--state-dir", "file"],
    ],
)
def test_the_same_as_a_start(
    check: Check,
    tmp_path: Path,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    """What a start refuses is an error, with the same words, and nothing else is."""

    class Supervisor:
        def __init__(self, settings: Settings, plugins: object, listeners: Listeners, *_: object) -> None:
            listeners.close()

        def run(self) -> int:
            return 0

    monkeypatch.setattr(supervisor, "Supervisor", Supervisor)
    (tmp_path / "file").write_text("x")
    (tmp_path / "log.cfg").write_text("log4cplus.rootLogger = INFO\n")
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    (tmp_path / "fails.py").write_text(PLUGIN + "@hookimpl\ndef configure(settings):\n    raise ValueError('no')\n")
    (tmp_path / "targets.py").write_text(DELIVERS + "@hookimpl\ndef delivery_targets(settings): return 7\n")
    (tmp_path / "delivers.py").write_text(DELIVERS)
    (tmp_path / "wrong.toml").write_text("no_key = 1\n")
    errors = [line for line in check(*arguments) if line.startswith("error: ")]
    capsys.readouterr()
    code = cli.main(["--bind", "127.0.0.1", *arguments, str(port)])
    said = capsys.readouterr().err
    assert bool(code) is bool(errors), (said, errors)
    if code:
        [last] = [line for line in said.splitlines() if line.startswith(("F: ", "error: "))][-1:] or [said]
        assert any(last.partition(": ")[2].strip() in error for error in errors), (last, errors)


def test_several_at_once(check: Check, tmp_path: Path) -> None:
    (tmp_path / "site.py").write_text(PLUGIN + "@hookimpl\ndef configure(settings):\n    raise ValueError('no host')\n")
    lines = check("--plugin", "site.py", "-od", "absent", "+tls", "no-key", "no-certificate")
    assert [line for line in lines if "no host" in line]
    assert [line for line in lines if "Directory does not exist" in line]
    assert [line for line in lines if "no-key" in line]


def test_a_plugin_that_no_worker_could_start_with(check: Check, tmp_path: Path) -> None:
    (tmp_path / "site.py").write_text(
        PLUGIN + "@hookimpl\ndef worker_started(settings):\n    raise ConnectionError('no database')\n"
    )
    line = only([line for line in check("--plugin", "site.py", "-pm") if line.startswith("error")])
    assert "site" in line and "no database" in line and "no worker could start" in line


def test_a_port_that_is_taken(check: Check) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        line = only(check("-pm", on=other.getsockname()[1]))
    assert line.startswith("error: ") and "Address already in use" in line and "ss -ltnp" in line


def test_nothing_listens_meanwhile(check: Check, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("it listens")

    monkeypatch.setattr(socket.socket, "listen", refuse)
    assert check("-pm") == []


def test_without_a_port(check: Check) -> None:
    assert "dcmrecvctl unit" in only(check("-pm", on=None))


def test_other_actions(check: Check) -> None:
    assert "start no receiver" in only(check("--list-ciphers"))


# The receiver that runs


@pytest.fixture
def running(tmp_path: Path, port: int) -> Iterator[None]:
    """It has the state directory, and says that it has the port."""
    state = tmp_path / ".dcmrecv"
    state.mkdir()
    (state / "owner.lock").write_text(f"host here, process 7, port {port}, since yesterday")
    with (state / "owner.lock").open() as lock, socket.create_server(("127.0.0.1", port)):
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("running")
def test_the_receiver_that_this_one_replaces(check: Check, tmp_path: Path) -> None:
    (tmp_path / "site.py").write_text(DELIVERS)
    line = only(check("--plugin", "site.py", "-pm"))
    assert line.startswith("warning: the receiver of this state directory and port runs (host here, process 7")


@pytest.mark.usefixtures("running")
def test_another_receiver_with_the_state_directory(check: Check, tmp_path: Path) -> None:
    (tmp_path / "site.py").write_text(DELIVERS)
    with reserved_port() as free:
        line = only(check("--plugin", "site.py", "-pm", on=free.getsockname()[1]))
    assert line.startswith("error: plugin site needs the state directory") and "--state-dir" in line


def test_the_store_of_deliveries_is_looked_at_and_not_changed(check: Check, tmp_path: Path) -> None:
    (tmp_path / "site.py").write_text(DELIVERS)
    assert check("--plugin", "site.py", "-pm") == []
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["site.py"]
    state = tmp_path / ".dcmrecv"
    state.mkdir()
    (state / "delivery.sqlite").write_bytes(b"no database " * 100)
    assert "error: the store of deliveries cannot be used" in only(check("--plugin", "site.py", "-pm"))
    assert [path.name for path in state.iterdir()] == ["delivery.sqlite"]


# Certificates


def tls(pair: Pair, certificates: Certificates, *more: object) -> list[object]:
    return ["-pm", "+tls", pair.key, pair.certificate, "+cf", certificates.authority, *more]


@pytest.fixture
def private(certificates: Certificates) -> Certificates:
    for key in certificates.directory.glob("*.key"):
        key.chmod(0o600)
    return certificates


def test_certificates_that_go_on(check: Check, private: Certificates) -> None:
    good = private.other("good", not_after=NOW + timedelta(days=31))
    good.key.chmod(0o600)
    assert check(*tls(good, private)) == []


def test_certificates_that_expire_soon(check: Check, private: Certificates) -> None:
    soon = private.other("soon", not_after=NOW + timedelta(days=29))
    soon.key.chmod(0o600)
    line = only(check(*tls(soon, private)))
    assert line.startswith("warning: ") and f"expires on {NOW + timedelta(days=29):%Y-%m-%d}" in line


def test_certificates_that_have_expired(check: Check, private: Certificates) -> None:
    line = only(check(*tls(private.expired, private)))
    assert line.startswith("error: ") and "has expired on 2001-01-01; replace it" in line


def test_trusted_certificates_that_have_expired(check: Check, private: Certificates) -> None:
    line = only(check(*tls(private.server, private, "+cf", private.expired.certificate)))
    assert line.startswith("warning: ") and "has expired" in line


def test_revocation_lists(check: Check, private: Certificates) -> None:
    crl = private.revocation_list()
    given = tls(private.server, private, "--add-crl-file", crl)
    assert check(*given, now=NOW - timedelta(minutes=5)) == []
    line = only(check(*given, now=NOW + timedelta(days=1)))
    assert line.startswith("warning: ") and "revocation list expires on" in line
    assert only([line for line in check(*given, now=NOW + timedelta(days=31)) if line.startswith("error")])


@pytest.mark.parametrize("form", ["x509", "crl"])
def test_certificates_in_der(check: Check, private: Certificates, tmp_path: Path, form: str) -> None:
    from dcmrecv_core.net.tls.validity import validities

    crl, der = private.revocation_list(), tmp_path / "der"
    source = private.expired.certificate if form == "x509" else crl
    openssl(form, "-in", source, "-outform", "der", "-out", der)
    kind = "certificate" if form == "x509" else "revocation list"
    assert list(validities(der, kind, is_der=True)) == list(validities(source, kind, is_der=False)) != []  # type: ignore[arg-type]


def test_keys_that_all_can_read(check: Check, private: Certificates) -> None:
    private.server.key.chmod(0o644)
    assert f"chmod o= {private.server.key}" in only(check(*tls(private.server, private)))


# Directories and disks


def test_directories_of_another_owner(check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dcmrecv").mkdir()
    (tmp_path / ".dcmrecv" / "file").touch()  # an empty one is removed at the end of each receiver
    monkeypatch.setattr(surroundings.os, "geteuid", lambda: os.getuid() + 4242)
    lines = check("-pm")
    assert [line.split(" ")[1:3] for line in lines] == [["output", "directory"], ["state", "directory"]]
    assert all("belongs to user" in line and "chown" in line for line in lines)


def test_as_root_for_another_user(check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(tmp_path, 65534, 65534)
    line = only(check("-pm"))
    assert "this check runs as root" in line and "runuser -u nobody" in line


class _Space:
    f_frsize, f_blocks, f_files, f_flag = 4096, 1000, 1000, 0

    def __init__(self, blocks: int, files: int) -> None:
        self.f_bavail, self.f_favail = blocks, files


@pytest.mark.parametrize(
    ("blocks", "files", "arguments", "words"),
    [
        (49, 500, [], "warning: {} has 200704 bytes free, 4.9 %"),
        (51, 500, [], ""),
        (500, 49, [], "warning: {} has room for 49 more files"),
        (500, 500, ["--min-free", "4M"], "error: {} has 2048000 bytes free, less than --min-free"),
    ],
)
def test_little_space(
    check: Check,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    blocks: int,
    files: int,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.setattr(surroundings.os, "statvfs", lambda path: _Space(blocks, files))
    lines = check("-pm", *arguments)
    assert only(lines).startswith(words.format(tmp_path)) if words else lines == []


def test_network_file_systems(check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "mount_of", lambda fd: Mount("nfs4", "0:42", "/"))
    monkeypatch.setattr(surroundings, "locks_count", lambda fd: False)
    line = only(check("-pm"))
    assert line.startswith("warning: state directory") and "nfs4" in line and "--state-dir" in line
    monkeypatch.setattr(preparation, "mount_of", lambda fd: Mount("nfs4", "0:42", "/"))
    monkeypatch.setattr(preparation, "locks_count", lambda fd: False)
    (tmp_path / "site.py").write_text(DELIVERS)
    assert "error: state directory" in check("--plugin", "site.py", "-pm")[0]


# The command


def test_the_command(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check", "--", "-pm", "--bind", "127.0.0.1", str(port)]) == 0
    assert capsys.readouterr().out == "errors: 0, warnings: 0\n"
    assert main(["check", "--json", "--", "-od", "absent", "-pm"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["errors"] == 1
    assert printed["findings"][0]["level"] == "error"
    assert set(printed["findings"][0]) == {"level", "text", "to_do"}


def test_the_settings_file_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "site.toml").write_text('output_directory = "absent"\npromiscuous = true\nport = 11112\n')
    assert main(["--settings", "site.toml", "check"]) == 1
    assert "absent" in capsys.readouterr().out


def test_texts_of_plugins_cannot_drive_a_terminal(check: Check, tmp_path: Path) -> None:
    (tmp_path / "site.py").write_text(
        PLUGIN + "@hookimpl\ndef configure(settings):\n    raise ValueError('a\\x1b[2Jb\\nerror: c')\n"
    )
    line = only([line for line in check("--plugin", "site.py", "-pm") if line.startswith("error")])
    assert "\x1b" not in line and "\n" not in line


def test_user_without_a_name() -> None:
    assert surroundings._name(2**31 - 7) == str(2**31 - 7)


def test_settings_are_not_needed_to_look_around(tmp_path: Path) -> None:
    """An output directory that is missing is the start's to say."""
    found = surroundings.Findings()
    surroundings.look_around(Settings(output_directory="absent", working_directory=str(tmp_path)), found, NOW)
    assert found.all == []
