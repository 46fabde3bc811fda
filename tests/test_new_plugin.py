"""`--new-plugin`: the package installs and passes its own tests at once, and a receiver uses it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from dcmrecv_core import API_VERSION, cli, plugin_kit
from dcmrecv_core.errors import CommandLineError

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tests" / "e2e"))

from environment import make_environment  # noqa: E402


def test_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["--new-plugin", "my-site"]) == 0
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {
        "dcmrecv-my-site/.github/workflows/tests.yml",
        "dcmrecv-my-site/.gitignore",
        "dcmrecv-my-site/README.md",
        "dcmrecv-my-site/pyproject.toml",
        "dcmrecv-my-site/src/dcmrecv_my_site/__init__.py",
        "dcmrecv-my-site/tests/conftest.py",
        "dcmrecv-my-site/tests/test_dcmrecv_my_site.py",
    }
    assert "$" not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "dcmrecv --plugin my-site" in capsys.readouterr().out


def test_in_a_directory_of_another_name(tmp_path: Path) -> None:
    assert cli.main(["--new-plugin", "mysite", str(tmp_path / "here")]) == 0
    assert (tmp_path / "here" / "pyproject.toml").exists()


def test_nothing_that_exists_is_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--new-plugin", "mysite", str(tmp_path)]) == 1
    assert list(tmp_path.iterdir()) == []
    assert f"{tmp_path} exists already" in capsys.readouterr().err


def test_where_nothing_can_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--new-plugin", "mysite", str(tmp_path / "missing" / "here")]) == 1
    assert "No such file or directory" in capsys.readouterr().err


def test_one_directory_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--new-plugin", "mysite", "here", "there"]) == 1
    assert "Too many parameters" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "cannot name a plugin"),
        ("My-Site", "cannot name a plugin"),
        ("my_site", "cannot name a plugin"),
        ("1site", "cannot name a plugin"),
        ("my--site", "cannot name a plugin"),
        ("../site", "cannot name a plugin"),
        ("my site\n", "cannot name a plugin"),
        ("s" * 51, "at most 50"),
        ("dcmrecv-site", "leave out dcmrecv-"),
        ("short-unique", "the receiver's own"),
        ("builtin", "the receiver's own"),
    ],
)
def test_names_that_do_not_fit(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(CommandLineError, match=re.escape(reason)):
        plugin_kit.create(name, str(tmp_path / "here"))
    assert not (tmp_path / "here").exists()


def test_the_api_version_is_the_documented_one() -> None:
    history = (ROOT / "docs" / "plugins" / "api-version.md").read_text()
    assert re.findall(r"^\| (\d+)\.(\d+) \|", history, re.MULTILINE)[-1] == tuple(map(str, API_VERSION))


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables for commands as the tutorial has them: `python`, `pip` and `dcmrecv` of a fresh environment."""
    try:
        distribution("dcmrecv")
        requirements = []
    except PackageNotFoundError:
        requirements = [ROOT]
    home = make_environment(tmp_path_factory.mktemp("environment") / "venv", *requirements)
    scripts = home / "bin"
    pip = f'exec {sys.executable} -m pip --python {scripts / "python"} "$@"\n'
    main = "import sys; from dcmrecv_core.cli import main; sys.exit(main())"
    for name, command in (("pip", pip), ("dcmrecv", f'exec {scripts / "python"} -c "{main}" "$@"\n')):
        script = scripts / name
        if not script.exists():
            script.write_text(f"#!/bin/sh\n{command}")
            script.chmod(0o755)
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_QUIET": "1"}
    return {**os.environ, **offline, "PATH": f"{scripts}:{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}


def shell(command: str, directory: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["sh", "-ec", command], cwd=directory, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def transcript() -> list[tuple[str, list[str]]]:
    """Each command of the tutorial with the lines that it shows below."""
    text = (ROOT / "docs" / "plugin-kit.md").read_text()
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


@pytest.mark.timeout(180)
def test_the_tutorial(tmp_path: Path, environment: dict[str, str]) -> None:
    """Every command of docs/plugin-kit.md, in order, in one directory; every line it shows is in what was said."""
    steps = transcript()
    assert len(steps) >= 5
    for command, shown in steps:
        said = shell(command, tmp_path, environment)
        for line in shown:
            parts = [re.escape(part) for part in line.split("...")]
            assert re.search("^" + ".*".join(parts) + "$", said, re.MULTILINE), (
                f"{command}\n{line!r} is not in:\n{said}"
            )


def test_python_blocks_of_the_tutorial_are_tests_that_pass(tmp_path: Path, environment: dict[str, str]) -> None:
    text = (ROOT / "docs" / "plugin-kit.md").read_text()
    blocks = re.findall(r"^```python test\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert blocks
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["dcmrecv_core.testing"]\n')
    for number, block in enumerate(blocks):
        (tmp_path / f"test_block{number}.py").write_text(block)
    said = shell("python -m pytest -q -W error", tmp_path, environment)
    assert f"{sum(block.count('def test_') for block in blocks)} passed" in said
