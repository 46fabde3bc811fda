"""Which modules are a plugin's code, and when its files count as changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dcmrecv_core.hooks.code import Watch, forget_modules, remember_modules
from dcmrecv_core.hooks.plugins import Plugins, load_directories, load_named

HOOK = "from dcmrecv_core import hookimpl\n@hookimpl\ndef choose_filename(instance): return 'x'\n"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modules_as_before: None) -> Path:
    """The working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def write(path: str, text: str = HOOK) -> Path:
    place = Path(path)
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    place.write_text(text)
    return place


def watch(plugins: Plugins, *directories: str) -> Watch:
    return Watch(lambda: [each.found for each in plugins.registered], directories)


def change(path: str, text: str = HOOK) -> None:
    """So that it differs by time, as file systems may count in steps."""
    before = Path(path).stat().st_mtime_ns if Path(path).exists() else 0
    status = write(path, text).stat()
    os.utime(path, ns=(status.st_atime_ns, max(status.st_mtime_ns, before + 1)))


def test_modules_of_a_package_are_loaded_again() -> None:
    write("site_package/__init__.py", "")
    write("site_package/names.py", "NAME = 1\n")
    write("site_package/naming.py", "from site_package import names\n" + HOOK)
    found = [each.found for each in load_named(["site_package.naming"]).registered]
    forgotten = forget_modules(found)
    assert set(forgotten) == {"site_package", "site_package.names", "site_package.naming"}
    assert not forgotten.keys() & sys.modules.keys()
    again = [each.found for each in load_named(["site_package.naming"]).registered]
    assert again[0].module is not found[0].module
    assert sys.modules["site_package.names"] is not forgotten["site_package.names"]
    remember_modules(again, forgotten)
    assert sys.modules["site_package.names"] is forgotten["site_package.names"]


OF_A_PACKAGE = {
    "plugin": lambda: change("site_package/naming.py"),
    "imported": lambda: change("site_package/names.py"),
    "not imported": lambda: change("site_package/deep/later.py"),
    "new": lambda: change("site_package/new.py"),
    "gone": lambda: os.remove("site_package/names.py"),
    "replaced": lambda: os.replace(write("site_package/names.py~", ""), "site_package/names.py"),
}


@pytest.mark.parametrize("edit", OF_A_PACKAGE.values(), ids=OF_A_PACKAGE)
def test_a_change_counts_when_it_is_over(edit: Callable[[], object]) -> None:
    for name in ("__init__", "names", "deep/__init__", "deep/later"):
        write(f"site_package/{name}.py", "")
    write("site_package/naming.py", "from site_package import names\n" + HOOK)
    watched = watch(load_named(["site_package.naming"]))
    assert watched.changed() == ""
    edit()
    assert watched.changed() == ""
    assert watched.differs().endswith(".py")
    assert watched.changed().endswith(".py")
    assert watched.changed() == watched.differs() == ""


def test_other_files_do_not_count() -> None:
    write("site_package/__init__.py")
    write("site_other.py", "")
    watched = watch(load_named(["site_package"]))
    others = ("notes.txt", "__pycache__/x.pyc", "received/x.py")
    for name in ("site_other.py", *(f"site_package/{other}" for other in others)):
        change(name, "1")
    assert [watched.changed(), watched.changed()] == ["", ""]


@pytest.mark.parametrize("spec", ["site_single", "site_single.py", "./site_single.py"])
def test_a_module_or_file(spec: str) -> None:
    write("site_single.py")
    watched = watch(load_named([spec]))
    change("site_single.py")
    assert watched.changed() == ""
    assert watched.changed().endswith("site_single.py")


@pytest.mark.parametrize(
    "edited", ["plugins/new.py", "plugins/site_a.py", "plugins/package/part.py", "plugins/p/__init__.py"]
)
def test_a_plugins_directory(edited: str) -> None:
    for name in ("site_a.py", "package/__init__.py", "package/part.py"):
        write(f"plugins/{name}")
    watched = watch(load_directories(["plugins"]), "plugins")
    change("plugins/_left_out.py")
    assert [watched.changed(), watched.changed()] == ["", ""]
    change(edited)
    assert [watched.changed() for _ in range(2)][1].endswith(edited)


def test_an_object_of_a_package() -> None:
    source = HOOK.replace("def choose_filename(instance)", "def choose_filename(self, instance)").splitlines()
    body = "\n".join(["class Naming:", *(f"    {line}" for line in source[1:])])
    write("site_object.py", f"{source[0]}\n{body}\nplugin = Naming()\n")
    watched = watch(load_named(["site_object"]))
    change("site_object.py")
    assert [watched.changed() for _ in range(2)][1].endswith("site_object.py")
