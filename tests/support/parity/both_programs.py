"""Runs both programs to their end with one command line, each in a directory of its own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from support.programs.original import DCMRECV, Ended, without_version
from support.programs.receivers import LONGEST_RUN

_CALLING = re.compile(r"^I: calling '.*?' with", re.MULTILINE)
_DEBUG = re.compile(r"^D: .*\n", re.MULTILINE)
_PLACE = re.compile(r"^[EF]:   at .*\n", re.MULTILINE)
_HINT = re.compile(r"^hint: .*\n", re.MULTILINE)


class Outcomes(NamedTuple):
    """How ours and DCMTK dcmrecv ended."""

    ours: Ended
    original: Ended


def run_both(
    program: Path,
    directory: Path,
    arguments: Sequence[str],
    files: Mapping[str, str],
    prefix: Sequence[str] = (),
    *,
    keep_places: bool = False,
) -> Outcomes:
    """Run both in fresh copies of a directory with `files`; `prefix` is a program that runs them.

    Their output is returned without what must differ (version line, name in `--arguments`) and lines of level debug,
    which are compared elsewhere, and our hints; unless `keep_places`, also without our line with the place of a fault.
    """
    directory.chmod(0o755)  # for the user that the prefix changes to
    return Outcomes(
        _run([*prefix, str(program), *arguments], directory / "ours", files, keep_places),
        _run([*prefix, DCMRECV, *arguments], directory / "original", files, keep_places),
    )


def _run(command: Sequence[str], home: Path, files: Mapping[str, str], keep_places: bool) -> Ended:
    if not home.exists():
        home.mkdir()
        home.chmod(0o777)
    for name, content in files.items():
        (home / name).write_bytes(content.encode(errors="surrogateescape"))
    done = subprocess.run([os.fsencode(word) for word in command], cwd=home, capture_output=True, timeout=LONGEST_RUN)
    stdout, stderr = (stream.decode(errors="surrogateescape") for stream in (done.stdout, done.stderr))
    text = _CALLING.sub("I: calling 'dcmrecv' with", without_version(stderr))
    text = _HINT.sub("", _DEBUG.sub("", text))
    return Ended(done.returncode, stdout, text if keep_places else _PLACE.sub("", text))
