"""`dcmrecvctl unit -- ARGUMENTS OF dcmrecv`: units of systemd that run a receiver with these arguments.

The service runs as a user without privileges, in a file system that it can write only where its settings say. The port
is opened by systemd (systemd.socket(5)), so 104 needs no privilege, and senders wait for a restart instead of being
refused.
"""

from __future__ import annotations

import argparse
import os
import pwd
import re
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmrecv_core.config.configuration import Configuration
from dcmrecv_core.ctl.checking.surroundings import output_directory_of
from dcmrecv_core.ctl.receiver import CommandError, Write

if TYPE_CHECKING:
    from dcmrecv_core.settings.settings import Settings

PLACE = "/etc/systemd/system"
STOP_SECONDS = 30
"""What systemd allows the end of a receiver beside `--drain`: it takes 8 s at most."""

_STATE = Path("/var/lib")
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))

_SERVICE = """\
[Unit]
Description=DICOM receiver
Documentation=man:dcmrecv(1)
Wants=network-online.target
After=network-online.target
Requires=dcmrecv.socket
RequiresMountsFor={mounts}
# tried again for ever: a disk may come late, a settings file be corrected
StartLimitIntervalSec=0

[Service]
Type=notify
# all: the process that `dcmrecvctl upgrade` starts becomes the main one
NotifyAccess=all
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={directory}
# not after 0, with which it ends after `dcmrecvctl drain`
Restart=on-failure
RestartSec=5
WatchdogSec=30
TimeoutStopSec={stop}
# SIGTERM goes to the main process only, which lets the others finish
KillMode=mixed
User={user}
UMask=0027
LimitNOFILE=65536
{directories}RuntimeDirectory=dcmrecv
RuntimeDirectoryPreserve=restart

CapabilityBoundingSet=
DevicePolicy=closed
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateMounts=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome={homes}
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service

[Install]
Also=dcmrecv.socket
WantedBy=multi-user.target
"""

_SOCKET = """\
[Unit]
Description=Port of the DICOM receiver

[Socket]
ListenStream={stream}
{only}Backlog=1024

[Install]
WantedBy=sockets.target
"""

_MOUNT = """\
# the receiver starts when the disk comes, also if that has failed before
[Unit]
Upholds=dcmrecv.service
"""


class Unit(NamedTuple):
    """A file of systemd, by its path."""

    path: str
    text: str


def add_commands(commands: Any, which: argparse.ArgumentParser) -> None:
    """Declare `unit`; `which` has the options that all commands have."""
    text = "print units of systemd for a receiver"
    added = commands.add_parser(
        "unit",
        parents=[which],
        help=text,
        description=f"{text.capitalize()}: a hardened service, and the socket that gives it its port.",
        usage="%(prog)s [--user NAME] [service|socket|mount] -- ARGUMENTS",
    )
    added.add_argument("--user", default="dcmrecv", metavar="NAME", help="that it runs as (default: dcmrecv)")
    added.add_argument("only", nargs="?", choices=("service", "socket", "mount"), help="print this file only")
    added.set_defaults(run_alone=run)


def run(arguments: argparse.Namespace, write: Write) -> int:
    """Raises CommandError, StartError."""
    given: Sequence[str] = arguments.after
    if "settings" in arguments:
        given = ["--settings", os.path.abspath(arguments.settings), *given]
    if not given:
        raise CommandError("which receiver? give the arguments of dcmrecv after --, or --settings FILE")
    settings = Configuration("dcmrecv", given, port_optional=True).line.settings
    _refuse_relative(given, settings)
    closed = _closed(Path(_program()), arguments.user)
    if closed is not None:
        sys.stderr.write(
            f"dcmrecvctl: {arguments.user} cannot execute {_program()}, as {closed} is not open to all users: "
            "install it elsewhere, such as in /opt\n"
        )
    made = units(given, settings, arguments.user)
    if arguments.only is None:
        write("\n".join(f"# {unit.path}\n{unit.text}" for unit in made.values()))
    elif arguments.only not in made:
        raise CommandError("the output directory is on no file system of its own, so no unit of a mount is needed")
    else:
        write(made[arguments.only].text)
    return 0


def _refuse_relative(arguments: Sequence[str], settings: Settings) -> None:
    files = [word for word in arguments if os.path.exists(word)]
    for path in (settings.output_directory, settings.state_dir, *(settings.tls or ()), *files):
        if path is not None and not os.path.isabs(path):
            raise CommandError(
                f"{path} is relative to the current directory, and a service has another one: make it absolute"
            )


def units(arguments: Sequence[str], settings: Settings, user: str) -> dict[str, Unit]:
    """`service`, `socket`, and `mount` if the output directory is on a file system that is mounted."""
    output = output_directory_of(settings)
    made = {
        "service": Unit(f"{PLACE}/dcmrecv.service", _service(arguments, settings, user)),
        "socket": Unit(f"{PLACE}/dcmrecv.socket", _socket(settings)),
    }
    mount = next(path for path in (output, *output.parents) if os.path.ismount(path))
    if mount != Path("/"):
        made["mount"] = Unit(f"{PLACE}/{_escaped(mount)}.mount.d/dcmrecv.conf", _MOUNT)
    return made


def _service(arguments: Sequence[str], settings: Settings, user: str) -> str:
    program = _program()
    written = [output_directory_of(settings), settings.state_directory.absolute()]
    used = [Path(program), *written]
    if settings.settings_file is not None:
        used.append(Path(settings.settings_file).absolute())
    in_homes = any(path.is_relative_to(home) for path in used for home in _HOMES)
    return _SERVICE.format(
        mounts=" ".join(_quoted(str(path)) for path in dict.fromkeys(written)),
        command=" ".join(_quoted(word).replace("$", "$$") for word in (program, *arguments)),
        directory=_specifiers(str(written[0])),
        stop=settings.drain + STOP_SECONDS,
        user=user,
        directories="".join(_writable(written)),
        homes="read-only" if in_homes else "yes",
    )


def _program() -> str:
    """That beside this one, by the path by which this one was called: a link to the version of today stays one."""
    beside = [Path(os.path.abspath(path)).with_name("dcmrecv") for path in (sys.argv[0], sys.executable)]
    return next((str(path) for path in beside if path.exists()), shutil.which("dcmrecv") or str(beside[0]))


def _closed(program: Path, user: str) -> Path | None:
    """The directory on the way to the program that keeps the user out, if one does: systemd would say 203/EXEC."""
    try:
        number = pwd.getpwnam(user).pw_uid
    except KeyError:  # it is to be made yet
        number = -1
    paths = (program, program.resolve(), Path(sys.executable).resolve())
    for directory in (parent for path in paths for parent in reversed(path.parents)):
        known = directory.stat()
        if known.st_uid != number and not known.st_mode & stat.S_IXOTH:
            return directory
    return None


def _writable(paths: Sequence[Path]) -> Iterator[str]:
    """systemd makes what is below /var/lib, and gives it to the user; other directories are the administrator's."""
    ours = [path for path in dict.fromkeys(paths) if path.is_relative_to(_STATE) and path != _STATE]
    others = [path for path in dict.fromkeys(paths) if path not in ours]
    others = [path for path in others if not any(path != other and path.is_relative_to(other) for other in others)]
    if ours:
        yield f"StateDirectory={' '.join(_quoted(str(path.relative_to(_STATE))) for path in ours)}\n"
        yield "StateDirectoryMode=0750\n"
    if others:
        yield f"ReadWritePaths={' '.join(_quoted(str(path)) for path in others)}\n"


def _socket(settings: Settings) -> str:
    """Which addresses it listens on is the same as without systemd."""
    port = settings.port or 104
    host = settings.bind or ("0.0.0.0" if settings.ip_version == "ipv4" else "[::]")
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    only = {"ipv6": "BindIPv6Only=ipv6-only\n", "any": "BindIPv6Only=both\n"}.get(settings.ip_version, "")
    return _SOCKET.format(stream=f"{host}:{port}", only=only)


def _escaped(path: Path) -> str:
    """The name of the unit of a mount, as `systemd-escape --path` has it (systemd.unit(5), "String escaping")."""
    text = str(path).strip("/")
    escaped = re.sub(
        r"[^\w:./]|^\.", lambda found: "".join(f"\\x{each:02x}" for each in found[0].encode()), text, flags=re.A
    )
    return escaped.replace("/", "-")


def _quoted(word: str) -> str:
    """A word of a list (systemd.syntax(7)); in a command a dollar is doubled, too (systemd.service(5))."""
    word = _specifiers(word)
    if re.fullmatch(r"[\w@%+=:,./-]+", word, re.ASCII):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")
