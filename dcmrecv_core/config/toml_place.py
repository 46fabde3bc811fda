"""A place in a TOML file, and how errors name it: file, key path, value, and what is allowed there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from dcmrecv_core.api.errors import ConfigurationError
from dcmrecv_core.api.hints import did_you_mean

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_VALUE = 100


@dataclass(frozen=True, slots=True)
class Place:
    """A key in a file; without `key` the whole file."""

    file: str
    key: str = ""

    def __truediv__(self, name: str) -> Place:
        """The key `name` below this place."""
        part = name if _BARE_KEY.fullmatch(name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return Place(self.file, f"{self.key}.{part}" if self.key else part)

    def item(self, number: int) -> Place:
        """An item of the array at this place, counted from 1."""
        return Place(self.file, f"{self.key}[{number}]")

    def fail(self, text: str) -> NoReturn:
        """Raises ConfigurationError that says it of this place."""
        raise ConfigurationError(f"{self.file}: {self.key}: {text}" if self.key else f"{self.file}: {text}")

    def refuse(self, value: object, allowed: str, known: Iterable[str] = ()) -> NoReturn:
        """Raises ConfigurationError: `allowed` says in words what may stand here, `known` are names that may."""
        shown = _shown(value)
        if len(shown) > _LONGEST_VALUE:
            shown = shown[:_LONGEST_VALUE] + "..."
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ConfigurationError(f"{self.file}: {self.key} = {shown}: {allowed} expected{'; ' * bool(hint)}{hint}")

    def check_keys(self, table: Iterable[str], known: Iterable[str], what: str = "key") -> None:
        """Raises ConfigurationError for a name in `table` that is not among the `known` ones."""
        names = list(known)
        for name in table:
            if name not in names:
                hint = did_you_mean(name, names) or f"there is {', '.join(names) or 'none'}"
                (self / name).fail(f"no such {what}; {hint}")


def _shown(value: object) -> str:
    """As a file has it, as far as Python's notation differs."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(_shown, value))}]" if isinstance(value, list) else repr(value)
