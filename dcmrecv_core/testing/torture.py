"""Instances that are hard to name: what modalities really send, and what an attacker might."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmrecv_core.api.model import Association
from dcmrecv_core.testing.fakes import fake_association, sample_dataset

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LONGEST_UID = "1.2.826.0.1.3680043.8.498." + "9" * 38
"""64 characters, the most that a UID may have (PS3.5 section 9.1)."""

_IDENTIFYING = (
    "PatientID",
    "PatientName",
    "AccessionNumber",
    "StudyID",
    "StudyDescription",
    "SeriesDescription",
    "Manufacturer",
    "Modality",
)
_NUMBERS = ("SeriesNumber", "InstanceNumber")
_TIMES = ("StudyDate", "SeriesDate", "StudyTime", "PatientBirthDate")
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID")


class Case(NamedTuple):
    """One instance. `label` says what is special about it; `twin` is the label of a harmless case that has to get as
    many directory levels, "" for none."""

    label: str
    dataset: Dataset
    association: Association = fake_association()
    twin: str = ""


def cases() -> Iterator[Case]:
    """All instances, each with a SOP Instance UID of its own; new objects at every call."""
    for number, (label, elements, twin) in enumerate(_elements()):
        uid = elements.pop("SOPInstanceUID", f"1.2.826.0.1.3680043.8.498.1.1.{number + 1}")
        association = fake_association(**elements.pop("association", {}))
        yield Case(label, _dataset(elements | {"SOPInstanceUID": uid}), association, twin)


def more_cases() -> Iterator[Case]:
    """Instances that are hard to read, for plugins that do more than name them."""
    from pydicom.uid import UID

    uid = "1.2.826.0.1.3680043.8.498.1.2."
    yield Case(
        "a character set that does not exist", _dataset({"SpecificCharacterSet": b"hex", "SOPInstanceUID": f"{uid}1"})
    )
    large = _dataset({"SOPInstanceUID": f"{uid}2"})
    large.private_block(0x0029, "KIT 1.0", create=True).add_new(0x01, "OB", bytes(70_000))
    yield Case("a private value of 70 000 bytes", large)
    bare = _dataset({"SOPInstanceUID": f"{uid}3"})
    del bare.PixelData
    yield Case("no pixel data", bare)
    implicit = _dataset({"SOPInstanceUID": f"{uid}4"})
    implicit.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2")
    yield Case("implicit VR", implicit)
    yield Case("a person name of five groups", _dataset({"PatientName": "a=b=c=d=e", "SOPInstanceUID": f"{uid}5"}))
    yield Case("UIDs that are paths", _dataset(dict.fromkeys(("SOPInstanceUID", *_UIDS), "../no-such-directory/1.2")))


def _elements() -> Iterator[tuple[str, dict[str, Any], str]]:
    yield "an ordinary image", {}, ""
    yield "another image of the same series", {"InstanceNumber": 2}, ""
    yield "a third image of the series, with the number of the second", {"InstanceNumber": 2}, ""
    yield "the same numbers in another series", {"SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.1.2"}, ""
    yield "the same numbers in another study", {"StudyInstanceUID": "1.2.826.0.1.3680043.8.498.2"}, ""
    yield "the same patient ID from another sender", {"association": {"calling_ae_title": "OTHER"}}, ""
    yield "the same patient ID in other case", {"PatientID": "p1", "PatientName": "doe^jane"}, ""
    yield "its counterpart in upper case", {"PatientID": "P1", "PatientName": "DOE^JANE"}, ""
    yield "nothing but UIDs", dict.fromkeys((*_IDENTIFYING, *_NUMBERS, *_TIMES), None), ""
    yield "all missing, study and series too", dict.fromkeys((*_IDENTIFYING, *_NUMBERS, *_TIMES, *_UIDS), None), ""
    yield "empty values", dict.fromkeys((*_IDENTIFYING, *_NUMBERS, *_TIMES), ""), ""
    yield "blanks only", dict.fromkeys(_IDENTIFYING, "   "), ""
    yield (
        "UIDs of 64 characters",
        {
            "SOPInstanceUID": LONGEST_UID,
            "StudyInstanceUID": LONGEST_UID[:-1] + "1",
            "SeriesInstanceUID": LONGEST_UID[:-1] + "2",
        },
        "",
    )
    yield "UIDs of 64 characters, alike but for the last", {"SOPInstanceUID": LONGEST_UID[:-1] + "8"}, ""
    yield "a Japanese name", {"PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう", "PatientID": "山田"}, ""
    yield "an Arabic name", {"PatientName": "قباني^لنزار", "PatientID": "قباني"}, ""
    yield "an umlaut, composed", {"PatientName": "M\u00fcller", "PatientID": "M\u00fcller"}, ""
    yield "an umlaut, decomposed", {"PatientName": "Mu\u0308ller", "PatientID": "Mu\u0308ller"}, ""
    yield "Latin-1 bytes that are declared as UTF-8", {"PatientName": b"M\xfcller", "PatientID": b"M\xfcller"}, ""
    yield "other Latin-1 bytes that are declared as UTF-8", {"PatientName": b"M\xf6ller", "PatientID": b"M\xf6ller"}, ""
    yield "letters for slashes", _everywhere("a_b_.._c"), ""
    yield "slashes and ..", _everywhere("a/b/../c"), "letters for slashes"
    yield "an absolute path", _everywhere("/etc/passwd"), "letters for slashes"
    yield "..", _everywhere(".."), ""
    yield ".", _everywhere("."), ""
    yield "the receiver's own names", _everywhere(".dcmrecv"), ""
    yield "NUL and control characters", _everywhere(b"a\x00b\x1b[2J\r\nc"), ""
    yield "backslashes, and several values", _everywhere("a\\b") | {"ImageType": "a\\b"}, ""
    yield "characters that Windows refuses", _everywhere('a:b*c?"<>|'), ""
    yield "a name that Windows reserves", _everywhere("NUL"), ""
    yield "a name that Windows reserves, with an extension", _everywhere("COM1.txt"), ""
    yield "a dot and a blank at the end", _everywhere("a. "), ""
    yield "300 characters", _everywhere("x" * 300), ""
    yield "300 characters, alike but for the last", _everywhere("x" * 299 + "y"), ""
    yield "300 characters of three bytes", _everywhere("太" * 300), ""
    yield "dates and numbers that are none", dict.fromkeys((*_TIMES, *_NUMBERS), b"yesterday"), ""
    yield "dates out of range, negative numbers", dict.fromkeys(_TIMES, b"99999999") | {"InstanceNumber": -1}, ""


def _everywhere(text: str | bytes) -> dict[str, Any]:
    """`text` in every element that a layout may use, but not in AE titles, which the protocol restricts (PS3.5 section
    6.2)."""
    return dict.fromkeys(_IDENTIFYING, text)


def _dataset(elements: dict[str, Any]) -> Dataset:
    """The sample with exactly these values, even if they break the rules of their VRs; None removes an element."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    removed: dict[str, Any] = dict.fromkeys(elements)
    dataset = sample_dataset(**removed)
    for keyword, value in elements.items():
        if value is not None:
            tag = Tag(tag_for_keyword(keyword) or 0)
            vr = dictionary_VR(tag)
            encoded = value if isinstance(value, bytes) else str(value).encode()
            if len(encoded) % 2:
                encoded += b"\0" if vr == "UI" else b" "
            dataset[tag] = RawDataElement(tag, vr, len(encoded), encoded, 0, False, True)
    return dataset
