"""The files of `--log-config`: `key = value` lines as log4cplus reads them, and their ${variables}."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from dcmrecv_core.logs.console import complain

PREFIX: Final = "log4cplus."

_MAX_EXPANSIONS: Final = 10_000  # of a whole file; more only if it expands itself: DCMTK dcmrecv hangs then
_MAX_LENGTH: Final = 1 << 16


class Properties(dict[str, str]):
    """Keys and values."""

    @classmethod
    def parse(cls, content: bytes) -> Properties:
        """Lines without `=` and those that begin with # are ignored; of equal keys the last one counts.
        A line ends at a NUL."""
        properties = cls()
        for line in content.decode("utf-8", "surrogateescape").split("\n"):
            line = line.partition("\0")[0].lstrip().removesuffix("\r")
            key, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                properties[key.rstrip()] = value.strip()
        return properties

    def below(self, prefix: str) -> Properties:
        """Those whose keys begin with `prefix`, without it."""
        return Properties({key.removeprefix(prefix): self[key] for key in sorted(self) if key.startswith(prefix)})

    def flag(self, key: str) -> bool | None:
        """A value that is true, false or a number as bool; None if it is missing or anything else."""
        text = self.get(key, "").lower()
        if text in ("true", "false"):
            return text == "true"
        try:
            return int(text) != 0
        except ValueError:
            return None

    def number(self, key: str, default: int) -> int:
        """The digits that a value begins with, 0 without any, as C's atoi reads it."""
        if key not in self:
            return default
        text = self[key]
        sign = text[:1] if text[:1] in ("-", "+") else ""
        digits = text[len(sign) :]
        count = next((at for at, char in enumerate(digits) if char not in "0123456789"), len(digits))
        return int(f"{sign}{digits[:count].lstrip('0')[:18] or 0}")  # Python refuses to read thousands of digits


def expand(properties: Properties, variables: Mapping[str, str]) -> Properties:
    """Replace each ${name} in keys and values until none is left: by `variables`, the file's own keys, or the
    environment. A name without value, or with an empty one, stays as it is.

    Raises ValueError if the expansion does not end.
    """
    return _Expansion(properties, variables).run()


class _Expansion:
    def __init__(self, properties: Properties, variables: Mapping[str, str]) -> None:
        self._properties = Properties({**properties, **variables})
        self._count = 0
        self._complaints: set[str] = set()

    def run(self) -> Properties:
        properties = self._properties
        changed = True
        while changed:
            changed = False
            for key, value in sorted(properties.items()):
                new_key, new_value = self._expanded(key), self._expanded(value)
                if (new_key, new_value) != (key, value):
                    del properties[key]
                    properties[new_key] = new_value
                    changed = True
        return properties

    def _expanded(self, text: str) -> str:
        result, at = text, 0
        while (start := result.find("${", at)) >= 0:
            end = result.find("}", start)
            if end < 0:
                self._complain(f'"{result}" has no closing brace. Opening brace at position {start}.')
                return text
            name = result[start + 2 : end]
            value = self._properties.get(name) or os.environ.get(name)
            if value:
                self._check_end(name, len(result) + len(value))
                result, at = result[:start] + value + result[end + 1 :], start
            else:
                at = end + 1
        return result

    def _check_end(self, name: str, length: int) -> None:
        self._count += 1
        if self._count > _MAX_EXPANSIONS or length > _MAX_LENGTH:
            raise ValueError(f"${{{name}}} expands without end")

    def _complain(self, text: str) -> None:
        if text not in self._complaints:
            self._complaints.add(text)
            complain(text)
