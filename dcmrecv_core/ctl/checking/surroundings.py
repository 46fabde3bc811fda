"""What a start does not refuse, and what goes wrong later: certificates that expire, disks that are nearly full, files
of other users, file systems without locks."""

from __future__ import annotations

import os
import pwd
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from dcmrecv_core.ctl.checking.findings import Findings
from dcmrecv_core.net.tls.validity import Kind, validities
from dcmrecv_core.storage.mounts import locks_count, mount_of

if TYPE_CHECKING:
    from dcmrecv_core.settings.settings import Settings

EXPIRES_SOON = timedelta(days=30)
LITTLE_SPACE = 0.05
"""The part of a file system that root's reserve usually is: less than that is little."""


def look_around(settings: Settings, findings: Findings, now: datetime) -> None:
    """Check what `settings` name."""
    output = output_directory_of(settings)
    if settings.tls is not None:
        _check_validity(settings, findings, now)
    if output.is_dir():
        _check_user(output, findings)
        _check_owner("output directory", output, findings)
        _check_space(output, settings.min_free, findings)
    state = settings.state_directory
    if state.is_dir():
        _check_owner("state directory", state, findings)
        if not os.access(state, os.R_OK | os.W_OK | os.X_OK):
            findings.error(
                f"state directory {state} cannot be used by user {_name(os.geteuid())}", "give it to this user (chown)"
            )
    _check_locks(state, findings)


def output_directory_of(settings: Settings) -> Path:
    """As an absolute path, for messages."""
    return Path(os.path.abspath(os.path.join(settings.working_directory, settings.output_directory or ".")))


def _check_validity(settings: Settings, findings: Findings, now: datetime) -> None:
    assert settings.tls is not None
    key, certificate = settings.tls
    _check_key(Path(settings.working_directory, key), findings)
    named: list[tuple[Kind, str, bool]] = [("certificate", certificate, True)]
    named += [("certificate", name, False) for name in (*settings.tls_ca_files, *settings.tls_ca_directories)]
    named += [("revocation list", name, True) for name in settings.tls_crl_files]
    for kind, name, refuses_all in named:
        try:
            ends = [
                each.end
                for each in validities(
                    Path(settings.working_directory, name), kind, is_der=settings.tls_format == "der"
                )
            ]
        except OSError:  # the start has said so
            continue
        for end in sorted(set(ends)):
            if end <= now:
                report = findings.error if refuses_all else findings.warning
                report(f"{name}: {kind} has expired on {end:%Y-%m-%d}", f"replace it by a new {kind}")
            elif end <= now + EXPIRES_SOON:
                findings.warning(f"{name}: {kind} expires on {end:%Y-%m-%d}", f"replace it by a new {kind} before")


def _check_key(path: Path, findings: Findings) -> None:
    try:
        readable = path.stat().st_mode & 0o007
    except OSError:  # the start has said so
        return
    if readable:
        findings.warning(f"private key {path} can be read by all users", f"chmod o= {path}")


def _check_user(output: Path, findings: Findings) -> None:
    owner = output.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        findings.warning(
            f"this check runs as root, but the output directory {output} belongs to user {_name(owner)}, so rights "
            "that the receiver lacks are not found",
            f"run it as the user of the receiver: runuser -u {_name(owner)} -- dcmrecvctl check ...",
        )


def _check_owner(what: str, path: Path, findings: Findings) -> None:
    owner = path.stat().st_uid
    if os.geteuid() not in (0, owner):
        findings.warning(
            f"{what} {path} belongs to user {_name(owner)}, and not to {_name(os.geteuid())}",
            "give it to the user of the receiver (chown), unless that is on purpose",
        )


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _check_space(output: Path, min_free: int | None, findings: Findings) -> None:
    space = os.statvfs(output)
    free, size = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
    to_do = "remove files, or give it a larger disk; dcmrecv-retention removes old studies"
    if min_free is not None and free < min_free:
        text = f"{output} has {free} bytes free, less than --min-free: every association would be rejected"
        findings.error(text, to_do)
    elif size and free < size * LITTLE_SPACE:
        findings.warning(f"{output} has {free} bytes free, {100 * free / size:.1f} % of its file system", to_do)
    if space.f_files and space.f_favail < space.f_files * LITTLE_SPACE:
        findings.warning(f"{output} has room for {space.f_favail} more files (inodes)", to_do)


def _check_locks(state: Path, findings: Findings) -> None:
    nearest = next(path for path in (state, *state.absolute().parents) if path.is_dir())
    try:
        directory = os.open(nearest, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        mount = mount_of(directory)
        if mount is not None and not locks_count(directory):
            findings.warning(
                f"state directory {state} is on a file system of kind {mount.kind}, where locks may not be seen by "
                "all: two receivers could use it at once, and hidden files of killed processes stay for a day",
                "give a local one with --state-dir",
            )
    finally:
        os.close(directory)
