"""docs/model.md, docs/statuses.md and docs/builtin-plugins.md agree with the classes, codes and plugins."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass

import pytest

import dcmrecv_core
from dcmrecv_core import Instance, PluginOptions, RejectReason, Role
from dcmrecv_core.api import errors
from dcmrecv_core.api.verdicts import ON_EXISTS, is_failure
from dcmrecv_core.hooks.loader import builtin, builtin_modules
from dcmrecv_core.hooks.plugins import hooks_of
from dcmrecv_core.inspection.list_plugins import _selected_by
from dcmrecv_core.proto.dimse import Status
from support.docs.blocks import PAGES
from support.protocol import pdus
from support.protocol.acceptor_runs import run
from support.uids import IMPLICIT_LE, VERIFICATION

CLASSES = [
    name
    for name in dcmrecv_core.__all__
    if is_dataclass(value := getattr(dcmrecv_core, name)) and value is not dcmrecv_core.PluginSettings
]


def sections(page: str) -> dict[str, str]:
    return dict(re.findall(r"^##+ (.+)\n((?:(?!#).*\n)*)", PAGES[page], re.MULTILINE))


MODEL = sections("model.md")


def attributes(text: str) -> list[str]:
    """The names in the first column of the tables."""
    return [
        name for cell in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE) for name in re.findall(r"`([\w-]+)`", cell)
    ]


def methods(text: str) -> list[str]:
    return re.findall(r"^- `(.+?\))`: ", text, re.MULTILINE)


def signature(cls: type, name: str) -> str:
    text = ""
    previous = None
    for parameter in list(inspect.signature(getattr(cls, name)).parameters.values())[1:]:
        if parameter.kind is parameter.KEYWORD_ONLY and previous is not parameter.KEYWORD_ONLY:
            text += ", *"
        previous = parameter.kind
        default = parameter.default
        shown = default.__name__ if isinstance(default, type) else repr(default)
        text += f", {parameter.name}" + ("" if default is parameter.empty else f"={shown}")
    return f"{name}({text[2:]})"


def public(cls: type) -> list[str]:
    return [name for name in vars(cls) if not name.startswith("_")]


@pytest.mark.parametrize("name", [*CLASSES, "RawElement"])
def test_attributes(name: str) -> None:
    cls = getattr(dcmrecv_core, name)
    live = [field.name for field in fields(cls) if field.name[0] != "_"] if is_dataclass(cls) else list(cls._fields)
    shown = attributes(MODEL[name].partition("| `on_exists` | |")[0])
    assert sorted(shown) == sorted(live)


def test_instance() -> None:
    live = public(Instance)
    properties = [name for name in live if isinstance(vars(Instance)[name], property)]
    assert sorted(attributes(MODEL["Instance"])) == sorted([*Instance.__annotations__, *properties])
    assert methods(MODEL["Instance"]) == [signature(Instance, name) for name in live if name not in properties]


def test_plugin_options() -> None:
    assert methods(MODEL["PluginOptions"]) == [signature(PluginOptions, name) for name in public(PluginOptions)]


def test_members() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d), (\d) \|$", MODEL["RejectReason"], re.MULTILINE)
    assert rows == [(reason.name, *map(str, reason.value)) for reason in RejectReason]
    assert re.findall(r"`(\w+)`", MODEL["Role"]) == [role.name for role in Role]
    assert attributes(MODEL["Name"])[-len(ON_EXISTS) :] == list(ON_EXISTS)


def test_every_public_name_is_described() -> None:
    text = PAGES["model.md"] + PAGES["hooks.md"]
    missing = [name for name in dcmrecv_core.__all__ if not re.search(rf"\b{name}\b", text)]
    assert missing == ["__version__"]


def test_statuses() -> None:
    rows = re.findall(r"^\| ([0-9A-F]{4}) \| .* \| (.+) \|$", PAGES["statuses.md"], re.MULTILINE)
    assert {int(status, 16) for status, _ in rows} >= {status.value for status in Status}
    for status, stored in rows:
        assert is_failure(int(status, 16)) <= (stored == "no"), status


REQUEST, ECHO = pdus.request(), pdus.command_set(pdus.echo_rq())
EVEN = pdus.request([pdus.context(2, VERIFICATION, IMPLICIT_LE)])


def sent_as(*pdvs: bytes) -> bytes:
    return REQUEST + pdus.pdu(pdus.P_DATA, b"".join(pdvs))


ABORTED = {
    "a PDU of an unknown type": REQUEST + pdus.pdu(0x08, bytes(4)),
    "a PDU at the wrong time, such as a second association request": REQUEST + REQUEST,
    "a data set without a command, a command within a data set, a response": sent_as(pdus.pdv(3, 2, b"")),
    "a P-DATA-TF PDU longer than `--max-pdu`": sent_as(pdus.pdv(1, 3, ECHO), pdus.pdv(1, 0, bytes(16384))),
    "a PDV that does not fit into its PDU": sent_as(b"\0\0\0\xff\1\3", ECHO),
    "a message on a presentation context that was not accepted": REQUEST + pdus.message(5, pdus.echo_rq()),
    "a command set with bytes after its last element, or that ends within an element": sent_as(
        pdus.pdv(1, 3, ECHO + b"junk")
    ),
    "a command set without Command Field or Message ID": REQUEST + pdus.message(1, {0x0002: VERIFICATION}),
    "an association request that cannot be read": pdus.pdu(pdus.ASSOCIATE_RQ, bytes(70)),
    "a presentation context with an even id, with `--strict`": EVEN,
}
"""What each row of the page is an example of."""


def test_fault_19_what_aborts_an_association() -> None:
    text = sections("statuses.md")["Why an association is aborted"]
    rows = {said: (int(a), int(b)) for said, a, b in re.findall(r"^\| (.+?) \| (\d), (\d) \|", text, re.MULTILINE)}
    assert rows.keys() - ABORTED.keys() == {"nothing, until a time is over; or the receiver is stopped"}
    for said, stream in ABORTED.items():
        assert run(stream, strict="--strict" in said).log[-1] == ("failed", *rows[said]), said
    assert run(EVEN).log[-1][0] == "requested"


def test_exit_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| ", sections("statuses.md")["Exit codes"], re.MULTILINE)
    starts = [error for error in vars(errors).values() if isinstance(error, type)]
    assert {error.exit_code for error in starts if issubclass(error, errors.StartError)} == set(map(int, rows)) - {0}


@pytest.mark.parametrize("name", builtin_modules())
def test_builtin_plugins(name: str) -> None:
    text = sections("builtin-plugins.md")[name]
    first = text.strip().partition("selected by" if "selected by" in text else ",")[0]
    assert re.findall(r"`(\w+)`", first) == [hook for hook in hooks_of(builtin(name)) if hook != "configure"]
    selected = _selected_by(name)
    assert selected.removesuffix(" of --settings") in text or selected == "always"


def test_no_other_builtin_plugins() -> None:
    assert list(sections("builtin-plugins.md")) == builtin_modules()
