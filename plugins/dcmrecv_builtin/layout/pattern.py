"""A layout: a pattern compiled to a list of small functions, once, when the receiver starts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from dcmrecv_builtin.layout.conversions import Conversion, conversion, literal_of, time_format
from dcmrecv_builtin.layout.fields import Getter, differs_per_instance, field_value
from dcmrecv_builtin.layout.syntax import (
    NOTHING_LEFT,
    Field,
    LayoutError,
    Text,
    check_fit,
    check_pieces,
    has_empty_word,
    may_be_empty,
    read,
)
from dcmrecv_core import Instance, escape, escape_directory

MISSING = "UNKNOWN"
"""What stands for a value that is missing and has no default."""

_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}\Z")


class Part(NamedTuple):
    """One piece of a path. `if_missing` replaces a missing value, a text for each component; a literal has only this.

    Only where `splits` is set, for date formats that contain a `/`, a `/` in the text makes a directory.
    """

    get: Getter
    if_missing: tuple[str, ...]
    splits: bool = False


class Layout:
    """A compiled pattern. Raises LayoutError."""

    def __init__(self, pattern: str) -> None:
        components = read(pattern)
        last = components[-1][-1]
        extension = _EXTENSION.search(last.text) if isinstance(last, Text) and len(components[-1]) > 1 else None
        self._extension = extension.group() if extension else ""
        if isinstance(last, Text) and self._extension:
            components[-1][-1] = last._replace(text=last.text.removesuffix(self._extension))
        self._parts = tuple(_parts(components, pattern))
        fields = [part for component in components for part in component if isinstance(part, Field)]
        self.differs_per_instance = any(map(_differs_per_instance, fields))
        """Whether some part of the path differs for each instance of a series: else two get one name."""

    def path(self, instance: Instance) -> tuple[str, str]:
        """Directory and file name of an instance, both escaped."""
        done: list[str] = []
        current = ""
        for get, if_missing, splits in self._parts:
            text = get(instance)
            if text is None:
                pieces: tuple[str, ...] | list[str] = if_missing
            elif splits:
                pieces = text.split("/")
            else:
                current += text
                continue
            current += pieces[0]
            for piece in pieces[1:]:
                done.append(current)
                current = piece
        return escape_directory(done, windows=True), escape(current, self._extension, windows=True)


def _nothing(instance: Instance) -> None:
    return None


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
                yield Part(_nothing, tuple(literal.split("/")))
            literal = ""
            yield _field(part, pattern, before=any(solid[:index]), after=any(solid[index + 1 :]))
    if literal:
        yield Part(_nothing, tuple(literal.split("/")))


def _field(field: Field, pattern: str, *, before: bool, after: bool) -> Part:
    """`before`, `after`: the component has text there for every data set."""
    default = field.default or Text(MISSING, 0)
    check_pieces(default, pattern, before=before, after=after)
    try:
        get, vr = field_value(field.name.text)
    except ValueError as error:
        raise LayoutError(str(error), pattern, field.name.column) from error
    conversions: list[Conversion] = []
    splits = False
    for number, spec in enumerate(field.conversions):
        try:
            if "%" in spec.text:
                if number:
                    raise ValueError("a date or time format comes first, and ':' cannot be part of it")
                convert = time_format(spec.text, vr)
                splits = "/" in spec.text
                check_pieces(spec, pattern, before=before, after=after, literal=literal_of)
            else:
                convert = conversion(spec.text, vr if not number else "")
                if "=" in spec.text:  # a choice brings words of its own
                    check_fit(spec, pattern)
                    if has_empty_word(spec) and not before and not after:
                        raise ValueError(NOTHING_LEFT)
        except LayoutError:
            raise
        except ValueError as error:
            raise LayoutError(str(error), pattern, spec.column) from error
        conversions.append(convert)
    return Part(_converted(get, conversions), tuple(default.text.split("/")), splits)


def _differs_per_instance(field: Field) -> bool:
    format_of_time = next((spec.text for spec in field.conversions if "%" in spec.text), "%S")
    return differs_per_instance(field.name.text) and ("%S" in format_of_time or "%f" in format_of_time)


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
