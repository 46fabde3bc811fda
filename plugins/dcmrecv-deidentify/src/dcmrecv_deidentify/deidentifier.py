"""From an instance with its header to one that is de-identified, by the public interface of dcmrecv."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dcmrecv_core import Instance, codecs_of
from dcmrecv_deidentify.classes import REPORT, kinds_of
from dcmrecv_deidentify.encoded.character_sets import is_known
from dcmrecv_deidentify.encoded.elements import FORMATS, UNDEFINED, Format, Unreadable
from dcmrecv_deidentify.encoded.values import padded, stripped
from dcmrecv_deidentify.explaining import Watcher
from dcmrecv_deidentify.profile import table
from dcmrecv_deidentify.profile.actions import Action
from dcmrecv_deidentify.profile.plans import CHARACTER_SET, SOP_INSTANCE, Plans
from dcmrecv_deidentify.pseudonyms.made import Pseudonyms
from dcmrecv_deidentify.treatment import Changed, Element, Treated, Treatment

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_LARGE = 64 << 20
"""Bytes of all values together that a header leaves out for their size and that are read one by one."""

METHOD = b"dcmrecv-deidentify, PS3.15 Basic Profile"

_BYTES = frozenset(("OB", "OW", "OD", "OF", "OL", "OV"))


class TooLarge(Exception):
    """More bytes outside the pixel data than are read; the text says how many."""


class Unchangeable(Exception):
    """Nothing may be replaced in the instance: it is stored as it comes, or its transfer syntax is not known."""


class Deidentifier:
    """Treats instances under one configuration; made before the workers are forked."""

    def __init__(self, plans: Plans, pseudonyms: Pseudonyms) -> None:
        self.plans = plans
        self.pseudonyms = pseudonyms
        marks = lru_cache(maxsize=4)(self._make_marks)
        self._marks: Callable[[Format], dict[int, Treated]] = marks

    def deidentify(self, instance: Instance, changed: Changed | None = None) -> Treatment:
        """Replace the header of an instance. Raises Unreadable for what cannot be read to its end, TooLarge,
        Unchangeable; OSError if it cannot be read."""
        header = instance.copy_header()
        fmt = _format_of(header)
        treatment = Treatment(self.plans, self.pseudonyms, fmt, changed)
        if instance.explained is not None:
            treatment.watch = Watcher(instance.explained)
        new = self._new_header(instance, treatment, self._elements(header, instance), fmt)
        try:
            instance.replace_header(new, keep_unseen=False)
        except ValueError as error:
            raise Unreadable(str(error)) from error
        except PermissionError as error:
            raise Unchangeable(str(error)) from error
        return treatment

    def _new_header(self, instance: Instance, treatment: Treatment, elements: list[Element], fmt: Format) -> Dataset:
        sets = next((value for tag, _, value in elements if tag == CHARACTER_SET), None)
        known = sets is None or is_known(sets)
        treated = treatment.treat(elements, keeps_texts=known)
        if not known:
            treated.pop(CHARACTER_SET, None)
        if REPORT not in kinds_of(instance.sop_class_uid):
            for tag in table.OF_REPORTS:
                if self.plans.of(tag).source == "profile":
                    treated.pop(tag, None)
        treated |= self._marks(fmt)
        if not stripped(treated.get(SOP_INSTANCE, ("", b""))[1]):  # else the one of the command would name the file
            treated[SOP_INSTANCE] = "UI" if fmt.explicit else "", self._uid_of_command(instance)
        implicit, little = not fmt.explicit, fmt.little
        raw: dict[BaseTag, RawDataElement | DataElement] = {}
        for number, (vr, value) in sorted(treated.items()):
            tag = BaseTag(number)
            raw[tag] = RawDataElement(tag, vr or None, len(value), value, 0, implicit, little, True)
        header = Dataset(raw)
        # all is bytes in this character set: nothing is to be encoded anew
        header.set_original_encoding(implicit, little, codecs_of(sets) if sets is not None and known else "iso8859")
        return header

    def _uid_of_command(self, instance: Instance) -> bytes:
        command = instance.affected_sop_instance_uid.encode("latin-1", "replace")
        kept = table.RETAIN_UIDS in self.plans.options
        return padded("UI", command if kept else self.pseudonyms.uid(command))

    def _elements(self, header: Dataset, instance: Instance) -> list[Element]:
        """The elements of a header as they came, and those that it does not show and that may stay. Raises TooLarge."""
        elements: list[Element] = []
        for tag, raw in header.items():  # as they are: iterating a Dataset would convert them
            if not isinstance(raw, RawDataElement):  # it has an encoding of its own, and was converted
                if (received := instance.raw(int(tag))) is not None:
                    elements.append((int(tag), received.vr, received.value))
            elif raw.length != UNDEFINED or raw.VR not in _BYTES:  # fragments are in pixel data only
                elements.append((int(tag), raw.VR or "", raw.value or b""))
        room = MOST_LARGE
        for unseen in instance.unseen_tags():
            private = unseen >> 16 & 1
            if not self.plans.has_private if private else self.plans.of(unseen).action is Action.REMOVE:
                continue
            if (large := instance.raw(unseen, room + 1)) is None:
                continue
            room -= len(large.value)
            if room < 0:
                raise TooLarge(f"more than {MOST_LARGE >> 20} MiB of elements other than pixel data")
            elements.append((unseen, large.vr, large.value))
        return elements

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
