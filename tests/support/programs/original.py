"""Runs DCMTK dcmrecv with command lines and configuration files with which it ends before it listens."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DCMRECV = "/usr/bin/dcmrecv"
NO_DIRECTORY = ("-od", "/nonexistent")
"""Appended to a valid command line, this ends the program with exit code 45 before anything is opened."""

_VERSION_LINE = re.compile(r"\A\$dcm(?:tk|recv): .* \$\n", re.MULTILINE)


class Ended(NamedTuple):
    """How a program ended; without the version line, which must differ."""

    code: int
    stdout: str
    stderr: str


def original(arguments: Sequence[str], cwd: Path | None = None) -> Ended:
    """Run DCMTK dcmrecv; if it runs for a minute, it is killed and the test fails."""
    command = ["dcmrecv", *arguments]
    done = subprocess.run(command, executable=DCMRECV, cwd=cwd, capture_output=True, timeout=60, check=False)
    return Ended(done.returncode, done.stdout.decode(), without_version(done.stderr.decode(errors="surrogateescape")))


def without_version(text: str) -> str:
    """The text without the line that names program and version (after the lines that `--arguments` prints)."""
    head, marker, rest = text.partition("$dcm")
    return head + _VERSION_LINE.sub("", marker + rest)
