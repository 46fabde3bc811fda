"""docs/plugins/api.md: every public name with its signature and docstring, made from the code; and what has changed in
it since the last release."""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any, ForwardRef, get_overloads

import dcmrecv_core
from dcmrecv_core import PluginCounter, PluginOptions, testing
from dcmrecv_core.api import hookspecs
from dcmrecv_core.hooks.loader import HOOKS
from dcmrecv_core.testing.receivers import ReceiverProcess
from support.docs.blocks import DOCS
from support.paths import ROOT

PAGE = DOCS / "plugins" / "api.md"
RELEASED = ROOT / "tests" / "docs" / "released_api.txt"
"""The public names of the last release, each with its signature; `write_pages.py --release` writes it."""

CHANGES = ROOT / "changes"

MADE_BY_THE_RECEIVER = (
    PluginCounter,
    PluginOptions,
    testing.Finding,
    testing.PluginCheckError,
    testing.PluginReport,
    testing.Receiver,
    testing.Survival,
)
"""A plugin, or its test, gets them; how they are made is not public."""

OWN_METHODS = (ReceiverProcess.run, ReceiverProcess.run_until_ready, testing.PluginReport.add)
"""Methods that only the kit itself calls."""

HEAD = """\
# All public names

What a plugin may rely on, made from the code; [API version](api-version.md) says for how long. [Hooks](../hooks.md) and
[What hooks see and return](../model.md) explain them, with examples.
"""


@dataclass
class Entry:
    """A public name: `signature` is all that a change of it changes."""

    name: str
    signature: str
    text: str = ""
    members: list[Entry] = field(default_factory=list)


def page(_: str = "") -> str:
    text = HEAD
    for title, entries in sections().items():
        text += f"\n## {title}\n"
        for entry in entries:
            text += f"\n### {entry.name}\n\n    {entry.signature}\n"
            if entry.text:
                text += f"\n{entry.text}\n"
            if entry.members:
                text += "\n" + "".join(f"- `{member.signature}`{_on_one_line(member)}\n" for member in entry.members)
    return text


def sections() -> dict[str, list[Entry]]:
    return {
        "Hooks": [_described(name, getattr(hookspecs, name)) for name in HOOKS],
        "dcmrecv_core": list(_exported(dcmrecv_core)),
        "dcmrecv_core.testing": list(_exported(testing)),
    }


def signatures() -> dict[str, str]:
    """By dotted name: `Instance.get`, `testing.send`; hooks by their own."""
    found = {}
    for title, entries in sections().items():
        prefix = "testing." if title.endswith("testing") else ""
        for entry in entries:
            for each in (entry, *entry.members):
                name = entry.name if each is entry else f"{entry.name}.{each.name}"
                found[prefix + name] = each.signature
    return found


def recorded() -> dict[str, str]:
    """`signatures` of the last release."""
    lines = RELEASED.read_text().splitlines()
    return {name: signature for name, _, signature in (line.partition("\t") for line in lines)}


def record() -> None:
    RELEASED.write_text("".join(f"{name}\t{signature}\n" for name, signature in signatures().items()))


def unmentioned(before: dict[str, str], now: dict[str, str], fragments: str) -> list[str]:
    """The names that were added, changed or removed, and that no fragment has in its code spans. A class that is new or
    gone stands for its members."""
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", fragments))))
    missing = []
    for name in dict.fromkeys([*before, *now]):
        owner, _, last = name.rpartition(".")
        last = owner if last == "__init__" else last
        whole = owner and (owner in before) != (owner in now)
        if before.get(name) != now.get(name) and not whole and last not in words:
            missing.append(name)
    return missing


def named_but_not_public() -> list[str]:
    """The receiver's own classes and types that a public signature or docstring names, but that cannot be imported."""
    own = {
        name
        for module in [*sys.modules.values()]
        if module.__name__.startswith("dcmrecv_core.") and not module.__name__.startswith("dcmrecv_core.testing")
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__.startswith("dcmrecv_core.") and not name.startswith("_")
    }
    public = {name for entries in sections().values() for name in (entry.name for entry in entries)}
    found = {}
    for entries in sections().values():
        for entry in entries:
            for each in (entry, *entry.members):
                shown = "" if each.signature.startswith("class ") else each.signature
                code = " ".join(re.findall(r"`([^`]+)`", each.text))
                # in prose, `Element` may be the standard's word, PluginError cannot
                names = re.findall(r"\w+", f"{shown} {code}") + re.findall(r"\b[A-Z]\w*[a-z][A-Z]\w*", each.text)
                for word in dict.fromkeys(names):
                    if word in own - public:
                        found[f"{entry.name}.{each.name}: {word}"] = None
    return list(found)


def fragments() -> str:
    return "\n".join(path.read_text() for path in sorted(CHANGES.glob("*.md")) if path.name != "README.md")


def _exported(module: ModuleType) -> Iterator[Entry]:
    homes = {
        alias.asname or alias.name: statement.module or ""
        for statement in ast.parse(inspect.getsource(module)).body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    for name in module.__all__:
        value = getattr(module, name)
        value = inspect.unwrap(value) if callable(value) else value  # of a cache
        if inspect.isclass(value) or inspect.isfunction(value):
            yield _described(name, value)
        else:
            yield _assigned(name, importlib.import_module(homes.get(name, module.__name__)))


def _described(name: str, value: Any) -> Entry:
    entry = Entry(name, "", inspect.cleandoc(value.__doc__ or "") if "__doc__" in dir(value) else "")
    if inspect.isfunction(value):
        entry.signature = f"{name}{_parameters(value)}"
        return entry
    bases = [base.__name__ for base in value.__bases__ if base not in (object,)]
    entry.signature = f"class {name}" + (f"({', '.join(bases)})" if bases else "")
    if _is_generated(value.__doc__, name):
        entry.text = ""
    entry.members = list(_members(value))
    return entry


def _is_generated(text: str | None, name: str) -> bool:
    """Whether `dataclass` made the docstring."""
    return bool(text and text.startswith(f"{name}("))


def _members(cls: type) -> Iterator[Entry]:
    documented = dict(_attribute_texts(cls))
    if issubclass(cls, enum.Enum):
        for member in cls:
            yield Entry(member.name, f"{member.name} = {member.value!r}", documented.get(member.name, ""))
        return
    if "__init__" in vars(cls) and cls not in MADE_BY_THE_RECEIVER and not getattr(cls, "_is_protocol", False):
        yield Entry("__init__", f"{cls.__name__}{_parameters(cls.__init__)}")
    exported = (*dcmrecv_core.__all__, *testing.__all__)
    for base in cls.__bases__:
        if base.__module__.startswith("dcmrecv_core.") and base.__name__ not in exported:
            yield from (member for member in _members(base) if member.name not in ("__init__", *vars(cls)))
    for name, annotation in inspect.get_annotations(cls).items():
        if not name.startswith("_"):
            yield Entry(name, f"{name}: {_shown(annotation)}", documented.get(name, ""))
    for name, value in vars(cls).items():
        if (name.startswith("_") and name != "__call__") or name in inspect.get_annotations(cls):
            continue
        if isinstance(value, property):
            returns = _shown(inspect.signature(value.fget).return_annotation)  # type: ignore[arg-type]
            yield Entry(name, f"{name}: {returns}", inspect.cleandoc(value.__doc__ or ""))
        elif inspect.isfunction(value) and value not in OWN_METHODS:
            yield Entry(name, f"{name}{_parameters(value)}", inspect.cleandoc(value.__doc__ or ""))
        elif isinstance(value, int | str):
            yield Entry(name, f"{name} = {value!r}", documented.get(name, ""))


def _attribute_texts(cls: type) -> Iterator[tuple[str, str]]:
    """The string after each attribute."""
    [definition] = ast.parse(inspect.getsource(cls)).body
    assert isinstance(definition, ast.ClassDef)
    yield from _texts(definition.body)


def _texts(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement, following in pairwise(body):
        match statement, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)


def _assigned(name: str, module: ModuleType) -> Entry:
    """A constant, a type, or a function that is an object."""
    body = ast.parse(inspect.getsource(module)).body
    text = dict(_texts(body)).get(name, "")
    for statement in body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=found), annotation=annotation) if found == name:
                protocol = getattr(module, ast.unparse(annotation))
                ways = [f"{name}{_parameters(way, returns=False)}" for way in _overloads(protocol)]
                return Entry(name, ", ".join(ways), inspect.cleandoc(protocol.__doc__ or ""))
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if found == name:
                shown = "..." if name.startswith("__") else ast.unparse(value)  # the version changes by itself
                return Entry(name, f"{name} = {shown}", text)
    raise LookupError(name)


def _overloads(protocol: type) -> Sequence[Any]:
    """Of its `__call__`, which has no implementation to ask `get_overloads` for."""
    name = SimpleNamespace(__module__=protocol.__module__, __qualname__=f"{protocol.__name__}.__call__")
    return get_overloads(name)  # type: ignore[arg-type]


def _parameters(function: Any, *, returns: bool = True) -> str:
    signature = inspect.signature(function)
    shown: list[str] = []
    star = False
    for parameter in signature.parameters.values():
        if parameter.name == "self" or parameter.name.startswith("_"):  # `_locations`: the receiver's own
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            star = True
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            shown.append("*")
            star = True
        prefix = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        text = prefix + parameter.name
        if parameter.annotation is not parameter.empty:
            text += f": {_shown(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            default = parameter.default
            value = (
                default.__name__ if inspect.isclass(default) else str(default) if _is_member(default) else repr(default)
            )
            text += f" = {'...' if value.startswith('<') else value}"
        shown.append(text)
    if function.__name__ != "__init__" and returns and signature.return_annotation is not signature.empty:
        return f"({', '.join(shown)}) -> {_shown(signature.return_annotation)}"
    return f"({', '.join(shown)})"


def _is_member(value: object) -> bool:
    return isinstance(value, enum.Enum)


def _shown(annotation: Any) -> str:
    if isinstance(annotation, ForwardRef):  # of a NamedTuple
        return annotation.__forward_arg__
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _on_one_line(entry: Entry) -> str:
    return f": {' '.join(entry.text.split())}" if entry.text else ""
