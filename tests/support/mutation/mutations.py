"""Mutants: modules with one small fault that an author could have made.

Faults are made in the syntax tree. Texts, annotations and docstrings stay: the parity tests compare messages with those
of DCMTK dcmrecv.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_STATEMENTS = (ast.AugAssign, ast.Raise, ast.Delete)
_LOGGERS = ("log", "logging")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: `module` is relative to the package, `place` the qualified name of the function or class that it is
    in, `line` that of the unchanged source, `before` and `after` the changed code, `source` the whole faulty module.
    """

    module: str
    place: str
    line: int
    before: str
    after: str
    source: str
    repetition: int

    @property
    def name(self) -> str:
        """Depends on the code around the fault, not on its place in the file."""
        repetition = f" #{self.repetition}" if self.repetition else ""
        return f"{self.module} {self.place}: {self.before} -> {self.after}{repetition}"

    def rank(self, seed: int) -> bytes:
        """Orders mutants at random; changes of other code do not change the order."""
        return hashlib.sha256(f"{seed} {self.name}".encode()).digest()


def sample(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """`count` of them, or all if there are fewer, in the order of the file."""
    chosen = sorted(mutants, key=lambda mutant: mutant.rank(seed))[:count]
    return sorted(chosen, key=lambda mutant: (mutant.line, mutant.name))


def mutants_of(module: str, source: str) -> list[Mutant]:
    """All faults that can be made in a module."""
    tree = ast.parse(source)
    unchanged = ast.unparse(tree)
    seen: dict[tuple[str, str, str], int] = {}
    found = []
    for place, node in _code(tree, ()):
        for before, after in _faults(node):
            changed = ast.unparse(tree)
            if changed == unchanged:
                continue
            key = (place, before, after)
            seen[key] = seen.get(key, -1) + 1
            found.append(Mutant(module, place, node.lineno, before, after, changed, seen[key]))
    return found


def _code(node: ast.AST, place: tuple[str, ...]) -> Iterator[tuple[str, ast.expr | ast.stmt]]:
    """All expressions and statements that the receiver runs, with the names of their functions and classes."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or _is_text(child) or _is_for_types(child):
                continue
            inner = place
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                inner = (*place, child.name)
            if isinstance(child, (ast.expr, ast.stmt)):
                yield ".".join(inner) or "module", child
            yield from _code(child, inner)


def _is_text(node: ast.AST) -> bool:
    """Docstrings, log lines and f-strings."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        function = node.value.func
        return (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.value.id in _LOGGERS
        )
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _is_for_types(node: ast.AST) -> bool:
    """Code for type checkers only: their imports, and a union under a name."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Assign(value=ast.BinOp(op=ast.BitOr(), right=ast.Name())):
            return True
    return False


def _faults(node: ast.expr | ast.stmt) -> Iterator[tuple[str, str]]:
    """Make each fault of one node in turn, yield its code before and after while it is there, and undo it."""
    before = _head(node)
    for target, attribute, value in _changes(node):
        old = getattr(target, attribute)
        setattr(target, attribute, value)
        yield before, _head(node)
        setattr(target, attribute, old)
    if _can_be_left_out(node):
        fields = dict(vars(node))
        kind = node.__class__
        node.__class__ = ast.Pass  # type: ignore[assignment]
        yield before, "pass"
        node.__class__ = kind
        vars(node).update(fields)


def _can_be_left_out(node: ast.expr | ast.stmt) -> bool:
    """Not the assignment to a plain name: any test would find the missing name."""
    match node:
        case ast.Assign(targets=[target]):
            return not isinstance(target, (ast.Name, ast.Tuple))
        case ast.Expr(value=ast.Call()):
            return True
    return isinstance(node, _STATEMENTS)


def _changes(node: ast.expr | ast.stmt) -> Iterator[tuple[ast.AST, str, object]]:
    """(object, attribute, other value) of each fault that is a change of one attribute."""
    match node:
        case ast.Constant(value=bool(value)):
            yield node, "value", not value
        case ast.Constant(value=int(value)):
            yield node, "value", value + 1
        case ast.Constant(value=float(value)):
            yield node, "value", value + 1
        case ast.Compare(ops=[only]) if type(only) in _COMPARISONS:
            yield node, "ops", [_COMPARISONS[type(only)]()]
        case ast.Compare(ops=[first, second]) if type(first) in _COMPARISONS and type(second) in _COMPARISONS:
            yield node, "ops", [_COMPARISONS[type(first)](), second]
            yield node, "ops", [first, _COMPARISONS[type(second)]()]
        case ast.BoolOp(op=ast.And()):
            yield node, "op", ast.Or()
        case ast.BoolOp(op=ast.Or()):
            yield node, "op", ast.And()
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) if type(operator) in _OPERATORS:
            yield node, "op", _OPERATORS[type(operator)]()
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if not isinstance(
            test, (ast.Constant, ast.Compare, ast.BoolOp)
        ):
            yield node, "test", ast.UnaryOp(ast.Not(), test)
        case ast.Return(value=ast.expr()) if not _is_none(node.value):
            yield node, "value", ast.Constant(None)


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _head(node: ast.expr | ast.stmt) -> str:
    """The code of a node, of a compound statement its first line."""
    return ast.unparse(ast.fix_missing_locations(node)).splitlines()[0]
