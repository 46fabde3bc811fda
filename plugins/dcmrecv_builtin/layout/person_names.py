"""Person names (VR PN, PS3.5 section 6.2.1): up to three groups of five components, `family^given^...=group=group`."""

from __future__ import annotations

from collections.abc import Callable

GROUPS = ("alphabetic", "ideographic", "phonetic")
COMPONENTS = ("family", "given", "middle", "prefix", "suffix")

_PADDING = " \0"


def without_empty_ends(name: str) -> str:
    """A name without the delimiters of components and groups that are empty to its end, which a sender may leave out,
    and without the padding before them."""
    return "=".join(group.rstrip("^" + _PADDING) for group in name.split("=")).rstrip("=")


def part_of_name(part: str) -> Callable[[str], str | None]:
    """The function that takes a group out of a name, or a component out of its first group; None if that is empty."""
    if part in GROUPS:
        return _nth(GROUPS.index(part), "=")
    component = _nth(COMPONENTS.index(part), "^")
    return lambda name: component(name.partition("=")[0])


def _nth(number: int, delimiter: str) -> Callable[[str], str | None]:
    def convert(text: str) -> str | None:
        parts = text.split(delimiter)
        return parts[number].strip(_PADDING) or None if number < len(parts) else None

    return convert
