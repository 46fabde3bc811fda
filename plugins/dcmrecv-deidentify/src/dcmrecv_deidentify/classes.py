"""Instances that are refused for what they are: nothing here reads pixels, sound or documents."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from dcmrecv_core import Instance, Refuse

SOP_CLASS_NOT_SUPPORTED, NOT_AUTHORIZED = 0x0122, 0x0124
"""Statuses of refusals (PS3.7 annex C)."""

BURNED_IN = "burned-in-annotation"
UNKNOWN = "unknown-class"

REPORT = "structured-report"

_PARTS: dict[str, tuple[str, ...]] = {
    "audio": ("AudioWaveform",),
    "directory": ("MediaStorageDirectory",),
    "encapsulated": ("Encapsulated",),
    "presentation-state": ("PresentationState",),
    "radiotherapy": ("RT", "ElectronRadiation", "RoboticArmRadiation", "RoboticRadiation", "TomotherapeuticRadiation"),
    "raw-data": ("RawData",),
    "secondary-capture": ("SecondaryCapture",),
    REPORT: ("SRStorage", "KeyObjectSelection", "ProcedureLog", "ReportStorage"),
    "ultrasound": ("Ultrasound", "USVolume"),
    "visible-light": ("VL", "Video", "Photograph"),
    "waveform": ("Waveform",),
}
"""Kinds of SOP classes, by what the keywords of their UIDs have."""

KINDS = (*sorted((*_PARTS, UNKNOWN)), BURNED_IN)

BY_DEFAULT = ("audio", BURNED_IN, "directory", "encapsulated", UNKNOWN, "raw-data")
"""Refused unless accepted: their content identifies, or nothing tells what it is."""

NEVER = frozenset(("directory", "encapsulated"))
"""Not to be accepted: of a document nothing would be left, and the files of a directory are elsewhere."""

_BURNED_IN_ANNOTATION = 0x00280301
_LONGEST_ANSWER = 1024
"""Bytes: one value has at most 16."""


class Refusals:
    """Which instances are refused. Raises ValueError for kinds that are both refused and accepted."""

    def __init__(self, refused: Iterable[str], accepted: Iterable[str]) -> None:
        refused, accepted = set(refused), set(accepted)
        if both := refused & accepted:
            raise ValueError(f"{', '.join(sorted(both))}: either refused or accepted")
        self.kinds = frozenset(refused | set(BY_DEFAULT) - accepted)

    def judge(self, instance: Instance) -> Refuse | None:
        """The refusal of an instance, None for one that may be de-identified."""
        for uid in {instance.sop_class_uid, str(instance.get("SOPClassUID", instance.sop_class_uid))}:
            kind = next((kind for kind in kinds_of(uid) if kind in self.kinds), None)
            if kind is not None:
                return Refuse(SOP_CLASS_NOT_SUPPORTED, f"not de-identified: {kind}")
        if BURNED_IN in self.kinds:
            raw = instance.raw(_BURNED_IN_ANNOTATION, _LONGEST_ANSWER)  # its VR may be UN, its values several
            if raw is not None and any(each.strip(b" \0").upper() == b"YES" for each in raw.value.split(b"\\")):
                return Refuse(NOT_AUTHORIZED, "not de-identified: Burned In Annotation is YES")
        return None


@cache
def _keywords() -> dict[str, str]:
    """The keywords of all registered SOP classes, by UID."""
    from pydicom._uid_dict import UID_dictionary

    return {uid: entry[4] for uid, entry in UID_dictionary.items() if entry[1] == "SOP Class"}


def kinds_of(sop_class_uid: str) -> tuple[str, ...]:
    """The kinds of which a SOP class is."""
    keyword = _keywords().get(sop_class_uid)
    if keyword is None:
        return (UNKNOWN,)
    return _kinds_of_keyword(keyword)


@cache
def _kinds_of_keyword(keyword: str) -> tuple[str, ...]:
    return tuple(kind for kind, parts in _PARTS.items() if any(part in keyword for part in parts))
