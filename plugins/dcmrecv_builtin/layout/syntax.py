"""Read a layout pattern into literals and fields. What a field means is not known here.

pattern     component *("/" component), the last one is the file name
component   *(literal / "{{" / "}}" / field)
field       "{" name *("||" name) ["|" default] *(":" conversion) "}"

In double quotes no character has a special meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from dcmrecv_core import escape

NOTHING_LEFT = "nothing would be left of a directory or name"

_CALL = re.compile(r"(?:drop|replace|sub)\b")
_TOKEN = re.compile(r"\{\{|\}\}|[{}]|[^{}]+")


class LayoutError(ValueError):
    """A pattern that cannot be used; `column` counts from 1. Its text shows the place."""

    def __init__(self, text: str, pattern: str, column: int) -> None:
        # characters that would move the caret, or control a terminal, are not shown
        shown = "".join(character if character.isprintable() else "?" for character in pattern)
        super().__init__(f"{text} (column {column})\n  {shown}\n  {' ' * (column - 1)}^")
        self.text = text
        self.column = column


class Text(NamedTuple):
    """A word of the pattern and the column where it starts."""

    text: str
    column: int


class Field(NamedTuple):
    """A replacement field: the elements of which the first that is there counts, the default, None if it has none."""

    names: tuple[Text, ...]
    default: Text | None
    conversions: tuple[Text, ...]
    shown: str
    """The field as it stands in the pattern."""


Component = list[Text | Field]


def read(pattern: str) -> list[Component]:
    """The components of a pattern, each with at least one literal or field. Raises LayoutError."""
    components: list[Component] = [[]]
    position = 0
    while position < len(pattern):
        match = _TOKEN.match(pattern, position)
        assert match is not None  # every character is one of the four kinds
        token, column = match.group(), position + 1
        position = match.end()
        if token == "{":
            end = _end_of_field(pattern, position)
            components[-1].append(_field(pattern, position, end))
            position = end + 1
        elif token == "}":
            raise LayoutError("'}' without '{'; a brace that is meant as such is '}}'", pattern, column)
        else:
            _add_literal(components, "{" if token == "{{" else "}" if token == "}}" else token, column)
    _check(pattern, components)
    return components


def check_fit(text: Text, pattern: str, *, before: bool = True, after: bool = True, shown: str = "") -> None:
    """Raises LayoutError if the author's own words are no part of a file name on Linux and Windows alike. `before`,
    `after`: other parts of the component stand there. `shown` is what they look like in the pattern."""
    whole = f"{'x' * before}{text.text}{'x' * after}"
    if escape(whole, windows=True) == whole:
        return
    for offset, character in enumerate(text.text):
        if escape(f"x{character}x", windows=True) != f"x{character}x":
            named = "a backslash" if character == "\\" else repr(character)
            raise LayoutError(f"{named} cannot be part of a file name on every system", pattern, text.column + offset)
    raise LayoutError(f"{(shown or text.text)!r} cannot be a file name on every system", pattern, text.column)


def check_pieces(text: Text, pattern: str, *, before: bool, after: bool, literal: Callable[[str], str] = str) -> None:
    """Raises LayoutError if what a field puts into a path, split at `/`, has a component of nothing or one that is no
    file name. `literal` turns a piece into words to check; `before` and `after` as in `check_fit`."""
    column = text.column
    pieces = text.text.split("/")
    for number, piece in enumerate(pieces):
        first, last = number == 0, number == len(pieces) - 1
        joined_before, joined_after = first and before, last and after
        if not piece and not joined_before and not joined_after:
            raise LayoutError(NOTHING_LEFT, pattern, column)
        check_fit(Text(literal(piece), column), pattern, before=joined_before, after=joined_after, shown=piece)
        column += len(piece) + 1


def may_be_empty(field: Field) -> bool:
    """Whether a field may be empty: by an empty default or an empty word of a choice."""
    return (field.default is not None and not field.default.text) or any(map(has_empty_word, field.conversions))


def has_empty_word(conversion: Text) -> bool:
    return not is_call(conversion) and "=," in f"{conversion.text},"


def is_call(conversion: Text) -> bool:
    """Whether a conversion is one of those that have arguments in double quotes."""
    return _CALL.match(conversion.text) is not None


def _end_of_field(pattern: str, start: int) -> int:
    """The index of the brace that ends the field; those in double quotes do not count."""
    quoted = False
    for index in range(start, len(pattern)):
        character = pattern[index]
        if character == '"':
            quoted = not quoted
        elif character == "}" and not quoted:
            return index
        elif character == "{" and not quoted:
            raise LayoutError("'{' within a field", pattern, index + 1)
    raise LayoutError("quotes are not closed" if quoted else "field is not closed", pattern, start)


def _field(pattern: str, start: int, end: int) -> Field:
    position = _find(pattern, "|:", start, end)
    names = [Text(pattern[start:position], start + 1)]
    while pattern.startswith("||", position):
        next_name = position + 2
        position = _find(pattern, "|:", next_name, end)
        names.append(Text(pattern[next_name:position], next_name + 1))
    default = None
    if pattern[position] == "|":
        names_end = position
        position = _find(pattern, ":", names_end, end)
        default = Text(pattern[names_end + 1 : position], names_end + 2)
    shown = pattern[start - 1 : end + 1]
    conversions = []
    while pattern[position] == ":":
        start = position + 1
        position = _find(pattern, ":", start, end)
        conversions.append(Text(pattern[start:position], start + 1))
    return Field(tuple(names), default, tuple(conversions), shown)


def _find(pattern: str, wanted: str, start: int, end: int) -> int:
    """The first of these characters outside quotes and square brackets, else `end`."""
    quoted = bracketed = False
    for index in range(start, end):
        character = pattern[index]
        if character == '"':
            quoted = not quoted
        elif character in "[]" and not quoted:
            bracketed = character == "["
        elif character in wanted and not quoted and not bracketed:
            return index
    return end


def _add_literal(components: list[Component], text: str, column: int) -> None:
    for number, piece in enumerate(text.split("/")):
        if number:
            components.append([])
            column += 1
        component = components[-1]
        if piece and component and isinstance(component[-1], Text):
            component[-1] = component[-1]._replace(text=component[-1].text + piece)
        elif piece:
            component.append(Text(piece, column))
        column += len(piece)


def _check(pattern: str, components: list[Component]) -> None:
    if not pattern:
        raise LayoutError("empty pattern", pattern, 1)
    if not components[0]:
        raise LayoutError("an absolute path leads out of the output directory", pattern, 1)
    if not components[-1]:
        raise LayoutError("no file name after the last '/'", pattern, len(pattern))
    for component in components:
        if not component:
            raise LayoutError("nothing between two '/'", pattern, pattern.index("//") + 2)
        for index, part in enumerate(component):
            if isinstance(part, Text):
                check_fit(part, pattern, before=index > 0, after=index < len(component) - 1)
