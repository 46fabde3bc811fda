"""The tests of the tests: each patch in faults/ breaks a promise, and that promise's tests have to notice. Each promise
has one or more.

A patch is named after the number of the promise. Its head says what it breaks and, in a line `tests:`, which of the
module's tests are run (pytest's -k). It is applied to a copy of the sources that comes first in the path of the
receiver and of these tests; with --full the same tests must first pass on the unchanged copy.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import ROOT
from support.promises.patches import MovedOnError, apply, hunks
from support.promises.promises import PROMISES

FAULTS = sorted(Path(__file__).parent.glob("faults/*.patch"))
SLOW = (
    "14_split_command_is_lost",  # hypothesis looks for the smallest example
    "46_given_up",  # these wait for what does not come
    "46_no_limit",
    "46_told_before_it_is_there",
    "46_whoever_has_the_key",
)
"""Faults that are planted with --full only, because their tests need more than ten seconds; the others in each run."""


PACKAGES = (
    "dcmrecv_core",
    "plugins/dcmrecv_builtin",
    "plugins/dcmrecv-commitment/src",
    "plugins/dcmrecv-deidentify/src",
    "plugins/dcmrecv-index/src",
    "plugins/dcmrecv-s3/src",
)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the packages, to be broken."""
    without = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=without)
    return tmp_path


def run_tests(number: str, only: str, sources: Path) -> subprocess.CompletedProcess[str]:
    """The tests of one promise against these sources."""
    [module] = Path(__file__).parent.glob(f"test_{number}_*.py")
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", module]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    places = [sources, sources / "plugins", *(sources / package for package in PACKAGES if package.endswith("/src"))]
    env |= {"PYTHONPATH": os.pathsep.join(map(str, places)), "PYTHONDONTWRITEBYTECODE": "1"}
    # -P: the directory in which it is started would come before the copy
    words = [str(word) for word in (*command, *(["-k", only] if only else []))]
    return subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False)


@pytest.mark.timeout(1860)
@pytest.mark.parametrize("patch", FAULTS, ids=lambda patch: patch.stem)
def test_fault_is_noticed(patch: Path, sources: Path, request: pytest.FixtureRequest) -> None:
    number, full = patch.name[:2], request.config.getoption("full")
    text = patch.read_text()
    found = re.search(r"^tests: (.+)$", text, re.MULTILINE)
    only = found[1] if found else ""
    if full:  # in a run that is not full, the promise's own module says this
        done = run_tests(number, only, sources)
        assert done.returncode == 0, f"red without the fault:\n{done.stdout[-4000:]}"
    apply(text, sources)
    for path in {hunk.path for hunk in hunks(text)}:
        compile((sources / path).read_text(), path, "exec")
    if patch.stem in SLOW and not full:
        return  # each run checks that it still applies
    done = run_tests(number, only, sources)
    assert done.returncode == 1, f"not noticed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert re.search(rf"^ ?{int(number)} BROKEN", done.stdout, re.MULTILINE), done.stdout[-4000:]


def test_sources_without_a_fault_keep_the_promise(sources: Path) -> None:
    done = run_tests("34", "one_listening_port", sources)
    assert done.returncode == 0, done.stdout[-4000:]


def test_each_promise_has_a_fault() -> None:
    assert {int(patch.name[:2]) for patch in FAULTS} == PROMISES.keys()


@pytest.mark.parametrize("text", ["a\nb\n", "a\nc\na\nc\n", ""], ids=["gone", "twice", "empty"])
def test_a_patch_for_other_sources_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(MovedOnError):
        apply("comment\n--- a/file\n+++ b/file\n@@ -1,2 +1,2 @@\n a\n-c\n+d\n", tmp_path)


def test_a_patch_changes_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x\na\nc\ny\n")
    apply("comment\n--- a/file\n+++ b/file\n@@ -1,2 +1,2 @@\n a\n-c\n+d\n", tmp_path)
    assert (tmp_path / "file").read_text() == "x\na\nd\ny\n"
