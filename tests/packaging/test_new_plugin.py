"""`--new-plugin`: each package installs, passes its own workflow, builds, and a receiver uses it.

In a new environment, with the wheel of dcmrecv: first as its README says while dcmrecv is on no index, then from an
index that has both. The commands are read from the workflow and the README of the package.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dcmrecv_core.testing.fakes import sample_dataset
from dcmrecv_core.testing.receivers import ReceiverProcess, until
from dcmrecv_core.testing.sending import send
from support.paths import ROOT
from support.programs.environment import make_environment

TEMPLATES = sorted(
    path.name for path in (ROOT / "dcmrecv_core" / "hooks" / "templates").iterdir() if path.name != "package"
)
LONGEST_NAME = "n" * 50
SECONDS = 170
pytestmark = pytest.mark.timeout(600)
"""The first test waits for the wheel, made with a C compiler; each command has a deadline of its own."""


class Environment:
    """A virtual environment that sees this one's packages, and commands that run in it without a network. `index` is
    the directory from which pip may take all else."""

    def __init__(self, directory: Path, index: Path) -> None:
        self.home = make_environment(directory / "venv")
        self._variables = {
            **os.environ,
            "VIRTUAL_ENV": str(self.home),
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": "",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(index),
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_QUIET": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "MYPY_CACHE_DIR": str(directory / "mypy-cache"),  # one for all templates
            "GITHUB_REF_NAME": "v0.1.0",
        }

    def run(self, command: str, directory: Path) -> str:
        done = subprocess.run(
            ["bash", "-ec", command],
            cwd=directory,
            env=self._variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    [path] = distributions.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """With dcmrecv from its wheel; there is nothing on the index."""
    directory = tmp_path_factory.mktemp("before")
    made = Environment(directory, directory)
    made.run(f"python -m pip install --ignore-installed --no-deps {wheel}", directory)
    return made


class Packages:
    """A package of each template, and what its workflows said, which run once."""

    def __init__(self, environment: Environment, directory: Path, wheel: Path) -> None:
        self._environment = environment
        self._directory = directory
        self._wheel = wheel
        self._said: dict[str, dict[str, str]] = {}
        for template in TEMPLATES:
            environment.run(f"dcmrecv --new-plugin my-{template} --template {template}", directory)

    def of(self, template: str) -> Path:
        return self._directory / f"dcmrecv-my-{template}"

    def commands(self, template: str) -> list[str]:
        """Those of both workflows, each once, with the wheel as the variable DCMRECV."""
        steps = [
            step.get("run", "")
            for name in ("tests", "publish")
            for job in workflow(self.of(template), name).values()
            for step in job["steps"]
        ]
        replaced = [re.sub(r"\$\{\{ vars\.DCMRECV \|\| .*? \}\}", str(self._wheel), step) for step in steps if step]
        assert not [command for command in replaced if "${{" in command]
        return list(dict.fromkeys(replaced))

    def said(self, template: str) -> dict[str, str]:
        """What each command of the workflows printed."""
        if template not in self._said:
            package = self.of(template)
            self._said[template] = {
                command: self._environment.run(command, package) for command in self.commands(template)
            }
        return self._said[template]


def workflow(package: Path, name: str) -> dict[str, Any]:
    """The jobs of a workflow."""
    jobs: dict[str, Any] = yaml.safe_load((package / ".github" / "workflows" / f"{name}.yml").read_text())["jobs"]
    return jobs


@pytest.fixture(scope="module")
def packages(environment: Environment, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Packages:
    return Packages(environment, tmp_path_factory.mktemp("packages"), wheel)


@pytest.mark.parametrize("template", TEMPLATES)
def test_its_workflows_pass(template: str, packages: Packages) -> None:
    said = packages.said(template)
    for part in ("ruff check", "ruff format --check", "mypy", "pytest", "build --no-isolation", "twine check --strict"):
        assert any(part in command for command in said), part
    assert re.search(r"^dcmrecv [0-9.]+, plugin interface [0-9.]+: .*\d passed", said["python -m pytest"], re.M | re.S)
    assert {path.name for path in (packages.of(template) / "dist").iterdir()} == {
        f"dcmrecv_my_{template}-0.1.0.tar.gz",
        f"dcmrecv_my_{template}-0.1.0-py3-none-any.whl",
    }


def readme_blocks(package: Path) -> list[list[str]]:
    """How to use it, to install it, to work on it: the commands of each."""
    text = (package / "README.md").read_text()
    return [block.splitlines() for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]


@pytest.mark.parametrize("template", TEMPLATES)
def test_its_readme_names_what_the_workflow_runs(template: str, packages: Packages, wheel: Path) -> None:
    _use, install, work = readme_blocks(packages.of(template))
    assert install == [f"python -m pip install {wheel}", "python -m pip install ."]
    assert work
    assert set(work) <= set(packages.commands(template))


@pytest.fixture(scope="module")
def published(packages: Packages, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A new environment, in which the packages were installed by name: dcmrecv and they are on the index."""
    directory = tmp_path_factory.mktemp("after")
    index = directory / "index"
    index.mkdir()
    (index / wheel.name).symlink_to(wheel)
    made = Environment(directory, index)
    for template in TEMPLATES:
        packages.said(template)
        [built] = (packages.of(template) / "dist").glob("*.whl")
        (index / built.name).symlink_to(built)
        [command] = re.findall(
            r"`(python -m pip install dcmrecv-.*)`", (packages.of(template) / "README.md").read_text()
        )
        made.run(command, directory)
    place = made.run("python -c 'import dcmrecv_core; print(dcmrecv_core.__file__)'", directory)
    assert Path(place).is_relative_to(made.home), "dcmrecv is from the index"
    return made


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_receiver_uses_it(template: str, published: Environment, packages: Packages, tmp_path: Path) -> None:
    [use], *_ = readme_blocks(packages.of(template))
    target = tmp_path / "target"
    target.mkdir()
    program, *words = shlex.split(use.replace("DIRECTORY", str(target)))
    assert (program, words.pop()) == ("dcmrecv", "11112")
    receiver = ReceiverProcess(tmp_path)
    receiver.run_until_ready(
        [published.home / "bin" / "dcmrecv", "-v", "-od", receiver.output, *words], {"PYTHONPATH": ""}
    )
    try:
        assert send(receiver.port, sample_dataset()) == [0]
        place = target if template in ("deliver", "write") else receiver.output
        until(lambda: [path for path in place.rglob("*") if path.is_file() and ".dcmrecv" not in path.parts], "a file")
        assert receiver.stop() == 0
    finally:
        receiver.kill()


def test_names_of_any_length_fit_into_lines(environment: Environment, tmp_path: Path) -> None:
    for template in TEMPLATES:
        environment.run(f"dcmrecv --new-plugin {LONGEST_NAME} {template} --template {template}", tmp_path)
        environment.run("python -m ruff check && python -m ruff format --check", tmp_path / template)
