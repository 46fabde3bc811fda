"""Whether plugins written for one version of the interface work with another: what is gone or has changed, what is new.

Compared are the lines of `api_page.signatures`. What a name does is not in them: that is for the other tests.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from typing import NamedTuple

Signatures = dict[str, str]


def version_of(signatures: Signatures) -> tuple[int, int]:
    """`API_VERSION` as it was recorded."""
    first, second = ast.literal_eval(signatures["API_VERSION"].partition(" = ")[2])
    return first, second


def broken(before: Signatures, now: Signatures, hooks: Collection[str]) -> list[str]:
    """The names that are gone, or whose signature is not the one before with something optional added."""
    return [
        name
        for name, signature in before.items()
        if name != "API_VERSION" and not (name in now and _extends(now[name], signature, hook=name in hooks))
    ]


def changed(before: Signatures, now: Signatures) -> list[str]:
    """The names that are new or gone, or have another signature."""
    names = dict.fromkeys([*before, *now])
    return [name for name in names if name != "API_VERSION" and before.get(name) != now.get(name)]


class _Function(NamedTuple):
    positional: list[str]
    named: set[str]
    rest: tuple[str, str]
    """Those with stars."""
    optional: set[str]
    """Those of the others that have a default."""
    result: set[str]
    """Each alternative."""


def _extends(new: str, old: str, *, hook: bool) -> bool:
    if new == old:
        return True
    was, now = _parsed(old), _parsed(new)
    if isinstance(was, ast.Assign) and isinstance(now, ast.Assign):
        return _alternatives(was.value) < _alternatives(now.value)
    if not isinstance(was, ast.FunctionDef) or not isinstance(now, ast.FunctionDef):
        return False
    before, after = _function(was), _function(now)
    if hook:  # an implementation takes the arguments that it names
        return {*before.positional} <= {*after.positional} and before.result <= after.result
    count = len(before.positional)
    further = {*after.positional[count:], *after.named} - before.named
    return (
        (after.positional[:count], after.rest, after.result) == (before.positional, before.rest, before.result)
        and before.named <= after.named
        and further <= after.optional
    )


def _parsed(signature: str) -> ast.stmt | None:
    """A function or constructor, or a type that has a name."""
    for text in (f"def {signature}: ...", signature):
        try:
            return ast.parse(text).body[0]
        except SyntaxError:
            continue
    return None


def _function(function: ast.FunctionDef) -> _Function:
    given = function.args
    places = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(places) - len(given.defaults)) + [*given.defaults]
    shown = {
        argument.arg: ast.unparse(argument) + (f" = {ast.unparse(default)}" if default else "")
        for argument, default in zip([*places, *given.kwonlyargs], [*defaults, *given.kw_defaults], strict=True)
    }
    return _Function(
        positional=[shown[place.arg] for place in places],
        named={shown[argument.arg] for argument in given.kwonlyargs},
        rest=tuple(ast.unparse(each) if each else "" for each in (given.vararg, given.kwarg)),  # type: ignore[arg-type]
        optional={text for text in shown.values() if " = " in text},
        result=_alternatives(function.returns) if function.returns else set(),
    )


def _alternatives(annotation: ast.expr) -> set[str]:
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return _alternatives(annotation.left) | _alternatives(annotation.right)
    match annotation:
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=values)):
            return {ast.unparse(value) for value in values}
    return {ast.unparse(annotation)}
