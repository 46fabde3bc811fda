"""`--new-plugin`: the package of a new plugin, which installs and passes its own tests as it is.

The files are templates in `templates/plugin/`, with `$name` and the like where the plugin's names go.
"""

from __future__ import annotations

import json
import re
import shlex
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

_FILES = {
    "pyproject.toml": "pyproject.toml.in",
    "README.md": "README.md.in",
    ".gitignore": "gitignore.in",
    ".github/workflows/tests.yml": "tests.yml.in",
    "src/$package/__init__.py": "plugin.py.in",
    "src/$package/py.typed": "py.typed.in",
    "tests/conftest.py": "conftest.py.in",
    "tests/test_$package.py": "test_plugin.py.in",
}

_PREFIX = "dcmrecv-"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST_NAME = 50
_TAKEN = ("builtin", "core")
"""Their packages are the receiver's own."""


def create(name: str, directory: str | None = None) -> str:
    """Write the package `dcmrecv-NAME` of a plugin called `name` into `directory` (default: one of that name, here).

    Returns the text for the user. Raises CommandLineError for a name that does not fit, and for a directory that exists
    or cannot be made.
    """
    _check(name)
    distribution = _PREFIX + name
    target = Path(directory or distribution)
    package = distribution.replace("-", "_")
    names = {
        "name": name,
        "distribution": distribution,
        "package": package,
        "version": __version__,
        "source": shlex.quote(_source()),
    }
    templates = files("dcmrecv_core.hooks") / "templates" / "plugin"
    try:
        target.mkdir()
        for path, template in _FILES.items():
            file = target / Template(path).substitute(names)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(Template((templates / template).read_text("utf-8")).substitute(names), "utf-8")
    except FileExistsError as error:
        raise CommandLineError(f"--new-plugin: {target} exists already") from error
    except OSError as error:
        raise CommandLineError(f"--new-plugin: cannot write {error.filename}: {error.strerror}") from error
    return (
        f"{target}: a plugin that installs and passes its tests as it is\n"
        f"the line to change is marked in {target}/src/{package}/__init__.py\n"
        f"install it: pip install -e {target}\n"
        f"use it:     dcmrecv --plugin {name} 11112\n"
    )


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
