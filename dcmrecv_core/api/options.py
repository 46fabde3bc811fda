"""Options that plugins declare in their `add_options` hook.

`config/configuration.py` makes one `PluginOptionRegistry`; each plugin gets `registry.of(name)`; the command line, the
settings file and `--help` read what was declared.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dcmrecv_core.api.errors import CommandLineError, PluginError, described


@dataclass(frozen=True, slots=True)
class PluginOption:
    """One option of a plugin; `value` names what follows it, None makes it a flag."""

    plugin: str
    long: str
    key: str
    value: str | None
    type: Callable[[str], Any]
    default: Any
    help: str
    secret: bool = False

    @property
    def arity(self) -> int:
        """How many tokens the option takes."""
        return 0 if self.value is None else 1

    def convert(self, texts: tuple[str, ...]) -> Any:
        """The option's value. Raises CommandLineError if `type` refuses the text with ValueError, PluginError naming
        the plugin if it raises anything else."""
        if self.value is None:
            return True
        (text,) = texts
        try:
            return self.type(text)
        except Exception as error:
            # no error may show a secret text, nor its cause, which may quote it
            secret = self.secret
            failure: CommandLineError | PluginError
            if isinstance(error, ValueError):
                failure = CommandLineError(
                    f"Invalid value for option {self.long}" + ("" if secret else f" ({text}): {described(error)}")
                )
            else:
                what = f"its value: {type(error).__name__}" if secret else f"{text!r}: {described(error, repr)}"
                failure = PluginError(f"option {self.long} cannot convert {what}", plugin=self.plugin)
            raise failure from (None if secret else error)

    def shown(self, text: str, value: Any) -> Any:
        """How a settings file says what `text` on the command line was converted to; None if it must not be shown."""
        if self.secret:
            return None
        return value if self.value is None or self.type in (int, float) else text

    @property
    def allowed(self) -> str:
        """What a settings file may have for it, in words."""
        return self._toml[1]

    def from_toml(self, value: object) -> Any:
        """The value for a TOML value. Raises TypeError if it is not what `allowed` says, else as `convert` does."""
        if type(value) not in self._toml[0]:
            raise TypeError
        return value if self.value is None else self.convert((str(value),))

    @property
    def _toml(self) -> tuple[tuple[object, ...], str]:
        if self.value is None:
            return (bool,), "true or false"
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
    ) -> None:
        """Declare an option and the settings key of the same name: `--keep-days` has the key `keep_days`.

        `value` names what follows the option and `type` converts it, raising ValueError to refuse; without `value` it
        is a flag, False unless given. `default` is the value if the option is not given. Of several occurrences the
        last counts. The value of a `secret` one is never shown, and a settings file may say where it is instead:
        `{ env = "NAME" }` or `{ file = "PATH" }`. Raises PluginError if the name is taken or cannot be an option, and
        for a secret flag.
        """
        key = name.lstrip("-+").replace("-", "_")
        if value is None and default is None:
            default = False
        if secret and value is None:
            raise PluginError(f"option {name} is a flag, which cannot be secret", plugin=self._plugin)
        self._registry.register(PluginOption(self._plugin, name, key, value, type, default, help, secret))


def is_option(token: str) -> bool:
    """Whether `token` is an option in DCMTK's notation, and a settings key can be made of it."""
    return (
        len(token) >= 2
        and token[0] in "-+"
        and not token[1].isdigit()
        and token.strip("-+") != ""
        and not any(char.isspace() or char == "=" for char in token)
    )
