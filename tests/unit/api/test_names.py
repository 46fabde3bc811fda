"""File names from text of peers: fit ones stay, two texts never become one name, nothing leads elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dcmrecv_core.api.errors import HookFailure
from dcmrecv_core.api.names import escape, escape_directory
from dcmrecv_core.storage.directories import escaped_path

ESCAPED = re.compile(r"~[0-9a-f]{8}\Z")
TEXTS = st.text(st.characters(), max_size=300) | st.from_regex(r"[_/ab.]{1,3}(~[0-9a-f]{8})?", fullmatch=True)


@pytest.mark.parametrize(
    "text", ["CT.1.2.3", "..x", "-rf", ".hidden", "a b:c@d_e", "Müller^Jörg", "日本", "x" * 255, "ä" * 127]
)
def test_fit_names_are_untouched(text: str) -> None:
    assert escape(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a/b", "a_b"),
        ("a\\b", "a_b"),
        ("a\0\x1b\x7f\x9fb", "a____b"),
        ('"*<>?|', "______"),
        ("\ud800", "_"),
        ("", "_"),
        (".", "_"),
        ("..", "_"),
        ("x~0123abcd", "x~0123abcd"),
        (".dcmrecv", "_dcmrecv"),
        (".dcmrecv-host-1.tmp", "_dcmrecv-host-1.tmp"),
        ("x" * 256, "x" * 246),
        ("ä" * 128, "ä" * 123),
    ],
    ids=ascii,
)
def test_unfit_names_are_cleaned_and_marked(text: str, kept: str) -> None:
    name = escape(text)
    assert ESCAPED.search(name)
    assert name[:-9] == kept


def test_only_portable_characters_are_kept_where_asked() -> None:
    assert escape("CT.1 :@_-2", portable=True) == "CT.1 :@_-2"
    assert escape("50%$ä~", portable=True)[:-9] == "50____"


@settings(deadline=None, max_examples=300)
@given(TEXTS, st.booleans())
@example("", False)
def test_any_text_becomes_one_component(text: str, portable: bool) -> None:
    name = escape(text, portable=portable)
    assert 0 < len(name.encode()) <= 255
    assert name not in (".", "..")
    assert not re.search(r"[/\0]", name)
    assert not name.startswith(".dcmrecv")
    assert escape(name) == name, "what is escaped already stays"


@settings(deadline=None, max_examples=300)
@given(TEXTS, TEXTS, st.sampled_from(["", ".dcm"]))
@example("a/b", "a_b", "")
@example("a/b", "a_b" + escape("a/b")[3:], "")
@example("x" * 256, "x" * 257, "")
def test_distinct_texts_stay_distinct(first: str, second: str, extension: str) -> None:
    if first != second:
        assert escape(first, extension) != escape(second, extension)


def test_the_extension_stays_at_the_end() -> None:
    assert escape("a", ".dcm") == "a.dcm"
    assert re.fullmatch(r"a_b~[0-9a-f]{8}\.dcm", escape("a/b", ".dcm"))
    assert escape(escape("a/b"), ".dcm") == escape("a/b", ".dcm")
    assert escape("a", "/x*~e$") == "a_x__e_"
    assert escape("ä", ".ä") == "ä._"


def test_an_extension_leaves_room_for_a_name() -> None:
    assert len(escape("ä" * 200, "." * 242).encode()) <= 255
    with pytest.raises(ValueError, match="242 characters at most, not 243"):
        escape("a", "." * 243)


@pytest.mark.parametrize("length", [251, 252, 300])
def test_with_its_extension_too_a_name_has_255_bytes(length: int) -> None:
    for text in ("x" * length, escape("/" * length)):
        name = escape(text, ".dcm")
        assert len(name) == 255
        assert name.endswith(".dcm")


@pytest.mark.parametrize(
    ("subdir", "parts"),
    [
        ("", ()),
        (".", ()),
        ("a//b/./c", ("a", "b", "c")),
        ("a/b/", ("a", "b")),
        ("./a", ("a",)),
        ("...", ("...",)),
        ("a b/ü", ("a b", "ü")),
    ],
)
def test_odd_directories_have_plain_components(subdir: str, parts: tuple[str, ...]) -> None:
    assert escaped_path(subdir, "x") == (parts, "x")


def test_one_escaped_level_is_not_escaped_again() -> None:
    assert escaped_path(escape("P/1"), "x") == ((escape("P/1"),), "x")
    assert escaped_path(escape_directory(["P/1", "a"]), "x") == ((escape("P/1"), "a"), "x")


@pytest.mark.parametrize("text", ["P1", "P/1", "..", "x" * 300])
def test_what_is_escaped_can_be_a_part_of_a_path(text: str) -> None:
    for part in (escape(text, ".dcm"), escape_directory([text])):
        assert str(Path("/data") / part) == str(Path("/data", part)) == f"/data/{part}"


def test_each_component_is_escaped() -> None:
    parts, name = escaped_path("a*/b\n/.dcmrecv", "c\\d", ".dcm")
    assert [part[:-9] for part in parts] == ["a_", "b_", "_dcmrecv"]
    assert name[:3] == "c_d" and name.endswith(".dcm")


@pytest.mark.parametrize("subdir", ["/", "/etc", "..", "a/../b", "a/..", "a\0"])
def test_what_leads_elsewhere_is_refused(subdir: str) -> None:
    with pytest.raises(HookFailure) as caught:
        escaped_path(subdir, "x", ".dcm")
    assert caught.value.status == 0x0110
    assert 0 < len(caught.value.comment) <= 64


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a:b", "a_b"),
        ("a. .", "a___"),
        ("Con", "_on"),
        ("nul .tar.gz", "_ul .tar.gz"),
        ("COM\u00b9", "_OM\u00b9"),
        ("CONOUT$", "_ONOUT$"),
        ("aux.", "aux_"),
    ],
    ids=ascii,
)
def test_names_that_windows_does_not_allow(text: str, kept: str) -> None:
    name = escape(text, windows=True)
    assert ESCAPED.search(name)
    assert name[:-9] == kept
    assert escape(text) == text


@pytest.mark.parametrize("text", ["CONSOLE", "COM10", "xCON", "a.CON", "c o m", "M\u00fcller^J\u00f6rg", ".hidden"])
def test_names_that_windows_allows(text: str) -> None:
    assert escape(text, windows=True) == text


def test_an_escaped_directory_is_not_escaped_again() -> None:
    directory = escape_directory(["a/b", "x", "x~0123abcd"], windows=True)
    assert escaped_path(directory, "x")[0] == tuple(directory.split("/"))
    assert re.fullmatch(r"a_b~[0-9a-f]{8}/x/x~0123abcd~[0-9a-f]{8}", directory)
    assert escape_directory([]) == ""
