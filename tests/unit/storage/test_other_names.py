"""Names for an instance whose own name is taken."""

from __future__ import annotations

import hashlib
import os

import pytest

from dcmrecv_core.storage.other_names import marked, numbered

UID = b"1.2.3"
DIGEST = hashlib.sha256(UID).hexdigest()


@pytest.mark.parametrize(
    ("name", "extension", "expected"),
    [
        ("a.dcm", "", "a~2.dcm"),
        ("CT.1.2.3", "", "CT.1.2.3~2"),
        ("CT.1.2.3.ima", ".ima", "CT.1.2.3~2.ima"),
        ("CT.1.2dcm", "dcm", "CT.1.2~2dcm"),
        ("a.9", ".9", "a~2.9"),
        ("a.b.dcm", ".x", "a.b~2.dcm"),
        (".dcm", "", ".dcm~2"),
    ],
)
def test_what_is_added_stands_before_the_extension(name: str, extension: str, expected: str) -> None:
    assert numbered(name, 2, extension) == expected
    assert next(marked(name, UID, extension)) == expected.replace("~2", f"~{DIGEST[:8]}")


def test_numbered_names_fit() -> None:
    names = {numbered(f"{'x' * 251}.dcm", number) for number in range(2, 20)}
    assert {len(name) for name in names} == {255}
    assert len(names) == 18


def test_marks_are_the_digits_of_the_uid_one_part_after_the_other() -> None:
    assert list(marked("a.dcm", UID)) == [f"a~{DIGEST[start : start + 8]}.dcm" for start in range(0, 64, 8)]


@pytest.mark.parametrize("text", ["x" * 251, "ü" * 125 + "x", "\udcff" * 251], ids=["ASCII", "UTF-8", "not UTF-8"])
def test_marked_names_fit_and_stay_different(text: str) -> None:
    """What is cut away is told apart by a hash of its own."""
    others = [f"{text}.dcm", f"{text[:-1]}y.dcm"]
    names = [name for other in others for name in marked(other, UID)]
    assert all(250 < len(os.fsencode(name)) <= 255 for name in names)
    assert all(name.endswith(".dcm") for name in names)
    assert len(set(names)) == 16
