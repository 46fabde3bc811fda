"""HTML and SVG whose texts are always escaped: peers choose their titles, and some are hostile."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset(["link", "meta"])


class Markup(str):
    """Text that is markup already; only `element` and `join` make it."""

    __slots__ = ()


def element(name: str, *content: str, **attributes: str | float) -> Markup:
    """An element with escaped content and attributes. `_` at the end of an attribute's name is left out (`class_`),
    another one is a hyphen (`aria_label`); an attribute that is "" is left out."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(readable(str(value)))}"'
        for key, value in attributes.items()
        if value != ""
    )
    if name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{join(content)}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """The parts one after another; those that are not markup are escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(readable(part)) for part in parts))


def readable(text: str) -> str:
    """Characters that cannot be seen, or that change the direction of the text around them, as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
