"""A layout: a pattern compiled to a list of small functions, once, when the receiver starts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dcmrecv_builtin.layout.conversions import Conversion, conversion, literal_of, time_format
from dcmrecv_builtin.layout.fields import Getter, differs_per_instance, field_value
from dcmrecv_builtin.layout.lengths import PathLimit
from dcmrecv_builtin.layout.replacements import replacement
from dcmrecv_builtin.layout.syntax import (
    NOTHING_LEFT,
    Field,
    LayoutError,
    Text,
    check_fit,
    check_pieces,
    has_empty_word,
    is_call,
    may_be_empty,
    read,
)
from dcmrecv_core import Instance, escape, escape_directory

MISSING = "UNKNOWN"
"""What stands for a value that is missing and has no default."""

_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}\Z")


Piece = tuple[Getter | None, tuple[str, ...], int]
"""How a part of a path is made: a getter, None for a literal; what replaces a missing value, a text for each component,
which is all that a literal has; the number of `/` in a date format: only if there are any, a `/` in the text makes a
directory."""


class Part(NamedTuple):
    """A literal, or a field and for each of its names how it is read; the first text counts."""

    piece: Piece
    field: Field | None = None
    ways: tuple[Getter, ...] = ()

    def explain(self, field: Field, instance: Instance) -> tuple[Piece, str]:
        """A piece that gives what the field gives now, and a line that says so; `random` would give another text."""
        _, if_missing, splits = self.piece
        for name, get in zip(field.names, self.ways, strict=True):
            if (text := get(instance)) is not None:
                source = f", from {name.text}" if len(self.ways) > 1 else ""
                return (lambda instance: text, if_missing, splits), f"{field.shown} gives {text}{source}"
        return (None, if_missing, splits), f"{field.shown} is missing: {'/'.join(if_missing)}"


class Layout:
    """A compiled pattern. Raises LayoutError, and ValueError if the limit leaves no room for its components."""

    def __init__(self, pattern: str, limit: PathLimit | None = None) -> None:
        components = read(pattern)
        last = components[-1][-1]
        extension = _EXTENSION.search(last.text) if isinstance(last, Text) and len(components[-1]) > 1 else None
        self._extension = extension.group() if extension else ""
        if isinstance(last, Text) and self._extension:
            components[-1][-1] = last._replace(text=last.text.removesuffix(self._extension))
        self._parts = tuple(_parts(components, pattern))
        self._pieces = [part.piece for part in self._parts]
        fields = [part for component in components for part in component if isinstance(part, Field)]
        self.differs_per_instance = any(map(_differs_per_instance, fields))
        """Whether some part of the path differs for each instance of a series: else two get one name."""
        self._limit = limit
        if limit is not None:
            slashes = (max(len(if_missing) - 1, splits) for _, if_missing, splits in self._pieces)
            limit.check(1 + sum(slashes), self._extension)

    def path(self, instance: Instance) -> tuple[str, str]:
        """Directory and file name of an instance, both escaped."""
        return self._path(self._pieces, instance)

    def explain(self, instance: Instance) -> tuple[tuple[str, str], list[str]]:
        """The same, and a line for each field that says what it gave."""
        pieces, lines = list(self._pieces), []
        for number, part in enumerate(self._parts):
            if part.field is not None:
                pieces[number], line = part.explain(part.field, instance)
                lines.append(line)
        path = self._path(pieces, instance)
        if self._limit is not None and self._limit.shortened:
            lines.append(f"shortened to {self._limit.length} bytes at most")
        return path, lines

    def _path(self, pieces: Iterable[Piece], instance: Instance) -> tuple[str, str]:
        done: list[str] = []
        current = ""
        for get, if_missing, splits in pieces:
            if get is None or (text := get(instance)) is None:
                texts: tuple[str, ...] | list[str] = if_missing
            elif splits:
                texts = text.split("/")
            else:
                current += text
                continue
            current += texts[0]
            for text in texts[1:]:
                done.append(current)
                current = text
        if self._limit is not None:
            return self._limit.path(done, current, self._extension)
        return escape_directory(done, windows=True), escape(current, self._extension, windows=True)


def _parts(components: list[list[Text | Field]], pattern: str) -> Iterator[Part]:
    """Literals are joined, their separators included: each part costs a call."""
    literal = ""
    for number, component in enumerate(components):
        literal += "/" if number else ""
        solid = [bool(part.text) if isinstance(part, Text) else not may_be_empty(part) for part in component]
        for index, part in enumerate(component):
            if isinstance(part, Text):
                literal += part.text
                continue
            if literal:
                yield Part((None, tuple(literal.split("/")), 0))
            literal = ""
            yield _field(part, pattern, before=any(solid[:index]), after=any(solid[index + 1 :]))
    if literal:
        yield Part((None, tuple(literal.split("/")), 0))


def _field(field: Field, pattern: str, *, before: bool, after: bool) -> Part:
    """`before`, `after`: the component has text there for every data set."""
    default = field.default or Text(MISSING, 0)
    check_pieces(default, pattern, before=before, after=after)
    ways = []
    for name in field.names:
        try:
            get, vr = field_value(name.text)
        except ValueError as error:
            raise LayoutError(str(error), pattern, name.column) from error
        conversions = [
            _conversion(spec, pattern, vr=vr, first=number == 0, before=before, after=after)
            for number, spec in enumerate(field.conversions)
        ]
        ways.append(_converted(get, conversions))
    splits = max((spec.text.count("/") for spec in field.conversions if _is_format(spec)), default=0)
    return Part((_first_of(ways), tuple(default.text.split("/")), splits), field, tuple(ways))


def _conversion(spec: Text, pattern: str, *, vr: str, first: bool, before: bool, after: bool) -> Conversion:
    """The function of a conversion; `vr` is that of the element, and `first` if no other conversion comes before."""
    if is_call(spec):
        return replacement(spec, pattern)
    try:
        if _is_format(spec):
            if not first:
                raise ValueError("a date or time format comes first, and ':' cannot be part of it")
            convert = time_format(spec.text, vr)
            check_pieces(spec, pattern, before=before, after=after, literal=literal_of)
        else:
            convert = conversion(spec.text, vr if first else "")
            if "=" in spec.text:  # a choice brings words of its own
                check_fit(spec, pattern)
                if has_empty_word(spec) and not before and not after:
                    raise ValueError(NOTHING_LEFT)
    except LayoutError:
        raise
    except ValueError as error:
        raise LayoutError(str(error), pattern, spec.column) from error
    return convert


def _is_format(spec: Text) -> bool:
    """Whether a conversion is the format of a date or time."""
    return "%" in spec.text and not is_call(spec)


def _differs_per_instance(field: Field) -> bool:
    format_of_time = next((spec.text for spec in field.conversions if _is_format(spec)), "%S")
    return differs_per_instance(field.names[0].text) and ("%S" in format_of_time or "%f" in format_of_time)


def _first_of(ways: list[Getter]) -> Getter:
    if len(ways) == 1:
        return ways[0]

    def get(instance: Instance) -> str | None:
        for way in ways:
            if (text := way(instance)) is not None:
                return text
        return None

    return get


def _converted(get: Getter, conversions: list[Conversion]) -> Getter:
    if not conversions:
        return get
    if len(conversions) == 1:
        [convert] = conversions

        def convert_once(instance: Instance) -> str | None:
            text = get(instance)
            return None if text is None else convert(text)

        return convert_once

    def convert_all(instance: Instance) -> str | None:
        text = get(instance)
        for convert in conversions:
            if text is None:
                return None
            text = convert(text)
        return text

    return convert_all
