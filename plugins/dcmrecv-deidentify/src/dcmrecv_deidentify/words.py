"""Cleaned texts: only words stay that say nothing about a person.

Those are words that the meanings of DICOM's codes have in lower case (so no names of persons), abbreviations of
imaging, and small numbers. Whatever is a part of a name or an identifier in the same instance goes all the same.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from functools import cache

ABBREVIATIONS = frozenset(
    """ABD ADC AP ASL AX AXIAL BOLD BONE BRAVO BW CINE COR CORONAL CT CTA CUBE CXR DCE DIXON DTI DWI DX EPI FA FAST FAT
    FFE FIESTA FLAIR FRFSE FS FSE FSPGR GRE HASTE HEAD HR IAC INF IR KV LAT LEFT LL LOC LOCALIZER LR LUNG MAG MIP MM MP2RAGE
    MPR MPRAGE MR MRA MRCP MRI MRV NECK NM OBL OPT PA PD PDW PERF PET PHASE PLAIN POST PRE PROP RECON REFORMAT RIGHT RL RT SAG
    SAGITTAL SCOUT SE SENSE SMALL SOFT SPACE SPAIR SPECT SPGR SPIR SPIRAL STD STIR STUDY SURVEY SUV SWI T1 T1W T2 T2W TFE THICK
    THIN TI TIRM TOF TRA TR TE TRUFI TSE US VIBE VOL W WB WO WWO XA XR""".split()
)
_TOKEN = re.compile(r"[0-9]+(?:\.[0-9]+)?|[A-Za-z][A-Za-z0-9]*")
_SMALL_NUMBER = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,2})?")
_WORD = re.compile(r"\b[a-z]{3,}\b")


@cache
def vocabulary() -> AbstractSet[str]:
    """Harmless words, in upper case."""
    from pydicom.sr import _concepts_dict

    words = set(ABBREVIATIONS)
    for scheme in _concepts_dict.concepts.values():
        for codes in scheme.values():
            for meaning, _ in codes.values():
                words.update(word.upper() for word in _WORD.findall(meaning))
    return words


def cleaned(value: bytes, identifying: AbstractSet[str]) -> bytes:
    """What may stay of a text; `identifying` are words in upper case that may not."""
    if b"\x1b" in value:
        return b""  # characters of other sets look like letters here
    known = vocabulary()
    kept: list[str] = []
    number_before = False
    for token in _TOKEN.findall(value.decode("ascii", "replace")):
        is_number = token[0].isdigit()
        word = token.upper()
        if word in identifying:
            continue
        if is_number and (number_before or not _SMALL_NUMBER.fullmatch(token)):
            number_before = True
            continue
        number_before = is_number
        if is_number or word in known:
            kept.append(token)
    return " ".join(kept).encode()


def words_of(value: bytes) -> set[str]:
    """The words of a name or an identifier, in upper case."""
    return {word.upper() for word in re.findall(r"[A-Za-z0-9]+", value.decode("latin-1")) if len(word) > 1}
