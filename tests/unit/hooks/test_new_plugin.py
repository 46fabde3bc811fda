"""`--new-plugin`: what it writes and refuses. tests/packaging installs and uses it, and so does the tutorial."""

from __future__ import annotations

import os
import re
import runpy
import stat
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from importlib_metadata import EntryPoint

from dcmrecv_core import API_VERSION, cli
from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.config.options.table import BY_NAME
from dcmrecv_core.hooks import new_plugin as plugin_kit
from dcmrecv_core.testing import fake_event, fake_instance, sample_dataset
from support.paths import ROOT


@pytest.mark.parametrize("template", plugin_kit.TEMPLATES)
def test_the_files(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["--new-plugin", "my-site", "--template", template]) == 0
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {
        "dcmrecv-my-site/.github/workflows/publish.yml",
        "dcmrecv-my-site/.github/workflows/tests.yml",
        "dcmrecv-my-site/.gitignore",
        "dcmrecv-my-site/CHANGELOG.md",
        "dcmrecv-my-site/LICENSE",
        "dcmrecv-my-site/README.md",
        "dcmrecv-my-site/pyproject.toml",
        "dcmrecv-my-site/src/dcmrecv_my_site/__init__.py",
        "dcmrecv-my-site/src/dcmrecv_my_site/py.typed",
        "dcmrecv-my-site/tests/conftest.py",
        "dcmrecv-my-site/tests/test_dcmrecv_my_site.py",
    }
    texts = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert all(found.startswith(("${{ ", "${GITHUB_REF_NAME#v}")) for found in re.findall(r"\$.*", texts)), "workflows"
    use = "dcmrecv --plugin my-site 11112" if template == "naming" else "--plugin my-site --my-site-to DIRECTORY 11112"
    assert use in capsys.readouterr().out


def test_naming_is_the_default(tmp_path: Path) -> None:
    plugin_kit.create("site", str(tmp_path / "default"))
    plugin_kit.create("site", str(tmp_path / "naming"), "naming")
    for path in (tmp_path / "naming").rglob("*.py"):
        assert (tmp_path / "default" / path.relative_to(tmp_path / "naming")).read_text() == path.read_text()


def test_all_templates_can_be_chosen() -> None:
    [value] = BY_NAME["--template"].values
    assert value.choices == tuple(plugin_kit.TEMPLATES)
    folders = {path.name for path in (ROOT / "dcmrecv_core" / "hooks" / "templates").iterdir()}
    assert folders == {"package", *plugin_kit.TEMPLATES}


@pytest.mark.parametrize(
    ("version", "dependency"),
    [("1.0.0", "dcmrecv>=1.0.0,<2"), ("1.4.0", "dcmrecv>=1.4.0,<2"), ("12.0.1", "dcmrecv>=12.0.1,<13")],
)
def test_it_needs_a_receiver_with_the_same_interface(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, dependency: str
) -> None:
    monkeypatch.setattr(plugin_kit, "__version__", version)
    plugin_kit.create("my-site", str(tmp_path / "here"))
    project = tomllib.loads((tmp_path / "here" / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == [dependency]


def workflow(package: Path, name: str) -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load((package / ".github" / "workflows" / f"{name}.yml").read_text())
    return loaded


def test_it_is_tested_with_each_python_and_the_oldest_receiver(tmp_path: Path) -> None:
    plugin_kit.create("my-site", str(tmp_path / "here"))
    project = tomllib.loads((tmp_path / "here" / "pyproject.toml").read_text())["project"]
    matrix = workflow(tmp_path / "here", "tests")["jobs"]["tests"]["strategy"]["matrix"]
    said = [kind.rpartition(" :: ")[2] for kind in project["classifiers"] if "Python :: 3." in kind]
    assert matrix["python"] == said == ["3.11", "3.12", "3.13", "3.14"]
    assert project["requires-python"] == f">={said[0]}"
    [oldest] = matrix["include"]
    [dependency] = project["dependencies"]
    assert oldest == {"python": said[0], "dcmrecv": dependency.split(",")[0].replace(">=", "==")}


def test_it_publishes_without_a_token(tmp_path: Path) -> None:
    plugin_kit.create("my-site", str(tmp_path / "here"))
    publish = workflow(tmp_path / "here", "publish")
    assert publish[True] == {"release": {"types": ["published"]}}, "YAML reads `on` as true"
    build, upload = publish["jobs"]["build"], publish["jobs"]["publish"]
    assert (publish["permissions"], build["permissions"]) == ({}, {"contents": "read"})
    assert upload["permissions"] == {"id-token": "write"}
    assert upload["environment"]["name"] == "pypi"
    assert upload["needs"] == "build"
    assert upload["steps"][-1] == {"uses": "pypa/gh-action-pypi-publish@release/v1", "with": {"attestations": True}}
    assert "secrets" not in str(publish)


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


@pytest.mark.parametrize("template", ["deliver", "write"])
def test_a_power_cut_takes_no_name(template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is flushed after the file has its name in it."""
    plugin_kit.create("site", str(tmp_path / "package"), template)
    module = runpy.run_path(str(tmp_path / "package" / "src" / "dcmrecv_site" / "__init__.py"))
    plugin, target = module["plugin"], tmp_path / "target"
    target.mkdir()
    plugin.configure(SimpleNamespace(options={module["KEY"]: target}))
    flushed: list[list[str]] = []

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            flushed.append(sorted(os.listdir(descriptor)))

    monkeypatch.setattr(os, "fsync", fsync)
    if template == "deliver":
        plugin.deliver(fake_event(sample_dataset(SOPInstanceUID="1.2.3")))
    else:
        plugin.write(fake_instance(sample_dataset(SOPInstanceUID="1.2.3")), "x")
    assert flushed == [["1.2.3.dcm" if template == "deliver" else "1.2.3.dcm.gz"]]


def test_names_of_installed_plugins_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint(name="site", value="site_plugin", group="dcmrecv")
    monkeypatch.setattr(plugin_kit, "entry_points", lambda: [entry])
    with pytest.raises(CommandLineError, match=r"^--new-plugin: site is installed already: entry point$"):
        plugin_kit.create("site", str(tmp_path / "here"))


def test_the_api_version_is_the_documented_one() -> None:
    history = (ROOT / "docs" / "plugins" / "api-version.md").read_text()
    assert re.findall(r"^\| (\d+)\.(\d+) \|", history, re.MULTILINE)[-1] == tuple(map(str, API_VERSION))
