"""docs/architecture.md and the maps in the packages' docstrings name existing files."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from support.paths import ROOT

CORE = ROOT / "dcmrecv_core"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = sorted(path.parent for path in CORE.rglob("__init__.py"))
ROOMS = [package for package in PACKAGES if package.parent == CORE]


def name_of(package: Path) -> str:
    return str(package.relative_to(ROOT))


def map_of(package: Path) -> str:
    """Its docstring, without the theory of operation that may follow."""
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text()), clean=False) or ""
    return text.partition("\n\nTheory of operation\n")[0]


@pytest.mark.parametrize("package", [package for package in PACKAGES if package != CORE], ids=name_of)
def test_the_map_of_a_room_has_its_modules_and_no_others(package: Path) -> None:
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    entries = set(re.findall(r"^ {2,}([\w/]+) {2,}\S", map_of(package), re.MULTILINE))
    assert entries == modules | folders


def test_the_map_of_the_whole_has_each_room_and_module() -> None:
    modules = {path.name for path in CORE.glob("*.py")} - {"__init__.py", "__main__.py"}
    missing = {name for name in {f"{room.name}/" for room in ROOMS} | modules if name not in map_of(CORE)}
    assert missing == set()


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_page_has_a_paragraph_for_each_room() -> None:
    assert set(re.findall(r"^\*\*`(\w+)/`\*\*", section("The rooms"), re.MULTILINE)) == {room.name for room in ROOMS}


def test_modules_that_the_paragraph_of_a_room_names_exist() -> None:
    for room, text in re.findall(r"^\*\*`(\w+)/`\*\*((?:.|\n(?!\n))*)", section("The rooms"), re.MULTILINE):
        for name in re.findall(r"`([\w/]+\.py)`", text):
            found = [*(CORE / room).rglob(name), *CORE.glob(name)]
            assert found, (room, name)


def test_paths_that_the_page_names_exist() -> None:
    for path in re.findall(r"`([\w-]+/[\w/.-]*)`", PAGE):
        places = (CORE / path, CORE / "net" / path, CORE / "config" / path, CORE / "hooks" / path, ROOT / path)
        assert any(place.exists() for place in places) or path.startswith(".dcmrecv"), path


@pytest.mark.parametrize("diagram", sorted((ROOT / "docs" / "diagrams").glob("*.svg")), ids=lambda path: path.stem)
def test_files_in_the_diagrams_exist(diagram: Path) -> None:
    names = re.findall(r"([\w/]+\.py)\b", diagram.read_text())
    assert names
    for name in names:
        assert [path for path in CORE.rglob(name.rpartition("/")[2]) if path.as_posix().endswith(f"/{name}")], name
    assert f"(diagrams/{diagram.name})" in PAGE
