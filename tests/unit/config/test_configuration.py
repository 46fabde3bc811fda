"""A plugin that keeps the receiver from starting: the one line about it names plugin, hook, file and line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dcmrecv_core.api.errors import StartError
from dcmrecv_core.config.configuration import Configuration
from dcmrecv_core.config.help import error_text
from dcmrecv_core.delivery.preparation import queues_of

pytestmark = pytest.mark.usefixtures("modules_as_before")

OPTIONS = "@hookimpl\ndef add_options(options):\n    options.add('--days', value='n', type=convert)\n"
CONFIGURE = "@hookimpl\ndef configure(settings):\n"

FAILURES: dict[str, tuple[str, str, str]] = {
    "a library is missing": ("import site_nowhere  # here", "", "cannot be loaded: ModuleNotFoundError"),
    "raises at import": ("{}['x']  # here", "", "cannot be loaded: KeyError: 'x'"),
    "syntax": ("def  # here", "", "cannot be loaded: SyntaxError: invalid syntax"),
    "not marked": ("def receive(instance): pass  # here", "", "receive is named like a hook but not marked"),
    "misspelt": ("@hookimpl  # here\ndef recieve(instance): pass", "recieve", "there is no such hook"),
    "argument": ("@hookimpl  # here\ndef receive(instnace): pass", "receive", "takes instnace"),
    "configure": (CONFIGURE + "    raise ValueError('no root')  # here", "configure", "ValueError: no root"),
    "configure exits": (CONFIGURE + "    raise SystemExit(3)  # here", "configure", "SystemExit: 3"),
    "a counter": (
        CONFIGURE + "    for n in range(999): settings.counter(str(n))  # here",
        "configure",
        "there are",
    ),
    "a thread": (
        "import threading\n@hookimpl  # here\ndef configure(settings):\n"
        "    threading.Thread(target=threading.Event().wait, args=[5], daemon=True).start()",
        "configure",
        "threads are alive",
    ),
    "add_options": ("@hookimpl\ndef add_options(options):\n    {}['x']  # here", "add_options", "KeyError: 'x'"),
    "an option's name": (
        "@hookimpl\ndef add_options(options):\n    options.add('days')  # here",
        "add_options",
        "'days' is not a valid option name",
    ),
    "an option of dcmrecv": (
        "@hookimpl\ndef add_options(options):\n    options.add('-v')  # here",
        "add_options",
        "option -v belongs to dcmrecv itself",
    ),
    "an option's kind": (
        "@hookimpl\ndef add_options(options):\n    options.add('--x', secret=True)  # here",
        "add_options",
        "option --x is a flag, which cannot be secret",
    ),
    "a type": (
        f"def convert(text):\n    return {{}}[text]  # here\n{OPTIONS}",
        "",
        "option --days cannot convert 'many': KeyError('many')",
    ),
    "targets": (
        "@hookimpl\ndef deliver(event, target): pass\n@hookimpl  # here\ndef delivery_targets(settings): return 7",
        "delivery_targets",
        "TypeError: None or an iterable of names expected, not 7",
    ),
    "a target's name": (
        "@hookimpl\ndef deliver(event, target): pass\n@hookimpl\ndef delivery_targets(settings): return names()\n"
        "def names():\n    yield 'a'\n    raise OSError('no host')  # here",
        "delivery_targets",
        "OSError: no host",
    ),
}


def start(*arguments: str) -> None:
    """All of a start that runs code of plugins in the parent."""
    configuration = Configuration("dcmrecv", arguments, port_optional=True)
    settings = configuration.line.settings
    configuration.plugins.add_builtins(settings)
    configuration.plugins.configure(settings)
    queues_of(configuration.plugins, settings)


def write_plugin(directory: Path, body: str) -> tuple[Path, str]:
    """The file, and the place that `# here` marks."""
    path = directory / "site_faulty.py"
    path.write_text(f"from dcmrecv_core import hookimpl\n{body}\n")
    [line] = [number for number, text in enumerate(path.read_text().splitlines(), 1) if "# here" in text]
    return path, f"{path}:{line}"


@pytest.mark.parametrize(("body", "hook", "text"), FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("way", ["--plugin", "--plugins-dir"])
def test_fault_23_plugin_hook_file_and_line_are_named(
    tmp_path: Path, way: str, body: str, hook: str, text: str
) -> None:
    path, place = write_plugin(tmp_path, body)
    tmp_path.chmod(0o755)
    values = ["--days", "many"] if "'--days'" in body else []
    with pytest.raises(StartError) as caught:
        start(way, str(path if way == "--plugin" else tmp_path), *values, "104")
    said = str(caught.value)
    assert said.startswith((f"plugin {path}: ", "plugin site_faulty: "))
    assert f": {hook}: {text}" in said if hook else f": {text}" in said
    assert said.endswith(f" ({place})")
    assert said.count("site_faulty: ") + said.count("site_faulty.py: ") == 1


def test_fault_23_what_an_option_refuses_names_its_plugin(tmp_path: Path) -> None:
    path, _ = write_plugin(tmp_path, f"def convert(text):\n    raise ValueError('not so many')  # here\n{OPTIONS}")
    with pytest.raises(StartError) as caught:
        start("--plugin", str(path), "--days", "7", "104")
    lines = error_text(caught.value).splitlines()
    assert lines[-2:] == [
        "error: Invalid value for option --days (7): not so many",
        "hint: it is an option of plugin site_faulty",
    ]


IN_A_FILE = {
    "type": ("def convert(text):\n    return {}[text]  # here\n" + OPTIONS, "days = 'many'"),
    "table": (
        "from dataclasses import dataclass\n@dataclass\nclass Peer:\n    name: str\n"
        "    def __post_init__(self): {}[self.name]  # here\n"
        "@hookimpl\ndef add_options(options):\n    options.add('--peer', table=Peer)\n",
        "peer = { name = 'x' }",
    ),
}


@pytest.mark.parametrize(("body", "value"), IN_A_FILE.values(), ids=IN_A_FILE)
def test_fault_23_values_in_a_settings_file(tmp_path: Path, body: str, value: str) -> None:
    path, place = write_plugin(tmp_path, body)
    (tmp_path / "site.toml").write_text(f"plugin = ['{path}']\n[plugins.site_faulty]\n{value}\n")
    with pytest.raises(StartError) as caught:
        start("--settings", str(tmp_path / "site.toml"), "104")
    assert str(caught.value).startswith(f"{tmp_path}/site.toml: plugins.site_faulty.")
    assert str(caught.value).endswith(f" ({place})")
    assert "KeyError" in str(caught.value)


def test_fault_23_a_module_of_the_plugin_and_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin's own line counts, the innermost one of its package."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    (tmp_path / "site_faulty").mkdir()
    (tmp_path / "site_faulty" / "__init__.py").write_text("")
    (tmp_path / "site_faulty" / "inner.py").write_text("import json\ndef read(): return json.loads('{')\n")
    text = f"from dcmrecv_core import hookimpl\nfrom site_faulty.inner import read\n{CONFIGURE}    read()\n"
    (tmp_path / "site_faulty" / "naming.py").write_text(text)
    with pytest.raises(StartError) as caught:
        start("--plugin", "site_faulty.naming", "104")
    assert str(caught.value).endswith(f" ({tmp_path}/site_faulty/inner.py:2)")


NAMING = (
    "from dcmrecv_core import hookimpl\n@hookimpl\ndef add_options(options): options.add('--{name}')\n"
    "@hookimpl\ndef choose_filename(instance): return '{name}'\n"
)


def test_fault_29_code_that_is_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins, options and modules are those of the new code; those before come back if it is taken back or fails."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "site_one.py").write_text(NAMING.format(name="old"))
    (tmp_path / "drop").mkdir(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    configuration = Configuration(
        "dcmrecv", ["--plugin", "site_one", "--plugins-dir", "drop", "--reload-plugins", "104"], port_optional=False
    )
    assert sys.dont_write_bytecode, "or a change within a second would not be seen"

    def seen() -> tuple[list[str], list[str], str]:
        plugins = [each.found.name for each in configuration.plugins.registered]
        options = [option.long for option in configuration.options]
        return plugins, options, sys.modules["site_one"].choose_filename(None)

    before = (["site_one"], ["--old"], "old")
    assert seen() == before
    (tmp_path / "site_one.py").write_text(NAMING.format(name="new"))
    (tmp_path / "drop" / "site_two.py").write_text(NAMING.format(name="two"))
    take_back = configuration.load_anew()
    assert seen() == (["site_two", "site_one"], ["--two", "--new"], "new")
    assert configuration.plugins.order("choose_filename") == ("site_one", "site_two")
    take_back()
    assert seen() == before
    assert configuration.plugins.order("choose_filename") == ("site_one",)
    for broken in ("def\n", NAMING.format(name="v").replace("--v", "-v")):
        (tmp_path / "site_one.py").write_text(broken)
        with pytest.raises(StartError):
            configuration.load_anew()
        assert seen() == before
    os.remove(tmp_path / "site_one.py")
    with pytest.raises(StartError):
        configuration.load_anew()
    assert seen() == before
