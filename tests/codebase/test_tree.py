"""The test tree mirrors the packages, and test modules import nothing from each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from support.paths import ROOT, TESTS

UNIT = TESTS / "unit"
PLUGINS = ROOT / "plugins"


def mirrored(folder: Path) -> Path:
    """The room whose modules a folder of tests/unit tests."""
    relative = folder.relative_to(UNIT)
    top, *below = relative.parts or ("",)
    return PLUGINS.joinpath("dcmrecv_builtin", *below) if top == "builtin" else ROOT / "dcmrecv_core" / relative


def test_unit_tests_are_named_after_modules() -> None:
    """`test_listener_ip_versions.py` tests `listener.py`, or the package `listener`, of the room that its folder
    mirrors."""
    paths = sorted(UNIT.rglob("test_*.py"))
    assert paths
    strange = []
    for path in paths:
        words = path.stem.split("_")[1:]
        names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
        modules = [module for name in names for module in (f"{name}.py", f"{name}/__init__.py")]
        if not any((mirrored(path.parent) / module).is_file() for module in modules):
            strange.append(str(path.relative_to(ROOT)))
    assert strange == []


def imported(path: Path) -> Iterator[str]:
    """Each part of each name that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            whole = getattr(node, "module", None) or ""
            for name in (whole, *(alias.name for alias in node.names)):
                yield from name.split(".")


def test_nothing_is_imported_from_a_test_module() -> None:
    paths = sorted(path for top in (TESTS, *PLUGINS.glob("*/tests")) for path in top.rglob("*.py"))
    importing = {
        str(path.relative_to(ROOT))
        for path in paths
        if any(part == "conftest" or part.startswith("test_") for part in imported(path))
    }
    assert importing == set()
