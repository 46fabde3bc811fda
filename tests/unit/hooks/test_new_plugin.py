"""`--new-plugin`: what it writes and refuses. tests/docs follows the tutorial, which installs and uses it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from importlib_metadata import EntryPoint

from dcmrecv_core import API_VERSION, cli
from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.hooks import new_plugin as plugin_kit
from support.paths import ROOT


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
        "dcmrecv-my-site/src/dcmrecv_my_site/py.typed",
        "dcmrecv-my-site/tests/conftest.py",
        "dcmrecv-my-site/tests/test_dcmrecv_my_site.py",
    }
    texts = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert set(re.findall(r"\$.*", texts)) == {'${{ vars.DCMRECV }}"'}, "a variable of the workflow"
    assert "dcmrecv --plugin my-site" in capsys.readouterr().out


def test_it_passes_the_strict_check_of_types(tmp_path: Path) -> None:
    plugin_kit.create("my-site", str(tmp_path / "here"))
    command = [sys.executable, "-m", "mypy", "--cache-dir", tmp_path / "cache"]
    done = subprocess.run(
        command,
        cwd=tmp_path / "here",
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"MYPYPATH": "src"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("written", "source"),
    [
        ('{"url": "file:///srv/dcm%20recv", "dir_info": {"editable": true}}', "'/srv/dcm recv'"),
        ('{"url": "https://example.org/dcmrecv.whl"}', "path/to/dcmrecv"),
        (None, "path/to/dcmrecv"),
    ],
)
def test_the_readme_says_where_the_receiver_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str | None, source: str
) -> None:
    monkeypatch.setattr(plugin_kit, "distribution_of", lambda name: SimpleNamespace(read_text=lambda file: written))
    plugin_kit.create("my-site", str(tmp_path / "here"))
    assert f"\npython -m pip install {source}\n" in (tmp_path / "here" / "README.md").read_text()


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
        ("short-unique", "is reserved by dcmrecv"),
        ("builtin", "is reserved by dcmrecv"),
    ],
)
def test_names_that_do_not_fit(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(CommandLineError, match=re.escape(reason)):
        plugin_kit.create(name, str(tmp_path / "here"))
    assert not (tmp_path / "here").exists()


def test_names_of_installed_plugins_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint(name="site", value="site_plugin", group="dcmrecv")
    monkeypatch.setattr(plugin_kit, "entry_points", lambda: [entry])
    with pytest.raises(CommandLineError, match=r"^--new-plugin: site is installed already: entry point$"):
        plugin_kit.create("site", str(tmp_path / "here"))


def test_the_api_version_is_the_documented_one() -> None:
    history = (ROOT / "docs" / "plugins" / "api-version.md").read_text()
    assert re.findall(r"^\| (\d+)\.(\d+) \|", history, re.MULTILINE)[-1] == tuple(map(str, API_VERSION))
