"""One instance of each storage SOP class (PS3.4 annex B), with the attributes of its modules (PS3.3) to some depth.

What may identify somebody has a value that occurs nowhere else: elements of table E.1-1, UIDs, names of persons, dates
and free texts that the table does not name. The modules come from the package highdicom, which has the tables of PS3.3
as JSON; its code is not imported.
"""

from __future__ import annotations

import csv
import json
import random
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import sop_class as classes

TABLE = Path(__file__).parent / "data" / "table_e1_1.tsv"
DEEPEST = 2
"""Sequences in sequences."""

CAUTIOUS = ("DA", "DT", "TM", "PN", "LT", "ST", "UT", "UC", "UR")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_NUMBERS = dict.fromkeys(("US", "SS", "UL", "SL", "UV", "SV"), 1) | dict.fromkeys(("FL", "FD"), 1.0)
_IMAGE: dict[str, Any] = {
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "Rows": 4,
    "Columns": 4,
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
    "PixelRepresentation": 0,
    "NumberOfFrames": 1,
}
_FIXED: dict[str, Any] = {**_IMAGE, "SpecificCharacterSet": "ISO_IR 192", "BurnedInAnnotation": "NO"}
_BYTES = ("OB", "OW", "OD", "OF", "OL", "OV", "UN")
_CODES = ("LongCodeValue", "URNCodeValue")
_NOT_MADE = (
    *_PIXELS,
    "PlanarConfiguration",
    "DataSetTrailingPadding",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
)


def storage_classes() -> dict[str, str]:
    """Keyword and UID of each."""
    return {name: str(uid) for name, uid in sorted(classes._STORAGE_CLASSES.items())}


@cache
def table() -> dict[int, str]:
    """The codes of the profile by tag."""
    with TABLE.open() as rows:
        found = {row["tag"]: row["profile"] for row in csv.DictReader(rows, delimiter="\t")}
    return {int(tag, 16): code for tag, code in found.items() if "x" not in tag and tag != "private"}


class Made:
    """An instance, and what identifies in it."""

    def __init__(self, sop_class: str) -> None:
        self._chance = random.Random(sop_class)
        self._numbers = count(1)
        self._class = sop_class
        self.identifying: set[bytes] = set()
        self.dataset = Dataset()
        self.dataset.file_meta = FileMetaDataset()
        self.dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        attributes = _attributes(sop_class)
        self._fill(self.dataset, [each for each in attributes if len(each["path"]) <= DEEPEST])
        self.dataset.SOPClassUID = self.dataset.file_meta.MediaStorageSOPClassUID = sop_class
        self.dataset.file_meta.MediaStorageSOPInstanceUID = self.dataset.SOPInstanceUID
        self.pixels = self._add_pixels({each["keyword"] for each in attributes if not each["path"]})
        block = self.dataset.private_block(0x0009, self._word(), create=True)
        block.add_new(0x01, "LO", self._word())

    def _fill(self, dataset: Dataset, attributes: list[dict[str, Any]]) -> None:
        nested: dict[str, list[dict[str, Any]]] = {}
        for each in attributes:
            if each["path"]:
                nested.setdefault(each["path"][0], []).append({**each, "path": each["path"][1:]})
        for each in attributes:
            keyword = each["keyword"]
            tag = tag_for_keyword(keyword)
            if each["path"] or tag is None or keyword in _NOT_MADE or keyword in dataset:
                continue
            vr = dictionary_VR(tag).split(" or ")[0]
            if vr != "SQ":
                dataset.add_new(tag, vr, self._value(keyword, tag, vr))
            elif nested.get(keyword):
                item = Dataset()
                self._fill(item, nested[keyword])
                dataset.add_new(tag, vr, Sequence([item]))

    def _value(self, keyword: str, tag: int, vr: str) -> Any:
        if keyword in _FIXED:
            return _FIXED[keyword]
        if keyword.endswith("SOPClassUID"):
            return classes.CTImageStorage
        if keyword in _CODES:
            return "urn:technical"
        if tag in table() or vr in CAUTIOUS or vr == "UI":
            return self._identifying(vr)
        multiplicity = dictionary_VM(tag)
        often = int(multiplicity) if multiplicity.isdigit() else 1
        value: Any = _NUMBERS.get(vr, {"DS": "1.5", "IS": "1", "AS": "001Y", "AT": 0x00080018}.get(vr, "TECHNICAL"))
        if vr in _BYTES:
            return bytes(16)
        return value if often == 1 else [value] * often

    def _identifying(self, vr: str) -> Any:
        if vr in _NUMBERS:
            return _NUMBERS[vr]  # too small to be found again
        if vr == "AS":
            return "077Y"
        below, number = self._chance.randrange, next(self._numbers)
        day = f"18{number % 90 + 10}{below(1, 13):02}{below(1, 29):02}"
        time = f"{below(24):02}{below(60):02}{below(60):02}.{below(10**6):06}"
        uid = f"1.2.826.0.1.{below(10**15, 10**16)}.{number}"
        numbers = {"DS": f"{number}.{below(10**8):08}", "IS": f"{below(10**8, 10**9)}"}
        text = {"UI": uid, "DA": day, "TM": time, "DT": day + time, **numbers}.get(vr)
        if text is not None:
            return self._noted(text)
        word = self._word()
        return word.encode() if vr in _BYTES else word

    def _word(self) -> str:
        return self._noted("".join(self._chance.choices("ABCDEFGHJKLMNPQRSTVWXYZ", k=12)))

    def _noted(self, text: str) -> str:
        self.identifying.add(text.encode())
        return text

    def _add_pixels(self, keywords: set[str]) -> bytes:
        """Pixel data where the class has them; returns them."""
        dataset, which = self.dataset, [keyword for keyword in _PIXELS if keyword in keywords]
        if not which or "Rows" not in keywords:
            return b""
        for keyword, value in _IMAGE.items():
            setattr(dataset, keyword, value)
        size = {"PixelData": 2, "FloatPixelData": 4, "DoubleFloatPixelData": 8}[which[0]]
        if size > 2:
            dataset.BitsAllocated = 8 * size
            for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
                delattr(dataset, keyword)
        pixels = self._chance.randbytes(16 * 2) if size == 2 else bytes(range(16 * size))
        dataset.add_new(tag_for_keyword(which[0]), {2: "OW", 4: "OF", 8: "OD"}[size], pixels)
        return pixels


@cache
def _standard(name: str) -> Any:
    spec = find_spec("highdicom")
    assert spec is not None and spec.submodule_search_locations, "highdicom is not installed"
    return json.loads(Path(spec.submodule_search_locations[0], "_standard", f"{name}.json").read_text())


def _attributes(sop_class: str) -> list[dict[str, Any]]:
    """Those of all modules of a class, the mandatory ones first."""
    modules = _standard("iod_module_map")[_standard("sop_class_iod_map")[sop_class]]
    maps = _standard("module_attribute_map")  # without modules that are younger
    ordered = sorted(modules, key=lambda module: "MCU".index(module["usage"]))
    found = [attribute for module in ordered for attribute in maps.get(module["key"], ())]
    return [each for each in found if len(each["path"]) <= DEEPEST]
