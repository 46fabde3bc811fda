"""What in a plugins directory is a plugin, and who may write to it."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.hooks.plugins import load_directories, load_named
from dcmrecv_core.hooks.plugins_dir import paths_in

HOOK = "from dcmrecv_core import hookimpl\n@hookimpl\ndef choose_filename(instance): return 'x'\n"

pytestmark = pytest.mark.usefixtures("modules_as_before")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "plugins"
    made.mkdir(0o755)
    return made


def write(path: Path, text: str = HOOK) -> Path:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return path


def names(*directories: Path) -> list[str]:
    return [each.found.name for each in load_directories(map(str, directories)).registered]


def refusal(directory: Path) -> str:
    with pytest.raises(PluginError) as caught:
        names(directory)
    return str(caught.value)


def test_files_and_packages_in_the_order_of_their_names(directory: Path) -> None:
    for name in ("20_b.py", "10-a.py", "site/__init__.py", "zoo.py"):
        write(directory / name)
    left_out = (
        "_helper.py",
        ".zoo.py",
        ".git/__init__.py",
        "notes.txt",
        "data/x.py",
        "zoo.py~",
        "lost+found/__init__.py",
    )
    for name in left_out:
        write(directory / name, "raise RuntimeError\n")
    assert names(directory) == ["10-a", "20_b", "site", "zoo"]


def test_several_directories_and_what_is_named(directory: Path, tmp_path: Path) -> None:
    """The one that was loaded last is asked first."""
    for name in ("plugins/b.py", "more/a.py", "named.py"):
        write(tmp_path / name)
    plugins = load_named([str(tmp_path / "named.py")], load_directories([str(directory), str(tmp_path / "more")]))
    assert plugins.order("choose_filename") == ("named", "a", "b")


def test_a_package_imports_its_own_modules(directory: Path) -> None:
    write(directory / "site" / "names.py", "NAME = 'chosen'\n")
    write(directory / "site" / "__init__.py", "from .names import NAME\n" + HOOK.replace("'x'", "NAME"))
    [plugin] = load_directories([str(directory)]).registered
    assert plugin.found.plugin.choose_filename(SimpleNamespace()) == "chosen"  # type: ignore[attr-defined]
    assert (plugin.found.origin, plugin.found.directory) == (str(directory / "site"), str(directory))


@pytest.mark.parametrize("text", ["", "from dcmrecv_core import hookimpl\n"], ids=["empty", "beginning"])
def test_a_file_of_which_only_the_beginning_is_there(directory: Path, text: str) -> None:
    """As a full disk or a copy that was cut leaves it; the plugin may be the one that refuses instances."""
    write(directory / "other.py")
    path = write(directory / "gate.py", text)
    assert refusal(directory).startswith(f"plugin {path}: has no hook; is it whole?")


REFUSED = {
    "syntax": ("x = 1\ndef\n", r"plugin {0}: cannot be loaded: SyntaxError: .* \({0}:2\)"),
    "import": ("import os\nimport nowhere_at_all\n", r"plugin {0}: cannot be loaded: ModuleNotFoundError: .*\({0}:2\)"),
    "not marked": ("def receive(instance): pass\n", "plugin broken: receive is named like a hook but not marked"),
    "misspelt": (HOOK.replace("choose_filename", "recieve"), "plugin broken: recieve: .*did you mean receive"),
}


@pytest.mark.parametrize(("source", "text"), REFUSED.values(), ids=REFUSED)
def test_refused(directory: Path, source: str, text: str) -> None:
    path = write(directory / "broken.py", source)
    assert re.match(text.format(re.escape(str(path))), refusal(directory))


def test_no_directory(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == f"plugins directory {tmp_path}/none cannot be read: No such file or directory"
    with pytest.raises(PluginError, match="null byte"):
        paths_in("a\0b")


def test_loaded_twice(directory: Path) -> None:
    path = write(directory / "site.py")
    with pytest.raises(PluginError, match="is loaded twice"):
        load_named([str(path)], load_directories([str(directory)]))


PLACES = ("plugins", "plugins/site.py", "plugins/package", "plugins/package/__init__.py", "plugins/package/part.py")


@pytest.mark.parametrize("place", PLACES)
def test_who_can_write_there(directory: Path, tmp_path: Path, place: str) -> None:
    for name in ("site.py", "package/__init__.py", "package/part.py"):
        write(directory / name)
    path = tmp_path / place
    path.chmod(path.stat().st_mode | 0o020)
    remarks = load_directories([str(directory)]).remarks
    assert remarks == [f"the group of {path} can write to it, and so run code as the receiver: chmod g-w"]
    path.chmod(path.stat().st_mode | 0o002)
    expected = f"plugin {path}: anyone can write to it, and so run code as the receiver: chmod o-w"
    assert refusal(directory) == expected


@pytest.mark.parametrize("writable", ["real", "real/site.py"])
def test_who_can_write_to_what_a_link_points_to(directory: Path, tmp_path: Path, writable: str) -> None:
    write(tmp_path / "real" / "site.py")
    (directory / "site.py").symlink_to(tmp_path / "real" / "site.py")
    assert names(directory) == ["site"]
    (tmp_path / writable).chmod(0o777)
    assert refusal(directory).startswith(f"plugin {tmp_path / writable}: anyone can write to it")


@pytest.mark.parametrize("writable", ["far", "far/part.py", "far/sub", "far/sub/deep.py", "on-the-way"])
def test_who_can_write_to_what_a_link_in_a_package_points_to(directory: Path, tmp_path: Path, writable: str) -> None:
    for name in ("plugins/package/__init__.py", "far/part.py", "far/sub/__init__.py", "far/sub/deep.py"):
        write(tmp_path / name)
    (tmp_path / "on-the-way").mkdir(0o755)
    (tmp_path / "on-the-way" / "sub").symlink_to(tmp_path / "far" / "sub")
    (tmp_path / "far" / "sub" / "around").symlink_to(tmp_path / "far" / "sub")
    (directory / "package" / "part.py").symlink_to(tmp_path / "far" / "part.py")
    (directory / "package" / "sub").symlink_to(tmp_path / "on-the-way" / "sub")
    assert names(directory) == ["package"]
    (tmp_path / writable).chmod(0o777)
    assert refusal(directory).startswith(f"plugin {tmp_path / writable}: anyone can write to it")


def test_another_user_owns_it(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says it, of however many files."""
    for name in ("package/__init__.py", "package/part.py", "site.py"):
        write(directory / name)
    owner = os.getuid()
    if owner == 0:
        owner = 1
        for path in (directory, *directory.rglob("*")):
            os.chown(path, owner, 0)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    expected = f"belongs to user {owner}, who can so run code as the receiver: chown -R root"
    assert load_directories([str(directory)]).remarks == [f"{directory} {expected}"]


def test_a_link_that_leads_nowhere_is_not_left_out(directory: Path) -> None:
    """The plugin that it was may be the one that refuses instances."""
    write(directory / "site.py")
    for name in ("gate.py", "package"):
        link = directory / name
        link.symlink_to("nowhere")
        assert refusal(directory) == f"plugin {link}: cannot be read: No such file or directory"
        link.unlink()


@pytest.mark.parametrize("place", ["plugins", "plugins/package"])
def test_what_cannot_be_searched_is_not_left_out(directory: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root no mode keeps anyone out: what the system says to others is planted."""
    write(directory / "package" / "__init__.py")
    at = directory.parent / place
    for name in ("stat", "listdir"):
        real = getattr(os, name)

        def refusing(path: str, real: object = real, **options: object) -> object:
            if str(path).startswith(f"{at}/") or (at.name == "package" and str(path) == str(at)):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return real(path, **options)  # type: ignore[operator]

        monkeypatch.setattr(os, name, refusing)
    with pytest.raises(PluginError, match="package: cannot be read: Permission denied"):
        paths_in(str(directory))


def test_what_goes_while_the_directory_is_read(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As editors' files do."""
    write(directory / "site.py")
    listed = os.listdir(directory)
    monkeypatch.setattr(os, "listdir", lambda path: [*listed, "gone.py"])
    assert paths_in(str(directory)) == [str(directory / "site.py")]


def test_who_can_write_compiled_files(directory: Path) -> None:
    """Python runs them instead of their sources."""
    write(directory / "site.py")
    cached = write(directory / "__pycache__" / "site.cpython-311.pyc", "")
    cached.chmod(0o666)
    assert refusal(directory).startswith(f"plugin {cached}: anyone can write to it")


def test_nobody_can_write_to_a_read_only_file_system(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As configuration maps of Kubernetes are mounted, with mode 0777."""
    write(directory / "site.py")
    directory.chmod(0o777)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert names(directory) == ["site"]
