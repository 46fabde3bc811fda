"""One instance: its elements as they come in, treated element by element, at every depth of its sequences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

from pydicom._uid_dict import UID_dictionary

from dcmrecv_deidentify.content import Content
from dcmrecv_deidentify.encoded.character_sets import is_known
from dcmrecv_deidentify.encoded.elements import DEEPEST, IMPLICIT, Format, Unreadable, items_of, parts_of, shown
from dcmrecv_deidentify.encoded.values import SIZES, TEXTS, dummy, padded, related, stripped
from dcmrecv_deidentify.profile.actions import Action
from dcmrecv_deidentify.profile.plans import CHARACTER_SET, SOP_INSTANCE, Plan, Plans
from dcmrecv_deidentify.pseudonyms.made import Pseudonyms, shifted
from dcmrecv_deidentify.pseudonyms.pairs import Pair
from dcmrecv_deidentify.words import cleaned, words_of

PATIENT_NAME, PATIENT_ID, STUDY_UID = 0x00100010, 0x00100020, 0x0020000D
CONTENT = 0x0040A730
_CONTENT_VALUES = (0x0040A160, 0x0040A123)
"""Text Value and Person Name of a content item."""
_CONTENT_CODE = 0x0040A168
"""Concept Code Sequence: the value of a content item that is a code."""
_IDENTIFYING = (PATIENT_NAME, PATIENT_ID, 0x00080050, 0x00080090, 0x00081050, 0x00081070, 0x00101001, 0x00101000)
"""Elements whose words may not stay in a cleaned text."""
_LONGEST_CREATOR = 64

NORMAL, HARSH, CONTENT_STAYS, CONTENT_GOES = "", "harsh", "content stays", "content goes"
"""How a level is treated: each element by its plan; no text stays either; the value of a content item stays, or says
nothing."""

_REGISTERED = frozenset(uid.encode() for uid in UID_dictionary)

Element = tuple[int, str, bytes]
"""Tag, VR ("" in implicit VR) and value; of a sequence the items."""

Treated = tuple[str, bytes]
"""The new VR and value."""

Changed = Counter[tuple[int, str, str]]
"""How often what became of which element: tag (0: private and unknown ones), action, and why."""


class Treatment:
    """What one instance needs besides the plans: who the patient is, and in which encoding."""

    def __init__(self, plans: Plans, pseudonyms: Pseudonyms, fmt: Format, changed: Changed | None = None) -> None:
        self._plans = plans
        self._pseudonyms = pseudonyms
        self._format = fmt
        self._changed = changed
        self._top: dict[int, bytes] = {}
        self._keeps_texts = True
        self._content = Content(plans.options)
        self.watch: Callable[[int, int, str, str], None] | None = None
        """Told of each element: its depth, its tag, what became of it, and why."""
        self.pairs: list[Pair] = []
        """Identifiers and the pseudonyms that they got."""

    def treat(self, elements: list[Element], *, keeps_texts: bool) -> dict[int, Treated]:
        """The elements that stay, of the top level of a data set. Without `keeps_texts` no text stays that has other
        characters than ASCII: what they mean is not known. Raises Unreadable."""
        self._top = {tag: stripped(value) for tag, _, value in elements if tag in _IDENTIFYING or tag == STUDY_UID}
        self._keeps_texts = keeps_texts
        return {tag: (vr, value) for tag, vr, value in self._level(elements, self._format, 0, NORMAL)}

    @cached_property
    def _patient(self) -> bytes:
        """What tells patients apart: the ID, else the name; without both each study is a patient."""
        return self._top.get(PATIENT_ID) or self._top.get(PATIENT_NAME) or self._top.get(STUDY_UID) or b""

    @cached_property
    def _identifying(self) -> set[str]:
        return {word for tag in _IDENTIFYING for word in words_of(self._top.get(tag, b""))}

    def _level(self, elements: Iterable[Element], read: Format, depth: int, mode: str) -> Iterator[Element]:
        """The elements of a data set or an item that stay."""
        of = self._plans.of
        # of hundreds of private elements most instances keep none
        looks_at_private = self._plans.has_private or self._changed is not None or self.watch is not None
        creators: dict[int, tuple[str, Element]] = {}
        needed: set[int] = set()
        private: list[Element] = []
        for element in elements:
            tag = element[0]
            if tag >> 16 & 1:
                if looks_at_private:
                    private += self._private(element, depth, creators, needed)
                continue
            plan = of(tag)
            treated = self._treat(plan, element, read, depth, mode)
            if self.watch is not None:
                self.watch(depth, tag, _became(plan.action, element, treated), plan.source)
            if treated is not None:
                yield tag, *treated
        if private:
            private += [creators[block][1] for block in needed]
            yield from private

    def _treat(self, plan: Plan, element: Element, read: Format, depth: int, mode: str) -> Treated | None:
        tag, vr, value = element
        action = plan.action
        if action is Action.KEEP and mode != HARSH and (vr == "" or vr in plan.vrs) and plan.vrs[0] != "SQ":
            if plan.check is None:
                if self._keeps_texts or value.isascii() or plan.vrs[0] not in TEXTS:
                    return vr, value
            elif not value or plan.check(value):
                return vr, value
        treated = None if action is Action.REMOVE else self._changed_value(plan, element, read, depth, mode)
        if self._changed is not None and not (action is Action.KEEP and treated):
            # the number of an unknown element may be a piece of a text
            self._changed[tag if plan.vrs else 0, _name(action, treated), plan.source] += 1
        return treated

    def _changed_value(self, plan: Plan, element: Element, read: Format, depth: int, mode: str) -> Treated | None:
        tag, vr, value = element
        kind = _vr_for(plan.vrs, vr)
        if kind is None:
            return None
        if kind == "SQ":
            return self._sequence(plan.action, tag, value, IMPLICIT if vr == "UN" else read, depth, mode)
        return self._value(plan, tag, kind, value, vr, mode)

    def _value(self, plan: Plan, tag: int, kind: str, value: bytes, vr: str, mode: str) -> Treated | None:
        action = plan.action
        written = kind if self._format.explicit else ""
        if action is Action.REPLACE:
            return written, padded(kind, plan.value)
        if not stripped(value):
            return written, b""
        if mode == HARSH and action in (Action.KEEP, Action.CLEAN) and kind in TEXTS:
            action = Action.DUMMY
        if tag in _CONTENT_VALUES and mode in (CONTENT_STAYS, CONTENT_GOES):
            action = Action.KEEP if mode == CONTENT_STAYS else Action.DUMMY
        if action is Action.EMPTY:
            return written, b""
        if action is Action.KEEP:
            return self._kept(plan, kind, value, vr)
        if action is Action.UID:
            return written, self._uids(tag, value)
        if action is Action.HASH:
            return written, self._pseudonym(tag, kind, value)
        if action is Action.SHIFT:
            return written, self._shifted(kind, value)
        if action is Action.CLEAN:
            text = cleaned(value, self._identifying) if kind != "AE" else b""
            return written, padded(kind, text) or dummy(kind)
        return written, dummy(kind)

    def _kept(self, plan: Plan, kind: str, value: bytes, vr: str) -> Treated | None:
        """A value that stays although its VR is not that of the dictionary, if it may be one of that."""
        if kind in TEXTS and not (self._keeps_texts or value.isascii()):
            return None
        if plan.check is not None and not plan.check(value):
            return None
        if vr == "UN" and (kind in SIZES or kind.startswith("O")):
            return "UN", value  # numbers in little endian, whatever the data set is in (PS3.5 section 6.2.2)
        return kind if self._format.explicit else "", value

    def _uids(self, tag: int, value: bytes) -> bytes:
        new_uid = self._pseudonyms.uid
        new = b"\\".join(
            uid if not (uid := stripped(each)) or (uid in _REGISTERED and tag != SOP_INSTANCE) else new_uid(uid)
            for each in value.split(b"\\")
        )
        if tag == STUDY_UID:
            self.pairs.append(Pair("study", stripped(value), new))
        return padded("UI", new)

    def _pseudonym(self, tag: int, kind: str, value: bytes) -> bytes:
        if kind == "UI":
            return self._uids(tag, value)
        if tag in (PATIENT_NAME, PATIENT_ID):
            patient = stripped(value) if tag == PATIENT_ID else self._patient  # an item may name another patient
            new = self._pseudonyms.of("patient", patient)
            self.pairs.append(Pair("patient", patient, new))
        else:
            new = self._pseudonyms.of(f"{tag:08x}", stripped(value))
            if tag == 0x00080050:
                self.pairs.append(Pair("accession", stripped(value), new))
        return new

    def _shifted(self, kind: str, value: bytes) -> bytes:
        days = self._pseudonyms.days(self._patient)
        moved = [shifted(kind, each, days) for each in value.decode("latin-1").rstrip(" \0").split("\\")]
        new = "\\".join(each or "" for each in moved)
        if None in moved or not _like_time(new):
            return dummy(kind)
        return padded(kind, new.encode("ascii"))

    def _sequence(self, action: Action, tag: int, value: bytes, read: Format, depth: int, mode: str) -> Treated | None:
        written = "SQ" if self._format.explicit else ""
        if action is Action.EMPTY or not value:
            return written, b""
        if depth >= DEEPEST:
            raise Unreadable(f"more than {DEEPEST} sequences in one another")
        if tag == CONTENT and action is Action.DUMMY:
            return written, self._content.dummy(self._format)
        by_concept = action is Action.CONTENT
        harsh = action is Action.DUMMY or mode == HARSH or (mode == CONTENT_GOES and tag == _CONTENT_CODE)
        mode = HARSH if harsh else NORMAL
        try:
            items = list(items_of(value, 0, len(value), read, depth))
            new = [self._item(value, start, end, read, depth + 1, mode, by_concept) for start, end in items]
        except Unreadable as error:
            raise Unreadable(f"in {shown(tag)}: {error}") from None
        return written, b"".join(self._format.encode_item(each) for each in new if each is not None)

    def _item(
        self, data: bytes, start: int, end: int, read: Format, depth: int, mode: str, by_concept: bool
    ) -> bytes | None:
        """The new item; None if a structured report must not have it."""
        # In explicit VR an item without VRs was in an element of unknown VR (PS3.5 section 6.2.2).
        without_vr = "UN" if self._format.explicit else ""
        elements = [
            (part.tag, part.vr or without_vr, data[part.start : part.end])
            for part in parts_of(data, start, end, read, depth)
            if not part.undefined or self._plans.may_have_items(part.tag)
        ]
        if by_concept:
            what = self._content.action_of(elements, read)
            if what is Action.REMOVE:
                return None
            mode = {Action.DUMMY: CONTENT_GOES, Action.KEEP: CONTENT_STAYS}.get(what, NORMAL)
        keeps_texts = self._keeps_texts
        if any(tag == CHARACTER_SET and not is_known(value) for tag, _, value in elements):
            elements = [element for element in elements if element[0] != CHARACTER_SET]
            self._keeps_texts = False
        encode = self._format.encode
        level = sorted(self._level(elements, read, depth, mode))
        self._keeps_texts = keeps_texts
        return b"".join(encode(tag, vr, value) for tag, vr, value in level)

    def _private(
        self,
        element: Element,
        depth: int,
        creators: dict[int, tuple[str, Element]],
        needed: set[int],
    ) -> list[Element]:
        """The private element, if it may stay; its creator is noted as needed then."""
        tag, _, value = element
        number = tag & 0xFFFF
        if 0x10 <= number <= 0xFF:
            creator = stripped(value).decode("latin-1")
            if len(creator) <= _LONGEST_CREATOR and creator.isascii():
                creators.setdefault(tag, (creator, (tag, "LO" if self._format.explicit else "", value)))
            return []
        block = tag & 0xFFFF0000 | number >> 8
        known = creators.get(block) if self._plans.has_private else None
        kept: list[Element] = []
        action = "remove"
        if known is not None:
            plan = self._plans.of_private(known[0], tag >> 16, number & 0xFF)
            if plan.action is not Action.REMOVE and (treated := self._private_value(plan, element)):
                needed.add(block)
                kept, action = [(tag, *treated)], plan.action.value
        if self.watch is not None:
            self.watch(depth, tag, action, "private")
        if self._changed is not None:
            self._changed[0, action, "private"] += 1
        return kept

    def _private_value(self, plan: Plan, element: Element) -> Treated | None:
        tag, vr, value = element
        if plan.source == "rule" and plan.action is not Action.KEEP:
            kind = vr if vr in TEXTS or vr == "UI" else "LO"
            if plan.action is Action.HASH and (vr == "" or vr == kind):
                return vr, self._pseudonym(tag, kind, value) if stripped(value) else b""
            return (vr, b"") if plan.action is Action.EMPTY else None
        fits = plan.source == "rule" or vr in ("", "UN", *plan.vrs)
        return (vr, value) if fits and (plan.check is None or plan.check(value)) else None


def _vr_for(defined: tuple[str, ...], declared: str) -> str | None:
    """The VR with which an element is treated: the declared one if the dictionary has it too or senders confuse both.
    None if it is another one: what the value is cannot be told then."""
    if declared in defined:
        return declared
    if declared in ("", "UN"):
        return defined[0]
    return declared if related(declared, defined) else None


def _like_time(text: str) -> bool:
    return all(char in "0123456789.:+-\\ " for char in text)


def _name(action: Action, treated: Treated | None) -> str:
    return Action.REMOVE.value if treated is None else action.value


def _became(action: Action, element: Element, treated: Treated | None) -> str:
    if treated is None:
        return Action.REMOVE.value
    _, new = treated
    if not new:
        return Action.EMPTY.value
    return Action.KEEP.value if new == element[2] else action.value
