"""Options that plugins declare in their `add_options` hook.

`config/configuration.py` makes one `PluginOptionRegistry`; each plugin gets `registry.of(name)`; the command line, the
settings file and `--help` read what was declared.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dcmrecv_core.api.errors import CommandLineError, PluginError, described
from dcmrecv_core.api.hints import did_you_mean
from dcmrecv_core.api.option_tables import Table, table_of


@dataclass(frozen=True, slots=True)
class PluginOption:
    """One option of a plugin; `value` names what follows it, None makes it a flag, or a `table` of a settings file."""

    plugin: str
    long: str
    key: str
    value: str | None
    type: Callable[[str], Any]
    default: Any
    help: str
    secret: bool = False
    choices: tuple[Any, ...] = ()
    table: Table | None = None

    @property
    def arity(self) -> int:
        """How many tokens the option takes."""
        return 0 if self.value is None else 1

    @property
    def repeatable(self) -> bool:
        """Whether it may be given more than once; its value is a list then."""
        return self.type is list

    def convert(self, texts: tuple[str, ...]) -> Any:
        """The option's value. Raises CommandLineError if `type` refuses the text with ValueError, PluginError naming
        the plugin if it raises anything else."""
        if self.value is None:
            return True
        (text,) = texts
        converted = text if self.repeatable else self._convert(text)
        if self.choices and converted not in self.choices:
            shown = "" if self.secret else f" ({text})"
            near = "" if self.secret else did_you_mean(text, map(str, self.choices))
            wanted = f"{self._one_of} expected" + f"; {near}" * bool(near)
            raise CommandLineError(f"Invalid value for option {self.long}{shown}: {wanted}", hint=self._whose)
        return [converted] if self.repeatable else converted

    def _convert(self, text: str) -> Any:
        try:
            return self.type(text)
        except Exception as error:
            # no error may show a secret text, nor its cause, which may quote it
            secret = self.secret
            failure: CommandLineError | PluginError
            if isinstance(error, ValueError):
                said = f"{self.allowed} expected" if self.type in (int, float) else described(error)
                shown = "" if secret else f" ({text})" + f": {said}" * bool(said)
                failure = CommandLineError(f"Invalid value for option {self.long}{shown}", hint=self._whose)
            else:
                what = f"its value: {type(error).__name__}" if secret else f"{text!r}: {described(error, repr)}"
                failure = PluginError(f"option {self.long} cannot convert {what}", plugin=self.plugin)
            raise failure from (None if secret else error)

    @property
    def _whose(self) -> str:
        return f"it is an option of plugin {self.plugin}"

    def shown(self, text: str, value: Any) -> Any:
        """How a settings file says what `text` on the command line was converted to; None if it must not be shown."""
        if self.secret:
            return None
        return value if self.value is None or self.type in (int, float, list) else text

    @property
    def allowed(self) -> str:
        """What a settings file may have for it, in words."""
        return self._toml[1]

    def from_toml(self, value: object) -> Any:
        """The value for a TOML value. Raises TypeError if it is not what `allowed` says, else as `convert` does."""
        if type(value) not in self._toml[0]:
            raise TypeError
        if self.value is None:
            return value
        if not isinstance(value, list):
            return self.convert((str(value),))
        if not all(isinstance(item, str) and "\0" not in item for item in value):
            raise TypeError
        return [item for text in value for item in self.convert((text,))]

    @property
    def _toml(self) -> tuple[tuple[object, ...], str]:
        if self.value is None:
            return (bool,), "true or false"
        if self.repeatable:
            return (list,), f"an array, each item {self._one_of}" if self.choices else "an array of strings"
        types, words = self._toml_of_one
        return types, self._one_of if self.choices else words

    @property
    def _one_of(self) -> str:
        return f"one of {', '.join(map(str, self.choices))}"

    @property
    def _toml_of_one(self) -> tuple[tuple[object, ...], str]:
        if self.type is int:
            return (int,), "an integer"
        if self.type is float:
            return (int, float), "a number"
        if self.type in (str, Path):
            return (str,), "a string"
        return (str, int, float), "a string or a number"


@dataclass(frozen=True, slots=True)
class Given:
    """The value that the user gave for an option, and how a settings file says it; None if it must not be shown."""

    value: Any = field(repr=False)
    shown: Any


class PluginOptionRegistry:
    """The options of all plugins, in the order in which they were declared; `taken` are the receiver's own names."""

    def __init__(self, taken: Container[str] = ()) -> None:
        self._taken = taken
        self._by_name: dict[str, PluginOption] = {}

    def of(self, plugin: str) -> PluginOptions:
        """What the plugin called `plugin` gets as argument of its `add_options` hook."""
        return PluginOptions(plugin, self)

    def find(self, name: str) -> PluginOption | None:
        """The option with this name, or None."""
        return self._by_name.get(name)

    def __iter__(self) -> Iterator[PluginOption]:
        return iter(self._by_name.values())

    def register(self, option: PluginOption) -> None:
        """Add an option. Raises PluginError that names the plugin, and the other owner of a name taken already."""
        if not is_option(option.long):
            raise PluginError(
                f"{option.long!r} is not a valid option name: at least two characters,"
                " - or + first, then no digit, no white space, no =",
                plugin=option.plugin,
            )
        if option.long in self._taken:
            raise PluginError(f"option {option.long} belongs to dcmrecv itself", plugin=option.plugin)
        for other in self:
            if other.long == option.long:
                raise PluginError(f"plugin {other.plugin} declares option {option.long} too", plugin=option.plugin)
            if other.plugin == option.plugin and other.key == option.key:
                raise PluginError(f"options {other.long} and {option.long} have the same key", plugin=option.plugin)
        self._by_name[option.long] = option


class PluginOptions:
    """The argument of the `add_options` hook: declares options of one plugin."""

    def __init__(self, plugin: str, registry: PluginOptionRegistry) -> None:
        self._plugin = plugin
        self._registry = registry

    def add(
        self,
        name: str,
        *,
        value: str | None = None,
        type: Callable[[str], Any] = str,
        default: Any = None,
        help: str = "",
        secret: bool = False,
        choices: Iterable[Any] = (),
        table: type[Any] | None = None,
        many: bool = False,
    ) -> None:
        """Declare an option and the settings key of the same name: `--keep-days` has the key `keep_days`.

        `value` names what follows the option and `type` converts it, raising ValueError to refuse; without `value` it
        is a flag, False unless given. `default` is the value if the option is not given. Of several occurrences the
        last counts. The value of a `secret` one is never shown, and a settings file may say where it is instead:
        `{ env = "NAME" }` or `{ file = "PATH" }`. `choices` are the only values, after conversion.

        `type=list`: it may be repeated, and its value is a list of texts; in a settings file it is an array, to which
        the command line adds. `table` is a dataclass: only a settings file can give the option, as a table that is
        checked against it; the value is an object of that class, with `many` a list of them (`[[plugins.NAME.KEY]]`).

        Raises PluginError if the name is taken or cannot be an option, and for kinds that do not fit together.
        """
        key = name.lstrip("-+").replace("-", "_")
        declared = None
        if table is not None:
            try:
                declared = table_of(table, many)
            except (TypeError, NameError) as error:  # NameError: an annotation that means nothing
                raise PluginError(f"option {name}: {error}", plugin=self._plugin) from error
        for wrong, text in (
            (secret and value is None and table is None, "is a flag, which cannot be secret"),
            (
                secret and table is not None,
                'is a table, of which fields can be secret: metadata={"secret": True}',
            ),
            (value is None and type is list, "is a list, which needs a name for what follows it: value=..."),
            (value is None and choices != (), "has choices, which need a name for what follows it: value=..."),
            (secret and type is list, "is a list, which cannot be secret"),
            (many and table is None, "is no table, of which there could be many"),
            (table is not None and value is not None, "is a table, which only a settings file has: no value=..."),
        ):
            if wrong:
                raise PluginError(f"option {name} {text}", plugin=self._plugin)
        if type is list or many:
            default = list(default or ())
        elif value is None and table is None and default is None:
            default = False
        self._registry.register(
            PluginOption(self._plugin, name, key, value, type, default, help, secret, tuple(choices), declared)
        )


def is_option(token: str) -> bool:
    """Whether `token` is an option in DCMTK's notation, and a settings key can be made of it."""
    return (
        len(token) >= 2
        and token[0] in "-+"
        and not token[1].isdigit()
        and token.strip("-+") != ""
        and not any(char.isspace() or char == "=" for char in token)
    )
