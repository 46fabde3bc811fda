"""`--list-plugins`: what there is, what is active and why not, who is asked first."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dcmrecv_core import API_VERSION
from dcmrecv_core.api.errors import PluginError
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.api.version import __version__
from dcmrecv_core.config.options.table import OPTIONS
from dcmrecv_core.hooks import loader as plugin_loader
from dcmrecv_core.hooks.loader import from_module
from dcmrecv_core.hooks.plugins import Plugins, load_named
from dcmrecv_core.inspection import list_plugins as plugin_list
from dcmrecv_core.settings.settings import Settings
from support.plugins import hooks, load

Listed = dict[str, dict[str, Any]]


def listed(plugins: Plugins | None = None, **settings: Any) -> tuple[Listed, dict[str, list[str]]]:
    """Plugins by name, in order, and the order of calling."""
    chosen = replace(Settings(), **settings)
    plugins = plugins or Plugins()
    plugins.add_builtins(chosen)
    answer = json.loads(plugin_list.as_json(chosen, plugins))
    return {entry["name"]: entry for entry in answer["plugins"]}, answer["order"]


class Dist:
    name = "site-package"
    version = "1.2"


def entry_point(name: str, load: Callable[[], object]) -> Any:
    return SimpleNamespace(name=name, value=f"{name}:site", module=name, attr="site", dist=Dist, load=load)


def place_in(function: Any) -> str:
    """The line after its first one."""
    return f"{__file__}:{function.__code__.co_firstlineno + 1}"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes entry points: `installed(name=function that loads it)`."""

    def install(**loaders: Callable[[], object]) -> None:
        entries = [entry_point(name, loader) for name, loader in sorted(loaders.items())]
        monkeypatch.setattr(plugin_loader, "entry_points", lambda: entries)

    install()
    return install


BUILT_IN = {
    "no-subdir": "--no-subdir",
    "series-date": "--series-date-subdir",
    "instance-uid": "--default-filenames",
    "unique": "--unique-filenames",
    "short-unique": "--short-unique-names",
    "system-time": "--system-time-names",
    "profile": "--config-file",
    "promiscuous": "--promiscuous",
    "ignore": "--ignore",
    "layout": "--layout",
    "contexts": "[[contexts]] of --settings",
    "file-writer": "always",
}


@pytest.mark.usefixtures("installed")
def test_built_in_ones_name_the_option_that_selects_them() -> None:
    found, order = listed()
    assert {name: entry["selected_by"] for name, entry in found.items()} == BUILT_IN
    assert [name for name, entry in found.items() if entry["active"]] == ["file-writer", "instance-uid", "no-subdir"]
    assert {(entry["origin"], entry["distribution"], entry["version"]) for entry in found.values()} == {
        ("built-in", "dcmrecv", __version__)
    }
    assert order["choose_filename"] == ["instance-uid"]
    assert "receive" not in order


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "option", [option for option in OPTIONS if option.long in BUILT_IN.values()], ids=lambda option: option.long
)
def test_the_options_do_select_them(option: Any) -> None:
    """Each of those options is one of the table, and with it the plugin is active."""
    changes = {**option.sets, **({option.key: ("a", "b") if option.arity == 2 else "a"} if option.key else {})}
    found, _ = listed(**changes)
    [name] = [name for name, selected_by in BUILT_IN.items() if selected_by == option.long]
    assert found[name]["active"]


@pytest.mark.usefixtures("installed")
def test_order_is_the_effective_one() -> None:
    found, order = listed(
        load(hooks(receive=lambda: None), hooks(receive=lambda: None, choose_subdir=lambda: None)),
        ignore=True,
        subdirs="series-date",
    )
    assert list(found)[:2] == ["plugin1", "plugin0"], "as they are asked"
    assert order["receive"] == ["plugin1", "plugin0", "ignore"]
    assert order["choose_subdir"] == ["plugin1", "series-date"]
    assert found["plugin1"] == {
        "name": "plugin1",
        "version": None,
        "distribution": None,
        "origin": "test",
        "hooks": ["receive", "choose_subdir"],
        "active": True,
        "selected_by": "--plugin plugin1",
        "problem": "",
        "targets": [],
        "description": "",
        "options": [],
    }


def test_installed_ones(installed: Callable[..., None]) -> None:
    def broken() -> object:
        raise ImportError("no module named numpy")

    called: list[str] = []
    plugin = hooks(configure=lambda: called.append("configure"), stored=lambda: called.append("stored"))
    installed(good=lambda: plugin, broken=broken, wrong=lambda: hooks(recieve=lambda: None))
    found, order = listed()
    common = {"version": "1.2", "distribution": "site-package", "origin": "entry point of site-package 1.2"}
    rows = {name: entry for name, entry in found.items() if name not in BUILT_IN}
    rows["wrong"]["problem"] = rows["wrong"]["problem"].partition(" (")[0]
    assert rows == {
        name: {
            "name": name,
            "targets": [],
            "description": "",
            "options": [],
            **common,
            "hooks": given,
            "active": False,
            "selected_by": f"--plugin {name}",
            "problem": why,
        }
        for name, given, why in (
            ("broken", [], f"cannot be loaded: ImportError: no module named numpy ({place_in(broken)})"),
            ("good", ["configure", "stored"], ""),
            ("wrong", [], "recieve: there is no such hook; did you mean receive?"),
        )
    }
    assert called == [], "they are looked at, not used"
    assert "stored" not in order


def test_one_that_needs_another_interface(installed: Callable[..., None]) -> None:
    plugin = hooks(stored=lambda: None)
    plugin.dcmrecv_api = ">=99"
    installed(later=lambda: plugin)
    mine = ".".join(map(str, API_VERSION))
    problem = f"needs version >=99 of the plugin interface; dcmrecv has {mine}"
    assert listed()[0]["later"]["problem"] == problem
    with pytest.raises(PluginError, match=f"^plugin later: {problem}$"):
        load_named(["later"])


def test_an_installed_one_that_is_named_is_listed_once(installed: Callable[..., None]) -> None:
    installed(good=lambda: hooks(stored=lambda: None))
    plugins = load_named(["good"])
    found, _ = listed(plugins)
    assert (found["good"]["active"], found["good"]["version"], found["good"]["distribution"]) == (
        True,
        "1.2",
        "site-package",
    )
    names = [entry["name"] for entry in json.loads(plugin_list.as_json(Settings(), plugins))["plugins"]]
    assert names.count("good") == 1


@pytest.mark.usefixtures("installed")
def test_modules_have_the_version_that_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "from dcmrecv_core import hookimpl\n__version__ = '7'\n@hookimpl\ndef stored(): pass\n"
    (tmp_path / "versioned_plugin.py").write_text(text)
    found, _ = listed(load_named(["versioned_plugin"]))
    entry = found["versioned_plugin"]
    assert (entry["version"], entry["distribution"]) == ("7", None)
    assert entry["origin"] == str(tmp_path / "versioned_plugin.py")


@pytest.mark.usefixtures("installed")
def test_modules_of_a_distribution() -> None:
    import pluggy

    pluggy_module = from_module("pluggy", pluggy, "module")
    plugin = plugin_list._with_distribution(pluggy_module)
    assert (plugin.distribution, plugin.version) == ("pluggy", pluggy.__version__)


FULL = """\
'''Removes what is old:
  every night.

More.
'''
from dataclasses import dataclass
from dcmrecv_core import hookimpl

@dataclass
class Peer:
    name: str

@hookimpl
def add_options(options):
    options.add("--days", value="number", type=int, default=7, help="keep images\\nso long")
    options.add("--from", value="kind", choices=("study", "series"))
    options.add("--password", value="text", secret=True, default="geheim")
    options.add("--titles", value="title", type=list)
    options.add("--dry", help="remove nothing")
    options.add("--peer", table=Peer, many=True)

@hookimpl
def configure(settings): raise RuntimeError("is not called")
"""

LINES = """\
  does    Removes what is old: every night.
  hooks   add_options, configure
  options --days number: keep images so long (default: 7)
          --from kind (one of study, series)
          --password text
          --titles title
          --dry: remove nothing
          [[plugins.site_full.peer]]"""


@pytest.mark.parametrize("active", [False, True])
def test_fault_29_description_and_options(
    installed: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    modules_as_before: None,
    *,
    active: bool,
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "site_full.py").write_text(FULL)
    options = PluginOptionRegistry()
    plugins = Plugins()
    if active:
        load_named(["site_full"], plugins)
        plugins.add_options(options)
    else:
        installed(site_full=lambda: importlib.import_module("site_full"))
    plugins.add_builtins(Settings())
    text = plugin_list.as_text(Settings(), plugins, options)
    assert LINES in text, text
    found = {each["name"]: each for each in json.loads(plugin_list.as_json(Settings(), plugins, options))["plugins"]}
    assert found["site_full"]["problem"] == ""
    assert found["site_full"]["description"] == "Removes what is old: every night."
    assert found["site_full"]["options"][:3] == [
        {
            "name": "--days",
            "value": "number",
            "key": "days",
            "choices": [],
            "default": "7",
            "help": "keep images\nso long",
        },
        {"name": "--from", "value": "kind", "key": "from", "choices": ["study", "series"], "default": None, "help": ""},
        {"name": "--password", "value": "text", "key": "password", "choices": [], "default": None, "help": ""},
    ]
    assert "geheim" not in str(found)


def test_options_that_cannot_be_declared(installed: Callable[..., None]) -> None:
    def fails(options: Any) -> None:
        options.add("-v")

    installed(wrong=lambda: hooks(add_options=fails))
    entry = listed()[0]["wrong"]
    assert entry["problem"].startswith("add_options: option -v belongs to dcmrecv itself")
    assert entry["hooks"] == ["add_options"]


def test_text(installed: Callable[..., None]) -> None:
    def broken() -> object:
        raise PluginError("a\x1b[2J")

    installed(broken=broken)
    plugins = load(hooks(receive=lambda: None))
    plugins.add_builtins(Settings())
    lines = plugin_list.as_text(Settings(), plugins).splitlines()
    assert lines[:3] == ["plugin0: active (--plugin plugin0)", "  hooks   receive", "  origin  test"]
    assert "series-date: not active (--series-date-subdir)" in lines
    assert rf"broken 1.2: cannot be loaded: PluginError: a\x1b[2J ({place_in(broken)})" in lines
    assert lines[lines.index("order of calling:") + 1 :] == [
        "  configure         file-writer",
        "  receive           plugin0",
        "  choose_subdir     no-subdir",
        "  choose_filename   instance-uid",
        "  write             file-writer",
        "  open_location     file-writer",
        "  remove_location   file-writer",
    ]


@pytest.mark.usefixtures("installed")
def test_several_writers() -> None:
    plugins = load(hooks(write=lambda: None), hooks(write=lambda: None))
    plugins.add_builtins(Settings())
    warning = plugins.several_writers()
    assert json.loads(plugin_list.as_json(Settings(), plugins))["warnings"] == [warning]
    assert plugin_list.as_text(Settings(), plugins).endswith(f"\nwarning: {warning}\n")
    plugins = load()
    plugins.add_builtins(Settings())
    assert json.loads(plugin_list.as_json(Settings(), plugins))["warnings"] == []


@pytest.mark.usefixtures("installed")
def test_targets_of_deliveries() -> None:
    def fails() -> list[str]:
        raise KeyError("address")

    plugins = load(
        hooks(deliver=lambda: None, delivery_targets=lambda: ["pacs1", "pacs2"]),
        hooks(deliver=lambda: None),
        hooks(deliver=lambda: None, delivery_targets=lambda: ()),
        hooks(deliver=lambda: None, delivery_targets=fails),
        hooks(deliver=lambda: None, study_completed=lambda: None, completion_targets=lambda: ["report"]),
    )
    plugins.add_builtins(Settings())
    named = {entry.name: entry for entry in plugin_list.entries(Settings(), plugins)}
    assert [named[f"plugin{number}"].targets for number in range(4)] == [("pacs1", "pacs2"), ("default",), (), ()]
    assert named["plugin4"].targets == ("default", "study_completed/report")
    assert named["plugin3"].problem.startswith("delivery_targets: KeyError: 'address'")
    assert "  targets pacs1, pacs2" in plugin_list.as_text(Settings(), plugins).splitlines()
