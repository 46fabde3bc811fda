"""From an instance with its header to one that is de-identified, by the public interface of dcmrecv."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dcmrecv_core import Instance, codecs_of
from dcmrecv_deidentify import table
from dcmrecv_deidentify.character_sets import is_known
from dcmrecv_deidentify.elements import FORMATS, UNDEFINED, Format, Unreadable
from dcmrecv_deidentify.plans import CHARACTER_SET, PIXEL_DATA, Plans
from dcmrecv_deidentify.pseudonyms import Pseudonyms
from dcmrecv_deidentify.treatment import Changed, Element, Treated, Treatment
from dcmrecv_deidentify.values import padded

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_LARGE = 64 << 20
"""Bytes of all values together that a header leaves out for their size and that are read one by one."""

METHOD = b"dcmrecv-deidentify, PS3.15 Basic Profile"


_BYTES = frozenset(("OB", "OW", "OD", "OF", "OL", "OV"))


class TooLarge(Exception):
    """More bytes outside the pixel data than are read; the text says how many."""


class Deidentifier:
    """Treats instances under one configuration; made before the workers are forked."""

    def __init__(self, plans: Plans, pseudonyms: Pseudonyms) -> None:
        self.plans = plans
        self.pseudonyms = pseudonyms
        self._large: tuple[int, ...] | None = None
        marks = lru_cache(maxsize=4)(self._make_marks)
        self._marks: Callable[[Format], dict[int, Treated]] = marks

    def deidentify(self, instance: Instance, changed: Changed | None = None) -> Treatment:
        """Replace the header of an instance. Raises Unreadable for what cannot be read to its end, TooLarge, and what
        `replace_header` raises."""
        header = instance.copy_header()
        fmt = _format_of(header)
        treatment = Treatment(self.plans, self.pseudonyms, fmt, changed)
        elements = _elements(header, instance)
        try:
            instance.replace_header(self._new_header(header, treatment, elements, fmt))
        except Unreadable:
            raise
        except ValueError:
            if changed is not None:
                changed.clear()
            treatment = Treatment(self.plans, self.pseudonyms, fmt, changed)
            elements += self._read_large(instance, header)
            try:
                instance.replace_header(self._new_header(header, treatment, elements, fmt), keep_unseen=False)
            except ValueError as error:
                raise Unreadable(str(error)) from error
        return treatment

    def treat(self, instance: Instance, treatment_of: Callable[[Format], Treatment]) -> None:
        """Treat all elements without replacing anything, for one who watches. Raises as `deidentify`."""
        header = instance.copy_header()
        fmt = _format_of(header)
        elements = _elements(header, instance)
        self._new_header(header, treatment_of(fmt), elements + self._read_large(instance, header), fmt)

    def _new_header(self, header: Dataset, treatment: Treatment, elements: list[Element], fmt: Format) -> Dataset:
        sets = next((value for tag, _, value in elements if tag == CHARACTER_SET), None)
        known = sets is None or is_known(sets)
        treated = treatment.treat(elements, keeps_texts=known)
        if not known:
            treated.pop(CHARACTER_SET, None)
        treated |= self._marks(fmt)
        implicit, little = not fmt.explicit, fmt.little
        new = Dataset(
            {
                (number := BaseTag(tag)): RawDataElement(
                    number, vr or None, len(value), value, 0, implicit, little, True
                )
                for tag, (vr, value) in sorted(treated.items())
            }
        )
        # all is bytes in this character set: nothing is to be encoded anew
        new.set_original_encoding(implicit, little, codecs_of(sets) if sets is not None and known else "iso8859")
        return new

    def _read_large(self, instance: Instance, header: Dataset) -> list[Element]:
        """The elements that may stay and that the header does not show. Raises TooLarge."""
        if self._large is None:
            self._large = tuple(self.plans.large)
        found: list[Element] = []
        room = MOST_LARGE
        for tag in self._large:
            if tag in header or (raw := instance.raw(tag, room + 1)) is None:
                continue
            room -= len(raw.value)
            if room < 0:
                raise TooLarge(f"more than {MOST_LARGE >> 20} MiB of elements other than pixel data")
            found.append((tag, raw.vr, raw.value))
        return found

    def _make_marks(self, fmt: Format) -> dict[int, Treated]:
        """The elements that say that and how an instance is de-identified (PS3.15 section E.1.1, step 6)."""
        chosen = self.plans.options
        codes = [table.PROFILE_CODE, *(table.OPTIONS[name] for name in table.OPTIONS if name in chosen)]
        items = b"".join(
            fmt.encode_item(
                fmt.encode(0x00080100, "SH", padded("SH", code.encode()))
                + fmt.encode(0x00080102, "SH", b"DCM ")
                + fmt.encode(0x00080104, "LO", padded("LO", meaning.encode()))
            )
            for code, meaning in codes
        )
        dates = "REMOVED"
        if table.RETAIN_MODIFIED_DATES in chosen:
            dates = "MODIFIED"
        elif table.RETAIN_FULL_DATES in chosen:
            dates = "UNMODIFIED"
        marks = {
            0x00120062: ("CS", b"YES "),
            0x00120063: ("LO", padded("LO", METHOD)),
            0x00120064: ("SQ", items),
            0x00280303: ("CS", padded("CS", dates.encode())),
        }
        return {tag: (vr if fmt.explicit else "", value) for tag, (vr, value) in marks.items()}


def _format_of(header: Dataset) -> Format:
    implicit, little = header.original_encoding
    fmt = FORMATS.get((not implicit, bool(little)))
    if fmt is None:
        raise Unreadable("an encoding that is not known")
    return fmt


def _elements(header: Dataset, instance: Instance) -> list[Element]:
    """The elements of a header as they came."""
    elements: list[Element] = []
    for tag in header.keys():  # noqa: SIM118  # iterating a Dataset converts its elements
        raw = header.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.length == UNDEFINED and raw.VR in _BYTES:
            continue  # fragments, which only pixel data have
        if isinstance(raw, RawDataElement):
            elements.append((int(tag), raw.VR or "", raw.value or b""))
        elif (received := instance.raw(int(tag))) is not None:  # it has an encoding of its own, and was converted
            elements.append((int(tag), received.vr, received.value))
    return elements
