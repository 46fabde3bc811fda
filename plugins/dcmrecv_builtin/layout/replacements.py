"""The conversions that replace or drop parts of a text: drop("characters"), replace("characters","text"),
sub("expression","text"). In their arguments a doubled quote is a quote."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from dcmrecv_builtin.layout.expressions import Expression, ExpressionError
from dcmrecv_builtin.layout.syntax import LayoutError, Text, check_fit

FORMS = {"drop": 'drop("characters")', "replace": 'replace("characters","text")', "sub": 'sub("expression","text")'}

LONGEST_TEXT = 256
"""Characters that an expression sees, and that are kept for the next instance: a file name has no more."""

_CALL = re.compile(r'([a-z]+)\("((?:[^"]|"")*)"(?:,"((?:[^"]|"")*)")?\)')
_GROUP = re.compile(r"\\(\d)", re.ASCII)


def replacement(spec: Text, pattern: str) -> Callable[[str], str | None]:
    """The function for such a conversion; None stands for a text of which nothing is left. Raises LayoutError."""
    name = next(name for name in FORMS if spec.text.startswith(name))
    match = _CALL.fullmatch(spec.text)
    if match is None or (match[3] is None) != (name == "drop") or not match[2]:
        raise LayoutError(f"the form is {FORMS[name]}, with double quotes and no blanks", pattern, spec.column)
    first = Text(match[2].replace('""', '"'), spec.column + match.start(2))
    second = Text(match[3] or "", spec.column + match.start(3))
    check_fit(second._replace(text=_GROUP.sub("xx", second.text) if name == "sub" else second.text), pattern)
    if name == "sub":
        return _substitution(first, second, pattern)
    table = str.maketrans(dict.fromkeys(first.text, second.text))
    return lambda text: text.translate(table) or None


def _substitution(expression: Text, template: Text, pattern: str) -> Callable[[str], str | None]:
    try:
        compiled = Expression(expression.text)
    except ExpressionError as error:
        before = expression.text[: error.offset].replace('"', '""')
        raise LayoutError(str(error), pattern, expression.column + len(before)) from error
    for match in _GROUP.finditer(template.text):
        if int(match[1]) > compiled.groups:
            raise LayoutError(f"the expression has no group {match[1]}", pattern, template.column + match.start())

    def expanded(groups: tuple[str, ...]) -> str:
        return _GROUP.sub(lambda match: groups[int(match[1])], template.text)

    @lru_cache(maxsize=256)  # the instances of a series have the same values
    def convert(text: str) -> str | None:
        return compiled.sub(text, expanded) or None

    return lambda text: convert(text[:LONGEST_TEXT])
