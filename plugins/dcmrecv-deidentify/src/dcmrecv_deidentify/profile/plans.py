"""What is to become of each element: of the table, of the rules of a site, and of what neither names.

What the table does not name is treated with caution: its value stays only if the data dictionary of pydicom knows the
element, and only if it is what the dictionary says. UIDs are replaced unless they are registered; names of persons,
dates and free texts get dummy values, and retired texts go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from dcmrecv_deidentify.encoded.values import check_for
from dcmrecv_deidentify.profile import table, unlisted
from dcmrecv_deidentify.profile.actions import Action
from dcmrecv_deidentify.profile.rules import Rule, SiteRules
from dcmrecv_deidentify.profile.safe_private import safe_elements

SOP_CLASS, SOP_INSTANCE = 0x00080016, 0x00080018
CHARACTER_SET = 0x00080005
PIXEL_DATA = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
MARKS = frozenset((0x00120062, 0x00120063, 0x00120064, 0x00280303))
"""What says that an instance is de-identified, and how: written anew."""

_LAST_OUTSIDE = 0x0002
"""The last group that does not belong in a data set: of File Meta Information."""

_LENGTH_TO_END = 0x00080001


class Plan(NamedTuple):
    """What becomes of an element. `vrs` are those that the dictionary has for it, `check` is false for a value that is
    none of these; `source` is "profile", "option", "rule" or "not in the table"."""

    action: Action
    vrs: tuple[str, ...] = ()
    check: Callable[[bytes], object] | None = None
    source: str = "profile"
    value: bytes = b""
    """Of a rule that replaces."""


UNKNOWN = Plan(Action.REMOVE, source="not in the dictionary")
PRIVATE = Plan(Action.REMOVE, source="private")
LENGTH = Plan(Action.REMOVE, source="a length that would be wrong")


class Plans:
    """The plans of one configuration; each is made when the element first comes."""

    def __init__(self, options: Iterable[str], rules: Iterable[Rule] = ()) -> None:
        self.options = frozenset(options)
        self._rules = SiteRules(rules)
        self._attributes = table.attributes()
        self._made: dict[int, Plan] = {}
        self._private: Mapping[tuple[str, int], tuple[str, str]] = (
            safe_elements() if table.RETAIN_SAFE_PRIVATE in self.options else {}
        )
        self.has_private = bool(self._private) or bool(self._rules.private)

    def of(self, tag: int) -> Plan:
        """The plan of an element that is not private."""
        plan = self._made.get(tag)
        return plan if plan is not None else self._make(tag)

    def of_private(self, creator: str, group: int, element: int) -> Plan:
        """The plan of a private element: `element` is the last byte of its number."""
        key = creator, group << 16 | element
        rule = self._rules.private.get(key)
        if rule is not None:
            return Plan(rule.kind, source="rule", value=rule.new_value)
        if key in self._private:
            vr, multiplicity = self._private[key]
            return Plan(Action.KEEP, (vr,), check_for((vr,), multiplicity), "option")
        return PRIVATE

    def make_all(self) -> None:
        """Make the plan of every element of the dictionary now, so that all workers share them."""
        from pydicom._dicom_dict import DicomDictionary

        for tag in DicomDictionary:
            self.of(tag)

    def may_have_items(self, tag: int) -> bool:
        """Whether an element of undefined length can be a sequence that stays."""
        return bool(tag >> 16 & 1) or self.of(tag).vrs == ("SQ",)

    def _make(self, tag: int) -> Plan:
        from pydicom.datadict import dictionary_VM, dictionary_VR

        group = tag >> 16
        if group <= _LAST_OUTSIDE:
            return UNKNOWN
        if not tag & 0xFFFF or tag == _LENGTH_TO_END:
            return LENGTH
        try:
            vrs = tuple(dictionary_VR(tag).split(" or "))
            multiplicity = dictionary_VM(tag)
        except KeyError:
            return UNKNOWN  # not remembered: a sender may think of any number
        if group & 0xFF00 in (table.CURVES, table.OVERLAYS):
            plan = Plan(Action.REMOVE, vrs)
        else:
            action, source = self._action(tag, vrs[0], multiplicity)
            plan = Plan(action, vrs, check_for(vrs, multiplicity), source)
        rule = self._rules.of(tag)
        if rule is not None:
            rule.check_for(tag, vrs[0])
            plan = Plan(rule.kind, vrs, plan.check, "rule", rule.new_value)
        self._made[tag] = plan
        return plan

    def _action(self, tag: int, vr: str, multiplicity: str) -> tuple[Action, str]:
        if tag in MARKS or tag in PIXEL_DATA:  # within an item; the other pixel data are never asked for
            return Action.REMOVE, "profile"
        if tag in (SOP_CLASS, CHARACTER_SET):
            return Action.KEEP, "profile"
        columns = self._attributes.get(tag)
        if columns is not None:
            action = table.action_of(tag, vr, columns, self.options)
            return action, "option" if columns.under(self.options) else "profile"
        return unlisted.action_for(tag, vr, multiplicity, self.options), "not in the table"
