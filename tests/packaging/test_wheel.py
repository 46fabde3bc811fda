"""What the distribution holds: exactly two top-level packages, typed, with their data, console scripts, a man page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from support.paths import ROOT

pytestmark = pytest.mark.timeout(300)
"""Two builds, each with a C compiler, on a busy machine."""


@pytest.fixture(scope="session")
def wheel(distributions: Path) -> zipfile.ZipFile:
    [path] = distributions.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="session")
def metadata(wheel: zipfile.ZipFile) -> Message:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


def test_installs_exactly_two_packages(wheel: zipfile.ZipFile) -> None:
    top = {name.split("/")[0] for name in wheel.namelist()}
    beside = {name for name in top if name.endswith((".dist-info", ".data"))}
    assert top - beside == {"dcmrecv_core", "dcmrecv_builtin"}
    assert len(beside) == 2


def test_holds_every_source_file_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    sources = {
        f"{package.name}/{path.relative_to(package)}"
        for package in (ROOT / "dcmrecv_core", ROOT / "plugins" / "dcmrecv_builtin")
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".pyx", ".so")
    }
    found = {name for name in wheel.namelist() if not re.match(r"[^/]+\.(?:dist-info|data)/", name)}
    assert {name for name in found if not name.endswith(".so")} == sources
    assert {"dcmrecv_core/py.typed", "dcmrecv_core/settings/uids.tsv"} <= sources


COMPILED = {"dcmrecv_core/dataset/regular_walk", "dcmrecv_core/proto/regular_requests"}


def compiled_parts(wheel: zipfile.ZipFile) -> set[str]:
    return {name.split(".")[0] for name in wheel.namelist() if name.endswith(".so")}


def test_holds_the_compiled_parts(wheel: zipfile.ZipFile) -> None:
    assert compiled_parts(wheel) == COMPILED


def test_builds_without_a_compiler(distributions: Path, wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    [sdist] = distributions.glob("*.tar.gz")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, sdist],
        check=True,
        env=os.environ | {"CC": "/bin/false"},
        timeout=280,
    )
    [path] = tmp_path.glob("*.whl")
    pure = zipfile.ZipFile(path)
    assert not compiled_parts(pure)
    assert set(pure.namelist()) == {name for name in wheel.namelist() if not name.endswith(".so")}


def test_brings_the_man_pages_and_no_other_data(wheel: zipfile.ZipFile) -> None:
    pages = {name.rpartition("/")[2]: name for name in wheel.namelist() if ".data/" in name}
    assert pages.keys() == {"dcmrecv.1", "dcmrecvctl.1"}
    for page, name in pages.items():
        assert name.endswith(f".data/data/share/man/man1/{page}")
        assert wheel.read(name) == (ROOT / "docs" / page).read_bytes()


def test_metadata(metadata: Message) -> None:
    assert metadata["Name"] == "dcmrecv"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    version: dict[str, str] = {}
    exec((ROOT / "dcmrecv_core" / "api" / "version.py").read_text(), version)
    assert metadata["Version"] == version["__version__"]


def test_runtime_dependencies_are_the_agreed_ones(metadata: Message) -> None:
    requirements = [each for each in metadata.get_all("Requires-Dist", []) if "; extra == " not in each]
    names = {requirement.split(">")[0].strip() for requirement in requirements}
    assert names == {"pynetdicom", "pydicom", "pluggy", "tomli-w", "importlib-metadata"}


def test_console_scripts(wheel: zipfile.ZipFile) -> None:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    lines = wheel.read(name).decode().splitlines()
    assert {"dcmrecv = dcmrecv_core.cli:main", "dcmrecvctl = dcmrecv_core.ctl.main:main"} <= set(lines)


def test_an_index_would_take_it(distributions: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *distributions.iterdir()],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
