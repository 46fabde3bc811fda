"""The tests of the tests: each patch in faults/ breaks a promise, and that promise's tests have to notice. Each promise
has one or more.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.promises.patches import MovedOnError, apply
from support.promises.planting import FAULTS, assert_noticed, copy_sources, faults_of, run_tests
from support.promises.promises import PROMISES

HERE = Path(__file__).parent
SLOW = (
    "14_split_command_is_lost",  # hypothesis looks for the smallest example
    "42_claims_of_the_dead",  # these wait for what does not come
    "42_no_search_after_a_power_cut",
    "42_together_done_before_the_call",
    "43_one_call_at_a_time",
    "43_one_queue_for_completions",
    "46_given_up",
    "46_no_limit",
    "46_told_before_it_is_there",
    "46_whoever_has_the_key",
)
"""Faults that are planted with --full only, because their tests need half a minute; the others in each run, one
at least for each promise but 14."""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    return copy_sources(tmp_path)


@pytest.mark.timeout(1860)
@pytest.mark.parametrize("patch", faults_of(HERE), ids=lambda patch: patch.stem)
def test_fault_is_noticed(patch: Path, sources: Path, request: pytest.FixtureRequest) -> None:
    assert_noticed(patch, HERE, sources, full=request.config.getoption("full"), slow=SLOW)


def test_sources_without_a_fault_keep_the_promise(sources: Path) -> None:
    done = run_tests(HERE, "34", "one_listening_port", sources)
    assert done.returncode == 0, done.stdout[-4000:]


def test_each_promise_has_a_fault() -> None:
    assert {int(patch.name[:2]) for patch in FAULTS} == PROMISES.keys()
    assert {int(patch.name[:2]) for patch in FAULTS if patch.stem not in SLOW} == PROMISES.keys() - {14}


@pytest.mark.parametrize("text", ["a\nb\n", "a\nc\na\nc\n", ""], ids=["gone", "twice", "empty"])
def test_a_patch_for_other_sources_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(MovedOnError):
        apply("comment\n--- a/file\n+++ b/file\n@@ -1,2 +1,2 @@\n a\n-c\n+d\n", tmp_path)


def test_a_patch_changes_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x\na\nc\ny\n")
    apply("comment\n--- a/file\n+++ b/file\n@@ -1,2 +1,2 @@\n a\n-c\n+d\n", tmp_path)
    assert (tmp_path / "file").read_text() == "x\na\nd\ny\n"
