"""Size rules of the code base: files, functions and rooms stay small enough to read."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from support.paths import ROOT

FILE_LINES = 600
FUNCTION_LINES = 60
ROOM_MODULES = 14

SOURCES = sorted(path for top in ("dcmrecv_core", "plugins", "tests") for path in (ROOT / top).rglob("*.py"))
ROOMS = sorted({path.parent for path in SOURCES if "tests" not in path.relative_to(ROOT).parts})


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_are_sources() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in SOURCES} == {"dcmrecv_core", "plugins", "tests"}


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_file_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    sizes = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    assert {name: size for name, size in sizes.items() if size > FUNCTION_LINES} == {}


@pytest.mark.parametrize("room", ROOMS, ids=ids)
def test_room_has_few_modules(room: Path) -> None:
    """Without the map that its `__init__.py` is."""
    assert len([path for path in room.glob("*.py") if path.stem != "__init__"]) <= ROOM_MODULES
