"""`dcmrecvctl unit`: what systemd itself says of the units."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

import pytest

from dcmrecv_core.ctl import unit
from dcmrecv_core.ctl.main import main
from dcmrecv_core.settings.settings import Settings
from support.programs.receivers import run, system_program

ARGUMENTS = ("-pm", "-od", "/var/lib/dcmrecv/archive", "--state-dir", "/var/lib/dcmrecv", "104")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """systemd looks whether it is there."""
    (tmp_path / "version").mkdir()
    for name in ("dcmrecv", "dcmrecvctl"):
        (tmp_path / "version" / name).write_text("#!/bin/sh\n")
        (tmp_path / "version" / name).chmod(0o755)
    (tmp_path / "today").symlink_to("version")
    monkeypatch.setattr(unit.sys, "argv", [str(tmp_path / "today" / "dcmrecvctl")])
    return tmp_path / "today" / "dcmrecv"


def service(*arguments: str, **more: object) -> str:
    given: dict[str, object] = {"output_directory": "/srv/dicom", "working_directory": "/", **more}
    return unit.units(arguments, Settings(**given), "dicom")["service"].text  # type: ignore[arg-type]


def socket(**more: object) -> str:
    return unit.units((), Settings(output_directory="/srv", **more), "dicom")["socket"].text  # type: ignore[arg-type]


@pytest.fixture
def written(tmp_path: Path, program: Path, capsys: pytest.CaptureFixture[str]) -> list[Path]:
    files = []
    for name in ("service", "socket"):
        assert main(["unit", "--user", "daemon", name, "--", *ARGUMENTS]) == 0
        files.append(tmp_path / f"dcmrecv.{name}")
        files[-1].write_text(capsys.readouterr().out)
    return files


def test_systemd_has_nothing_to_say(written: list[Path]) -> None:
    done = run(system_program("systemd-analyze"), "verify", "--man=no", *written)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_mistakes_are_seen(written: list[Path]) -> None:
    """That systemd would say something."""
    written[0].write_text(written[0].read_text().replace("WatchdogSec=30", "WatchdogSec=often"))
    assert "often" in run(system_program("systemd-analyze"), "verify", "--man=no", *written).stderr


def test_exposure(written: list[Path]) -> None:
    done = run(system_program("systemd-analyze"), "security", "--offline=true", written[0])
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert level and float(level[1]) < 2.0, done.stdout


def test_both_with_their_names(capsys: pytest.CaptureFixture[str], program: Path) -> None:
    assert main(["unit", "--", *ARGUMENTS]) == 0
    printed = capsys.readouterr().out
    assert re.findall("^# (/.*)", printed, re.MULTILINE)[:2] == [
        "/etc/systemd/system/dcmrecv.service",
        "/etc/systemd/system/dcmrecv.socket",
    ]
    assert f"ExecStart={program} {' '.join(ARGUMENTS)}\n" in printed
    assert "User=dcmrecv\n" in printed


def test_a_settings_file(tmp_path: Path, program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site.toml").write_text('output_directory = "/srv/dicom"\nport = 11112\n')
    assert main(["unit", "--settings", str(tmp_path / "site.toml")]) == 0
    printed = capsys.readouterr().out
    assert f"ExecStart={program} --settings {tmp_path}/site.toml\n" in printed
    assert "ListenStream=0.0.0.0:11112\n" in printed


@pytest.mark.parametrize(
    ("place", "user", "said"),
    [("{home}", "nobody", True), ("{home}", pwd.getpwuid(os.getuid()).pw_name, False), ("/usr/bin", "nobody", False)],
    ids=["closed", "of this user", "open"],
)
def test_a_program_that_the_user_cannot_reach(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
    user: str,
    said: bool,
) -> None:
    tmp_path.chmod(0o700)
    place = place.format(home=tmp_path)
    monkeypatch.setattr(unit, "_program", lambda: f"{place}/dcmrecv")
    monkeypatch.setattr(unit.sys, "executable", f"{place}/python3")
    assert main(["unit", "--user", user, "--", *ARGUMENTS]) == 0
    assert (f"{user} cannot execute {place}/dcmrecv, as " in capsys.readouterr().err) == said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which receiver?"),
        (["--", "-od", "archive", "104"], "archive is relative"),
        (["--", "-od", "/srv", "+tls", "key.pem", "/etc/certificate", "104"], "key.pem is relative"),
        (["--", "-od", "/srv", "--state-dir", "state", "104"], "state is relative"),
        (["--", "-od", "/srv", "--plugin", "site.py", "104"], "site.py is relative"),
        (["mount", "--", "-od", "/etc", "104"], "no file system of its own"),
    ],
)
def test_what_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == "/")
    (tmp_path / "site.py").write_text("from dcmrecv_core import hookimpl\n@hookimpl\ndef worker_stopping(): pass\n")
    assert main(["unit", *arguments]) == 1
    assert words in capsys.readouterr().err


def test_where_it_may_write() -> None:
    assert "ReadWritePaths=/srv/dicom\n" in service()
    assert "StateDirectory" not in service()
    both = service(state_dir="/var/lib/dcmrecv")
    assert "StateDirectory=dcmrecv\nStateDirectoryMode=0750\nReadWritePaths=/srv/dicom\n" in both
    assert "RequiresMountsFor=/srv/dicom /var/lib/dcmrecv\n" in both


def test_draining_gets_its_time() -> None:
    assert "TimeoutStopSec=30\n" in service()
    assert "TimeoutStopSec=330\n" in service(drain=300)


@pytest.mark.parametrize(
    ("more", "homes"), [({}, "yes"), ({"settings_file": "/home/me/site.toml"}, "read-only")], ids=["none", "settings"]
)
def test_homes(monkeypatch: pytest.MonkeyPatch, more: dict[str, str], homes: str) -> None:
    monkeypatch.setattr(unit, "_program", lambda: "/usr/bin/dcmrecv")
    assert f"ProtectHome={homes}\n" in service(**more)


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({"port": 104}, "ListenStream=0.0.0.0:104\nBacklog"),
        ({}, "ListenStream=0.0.0.0:104\nBacklog"),
        ({"port": 105, "bind": "192.0.2.1"}, "ListenStream=192.0.2.1:105\nBacklog"),
        ({"port": 105, "bind": "2001:db8::1"}, "ListenStream=[2001:db8::1]:105\nBacklog"),
        ({"port": 105, "ip_version": "ipv6"}, "ListenStream=[::]:105\nBindIPv6Only=ipv6-only\n"),
        ({"port": 105, "ip_version": "any"}, "ListenStream=[::]:105\nBindIPv6Only=both\n"),
    ],
)
def test_addresses(settings: dict[str, object], lines: str) -> None:
    assert lines in socket(**settings)


def test_words_are_quoted() -> None:
    line = service("--layout", "{Patient ID}", "-ll", '$HOME%n"\\')
    assert ' --layout "{Patient ID}" -ll "$$HOME%%n\\"\\\\"\n' in line


@pytest.mark.parametrize("path", ["/srv/dicom", "/srv/with-dash", "/mnt/.hidden", "/mnt/ä b", "/a:b_c.d"])
def test_the_mount(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda each: str(each) in (path, "/"))
    made = unit.units((), Settings(output_directory=f"{path}/archive"), "dicom")["mount"]
    name = run(system_program("systemd-escape"), "--path", "--suffix=mount", path).stdout.strip()
    assert made.path == f"/etc/systemd/system/{name}.d/dcmrecv.conf"
    assert "Upholds=dcmrecv.service\n" in made.text
