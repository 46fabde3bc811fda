"""What becomes of elements that the data dictionary knows and the table does not name: it has neither all that may say
who somebody is, nor retired elements, which old devices still send."""

from __future__ import annotations

from pydicom.datadict import dictionary_is_retired

from dcmrecv_deidentify.encoded.values import FREE_TEXTS, SIZES, TEXTS
from dcmrecv_deidentify.profile import table
from dcmrecv_deidentify.profile.actions import Action

_CODES = frozenset((0x00080119, 0x00080120))
"""Long Code Value and URN Code Value: codes, though they have VRs of free texts."""

_IDENTIFYING = frozenset(
    (
        0x00100033,  # Patient's Birth Date in Alternative Calendar
        0x00100034,  # Patient's Death Date in Alternative Calendar
        0x00102295,  # Breed Registration Number
        0x00140100,  # Component Welder IDs
        0x00181803,  # NTP Source Address
        0x00720008,  # Hanging Protocol Creator
        0x00720010,  # Hanging Protocol User Group Name
        0x0074100C,  # Contact Display Name
        0x21000160,  # Owner ID
        0x4010101A,  # Boarding Pass ID
        0x40101051,  # Itinerary ID
    )
)
"""They name a person or a place as those do that the table has."""

_DEVICES = frozenset((0x00181003, 0x30020020))
"""Device ID and Radiation Machine Name: as Device Serial Number and Treatment Machine Name, which the table has."""

_COMMENTS = frozenset(
    (
        0x00189423,  # Acquisition Protocol Name
        0x00189916,  # Instruction Text
        0x00287007,  # System Status Comment
        0x0028702A,  # Test Result Comment
        0x00400255,  # Performed Procedure Type Description
        0x0040A492,  # Completion Flag Description
        0x00440011,  # Substance Administration Notes
        0x00700081,  # Content Description
        0x30040006,  # Dose Comment
        0x300600C8,  # Frame of Reference Transformation Comment
    )
)
"""Short texts that somebody types."""


def action_for(tag: int, vr: str, multiplicity: str, chosen: frozenset[str]) -> Action:
    """What becomes of the element with this VR and multiplicity of the dictionary under the options chosen."""
    if vr == "UI":
        return Action.KEEP if table.RETAIN_UIDS in chosen else Action.UID
    if vr in table.DATES:
        if table.RETAIN_MODIFIED_DATES in chosen:
            return Action.SHIFT
        return Action.KEEP if table.RETAIN_FULL_DATES in chosen else Action.DUMMY
    if dictionary_is_retired(tag) and _may_be_anything(vr, multiplicity):
        return Action.REMOVE
    if (vr in FREE_TEXTS and tag not in _CODES) or tag in _COMMENTS:
        return Action.CLEAN if table.CLEAN_DESCRIPTORS in chosen else Action.DUMMY
    if tag in _DEVICES:
        return Action.KEEP if table.RETAIN_DEVICE in chosen else Action.DUMMY
    return Action.DUMMY if vr == "PN" or tag in _IDENTIFYING else Action.KEEP


def _may_be_anything(vr: str, multiplicity: str) -> bool:
    """Whether no check of a value could tell what it is: texts, bytes, numbers without end."""
    return vr in TEXTS or vr == "UN" or vr.startswith("O") or (vr in SIZES and "n" in multiplicity)
