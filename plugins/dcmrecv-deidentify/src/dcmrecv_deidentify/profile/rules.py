"""The rules of a site, `[[plugins.deidentify.rules]]`: they come before the profile and its options."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from dcmrecv_core import did_you_mean
from dcmrecv_deidentify.encoded.values import TEXTS
from dcmrecv_deidentify.profile.actions import Action

_NUMBER = re.compile(r"\(?([0-9A-Fa-fxX]{4}),?\s?([0-9A-Fa-fxX]{4})\)?")
_PROTECTED = {
    0x00080005: "it says in which characters the texts are",
    0x00080016: "it says what the instance is",
    0x00080018: "it names the instance",
    0x00120062: "it is always YES",
    0x00120063: "it names the profile",
    0x00120064: "it names the profile",
    0x00280303: "it says what became of dates",
    0x7FE00008: "pixel data pass unread",
    0x7FE00009: "pixel data pass unread",
    0x7FE00010: "pixel data pass unread",
}
"""Elements that no rule may change, and why."""

_HASHED = frozenset(("UI", "UR")) | TEXTS
_REPLACED = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR")) | TEXTS
_DATES = frozenset(("DA", "DT", "TM"))


@dataclass(frozen=True)
class Rule:
    """What becomes of one element wherever it is, also in sequences.

    `element` is a keyword, a number as 0018,1030 or (0018,1030), also with x for any digit; with a private `creator`
    the number of a private element as 0029,xx10. `value` belongs to "replace".
    """

    element: str
    action: Literal["keep", "remove", "empty", "replace", "hash", "shift"]
    value: str | None = None
    creator: str | None = None

    @property
    def kind(self) -> Action:
        return Action(self.action)

    @property
    def new_value(self) -> bytes:
        return (self.value or "").encode("ascii")

    def check_for(self, tag: int, vr: str) -> None:
        """Raises ValueError if the action does not fit an element of this VR."""
        fits = {"hash": _HASHED, "replace": _REPLACED, "shift": _DATES}.get(self.action)
        if fits is not None and vr not in fits:
            raise ValueError(f"{self.element}: {self.action} is not for an element of VR {vr}")
        if tag in _PROTECTED:
            raise ValueError(f"{self.element}: no rule can change it: {_PROTECTED[tag]}")


class SiteRules:
    """All rules, by tag. Raises ValueError for one that means nothing or that contradicts another."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._by_tag: dict[int, Rule] = {}
        self._patterns: list[tuple[re.Pattern[str], Rule]] = []
        self.private: dict[tuple[str, int], Rule] = {}
        """By private creator, and group with the last byte of the element."""
        for number, rule in enumerate(rules, 1):
            try:
                self._add(rule)
            except ValueError as error:
                raise ValueError(f"rules[{number}]: {error}") from None

    def of(self, tag: int) -> Rule | None:
        """The rule for an element that is not private; one that names it comes before one with x."""
        rule = self._by_tag.get(tag)
        if rule is None and self._patterns:
            text = f"{tag:08x}"
            rule = next((each for pattern, each in self._patterns if pattern.fullmatch(text)), None)
        return rule

    def _add(self, rule: Rule) -> None:
        _check_value(rule)
        match = _NUMBER.fullmatch(rule.element.strip())
        digits = "" if match is None else (match[1] + match[2]).lower()
        if rule.creator is not None:
            self._add_private(rule, digits)
        elif "x" in digits:
            self._patterns.append((re.compile(digits.replace("x", "[0-9a-f]")), rule))
        else:
            tag = int(digits, 16) if digits else _tag_of(rule.element)
            if tag >> 16 & 1:
                raise ValueError(f"{rule.element} is private: its creator is needed, as creator = ...")
            if tag in self._by_tag:
                raise ValueError(f"{rule.element}: there is a rule for it already")
            rule.check_for(tag, _vr_of(tag))
            self._by_tag[tag] = rule

    def _add_private(self, rule: Rule, digits: str) -> None:
        if not re.fullmatch(r"[0-9a-f]{3}[13579bdf](?:xx|[1-9a-f][0-9a-f]|0[0-9a-f])[0-9a-f]{2}", digits):
            raise ValueError(f"{rule.element} is no private element: as 0029,xx10, with an odd group")
        if rule.action not in ("keep", "remove", "empty", "hash"):
            raise ValueError(f"{rule.element}: {rule.action} is not for private elements")
        creator = (rule.creator or "").strip()
        key = creator, int(digits[:4], 16) << 16 | int(digits[6:], 16)
        if key in self.private:
            raise ValueError(f"{rule.element} of {creator}: there is a rule for it already")
        self.private[key] = rule


def _check_value(rule: Rule) -> None:
    if (rule.value is None) is (rule.action == "replace"):
        raise ValueError(f"{rule.element}: a value belongs to replace, and replace needs one")
    if rule.value is not None and not re.fullmatch(r"[ -~]*", rule.value):
        raise ValueError(f"{rule.element}: the value may have ASCII characters only, which every character set has")


def _tag_of(keyword: str) -> int:
    from pydicom.datadict import keyword_dict, tag_for_keyword

    tag = tag_for_keyword(keyword)
    if tag is None:
        hint = did_you_mean(keyword, keyword_dict, similarity=0.75)
        raise ValueError(f"there is no element {keyword}" + f"; {hint}" * bool(hint))
    return tag


def _vr_of(tag: int) -> str:
    from pydicom.datadict import dictionary_VR

    try:
        return dictionary_VR(tag).split(" or ")[0]
    except KeyError:
        raise ValueError(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is not in the data dictionary") from None
