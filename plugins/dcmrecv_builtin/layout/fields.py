"""The names of layout fields: elements of the data set, and other values of an instance.

PatientID   00100020   (0010,0020)      an element of the data set
"CREATOR",0029,10                       a private element, wherever its block is
ImageType[2]   [-1]   [*]               its third value, its last one, all values joined by `\\`
RequestAttributesSequence.StudyID       an element of a sequence's first item ([1]: of the second, [-1]: of the last)
calling_ae_title, now ...               see VALUES
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, MutableSequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmrecv_builtin.layout.person_names import without_empty_ends
from dcmrecv_core import Instance, did_you_mean, name_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Getter = Callable[[Instance], str | None]

_NOW = "layout.now"

_PRIVATE = re.compile(r'"([^"\\]{1,64})",([0-9A-Fa-f]{4}),([0-9A-Fa-f]{2})')
_TAG = re.compile(r"\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)|([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})")
_STEP = re.compile(r'((?:"[^"]*"|[^".\[\]])*)(?:\[([^\]]*)\])?')

# VRs of text that needs no conversion when it is ASCII without escape sequences and backslashes
_PLAIN_VRS = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UI"))
_LONGEST_VALUE = 1 << 20
# SOP Instance UID, Instance Number, and when it was acquired or made
_OF_ONE_INSTANCE = frozenset((0x00080018, 0x00200013, 0x00080013, 0x0008002A, 0x00080032, 0x00080033))
_BINARY_VRS = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UN"))


class Step(NamedTuple):
    """One element on the way to a value: `number` is that of a value or an item, from 0, negative from the
    end, None for all values."""

    element: int | tuple[str, int]
    number: int | None
    vr: str


class FieldValue(NamedTuple):
    """How to get the text of a field, and its VR, "" if it is not known."""

    get: Getter
    vr: str


def _received(instance: Instance) -> str:
    """The moment of arrival, the same for directory and name, and for each attempt at a name."""
    moment: str | None = instance.state.get(_NOW)
    if moment is None:
        moment = instance.state[_NOW] = f"{datetime.now():%Y%m%d%H%M%S.%f}"
    return moment


VALUES: dict[str, FieldValue] = {
    "calling_ae_title": FieldValue(lambda instance: instance.association.calling_ae_title, "AE"),
    "called_ae_title": FieldValue(lambda instance: instance.association.called_ae_title, "AE"),
    "peer_address": FieldValue(lambda instance: instance.association.peer_address, "LO"),
    "modality_prefix": FieldValue(lambda instance: instance.modality_prefix, "LO"),
    "sop_class_name": FieldValue(lambda instance: name_of(instance.sop_class_uid), "LO"),
    "sop_class_uid": FieldValue(lambda instance: instance.sop_class_uid, "UI"),
    "sop_instance_uid": FieldValue(lambda instance: instance.sop_instance_uid, "UI"),
    "transfer_syntax_uid": FieldValue(lambda instance: instance.transfer_syntax_uid, "UI"),
    "now": FieldValue(_received, "DT"),
    "random": FieldValue(lambda instance: secrets.token_hex(8), "LO"),
}


def field_value(name: str) -> FieldValue:
    """The value that a field name stands for. Raises ValueError for an unknown name."""
    if not name:
        raise ValueError("a field needs a name")
    if name in VALUES:
        return VALUES[name]
    *way, last = _steps(name)
    for step in way:
        if step.vr not in ("SQ", ""):
            raise ValueError(f"only a sequence has elements, not a value of VR {step.vr}")
        if step.number is None:
            raise ValueError("one item is needed, not all")
    if last.vr in _BINARY_VRS:
        raise ValueError("a sequence has no text, an element of it may" if last.vr == "SQ" else "has no text")
    if way:
        return FieldValue(_nested(way, last), last.vr)
    if isinstance(last.element, int) and last.vr in _PLAIN_VRS and last.number == 0:
        return FieldValue(_plain(last.element, last.vr), last.vr)
    return FieldValue(lambda instance: _text(_value(instance, last.element), last.number, last.vr), last.vr)


def differs_per_instance(name: str) -> bool:
    """Whether the value of this field usually differs for each instance of a series."""
    if name in ("sop_instance_uid", "random", "now") or name.startswith('"'):
        return True  # the author of the pattern knows what is in it
    return name not in VALUES and _steps(name)[-1].element in _OF_ONE_INSTANCE


def _value(instance: Instance, element: int | tuple[str, int]) -> Any:
    """The value; None if it is so long that it would fill the memory."""
    found = instance.raw(element, _LONGEST_VALUE + 1)
    return None if found is None or len(found.value) > _LONGEST_VALUE else instance.get(element)


def _plain(tag: int, vr: str) -> Getter:
    """The value without pydicom's converters where they would change nothing: the usual case, and four times faster."""
    vrs = (vr, "")

    def get(instance: Instance) -> str | None:
        element = instance.raw(tag, _LONGEST_VALUE + 1)
        if element is None or len(element.value) > _LONGEST_VALUE:
            return None
        value = element.value
        if element.vr in vrs and value.isascii() and b"\\" not in value and b"\x1b" not in value:
            text = value.decode("ascii").strip(" \0")
            return (without_empty_ends(text) if vr == "PN" else text) or None
        return _text(instance.get(tag), 0, vr)

    return get


def _nested(way: list[Step], last: Step) -> Getter:
    first, *rest = way

    def get(instance: Instance) -> str | None:
        value = _at(_value(instance, first.element), first.number)
        for step in rest:
            value = _at(_element(value, step.element), step.number)
        return _text(_element(value, last.element), last.number, last.vr)

    return get


def _element(item: Dataset | None, element: int | tuple[str, int]) -> Any:
    """The value of an element of an item, None if either is missing."""
    if item is None or not hasattr(item, "private_block"):
        return None
    if isinstance(element, tuple):
        creator, number = element
        try:
            element = item.private_block(number >> 16, creator).get_tag(number & 0xFF)
        except KeyError:
            return None
    found = item.get(element)
    return None if found is None else found.value


def _at(values: Any, index: int | None) -> Any:
    """The value or item of that number, None if there is none; all of them if `index` is None."""
    if index is None:
        return values
    if isinstance(values, MutableSequence):
        return values[index] if -len(values) <= index < len(values) else None
    return values if index in (0, -1) else None


def _text(values: Any, index: int | None, vr: str) -> str | None:
    """The text of one value, or of all; None if there is none. `vr` is that of the dictionary."""
    value = _at(values, index)
    several = isinstance(value, MutableSequence)
    text = "\\".join([_one(one, vr) for one in value]) if several else _one(value, vr)
    return text or None


def _one(value: Any, vr: str) -> str:
    if value is None:
        return ""
    text = value.decode("ascii", "surrogateescape") if isinstance(value, bytes) else str(value)
    text = text.strip(" \0")
    # a name may be sent with another VR, and a private element may be a name
    return without_empty_ends(text) if vr == "PN" or hasattr(value, "family_name") else text


def _steps(name: str) -> list[Step]:
    steps, position = [], 0
    while True:
        match = _STEP.match(name, position)
        if match is None:
            raise ValueError(f"cannot read field {name!r}")
        steps.append(_step(match[1], match[2]))
        position = match.end()
        if position == len(name):
            return steps
        if name[position] != ".":
            raise ValueError(f"cannot read field {name!r}")
        position += 1


def _step(name: str, index: str | None) -> Step:
    if index not in (None, "*") and not re.fullmatch("-?[0-9]{1,5}", index or "x"):
        raise ValueError("an index is a number, 0 for the first, -1 for the last, or *")
    number = None if index == "*" else int(index or 0)
    if match := _PRIVATE.fullmatch(name):
        creator, group, element = match.groups()
        if not int(group, 16) % 2:
            raise ValueError(f"{group} is not the group of a private element, which is odd")
        return Step((creator, int(group, 16) << 16 | int(element, 16)), number, "")
    if name.startswith('"'):
        raise ValueError('a private element is "CREATOR",gggg,ee')
    tag = _tag(name)
    return Step(tag, number, _vr(tag))


def _tag(name: str) -> int:
    from pydicom.datadict import tag_for_keyword

    if match := _TAG.fullmatch(name):
        tag = int("".join(group for group in match.groups() if group), 16)
    else:
        found = tag_for_keyword(name)
        if found is None:
            raise ValueError(f"unknown field {name!r}{_hint(name)}")
        tag = found
    if tag >> 16 in (0x0000, 0x0002):
        raise ValueError(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is not part of the data set")
    return tag


def _vr(tag: int) -> str:
    """The VR of the dictionary, "" if it does not know it or knows several."""
    from pydicom.datadict import dictionary_VR
    from pydicom.tag import BaseTag

    try:
        vr = "" if BaseTag(tag).is_private else dictionary_VR(tag)
    except KeyError:
        return ""
    if vr == "OB or OW":
        return "OW"
    return "" if " or " in vr else vr


def _hint(name: str) -> str:
    from pydicom.datadict import keyword_dict

    hint = did_you_mean(name, (*keyword_dict, *VALUES), similarity=0.75)
    return f"; {hint}" if hint else ""
