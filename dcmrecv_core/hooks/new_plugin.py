"""`--new-plugin`: the package of a new plugin, which installs and passes its own tests as it is.

The files are in `templates/`, with `$name` and the like where the plugin's names go: those of every package in
`package/`, the plugin, its tests and its part of the README in a folder for each kind.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import distribution as distribution_of
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from urllib.parse import unquote, urlsplit

from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.api.version import __version__
from dcmrecv_core.hooks.loader import entry_origin, entry_points

TEMPLATES = {
    "naming": "The layout of $name: directories and names of files",
    "deliver": "Delivery of stored instances to $name",
    "write": "Storing of instances in $name",
    "serve": "DIMSE services of $name beside storage",
}
"""What `--template` may say, with the description of the package."""

_FILES = {
    "pyproject.toml": "package/pyproject.toml.in",
    "README.md": "package/README.md.in",
    "CHANGELOG.md": "package/CHANGELOG.md.in",
    "LICENSE": "package/LICENSE.in",
    ".gitignore": "package/gitignore.in",
    ".github/workflows/tests.yml": "package/tests.yml.in",
    ".github/workflows/publish.yml": "package/publish.yml.in",
    "src/$package/__init__.py": "$template/plugin.py.in",
    "src/$package/py.typed": "package/py.typed.in",
    "tests/conftest.py": "package/conftest.py.in",
    "tests/test_$package.py": "$template/test_plugin.py.in",
}

_TEMPLATES = files("dcmrecv_core.hooks") / "templates"

_PREFIX = "dcmrecv-"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME = 50
_TAKEN = ("builtin", "core")
"""Their packages are the receiver's own."""


def create(name: str, directory: str | None = None, template: str = "naming") -> str:
    """Write the package `dcmrecv-NAME` of a plugin called `name` into `directory` (default: one of that name, here).

    `template` is one of `TEMPLATES`. Returns the text for the user. Raises CommandLineError for a name that does not
    fit, and for a directory that exists or cannot be made.
    """
    _check(name)
    distribution = _PREFIX + name
    target = Path(directory or distribution)
    package = distribution.replace("-", "_")
    names = {
        "name": name,
        "key": name.replace("-", "_"),
        "distribution": distribution,
        "package": package,
        "template": template,
        "description": Template(TEMPLATES[template]).substitute(name=name),
        "version": __version__,
        "below": _next_incompatible(__version__),
        "source": shlex.quote(_source()),
    }
    target_option = "" if template == "naming" else f"--{name}-to DIRECTORY "
    names["about"] = _filled(f"{template}/README.md.in", names)
    try:
        target.mkdir()
        for path, source in _FILES.items():
            file = target / Template(path).substitute(names)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_filled(Template(source).substitute(names), names), "utf-8")
    except FileExistsError as error:
        raise CommandLineError(f"--new-plugin: {target} exists already") from error
    except OSError as error:
        raise CommandLineError(f"--new-plugin: cannot write {error.filename}: {error.strerror}") from error
    return (
        f"{target}: a plugin that installs and passes its tests as it is\n"
        f"the lines to change are marked in {target}/src/{package}/__init__.py\n"
        f"install it: pip install -e {target}\n"
        f"use it:     dcmrecv --plugin {name} {target_option}11112\n"
    )


def _filled(template: str, names: Mapping[str, str]) -> str:
    """The text of a template, with these names in it."""
    return Template((_TEMPLATES / template).read_text("utf-8")).substitute(names)


def _next_incompatible(version: str) -> str:
    """The first version that may have another interface (docs/plugins/api-version.md)."""
    return str(int(version.partition(".")[0]) + 1)


def _source() -> str:
    """Where pip can install dcmrecv from, as this one was, if it came from a directory or a file (PEP 610)."""
    try:
        written = distribution_of("dcmrecv").read_text("direct_url.json")
    except PackageNotFoundError:
        written = None
    url = urlsplit(json.loads(written)["url"]) if written else None
    return unquote(url.path) if url and url.scheme == "file" else "path/to/dcmrecv"


def _check(name: str) -> None:
    if name.startswith(_PREFIX):
        raise CommandLineError(f"--new-plugin: leave out {_PREFIX}, the package will be called {name}")
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        raise CommandLineError(
            f"--new-plugin: {name!r} cannot name a plugin: small letters, digits and single hyphens, a letter first, "
            f"at most {_LONGEST_NAME}"
        )
    if name in _TAKEN or find_spec(f"dcmrecv_builtin.{name.replace('-', '_')}"):
        raise CommandLineError(f"--new-plugin: {name} is reserved by dcmrecv")
    installed = next((entry for entry in entry_points() if entry.name == name), None)
    if installed is not None:
        raise CommandLineError(f"--new-plugin: {name} is installed already: {entry_origin(installed)}")
