"""Plants faults: each patch in tests/promises/faults breaks a promise, and that promise's tests have to notice.

A patch is named after the number of the promise. Its head says what it breaks and, in a line `tests:`, which of the
module's tests are run (pytest's -k). It is applied to a copy of the sources that comes first in the path of the
receiver and of these tests; in a full run the same tests must first pass on the unchanged copy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from support.paths import ROOT, TESTS
from support.promises.patches import apply, hunks

FAULTS = sorted((TESTS / "promises" / "faults").glob("*.patch"))

PACKAGES = (
    "dcmrecv_core",
    "plugins/dcmrecv_builtin",
    "plugins/dcmrecv-commitment/src",
    "plugins/dcmrecv-deidentify/src",
    "plugins/dcmrecv-events/src",
    "plugins/dcmrecv-index/src",
    "plugins/dcmrecv-s3/src",
)


def faults_of(folder: Path) -> list[Path]:
    """The patches that break the promises whose modules are in this folder."""
    return [patch for patch in FAULTS if any(folder.glob(f"test_{patch.name[:2]}_*.py"))]


def copy_sources(directory: Path) -> Path:
    """A copy of the packages, to be broken."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    return directory


def run_tests(folder: Path, number: str, only: str, sources: Path) -> subprocess.CompletedProcess[str]:
    """The tests of one promise against these sources."""
    [module] = folder.glob(f"test_{number}_*.py")
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", module]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    places = [sources, sources / "plugins", *(sources / package for package in PACKAGES if package.endswith("/src"))]
    if before := os.environ.get("PYTHONPATH"):
        places.append(Path(before))
    env |= {"PYTHONPATH": os.pathsep.join(map(str, places)), "PYTHONDONTWRITEBYTECODE": "1"}
    # -P: the directory in which it is started would come before the copy
    words = [str(word) for word in (*command, *(["-k", only] if only else []))]
    return subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False)


def assert_noticed(patch: Path, folder: Path, sources: Path, *, full: bool, slow: Collection[str] = ()) -> None:
    """Plant the fault, and run the tests of the promise in `folder`, which have to fail.

    The names in `slow` are planted in full runs only; each run checks that they still apply.
    """
    number, text = patch.name[:2], patch.read_text()
    found = re.search(r"^tests: (.+)$", text, re.MULTILINE)
    only = found[1] if found else ""
    if full:  # in a run that is not full, the promise's own module says this
        done = run_tests(folder, number, only, sources)
        assert done.returncode == 0, f"red without the fault:\n{done.stdout[-4000:]}"
    apply(text, sources)
    for path in {hunk.path for hunk in hunks(text)}:
        compile((sources / path).read_text(), path, "exec")
    if patch.stem in slow and not full:
        return
    done = run_tests(folder, number, only, sources)
    assert done.returncode == 1, f"not noticed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert re.search(rf"^ ?{int(number)} BROKEN", done.stdout, re.MULTILINE), done.stdout[-4000:]
