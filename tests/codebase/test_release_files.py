"""Workflows and the citation file name what is there, and give no more rights than a job needs."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from dcmrecv_core import API_VERSION, __version__
from dcmrecv_core.api.version import IMPLEMENTATION_VERSION_NAME
from support.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SIGN = {"provenance": {"attestations", "id-token"}, "publish": {"id-token"}, "pages": {"contents"}}
"""The jobs that may write something, and what."""


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(request.param.read_text("utf-8"))
    return read


def test_there_are_workflows() -> None:
    assert {path.stem for path in WORKFLOWS} == {"release", "tests"}


def test_jobs_have_the_rights_that_they_need(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        writes = {right for right, value in job.get("permissions", {}).items() if value == "write"}
        assert writes == SIGN.get(name, set()), name


def test_actions_have_a_version(workflow: dict[str, Any]) -> None:
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w.-]+/[\w.-]+@(?:v\d+|release/v\d+)", action)] == []


def test_environments_of_tox_exist(workflow: dict[str, Any]) -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    commands = "\n".join(step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"])
    for name in re.findall(r"tox -e (\S+)", commands):
        assert f"testenv:{name}" in tox.sections()
    for script in re.findall(r"^\.\S+", commands, re.MULTILINE):
        assert (ROOT / script).is_file()


def test_all_packages_are_published() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    built = re.findall(r"-m build(?: --outdir dist (\S+))?$", tox["testenv:release"]["commands"], re.MULTILINE)
    assert built == ["", *sorted(f"plugins/{path.name}" for path in (ROOT / "plugins").glob("dcmrecv-*"))]


def test_the_version_is_the_same_everywhere() -> None:
    assert f"DCMRECV_PY_{__version__.replace('.', '')}" == IMPLEMENTATION_VERSION_NAME
    chart = yaml.safe_load((ROOT / "docs" / "deploy" / "chart" / "Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == __version__


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").glob("*/pyproject.toml")), ids=lambda path: path.parent.name)
def test_a_package_needs_this_interface(path: Path) -> None:
    needed = [Requirement(each) for each in tomllib.loads(path.read_text("utf-8"))["project"]["dependencies"]]
    [dcmrecv] = [each for each in needed if each.name == "dcmrecv"]
    assert dcmrecv.specifier.contains(__version__)
    assert not dcmrecv.specifier.contains(str(API_VERSION[0] + 1)) and not dcmrecv.specifier.contains("0.1.0")


def test_citation() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == __version__
    assert citation["license"] == "MIT"
    assert {"cff-version", "message", "title", "authors", "type"} <= citation.keys()


def test_no_page_installs_an_extension_package_from_an_index() -> None:
    """Before they are published, such a name on an index may be somebody else's package."""
    extensions = {path.name for path in (ROOT / "plugins").glob("dcmrecv-*")}
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "plugins").glob("*/README.md")]
    lines = [(page.name, line) for page in pages for line in page.read_text("utf-8").splitlines()]
    assert any("pip install ./plugins/dcmrecv-" in line for _, line in lines)
    for page, line in lines:
        for words in re.findall(r"(?:pip|pipx|tool) install ([^`]*)", line):
            named = {word.strip("'\"").partition("[")[0] for word in words.split()}
            assert not named & extensions, (page, line)
        assert "pypi.org/project/dcmrecv-" not in line, (page, line)
