"""docs/cookbook/: each recipe is short, passes mypy, ruff and its own tests, and says what happens when it fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.docs.blocks import DOCS, PAGES, Block, blocks_of
from support.paths import ROOT

MOST_LINES = 30
"""Of a plugin: imports count, empty lines and the line with the name of the file do not."""

INDEX = "cookbook/index.md"
RECIPES = [page for page in PAGES if page.startswith("cookbook/") and page != INDEX]
SURVIVE = ("bids", "bucket", "counters", "forward-by-rule", "pseudonyms", "quota", "study-archive")
"""The pages whose tests kill, restart and reload receivers."""

SECONDS = 400
"""For mypy, and for all tests of the pages, two at a time. On a machine of their own these need a tenth of it."""


def files_of(page: str) -> list[Block]:
    return [block for block in blocks_of(page) if block.language == "python"]


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the files of all pages."""
    directory = tmp_path_factory.mktemp("cookbook")
    for page in RECIPES:
        for block in files_of(page):
            (directory / block.file).write_text(block.text)
    (directory / "conftest.py").write_text('pytest_plugins = ["dcmrecv_core.testing"]\n')
    return directory


def run(directory: Path, *command: object) -> str:
    """What a module of Python says; it has to end with 0."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=directory,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("page", RECIPES)
def test_a_page_is_a_plugin_and_its_test(page: str) -> None:
    plugin, test = files_of(page)
    assert test.file == f"test_{plugin.file}"
    lines = [line for line in plugin.text.splitlines()[1:] if line.strip()]
    assert len(lines) <= MOST_LINES, "the framework lacks something, or the recipe wants too much"
    assert "@hookimpl" in plugin.text and test.is_test


@pytest.mark.parametrize("page", RECIPES)
def test_a_page_says_what_it_is_for_and_when_it_fails(page: str) -> None:
    title, first = re.match(r"# (.+)\n\n(\S.+)\n", PAGES[page]).groups()  # type: ignore[union-attr]
    assert first.startswith("This recipe ")
    assert re.findall(r"(?m)^## (.+)$", PAGES[page]) == ["When it fails", "Limits"]
    assert f"[{title}]({page.removeprefix('cookbook/')})" in PAGES[INDEX]


def test_the_seven_are_tried_by_the_kit() -> None:
    assert all("check_survives(" in files_of(f"cookbook/{name}.md")[1].text for name in SURVIVE)


@pytest.mark.timeout(SECONDS + 30)
def test_types(recipes: Path) -> None:
    """Of plugins and tests; moto, a large library, is only the server of one test."""
    (recipes / "mypy.ini").write_text("[mypy]\nstrict = true\n[mypy-moto.*]\nfollow_imports = skip\n")
    run(recipes, "mypy", "--cache-dir", recipes / ".mypy_cache", ".")


def test_rules_and_format(recipes: Path) -> None:
    """As the rest of the repository: what stands there is what a reader gets from his own ruff."""
    rules = [f"--config={ROOT / 'pyproject.toml'}", "--no-cache"]
    run(recipes, "ruff", "check", *rules, "--config=src = ['.']", ".")
    run(recipes, "ruff", "format", "--check", *rules, ".")


@pytest.mark.timeout(SECONDS + 30)
def test_the_tests_pass(recipes: Path) -> None:
    tests = sum(block.text.count("\ndef test_") for page in RECIPES for block in files_of(page))
    options = ("-q", "-W", "error", "-p", "no:cacheprovider", "-n", 2, "--dist", "worksteal")
    assert f"{tests} passed" in run(recipes, "pytest", *options)


def test_the_pages_are_linked() -> None:
    for place in (DOCS / "index.md", DOCS / "hooks.md", ROOT / "README.md"):
        assert "cookbook/index.md" in place.read_text(), place
