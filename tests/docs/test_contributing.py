"""CONTRIBUTING.md names environments, programs, files and kinds of change that exist."""

from __future__ import annotations

import configparser
import re
import tomllib

import pytest

from support.paths import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOX = configparser.ConfigParser(interpolation=None)
TOX.read_string((ROOT / "tox.ini").read_text())

PATHS = {
    path
    for path in re.findall(r"`((?:dcmrecv_core|plugins|tests|docs|changes|\.\w+)/[\w./+-]*)`", PAGE)
    if not re.search(r"[A-Z]{4}", path)
}
COMMANDS = {
    command.split()[0]
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    for command in line.split(" && ")
}


def test_environments_exist() -> None:
    named = set(re.findall(r"tox -e (\w+)", PAGE)) | set(re.findall(r"\[testenv:(\w+)\]", PAGE))
    assert named >= {"lint", "types", "layers", "tests", "generate"}
    assert {name for name in named if f"testenv:{name}" not in TOX} == set()


def test_scripts_of_environments_exist() -> None:
    commands = "\n".join(TOX[name].get("commands", "") for name in TOX.sections())
    scripts = re.findall(r"^python (\S+\.py)", commands, re.MULTILINE)
    assert scripts
    assert {script for script in scripts if not (ROOT / script).is_file()} == set()


def test_what_generates_pages_is_a_program() -> None:
    for script in re.findall(r"python (\S+\.py)", TOX["testenv:generate"]["commands"]):
        assert '\nif __name__ == "__main__":\n' in (ROOT / script).read_text(), script


def test_files_exist() -> None:
    assert len(PATHS) > 15
    assert {path for path in PATHS if not (ROOT / path).exists()} == set()


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", PAGE)
    assert {link for link in links if not (ROOT / link).is_file()} == set()


def test_commands_are_installed_by_the_first_one() -> None:
    assert f"--group {'dev'}" in PAGE
    group = PROJECT["dependency-groups"]["dev"]
    included = [each["include-group"] for each in group if isinstance(each, dict)]
    packages = [each for each in group if isinstance(each, str)]
    for name in included:
        packages += [each for each in PROJECT["dependency-groups"][name] if isinstance(each, str)]
    installed = {re.match(r"[\w-]+", package)[0] for package in packages}  # type: ignore[index]
    assert COMMANDS - {"python3", ".venv/bin/pip"} <= installed


def test_kinds_of_change_are_those_of_the_changelog() -> None:
    kinds = list(PROJECT["tool"]["towncrier"]["fragment"])
    for page in (PAGE, (ROOT / "changes" / "README.md").read_text()):
        [said] = re.findall(r"`KIND` is(?: one of)?\s((?:`\w+`[,\s or]*)+)", page)
        assert re.findall(r"`(\w+)`", said) == kinds


def test_changelog_has_the_line_below_which_releases_go() -> None:
    assert (ROOT / "CHANGELOG.md").read_text().count(PROJECT["tool"]["towncrier"]["start_string"]) == 1


@pytest.mark.parametrize("fragment", sorted(each.name for each in (ROOT / "changes").iterdir()))
def test_fragments_have_a_name_and_something_to_say(fragment: str) -> None:
    if fragment == "README.md":
        return
    kinds = "|".join(PROJECT["tool"]["towncrier"]["fragment"])
    assert re.fullmatch(rf"(\+[a-z0-9-]+|[0-9]+)\.({kinds})\.md", fragment)
    assert (ROOT / "changes" / fragment).read_text().strip()
