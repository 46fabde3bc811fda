"""What `--plugin` finds, and which plugins are refused before anything runs."""

from __future__ import annotations

import functools
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from dcmrecv_core import hookimpl
from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.hooks.loader import HOOKS, Found, builtin, check, entry_points, find
from dcmrecv_core.hooks.plugins import load_named
from support.plugins import hooks, load

HOOK = "from dcmrecv_core import hookimpl\n@hookimpl\ndef choose_filename(instance): return 'x'\n"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modules_as_before: None) -> Path:
    """The working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def write(path: str, text: str = HOOK) -> Path:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def install(distribution: str, *points: str) -> None:
    """A distribution as pip leaves it in a directory on sys.path."""
    place = Path.cwd() / "packages"
    info = place / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dcmrecv]\n" + "".join(f"{point}\n" for point in points))
    if str(place) not in sys.path:
        sys.path.append(str(place))


OBJECT = """\
from dcmrecv_core import hookimpl
class Naming:
    @hookimpl
    def choose_filename(self, instance): return 'x'
plugin = Naming()
"""


# Finding


def test_an_entry_point() -> None:
    write("packages/site_a.py")
    install("dcmrecv-site", "naming = site_a")
    found = find("naming")
    assert (found.name, found.origin) == ("naming", "entry point of dcmrecv-site 1.0")
    assert isinstance(found.plugin, ModuleType) and found.plugin.__name__ == "site_a"
    assert list(check(found)) == ["choose_filename"]
    assert "naming" in [entry.name for entry in entry_points()]


def test_an_entry_point_may_be_an_object() -> None:
    write(
        "packages/site_b.py",
        f"{HOOK}from types import SimpleNamespace\nplugin = SimpleNamespace(receive=hookimpl(lambda: None))",
    )
    install("dcmrecv-site", "naming = site_b:plugin")
    assert isinstance(find("naming").plugin, SimpleNamespace)


def test_an_entry_point_comes_before_a_module() -> None:
    write("site_c.py")
    write("packages/site_d.py")
    install("dcmrecv-site", "site_c = site_d")
    assert find("site_c").origin.startswith("entry point")


def test_two_distributions_with_one_name() -> None:
    install("dcmrecv-one", "naming = one")
    install("dcmrecv-two", "naming = two")
    with pytest.raises(PluginError, match="naming: offered by dcmrecv-one and dcmrecv-two"):
        find("naming")


def test_one_distribution_seen_twice(directory: Path) -> None:
    """As in a virtual environment whose lib64 is a link to lib."""
    write("packages/site_e.py")
    install("dcmrecv-site", "naming = site_e")
    (directory / "again").symlink_to(directory / "packages")
    sys.path.append(str(directory / "again"))
    assert find("naming").name == "naming"


def test_a_module_in_the_working_directory(directory: Path) -> None:
    write("site_f.py")
    found = find("site_f")
    assert (found.name, found.origin) == ("site_f", str(directory / "site_f.py"))
    assert sys.path[-1] == str(directory), "after everything that is installed"


def test_a_module_in_a_package() -> None:
    write("site_g/naming.py")
    assert find("site_g.naming").name == "site_g.naming"


@pytest.mark.parametrize("path", ["site h/naming-1.py", "./naming.py", "{}/naming.py"])
def test_a_file(directory: Path, path: str) -> None:
    place = write(path.format(directory))
    found = find(path.format(directory))
    assert (found.name, found.origin) == (place.stem, str(place.absolute()))
    assert list(check(found)) == ["choose_filename"]


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("namign", "did you mean naming"),
        ("quite_other", "installed: (.*, )?naming"),
        ("site_missing.naming", "neither"),
        ("site_x.naming", "neither"),
        ("not a name", "neither"),
        ("", "neither"),
        ("naming.py", "no such file$"),
        ("site_z.py", "no such file; did you mean site_x.py"),
        ("./site_z.py", "no such file; did you mean site_x.py"),
        ("site_z", "neither .*did you mean site_x"),
        ("nowhere/x.py", "no such file$"),
        ("./naming", "no such file"),
    ],
)
def test_unknown(asked: str, text: str) -> None:
    install("dcmrecv-site", "naming = site_y")
    write("site_x.py")
    with pytest.raises(PluginError, match=text) as caught:
        find(asked)
    assert f"plugin {asked}" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("raise RuntimeError('no licence')", "no licence"),
        ("raise SystemExit('no licence')", "no licence"),
        ("def", "SyntaxError"),
        ("import site_missing", "site_missing"),
    ],
)
@pytest.mark.parametrize("kind", ["module", "package", "file", "entry point"])
def test_a_plugin_that_cannot_be_imported(source: str, text: str, kind: str) -> None:
    name = "site_broken"
    asked = {"module": name, "package": f"{name}.naming", "file": f"{name}.py", "entry point": "naming"}[kind]
    write({"package": f"{name}/__init__.py", "entry point": f"packages/{name}.py"}.get(kind, f"{name}.py"), source)
    if kind == "entry point":
        install("dcmrecv-site", f"naming = {name}")
    with pytest.raises(PluginError, match=text) as caught:
        find(asked)
    assert f"plugin {asked}" in str(caught.value)
    place = {"package": f"{name}/__init__.py", "entry point": f"packages/{name}.py"}.get(kind, f"{name}.py")
    assert str(caught.value).endswith(f"{place}:1)"), "where"
    assert (caught.value.plugin, caught.value.place.endswith(f"{place}:1")) == (asked, True)


def test_an_import_that_fails_deep_inside() -> None:
    """The plugin's own line is named, the innermost one of its package."""
    write("site_deep/__init__.py", "import site_deep.inner\n")
    write("site_deep/inner.py", "\n\nimport site_library\n")
    write("site_library.py", "raise ImportError('libz.so.9 is missing')\n")
    said = r"ImportError: libz.so.9 is missing, raised at \S+/site_library.py:1 \(\S+/site_deep/inner.py:3\)$"
    with pytest.raises(PluginError, match=said):
        find("site_deep")


CAUSES: dict[str, tuple[dict[str, str], str]] = {
    "a library that is missing": (
        {"site_naming.py": "\nimport site_missing"},
        "ModuleNotFoundError: No module named 'site_missing' (is it installed for {python}?) ({here}/site_naming.py:2)",
    ),
    "a library of a library": (
        {"site_naming.py": "import site_one", "site_one.py": "import site_two", "site_two.py": "\n\n{}['x']"},
        "KeyError: 'x', raised at {here}/site_two.py:3, from {here}/site_one.py:1 ({here}/site_naming.py:1)",
    ),
    "a long way": (
        {
            "site_naming.py": "import site_1",
            **{f"site_{number}.py": f"import site_{number + 1}" for number in range(1, 9)},
            "site_9.py": "assert False",
        },
        "AssertionError, raised at {here}/site_9.py:1, from {here}/site_8.py:1, from ..., from {here}/site_1.py:1 "
        "({here}/site_naming.py:1)",
    ),
    "a syntax error": (
        {"site_naming.py": "\nimport site_one", "site_one.py": "\n\ndef"},
        "SyntaxError: invalid syntax, imported at {here}/site_naming.py:2 ({here}/site_one.py:3)",
    ),
    "a cause": (
        {
            "site_naming.py": "import site_one",
            "site_one.py": (
                "try:\n    open('/absent')\nexcept OSError as error:\n    raise RuntimeError('no licence') from error"
            ),
        },
        "RuntimeError: no licence, raised at {here}/site_one.py:4; caused by FileNotFoundError: [Errno 2] No such file "
        "or directory: '/absent', raised at {here}/site_one.py:2 ({here}/site_naming.py:1)",
    ),
    "a hidden cause": (
        {"site_naming.py": "try:\n    {}['x']\nexcept KeyError:\n    raise RuntimeError('no licence') from None"},
        "RuntimeError: no licence ({here}/site_naming.py:4)",
    ),
}


@pytest.mark.parametrize("asked", ["site_naming", "site_naming.py"])
@pytest.mark.parametrize(("files", "said"), CAUSES.values(), ids=CAUSES)
def test_fault_23_an_import_that_fails_names_its_cause(
    directory: Path, files: dict[str, str], said: str, asked: str
) -> None:
    sys.path.append(str(directory))
    for name, text in files.items():
        write(f"{directory}/{name}", text)
    with pytest.raises(PluginError) as caught:
        find(asked)
    text = str(caught.value).replace(f"({asked}:", f"({directory}/site_naming.py:")  # a file is named as it was given
    assert text == f"plugin {asked}: cannot be loaded: " + said.format(here=directory, python=sys.executable)


def test_builtins_implement_what_they_are_for() -> None:
    kinds = {
        "negotiate": {"profile", "promiscuous"},
        "receive": {"ignore"},
        "choose_subdir": {"no-subdir", "series-date"},
        "choose_filename": {"instance-uid", "unique", "short-unique", "system-time"},
        "write": {"file-writer"},
    }
    for hook, names in kinds.items():
        for name in names:
            assert hook in check(builtin(name))


# An object in a module


@pytest.mark.parametrize("kind", ["module", "file", "entry point", "entry point to the object"])
def test_the_object_that_a_module_has(kind: str) -> None:
    write("site_object.py", OBJECT)
    sys.path.append(str(Path.cwd()))
    install("dcmrecv-site", "one = site_object", "two = site_object:plugin")
    asked = {"module": "site_object", "file": "site_object.py", "entry point": "one"}.get(kind, "two")
    found = find(asked)
    assert type(found.plugin).__name__ == "Naming"
    assert list(check(found)) == ["choose_filename"]
    for other in {"site_object", "site_object.py", "one", "two"} - {asked}:
        with pytest.raises(PluginError, match="loaded twice"):
            load_named([asked, other])


def test_two_objects_of_a_module() -> None:
    write("packages/site_objects.py", f"{OBJECT}first, second = Naming(), Naming()\n")
    install("dcmrecv-site", "first = site_objects:first", "second = site_objects:second")
    assert [one.found.name for one in load_named(["first", "second"]).registered] == ["first", "second"]


@pytest.mark.parametrize("other", ["plugin = 5", "import json as plugin", "class plugin: pass"])
def test_a_module_with_hooks_needs_no_object(other: str) -> None:
    write("site_plain.py", f"{HOOK}{other}\n")
    assert isinstance(find("site_plain").plugin, ModuleType)


def test_hooks_in_a_module_and_in_its_object() -> None:
    write("site_both.py", f"{HOOK}{OBJECT}")
    with pytest.raises(PluginError, match="plugin site_both: both the module and its object 'plugin' have hooks"):
        find("site_both")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (OBJECT.replace("Naming()", "Naming"), "is a class; name an instance"),
        (OBJECT.replace("    @hookimpl\n", ""), "choose_filename is named like a hook but not marked"),
        ("plugin = 5", "implements no hook"),
    ],
)
def test_an_object_that_is_no_plugin(text: str, reason: str) -> None:
    write("site_wrong.py", text)
    with pytest.raises(PluginError, match=reason):
        check(find("site_wrong"))


def test_a_single_event_is_a_list_of_one() -> None:
    """A plugin with `deliver_many` needs no `deliver`."""
    calls: list[tuple[object, ...]] = []
    for plugin in (
        hooks(deliver_many=lambda events: calls.append((events,))),
        hooks(deliver_many=lambda target, events: calls.append((events, target))),
    ):
        implementations = check(Found("site", plugin, "test"))
        implementations["deliver"](event="event", target="A")
    assert calls == [(["event"],), (["event"], "A")]
    own = hooks(deliver=lambda event: None, deliver_many=lambda events: None)
    assert check(Found("site", own, "test"))["deliver"] == own.deliver


# Checking


def refusal(plugin: object) -> str:
    with pytest.raises(PluginError) as caught:
        check(Found("site", plugin, "test"))
    assert "plugin site" in str(caught.value)
    return str(caught.value)


def module(text: str, name: str = "site_module") -> ModuleType:
    made = ModuleType(name)
    exec(f"from dcmrecv_core import hookimpl\n{text}", made.__dict__)
    return made


MARKED = "@hookimpl\ndef receive(instance): pass\n"

REFUSED = {
    "misspelt": ("@hookimpl\ndef choose_filname(instance): pass", "choose_filname.*did you mean choose_filename"),
    "misspelt, optional": ("@hookimpl(optionalhook=True)\ndef recieve(instance): pass", "did you mean receive"),
    "misspelt beyond recognition": ("@hookimpl\ndef xyz(): pass", "hooks are add_options"),
    "misspelt specname": ("@hookimpl(specname='recieve')\ndef f(instance): pass", "did you mean receive"),
    "not marked": (f"{MARKED}def choose_filename(instance): return 'x'", "choose_filename.*not marked"),
    "nothing marked": ("def choose_filename(instance): return 'x'", "choose_filename.*not marked"),
    "lambda": (f"{MARKED}write = lambda instance, path: path", "write.*not marked"),
    "async": ("@hookimpl\nasync def receive(instance): pass", "async"),
    "async generator": ("@hookimpl\nasync def receive(instance): yield", "async"),
    "generator": ("@hookimpl\ndef negotiate(association): yield 1", "generator"),
    "wrapper": ("@hookimpl(wrapper=True)\ndef receive(instance): return (yield)", "wrapper"),
    "old wrapper": ("@hookimpl(hookwrapper=True)\ndef receive(instance): yield", "wrapper"),
    "no hook": ("x = 1", "no hook"),
    "another project's mark": ("import pluggy\n@pluggy.HookimplMarker('other')\ndef receiver(): pass", "no hook"),
    "unknown argument": ("@hookimpl\ndef receive(instnace): pass", "takes instnace; this hook offers instance"),
    "argument of another hook": ("@hookimpl\ndef receive(instance, path): pass", "takes path"),
    "any arguments": ("@hookimpl\ndef receive(instance, **more): pass", "takes more"),
    "argument of a hook without": ("@hookimpl\ndef worker_stopping(settings): pass", "offers nothing"),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(text: str, reason: str) -> None:
    assert re.search(reason, refusal(module(text)))


class Plugin:
    @hookimpl
    def receive(self, instance: object) -> None: ...


class Unmarked(Plugin):
    def write(self, instance: object, path: str) -> None: ...


class Static(Plugin):
    @staticmethod
    def write(instance: object, path: str) -> None: ...


def test_a_class() -> None:
    assert "is a class" in refusal(Plugin)
    assert list(check(Found("site", Plugin(), "test"))) == ["receive"]


@pytest.mark.parametrize("plugin", [Unmarked(), Static()])
def test_an_unmarked_method(plugin: object) -> None:
    assert "write" in refusal(plugin)


ACCEPTED = {
    "imported functions": "from os import write\nfrom dcmrecv_core.hooks.loader import find as receive_from",
    "imported function of a hook's name": "from dcmrecv_core.hooks.plugins import load_named as configure",
    "a class, an object": "class write: pass\nstored = {}",
    "private and other functions": "def _write(): pass\ndef helper(): pass",
    "a default": "@hookimpl\ndef write(instance, path, mode=1): pass",
    "no arguments": "@hookimpl\ndef write(): pass",
    "another name": "@hookimpl(specname='write')\ndef put(instance, path): pass",
}


@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(text: str) -> None:
    assert "receive" in check(Found("site", module(MARKED + text), "test"))


def test_properties_are_left_alone() -> None:
    class Lazy(Plugin):
        @property
        def connection(self) -> object:
            raise RuntimeError("not configured yet")

        @functools.cached_property
        def stored(self) -> object:
            raise RuntimeError("not configured yet")

    assert list(check(Found("site", Lazy(), "test"))) == ["receive"]


UNMARKED = {
    "partial": "from functools import partial\nstored = partial(print, 'stored')",
    "cached": "from functools import cache\n@cache\ndef stored(): pass",
    "wrapped elsewhere": "from site_tools import unnamed\n@unnamed\ndef stored(): pass",
    "wrapped elsewhere under its name": "from site_tools import named\n@named\ndef stored(): pass",
    "method": "stored = [].append",
}


@pytest.mark.parametrize("text", UNMARKED.values(), ids=UNMARKED)
def test_an_unmarked_hook_of_any_kind(text: str) -> None:
    write(
        "site_tools.py",
        "import functools\n"
        "def unnamed(function):\n    def inner(*args): return function(*args)\n    return inner\n"
        "def named(function):\n    return functools.wraps(function)(lambda *args: function(*args))\n",
    )
    write("site_unmarked.py", HOOK + text)
    with pytest.raises(PluginError, match="stored is named like a hook but not marked"):
        check(find("site_unmarked"))


def test_what_is_imported_needs_no_mark() -> None:
    write("site_tools.py", "from functools import cache\ndef stored(): pass\n@cache\ndef receive(): pass\n")
    write("site_importing.py", HOOK + "from os import write\nfrom site_tools import receive, stored\nbackground = 7\n")
    assert list(check(find("site_importing"))) == ["choose_filename"]


def test_every_hook_of_the_contract() -> None:
    assert HOOKS == (
        "add_options",
        "configure",
        "worker_started",
        "worker_stopping",
        "negotiate",
        "association_accepted",
        "serve",
        "receive",
        "choose_subdir",
        "choose_filename",
        "write",
        "stored",
        "not_stored",
        "open_location",
        "remove_location",
        "association_ended",
        "delivery_targets",
        "completion_targets",
        "relocate_from",
        "relocate",
        "delivery_started",
        "delivery_stopping",
        "deliver",
        "deliver_many",
        "series_completed",
        "study_completed",
        "background",
    )


# Loading all that are named


def test_loaded_twice() -> None:
    write("site_i/naming.py")
    install("dcmrecv-site", "naming = site_i.naming")
    sys.path.append(str(Path.cwd()))
    for second in ("site_i.naming", "site_i/naming.py", "naming"):
        with pytest.raises(PluginError, match="loaded twice"):
            load_named(["naming", second])


def test_two_plugins_of_one_name(directory: Path) -> None:
    first, second = write("a/naming.py"), write("b/naming.py")
    with pytest.raises(PluginError, match=f"plugin naming: there is another one of that name .*{first}"):
        load_named([str(first), str(second)])


def test_one_object_twice() -> None:
    plugin = hooks(receive=lambda instance: None)
    with pytest.raises(PluginError, match=r"plugin1: is loaded twice .*plugin0"):
        load(plugin, plugin)


def test_a_thread_started_at_import() -> None:
    write(
        "site_j.py",
        f"{HOOK}import threading\ndone = threading.Event()\nthread = threading.Thread(target=done.wait, name='poll')\n"
        "thread.start()\n",
    )
    try:
        with pytest.raises(PluginError, match=r"plugin site_j: threads are alive \(poll\)"):
            load_named(["site_j"])
    finally:
        sys.modules["site_j"].done.set()
        sys.modules["site_j"].thread.join()
