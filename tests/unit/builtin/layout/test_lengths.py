"""`--layout-limit`: names of paths that are too long are shortened, and stay different."""

from __future__ import annotations

import logging
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dcmrecv_builtin.layout.lengths import LEAST, PathLimit
from dcmrecv_builtin.layout.pattern import Layout
from dcmrecv_core.storage.directories import escaped_path

EXTENSIONS = st.sampled_from(["", ".dcm"])
LIMITS = st.integers(4 * (LEAST + 1) + 8, 300)
# names of all lengths, in one byte and in three, honest ones that look shortened or escaped, and unfit ones
NAMES = st.one_of(
    st.text("ab", min_size=1, max_size=120),
    st.text("山a", min_size=1, max_size=100),
    st.text("ab", max_size=9).map(lambda text: f"{text}~{'0' * 16}"),
    st.text("ab", max_size=9).map(lambda text: f"{text}~{'0' * 8}"),
    st.text(min_size=1, max_size=60),
    st.sampled_from(["..", "CON", "nul.dcm", "a.", "a/b", "x" * 300, ".dcmrecv" * 20]),
)
PATHS = st.tuples(st.lists(NAMES, max_size=3), NAMES)


def limited(length: int, path: tuple[list[str], str], extension: str = "", appended: int = 0) -> str:
    directory, name = PathLimit(length, appended).path(*path, extension)
    return f"{directory}/{name}" if directory else name


@settings(deadline=None, max_examples=150)
@given(LIMITS, PATHS, EXTENSIONS, EXTENSIONS)
@example(4 * (LEAST + 1) + 8, (["a" * 200] * 3, "b" * 200), ".dcm", ".dcm")
def test_a_path_is_safe_and_no_longer_than_the_limit(
    length: int, path: tuple[list[str], str], extension: str, appended: str
) -> None:
    directory, name = PathLimit(length, len(appended)).path(*path, extension)
    parts, stored = escaped_path(directory, name, appended)
    assert len("/".join((*parts, stored)).encode()) <= length
    assert len(parts) == len(path[0])
    assert "/".join(parts) == directory, "the core leaves the directory alone"
    if len(f"{name}{appended}".encode()) <= 255:
        assert stored == name + appended, "and the name, unless the extension makes it too long for any file system"
    for component in (*parts, stored):
        assert not re.search(r'[\x00-\x1f\x7f<>:"/\\|?*]|[. ]\Z', component)
        assert not re.match(r"(con|prn|aux|nul|com\d|lpt\d) *(\.|\Z)", component, re.IGNORECASE)
        assert not component.startswith(".dcmrecv")
    assert limited(length, path, extension, len(appended)) == (f"{directory}/{name}" if directory else name)


@settings(deadline=None, max_examples=150)
@given(LIMITS, PATHS, PATHS, EXTENSIONS)
@example(108, ([], "a" * 200), ([], "a" * 201), "")
@example(108, (["a" * 100], "b"), (["a" * 101], "b"), ".dcm")
def test_different_paths_stay_different(
    length: int, first: tuple[list[str], str], second: tuple[list[str], str], extension: str
) -> None:
    assert (limited(length, first, extension) == limited(length, second, extension)) == (first == second)


def test_a_name_that_looks_shortened_is_not_the_name_of_another() -> None:
    shortened = limited(30, ([], "a" * 60))
    assert re.fullmatch("a{13}~[0-9a-f]{16}", shortened)
    assert limited(30, ([], shortened)) != shortened
    assert limited(31, ([], shortened + "x")) == shortened + "x"
    assert re.fullmatch(r"a{9}~[0-9a-f]{16}\.dcm", limited(30, ([], "a" * 60), ".dcm"))


@settings(deadline=None, max_examples=100)
@given(LIMITS, st.lists(NAMES, min_size=1, max_size=3), NAMES, NAMES)
def test_a_directory_does_not_depend_on_what_is_in_it(length: int, directories: list[str], one: str, two: str) -> None:
    limit = PathLimit(length)
    assert limit.path(directories, one, "")[0] == limit.path(directories, two, "")[0]


def test_names_have_the_room_that_the_others_leave() -> None:
    assert limited(100, (["a" * 30, "b" * 30], "c" * 38)) == f"{'a' * 30}/{'b' * 30}/{'c' * 38}"
    assert limited(100, (["a" * 50, "b" * 24], "c" * 24)) == f"{'a' * 50}/{'b' * 24}/{'c' * 24}"
    directory, other, name = limited(100, (["a" * 70, "b" * 70], "c" * 70)).split("/")
    assert [len(part) for part in (directory, other, name)] == [50, 24, 24], "enough is kept free for those that follow"


def test_a_limit_without_room() -> None:
    PathLimit(49).check(2, "")
    with pytest.raises(ValueError, match=r"^52 bytes are not enough, this layout needs 53$"):
        PathLimit(52).check(2, ".dcm")
    with pytest.raises(ValueError, match=r"^52 bytes are not enough, this layout needs 53$"):
        PathLimit(52, 4).check(2, "")


@pytest.mark.parametrize(
    ("pattern", "least"),
    [
        ("{PatientID}", 24),
        ("{PatientID}/{SOPInstanceUID}.dcm", 53),
        ("{StudyDate:%Y/%m/%d}/x", 99),
        ("{StudyDate|a/b/c/d:%Y/%m}", 99),
    ],
)
def test_a_layout_needs_room_for_the_most_components_that_it_may_make(pattern: str, least: int) -> None:
    Layout(pattern, PathLimit(least))
    with pytest.raises(ValueError, match="are not enough"):
        Layout(pattern, PathLimit(least - 1))


def test_the_warning_comes_once(caplog: pytest.LogCaptureFixture) -> None:
    limit = PathLimit(60)
    limit.path(["a"], "b", "")
    assert not limit.shortened
    for _ in range(3):
        limit.path(["Hidden" * 10], "b", "")
    assert limit.shortened
    limit.path(["a"], "b", "")
    assert not limit.shortened
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.WARNING,
            "--layout-limit: names of a path of 62 bytes are shortened, so that none beside it has more than 60 "
            "(logged once only)",
        )
    ]
