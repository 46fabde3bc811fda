"""Options of plugins that are lists, choices and tables: on the command line and in a settings file."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from dcmrecv_core import ConfigurationError, PluginError, PluginOptions
from dcmrecv_core.api.errors import CommandLineError
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.config import commandline, settings_dump, settings_file
from dcmrecv_core.config.commandline import CommandLine
from dcmrecv_core.config.help import help_text
from dcmrecv_core.config.options.table import BY_NAME


@dataclass
class Peer:
    name: str
    port: int = 104
    weight: float = 1.0
    active: bool = True
    root: Path | None = None
    mode: Literal["push", "pull"] = "push"
    titles: list[str] = field(default_factory=list)
    numbers: tuple[int, ...] = ()
    when: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    password: str = field(default="", repr=False, metadata={"secret": True})

    def __post_init__(self) -> None:
        if self.name == "nobody":
            raise ValueError("a peer is somebody")


@dataclass
class Limits:
    days: int
    sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.days < 0:
            raise ValueError("days are counted from 0")
        self.per_day = 24 / self.days


@pytest.fixture
def registry() -> PluginOptionRegistry:
    registry = PluginOptionRegistry(taken=BY_NAME)
    options = registry.of("site")
    options.add("--titles", value="title", type=list, help="titles to take")
    options.add("--levels", value="level", type=list, choices=("study", "series"), default=["study"])
    options.add("--colour", value="colour", choices=["red", "green"], default="red")
    options.add("--number", value="number", type=int, choices=range(3))
    options.add("--peers", table=Peer, many=True, help="where to send")
    options.add("--limits", table=Limits)
    return registry


@pytest.fixture
def read(registry: PluginOptionRegistry, tmp_path: Path) -> Any:
    def read(*tokens: str, file: str = "") -> CommandLine:
        (tmp_path / "x.toml").write_text(textwrap.dedent(file))
        given = settings_file.read(str(tmp_path / "x.toml")).plugin_values(registry, ["site"])
        return commandline.parse([*tokens, "104"], registry, file_plugins=given)

    return read


def values(line: CommandLine) -> dict[str, Any]:
    return line.settings.plugin_options["site"]


def test_defaults(read: Any) -> None:
    first, second = read(), read()
    assert values(first) == {
        "titles": [],
        "levels": ["study"],
        "colour": "red",
        "number": None,
        "peers": [],
        "limits": None,
    }
    values(first)["titles"].append("changed by a plugin")
    assert values(second)["titles"] == []


def test_a_list_is_repeated(read: Any) -> None:
    assert values(read("--titles", "CT1", "--titles", "-v"))["titles"] == ["CT1", "-v"]
    assert values(read("--levels", "series"))["levels"] == ["series"]


def test_a_list_in_the_file_comes_first(read: Any) -> None:
    file = '[plugins.site]\ntitles = ["CT1", "CT2"]\nlevels = []'
    assert values(read(file=file))["titles"] == ["CT1", "CT2"]
    assert values(read(file=file))["levels"] == []
    assert values(read("--titles", "CT3", "--titles", "CT1", file=file))["titles"] == ["CT2", "CT3", "CT1"]


def test_choices(read: Any) -> None:
    line = read("--number", "2", file='[plugins.site]\ncolour = "green"')
    assert (values(line)["colour"], values(line)["number"]) == ("green", 2)


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (["--colour", "blue"], r"Invalid value for option --colour \(blue\): one of red, green expected$"),
        (["--colour", "Gren"], r"Invalid value for option --colour \(Gren\): one of .*; did you mean green\?$"),
        (["--number", "3"], r"Invalid value for option --number \(3\): one of 0, 1, 2 expected"),
        (["--levels", "study", "--levels", "x"], r"Invalid value for option --levels \(x\): one of study, series"),
        (
            ["--peers", "x"],
            r"Option --peers has no place on a command line: write \[\[plugins.site.peers\]\] into a settings file",
        ),
        (["--limits"], r"Option --limits has no place on a command line: write \[plugins.site.limits\] into"),
    ],
)
def test_refused_on_the_command_line(read: Any, tokens: list[str], text: str) -> None:
    with pytest.raises(CommandLineError, match=f"^{text}"):
        read(*tokens)


def test_tables(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCMRECV_TEST_SECRET", "LETMEIN")
    file = """
        [[plugins.site.peers]]
        name = "archive"
        [[plugins.site.peers]]
        name = "pacs"
        port = 11112
        weight = 2
        active = false
        root = "/data"
        mode = "pull"
        titles = ["A", "B"]
        numbers = [1, 2]
        when = { calling = "CT1", Modality = ["CT", "MR"] }
        password = { env = "DCMRECV_TEST_SECRET" }
        [plugins.site.limits]
        days = 7
        sizes = [1]
    """
    rules: dict[str, str | tuple[str, ...]] = {"calling": "CT1", "Modality": ("CT", "MR")}
    assert values(read(file=file))["peers"] == [
        Peer("archive"),
        Peer("pacs", 11112, 2.0, False, Path("/data"), "pull", ["A", "B"], (1, 2), rules, "LETMEIN"),
    ]
    assert values(read(file=file))["limits"] == Limits(7, [1])


REFUSED = {
    "no array": (
        "[plugins.site.peers]\nname = 'x'",
        r"site.peers: an array of tables \(\[\[plugins.site.peers",
    ),
    "no table": (
        "[plugins.site]\nlimits = 7",
        r"site.limits = 7: a table \(\[plugins.site.limits\]\) expected",
    ),
    "missing": ("[[plugins.site.peers]]\nport = 1", r"plugins.site.peers\[1\].name: is missing: a string expected"),
    "unknown": (
        "[[plugins.site.peers]]\nname = 'x'\n[[plugins.site.peers]]\nname = 'y'\nprot = 1",
        r"plugins.site.peers\[2\].prot: no such key; did you mean root or port\?",
    ),
    "type": ("[plugins.site.limits]\ndays = '7'", "plugins.site.limits.days = '7': an integer expected"),
    "a boolean is no integer": ("[plugins.site.limits]\ndays = true", "limits.days = true: an integer expected"),
    "items": (
        "[plugins.site.limits]\ndays = 1\nsizes = [1, 'x']",
        r"plugins.site.limits.sizes = \[1, 'x'\]: an array, each item an integer expected",
    ),
    "entries": (
        "[[plugins.site.peers]]\nname = 'x'\nwhen = { calling = 1 }",
        r"peers\[1\].when = {'calling': 1}: a table, each value a string or an array, each item a string expected",
    ),
    "no entries": ("[[plugins.site.peers]]\nname = 'x'\nwhen = 'CT'", "when = 'CT': a table, each value a string"),
    "choice": (
        "[[plugins.site.peers]]\nname = 'x'\nmode = 'pusch'",
        r"plugins.site.peers\[1\].mode = 'pusch': one of push, pull expected; did you mean push\?",
    ),
    "secret": (
        "[[plugins.site.peers]]\nname = 'x'\npassword = 4711",
        r'plugins.site.peers\[1\].password: a string, \{ env = "NAME" \} or \{ file = "PATH" \} expected$',
    ),
    "own check": ("[plugins.site.limits]\ndays = -1", "plugins.site.limits: refused by the plugin: days are counted"),
    "fault in its own check": (
        "[plugins.site.limits]\ndays = 0",
        "plugins.site.limits: refused by the plugin: ZeroDivisionError: division by zero",
    ),
    "own check with a secret": (
        "[[plugins.site.peers]]\nname = 'nobody'",
        r"plugins.site.peers\[1\]: refused by the plugin$",
    ),
    "no list": ("[plugins.site]\ntitles = 'CT1'", "plugins.site.titles = 'CT1': an array of strings expected"),
    "list of others": ("[plugins.site]\ntitles = [1]", r"plugins.site.titles = \[1\]: an array of strings expected"),
    "wrong in a list": ("[plugins.site]\nlevels = ['x']", "levels .*one of study, series expected"),
    "no choice": ("[plugins.site]\ncolour = 'blue'", "colour .*one of red, green expected"),
}


@pytest.mark.parametrize(("file", "text"), REFUSED.values(), ids=REFUSED)
def test_refused_in_a_file(read: Any, file: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"x.toml: .*{text}") as caught:
        read(file=file)
    assert "4711" not in str(caught.value)


def test_help(registry: PluginOptionRegistry) -> None:
    text = help_text(registry).partition("options of plugin site:\n")[2]
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[:10] == [
        "--titles title",
        "titles to take",
        "may be given more than once",
        "--levels level: study, series (default: study)",
        "may be given more than once",
        "--colour colour: red, green (default: red)",
        "--number number: 0, 1, 2",
        "--peers [[plugins.site.peers]] in a settings file, with the keys",
        "name, port, weight, active, root, mode, titles, numbers, when, password",
        "where to send",
    ]


def test_dumped_settings_read_back(
    read: Any, registry: PluginOptionRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DCMRECV_TEST_SECRET", "LETMEIN")
    file = """
        [[plugins.site.peers]]
        name = "pacs"
        when = { Modality = ["CT", "MR"] }
        password = { env = "DCMRECV_TEST_SECRET" }
        [plugins.site.limits]
        days = 7
    """
    line = read("--titles", "CT1", file=file)
    dumped = settings_dump.dump(line, registry)
    assert "LETMEIN" not in dumped
    (tmp_path / "again.toml").write_text(dumped)
    given = settings_file.read(str(tmp_path / "again.toml")).plugin_values(registry, ["site"])
    again = commandline.parse(["104"], registry, file_plugins=given)
    assert values(again) == values(line)


def test_a_secret_in_a_table_is_not_dumped(read: Any, registry: PluginOptionRegistry) -> None:
    line = read(file='[[plugins.site.peers]]\nname = "x"\npassword = "LETMEIN"')
    dumped = settings_dump.dump(line, registry)
    assert "LETMEIN" not in dumped and "LETMEIN" not in repr(line)
    assert "# plugins.site.peers is secret" in dumped


@dataclass
class Odd:
    peers: dict[int, str]


@dataclass
class Nested:
    lists: list[list[int]]


@dataclass
class NestedTables:
    tables: dict[str, dict[str, str]]


@dataclass
class SecretNumber:
    code: int = field(metadata={"secret": True})


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"table": Odd}, r"Odd\.peers: a table cannot have dict\[int, str\]"),
        ({"table": Nested}, r"Nested\.lists: a table cannot have"),
        ({"table": NestedTables}, r"NestedTables\.tables: a table cannot have"),
        ({"table": SecretNumber}, "SecretNumber.code: only a str can be secret"),
        ({"table": str}, "a dataclass expected"),
        ({"table": Peer, "value": "x"}, "is a table, which only a settings file has"),
        ({"table": Peer, "secret": True}, "is a table, of which fields can be secret"),
        ({"many": True}, "is no table"),
        ({"type": list}, "is a list, which needs a name"),
        ({"value": "x", "type": list, "secret": True}, "is a list, which cannot be secret"),
        ({"choices": ["a"]}, "has choices, which need a name"),
    ],
)
def test_declarations_that_mean_nothing(how: dict[str, Any], text: str) -> None:
    with pytest.raises(PluginError, match=f"plugin site: option --x:? {text}"):
        PluginOptions("site", PluginOptionRegistry()).add("--x", **how)
