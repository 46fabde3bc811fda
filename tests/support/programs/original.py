"""DCMTK's own dcmrecv, asked about command lines and configuration files that keep it from listening."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

DCMRECV = "/usr/bin/dcmrecv"
NO_DIRECTORY = ("-od", "/nonexistent")
"""Behind a command line that is in order, this ends it with exit code 45 before anything is opened."""

_VERSION_LINE = re.compile(r"\A\$dcm(?:tk|recv): .* \$\n", re.MULTILINE)


class Ended(NamedTuple):
    """How a program ended; the version line, different by nature, is cut off."""

    code: int
    stdout: str
    stderr: str


def original(arguments: Sequence[str], cwd: Path | None = None) -> Ended:
    """Run the real program; one that goes on for ten seconds is killed and fails the test."""
    command = ["dcmrecv", *arguments]
    done = subprocess.run(command, executable=DCMRECV, cwd=cwd, capture_output=True, timeout=10, check=False)
    return Ended(done.returncode, done.stdout.decode(), without_version(done.stderr.decode(errors="surrogateescape")))


def without_version(text: str) -> str:
    """The text without the line that names program and version (behind the lines that `--arguments` prints)."""
    head, marker, rest = text.partition("$dcm")
    return head + _VERSION_LINE.sub("", marker + rest)
