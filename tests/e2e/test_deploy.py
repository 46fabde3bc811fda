"""The files of docs/deploy do what they say. No container engine runs in a test: its restrictions are made by hand."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import yaml

from dcmrecv_core.testing import until
from support.data.datasets import instance_of
from support.paths import DOCS, ROOT
from support.programs.environment import make_site
from support.programs.receivers import Receiver, Start, run, system_program
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

DEPLOY = DOCS / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["dcmrecv"]
USER = 10104
CAPABILITIES = "-all,+dac_read_search"

LOG_FILE = """\
log4cplus.rootLogger = INFO, file
log4cplus.appender.file = log4cplus::FileAppender
log4cplus.appender.file.File = receiver.log
log4cplus.appender.file.layout = log4cplus::PatternLayout
log4cplus.appender.file.layout.ConversionPattern = %m%n
"""


def instructions(name: str) -> list[str]:
    """The arguments of all instructions of this name."""
    return re.findall(rf"^{name} (.*)$", CONTAINERFILE, re.MULTILINE)


def words(name: str) -> list[str]:
    [text] = instructions(name)
    found: list[str] = json.loads(text[text.index("[") :])
    return found


def test_what_the_files_say_of_each_other() -> None:
    assert (DEPLOY / COMPOSE["build"]["context"]).resolve() == ROOT
    assert ROOT / COMPOSE["build"]["dockerfile"] == DEPLOY / "Containerfile"
    assert COMPOSE["command"] == words("CMD")
    assert COMPOSE["healthcheck"]["test"] == ["CMD", *words("HEALTHCHECK")]
    assert COMPOSE["ports"] == [f"104:{words('CMD')[-1]}"]
    assert instructions("EXPOSE") == [words("CMD")[-1]]
    assert COMPOSE["volumes"] == ["dicom:/data"]
    assert instructions("VOLUME") == ["/data"]
    assert (COMPOSE["read_only"], COMPOSE["cap_drop"]) == (True, ["ALL"])
    assert instructions("USER") == [f"{USER}:{USER}"]
    drain = int(words("ENTRYPOINT")[words("ENTRYPOINT").index("--drain") + 1])
    assert int(COMPOSE["stop_grace_period"].removesuffix("s")) > drain + 8


def test_what_is_installed_is_there() -> None:
    assert any(text.endswith("pip install $PACKAGES") for text in instructions("RUN"))
    sources = re.findall(r"/src([^\s\"]*)", "".join(instructions("ARG")))
    assert "" in sources
    for path in sources:
        assert (ROOT / path.lstrip("/") / "pyproject.toml").exists()


def confined(volume: Path) -> list[object]:
    """Runs a command with a read-only root but for the volume, without capabilities, as the user.

    One capability stays: to read, because installed programs of a test may be private.
    """
    script = (
        f"mount --make-rprivate /; mkdir -p {volume}; chown {USER}:{USER} {volume}; mount --bind {volume} {volume}; "
        "mount -o remount,ro,bind /; "
        f"exec setpriv --reuid={USER} --regid={USER} --clear-groups --no-new-privs --bounding-set={CAPABILITIES} "
        f'--inh-caps={CAPABILITIES} --ambient-caps={CAPABILITIES} "$@"'
    )
    return [system_program("unshare"), "--mount", "sh", "-ec", script, "sh"]


def health(receiver: Receiver) -> int:
    """The exit code of the health check."""
    main = "import sys; from dcmrecv_core.ctl.main import main; sys.exit(main())"
    program, *arguments = words("HEALTHCHECK")
    assert program == "dcmrecvctl"
    moved = [argument.replace("/data", str(receiver.output)) for argument in arguments]
    return run(sys.executable, "-c", main, *moved).returncode


def test_with_a_read_only_root(ours: Start, program: Path, directory: Path, tmp_path: Path) -> None:
    site = make_site(tmp_path, program, ROOT / "plugins" / "dcmrecv-index")
    volume = directory / "ours0" / "out"
    directory.chmod(0o755)
    assert run(*confined(directory / "other"), "touch", str(directory / "x")).returncode != 0, (
        "the root is not read-only"
    )
    begin = words("ENTRYPOINT")[1:]
    assert begin[:2] == ["-od", "/data"]
    before = os.umask(0)  # so that it can tell that it is ready
    try:
        receiver = ours(*begin[2:], *words("CMD")[:-1], program=site, prefix=confined(volume))
    finally:
        os.umask(before)
    assert health(receiver) == 0, "asked from outside, where the volume is no mount point"
    with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
        assert association.store(CT, "1.2.3", instance_of(CT, "1.2.3")) == 0
        association.release()
    assert (receiver.output / "CT.1.2.3").stat().st_uid == USER
    until(lambda: (receiver.output / ".dcmrecv" / "index.sqlite").exists(), "there is an index")
    assert receiver.stop() == 0
    assert health(receiver) == 1


def test_logrotate(ours: Start, tmp_path: Path) -> None:
    """The receiver goes on in a new file, without a signal."""
    receiver = ours("-pm", "-lc", "log.cfg", files={"log.cfg": LOG_FILE})
    log = receiver.directory / "receiver.log"
    rules = (DEPLOY / "dcmrecv.logrotate").read_text()
    assert "/var/log/dcmrecv/*.log {" in rules and "su dcmrecv dcmrecv\n" in rules
    (tmp_path / "rules").write_text(
        rules.replace("/var/log/dcmrecv/*.log", str(log)).replace("su dcmrecv dcmrecv", "su root root")
    )
    (tmp_path / "rules").chmod(0o644)

    def store(uid: str) -> None:
        with RawAssociation(receiver.port, [(CT, [EXPLICIT_LE])]) as association:
            assert association.store(CT, uid, instance_of(CT, uid)) == 0
            association.release()

    store("1.2.0")
    until(lambda: "1.2.0" in log.read_text(), "it is logged")
    rotated = run("/usr/sbin/logrotate", "--force", "--state", tmp_path / "state", tmp_path / "rules")
    assert rotated.returncode == 0, rotated.stderr
    assert "1.2.0" in log.with_name("receiver.log.1").read_text()
    store("1.2.9")
    until(lambda: log.exists() and "1.2.9" in log.read_text(), "it is logged in a new file")
    assert "1.2.9" not in log.with_name("receiver.log.1").read_text()
