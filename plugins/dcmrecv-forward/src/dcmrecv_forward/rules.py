"""`when`: which instances a destination gets.

pydicom is imported where a rule needs its dictionary: `configure` runs in the parent of all workers.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from fnmatch import fnmatchcase

from dcmrecv_core import StoredEvent, Undeliverable, decode_text, did_you_mean, read_elements, uid_of
from dcmrecv_forward.stored import opened, read_meta

_TITLES = {"calling": "calling_ae_title", "called": "called_ae_title"}
"""What only the association knows: unknown of an event that was made again after a power cut."""
_OF_EVENT = {
    "modality": "modality",
    "Modality": "modality",
    "sop_class": "sop_class_uid",
    "SOPClassUID": "sop_class_uid",
    "TransferSyntaxUID": "transfer_syntax_uid",
    "StudyInstanceUID": "study_instance_uid",
    "SeriesInstanceUID": "series_instance_uid",
    "SOPInstanceUID": "sop_instance_uid",
    "PatientID": "patient_id",
}
"""Names of a rule that need no look into the file."""
_NAMED = ("sop_class_uid", "transfer_syntax_uid")
"""Those whose values may be names instead of UIDs."""
_OWN_NAMES = (*_TITLES, "modality", "sop_class")
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_NO_TEXT = frozenset(("SQ", "OB", "OW", "OF", "OD", "OL", "OV", "UN", "AT"))
_LIKE_UID = re.compile(r"[0-9.*?\[\]!-]+")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{8}")
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_CHARACTER_SET = 0x00080005
_LONGEST_VALUE = 64 * 1024


class Rule:
    """All conditions of one `when`; an empty one is met by every instance.

    Values are patterns (`*`, `?`, `[...]`), several mean any of them. Raises ValueError for a name that means nothing.
    """

    def __init__(self, when: Mapping[str, str | tuple[str, ...]]) -> None:
        self._titles: dict[str, tuple[str, ...]] = {}
        self._of_event: dict[str, tuple[str, ...]] = {}
        self._elements: dict[int, tuple[str, ...]] = {}
        for name, given in when.items():
            patterns = (given,) if isinstance(given, str) else tuple(given)
            if not patterns:
                raise ValueError(f"when.{name}: an empty array would never be met")
            if name in _TITLES:
                self._titles[_TITLES[name]] = patterns
            elif name in _OF_EVENT:
                field = _OF_EVENT[name]
                if field in self._of_event:
                    raise ValueError(f"when.{name}: there is a condition for it already, by another name")
                self._of_event[field] = tuple(_uid(name, each) for each in patterns) if field in _NAMED else patterns
            else:
                self._elements[_tag(name)] = patterns

    def is_met(self, event: StoredEvent) -> bool:
        """Whether the destination gets this instance. Raises Undeliverable if that depends on a title that is not
        known any more; as `event.open` if it depends on elements and the file cannot be read."""
        known = {field: getattr(event, field) for field in (*self._of_event, *self._titles)}
        wanted = {**self._of_event, **self._titles}
        unknown = [field for field, value in known.items() if value is None]
        if not all(_fits(known[field], wanted[field]) for field in wanted if field not in unknown):
            return False
        if self._elements and not self._elements_fit(event):
            return False
        if unknown:
            title = unknown[0].replace("_ae_title", " AE title")
            raise Undeliverable(f"a power cut took the {title}, on which `when` depends: send the file by hand")
        return True

    def _elements_fit(self, event: StoredEvent) -> bool:
        with opened(event) as file:
            syntax = read_meta(file).transfer_syntax_uid
            found = read_elements(file, (_CHARACTER_SET, *self._elements), _LONGEST_VALUE)
        character_set = found[_CHARACTER_SET].value if _CHARACTER_SET in found else b""
        for tag, patterns in self._elements.items():
            element = found.get(tag)
            vr = _vr(tag, element.vr) if element else ""
            value = element.value if element else b""
            if vr in _NUMBERS:
                text = _numbers(value, _NUMBERS[vr], big_endian=syntax == _BIG_ENDIAN)
            else:
                text = decode_text(value, character_set, vr=vr or "LO")
            if not _fits(text, patterns):
                return False
        return True


def _uid(name: str, text: str) -> str:
    """The UID with this name, or the text if it is a UID or a pattern of one. Raises ValueError."""
    if _LIKE_UID.fullmatch(text):
        return text
    try:
        return uid_of(text)
    except KeyError as error:
        raise ValueError(f"when.{name}: {error.args[0]}") from None


def _tag(name: str) -> int:
    """The tag of a keyword, or of 8 hexadecimal digits. Raises ValueError."""
    if _HEXADECIMAL.fullmatch(name):
        return int(name, 16)
    from pydicom.datadict import dictionary_VR, keyword_dict, tag_for_keyword

    tag = tag_for_keyword(name)
    if tag is None or tag >> 16 == 2:
        hint = did_you_mean(name, _OWN_NAMES) or did_you_mean(name, keyword_dict, similarity=0.8)
        allowed = "calling, called, modality, sop_class, a DICOM keyword or a tag (00181030) expected"
        raise ValueError(f"when.{name}: {allowed}" + f"; {hint}" * bool(hint))
    if not _NO_TEXT.isdisjoint(dictionary_VR(tag).split(" or ")):
        raise ValueError(f"when.{name}: has no text that could be compared (VR {dictionary_VR(tag)})")
    return tag


def _vr(tag: int, received: str) -> str:
    """The VR of an element; from the dictionary if the encoding has none, "LO" for a private one."""
    if received not in ("", "UN"):
        return received
    from pydicom.datadict import dictionary_VR

    try:
        return dictionary_VR(tag).partition(" or ")[0]
    except KeyError:
        return "LO"


def _numbers(value: bytes, kind: str, *, big_endian: bool) -> str:
    size = struct.calcsize(kind)
    count = len(value) // size
    return "\\".join(
        f"{each:g}" if kind in "fd" else str(each)
        for each in struct.unpack(f"{'>' if big_endian else '<'}{count}{kind}", value[: count * size])
    )


def _fits(text: str, patterns: tuple[str, ...]) -> bool:
    """Whether the whole text, or one of several values in it, is like one of the patterns."""
    values = {text.strip(" \0"), *(value.strip(" \0") for value in text.split("\\"))}
    return any(fnmatchcase(value, pattern) for value in values for pattern in patterns)
