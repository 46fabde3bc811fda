"""Texts as bytes, before pydicom writes a data set: it would write `?` for what its encoders cannot express.

A text that is still the received one keeps its received bytes, whatever a sender may have meant by them. Another one is
encoded so that it is read again as the same text, or not at all.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import TYPE_CHECKING, Any, cast

from dcmrecv_core.dataset.character_sets import DEFAULT, codecs_of, encode

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

    from dcmrecv_core.dataset.encodings import Encoding

_SPECIFIC_CHARACTER_SET = 0x00080005


def with_encoded_texts(dataset: Dataset, encoding: Encoding, received: Dataset | None) -> Dataset:
    """A copy of `dataset` for pydicom to write in `encoding`, where the values of texts are bytes; other elements are
    shared. `received` is the data set as it came, if it is known. Raises ValueError for a text that its character set
    does not have."""
    return _Level((not encoding.explicit, encoding.little), [DEFAULT], [DEFAULT]).encoded(dataset, received)


class _Level:
    """What holds for a data set or for the items of a sequence: the encoding to write, and the codecs of the data set
    around, now and as received."""

    def __init__(
        self, encoding: tuple[bool, bool], codecs: list[str], received_codecs: list[str], place: str = ""
    ) -> None:
        self._encoding = encoding
        self._codecs = codecs
        self._received_codecs = received_codecs
        self._place = place

    def encoded(self, dataset: Dataset, received: Dataset | None) -> Dataset:
        codecs = _codecs(dataset, self._codecs)
        received_codecs = self._received_codecs if received is None else _codecs(received, self._received_codecs)
        own = _Level(self._encoding, codecs, received_codecs, self._place)
        unread_codecs = dataset.original_character_set or DEFAULT
        unread_codecs = [unread_codecs] if isinstance(unread_codecs, str) else list(dict.fromkeys(unread_codecs))
        unread_stays = dataset.original_encoding == self._encoding and unread_codecs == codecs
        elements = {}
        for tag in dataset.keys():  # noqa: SIM118
            element = dataset.get_item(tag)
            if not element.is_raw or not unread_stays:
                element = own._element(dataset[tag], received)
            elements[tag] = element
        copy = _like(dataset, elements)
        if unread_stays:  # pydicom compares with what it makes of Specific Character Set itself
            copy.set_original_encoding(*self._encoding, copy._character_set)
        return copy

    def _element(self, element: DataElement, received: Dataset | None) -> DataElement:
        from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR

        if element.VR == "SQ":
            return self._sequence(element, received)
        if element.VR not in CUSTOMIZABLE_CHARSET_VR or element.is_empty:
            return element
        value = self._received_value(element, received)
        if value is None:
            value = self._new_value(element)
        return element if value is None else _of_bytes(element, value)

    def _sequence(self, element: DataElement, received: Dataset | None) -> DataElement:
        from pydicom.dataelem import DataElement
        from pydicom.sequence import Sequence

        before = received[element.tag] if received is not None and element.tag in received else None
        items = list(before.value) if before is not None and before.VR == "SQ" else []
        encoded = []
        for number, item in enumerate(element.value):
            place = f"{self._place}{_named(element)}[{number}]."
            level = _Level(self._encoding, self._codecs, self._received_codecs, place)
            encoded.append(level.encoded(item, items[number] if number < len(items) else None))
        undefined = element.is_undefined_length
        return DataElement(element.tag, "SQ", Sequence(encoded), None, undefined, already_converted=True)

    def _received_value(self, element: DataElement, received: Dataset | None) -> bytes | None:
        """The bytes of the value, if they were received and mean the same now."""
        if received is None or element.tag not in received or self._codecs != self._received_codecs:
            return None
        raw = received.get_item(element.tag)
        if not raw.is_raw:
            return None
        before = received[element.tag]
        return cast("bytes", raw.value) if before.VR == element.VR and before.value == element.value else None

    def _new_value(self, element: DataElement) -> bytes | None:
        """The encoded value; None if it is no text."""
        from pydicom.valuerep import PersonName

        from dcmrecv_core.dataset.decoding import delimiters_of

        values: Any = element.value
        values = list(values) if isinstance(values, MutableSequence | tuple) else [values]
        if not all(isinstance(value, str | PersonName) for value in values):
            return None
        try:
            return encode("\\".join(map(str, values)), self._codecs, delimiters_of(element.VR))
        except ValueError:
            place = f"{self._place}{_named(element)}"
            raise ValueError(
                f"{place} has characters that Specific Character Set (0008,0005) of the new data set does not have"
            ) from None


def _codecs(dataset: Dataset, inherited: list[str]) -> list[str]:
    element = dataset.get(_SPECIFIC_CHARACTER_SET)
    if element is None:
        return inherited
    value: Any = element.value
    return codecs_of("\\".join(map(str, value)) if isinstance(value, MutableSequence) else str(value or ""))


def _of_bytes(element: DataElement, value: bytes) -> DataElement:
    """As `element`, with a value that pydicom writes as it is."""
    from pydicom.dataelem import DataElement
    from pydicom.valuerep import PersonName

    written = PersonName(value) if element.VR == "PN" else value
    return DataElement(element.tag, element.VR, written, already_converted=True)


def _like(dataset: Dataset, elements: dict[Any, Any]) -> Dataset:
    """A data set with other elements, and with what else pydicom remembers of this one."""
    from pydicom.dataset import Dataset

    copy = Dataset()
    copy.__dict__.update(dataset.__dict__)
    copy.__dict__["_dict"] = elements
    return copy


def _named(element: DataElement) -> str:
    return f"({element.tag.group:04X},{element.tag.element:04X})"
