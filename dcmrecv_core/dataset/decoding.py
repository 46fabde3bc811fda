"""From bytes to values, by pydicom's converters; `values.py` loads this module when it is needed.

What the sender wrote is passed on even if it breaks the rules of its VR. pydicom's validation of values that it reads,
and its log, are switched off for the process (a plugin may switch them on again), because they would write patient data
and unescaped control characters to stderr. A value that cannot be converted is returned as bytes, and
`character_sets.py` says what a Specific Character Set means, and what becomes of bytes that it does not have. If an
element has one value, a backslash in it separates nothing. All this holds for whatever pydicom reads in this process,
because pydicom itself reads the items of a sequence.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, MutableSequence
from functools import lru_cache, partial
from typing import Any

from pydicom import charset, config
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_dict, private_dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.filewriter import correct_ambiguous_vr_element
from pydicom.hooks import hooks, raw_element_value, raw_element_vr
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pydicom.valuerep import CUSTOMIZABLE_CHARSET_VR, PN_DELIMS, TEXT_VR_DELIMS, PersonName

from dcmrecv_core.api.hints import did_you_mean
from dcmrecv_core.api.model import TagLike
from dcmrecv_core.dataset.character_sets import DEFAULT, codec_of, codecs_of, decode, encode_text
from dcmrecv_core.dataset.elements import PIXEL_DATA_TAGS, DataSetIndex, Element
from dcmrecv_core.dataset.encodings import (
    IMPLICIT_HEADERS,
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    Encoding,
    HeaderFormat,
    header_format_of,
)
from dcmrecv_core.dataset.mended_values import mended_value
from dcmrecv_core.dataset.odd_places import ITEMS_HEAD, begins_with_item, format_of_items
from dcmrecv_core.dataset.raw_values import raw_value, split_header

_SPECIFIC_CHARACTER_SET = 0x00080005
_LONGEST_CHARACTER_SETS = 1024  # limits the cache; all defined terms together have 200 characters
_LONGEST_CREATOR = 1024  # a creator has 64 characters at most; a longer value is none
_FILE_META = 0x0002
_OUTSIDE = (0x0000, _FILE_META)  # groups that do not belong to a data set
_CERTAIN_VRS = (SHORT_VRS | LONG_VRS) - {"UN"}
_SEPARATED_VRS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("AE", "CS"), str),
    "UI": UID,
}
"""Texts outside any character set in which a backslash separates values, and their types; a date or number with one is
none."""
_UNSEPARATED_VRS = ("LT", "ST", "UT")
_VALUE_DELIMITERS = TEXT_VR_DELIMS | {ord("\\")}
_RAW_DEFAULTS = tuple(RawDataElement._field_defaults.values())
_NAME_DELIMITERS = _VALUE_DELIMITERS | PN_DELIMS | {ord("=")}

_codecs_of = lru_cache(maxsize=64)(codecs_of)


class _Encoders(dict[str, Callable[..., bytes]]):
    """pydicom's table of encoders, each of which writes a stand-in of `decode` as the byte for which it stands."""

    def __contains__(self, codec: object) -> bool:
        return True  # pydicom takes Python's codec itself otherwise

    def __missing__(self, codec: str) -> Callable[..., bytes]:
        return partial(encode_text, lambda text, errors: text.encode(codec, errors))


class _Terms(dict[str, str]):
    """pydicom's table of character sets, which would look up an unknown term among Python's codecs."""

    def __missing__(self, term: object) -> str:
        return codec_of(term.strip(" \0")) if isinstance(term, str) else DEFAULT


def _convert_any(
    raw: RawDataElement,
    data: dict[str, Any],
    *,
    encoding: str | MutableSequence[str] | None = None,
    ds: Dataset | None = None,
    **kwargs: Any,
) -> None:
    """As pydicom's hook `raw_element_value`, but it never fails, and does not warn of bytes and escape sequences that
    the character set does not have.

    A value that cannot be converted becomes bytes of VR OB, not UN: pydicom would replace UN by the VR of its
    dictionary.
    """
    if isinstance(encoding, list) and len(encoding) > 1:
        encoding = list(dict.fromkeys(encoding))  # pydicom tries each: an item may name one a thousand times
    try:
        if data["VR"] == "SQ" and raw.value and not begins_with_item(raw.value, raw.is_little_endian):
            data["VR"], data["value"] = "OB", raw.value  # pydicom would take any bytes for an item
        elif " or " in data["VR"] and ds is not None:
            unresolved = DataElement(raw.tag, data["VR"], raw.value, already_converted=True)
            resolved = correct_ambiguous_vr_element(unresolved, ds, raw.is_little_endian)
            data["VR"], data["value"] = resolved.VR, resolved.value
        elif raw.value and data["VR"] in CUSTOMIZABLE_CHARSET_VR:
            data["value"] = _text_value(raw, data["VR"], encoding)
        elif raw.value and raw.value.isascii() and b"\x1b" not in raw.value:
            raw_element_value(raw, data, encoding=encoding, ds=ds, **kwargs)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                raw_element_value(raw, data, encoding=encoding, ds=ds, **kwargs)
        if isinstance(data.get("value"), MultiValue) and data["VR"] in _SEPARATED_VRS and _has_one_value(raw.tag):
            data["value"] = _SEPARATED_VRS[data["VR"]](decode(raw.value or b"", [DEFAULT], ()).rstrip(" \0"))
    except MemoryError:
        raise  # the worker has to end
    except Exception:
        # Converters let any exception through: ValueError, struct.error, OverflowError, RecursionError ...
        data["VR"], data["value"] = "OB", raw.value


def _text_value(raw: RawDataElement, vr: str, encoding: str | MutableSequence[str] | None) -> Any:
    """The value of a text under a Specific Character Set, of the types that pydicom has for it."""
    encodings = [encoding] if isinstance(encoding, str) else list(encoding or [DEFAULT])
    kind = partial(PersonName, encodings=encodings) if vr == "PN" else str
    text = decode(raw.value or b"", encodings, delimiters_of(vr)).rstrip(" \0")
    if vr in _UNSEPARATED_VRS or _has_one_value(raw.tag) or "\\" not in text:
        return kind(text)
    return MultiValue(kind, [value if vr == "PN" else value.rstrip(" \0") for value in text.split("\\")])


def _has_one_value(tag: BaseTag) -> bool:
    """Whether the element is defined to have one value (value multiplicity, PS3.6 section 6); a private creator has."""
    try:
        return tag.is_private_creator or dictionary_VM(tag) == "1"
    except KeyError:
        return False


def _look_up(
    raw: RawDataElement,
    data: dict[str, Any],
    *,
    encoding: str | MutableSequence[str] | None = None,
    ds: Dataset | None = None,
    **kwargs: Any,
) -> None:
    """As pydicom's hook `raw_element_vr`, without its warning about elements that are not in the dictionary. An unknown
    VR is as good as UN, and any is CS in Specific Character Set: pydicom reads nothing of an item with another one."""
    if raw.tag == _SPECIFIC_CHARACTER_SET:
        data["VR"] = "CS"
        return
    if raw.VR is not None and raw.VR not in _CERTAIN_VRS:
        raw = raw._replace(VR="UN")
    if raw.VR is not None or raw.tag.is_private or not raw.tag.element:
        raw_element_vr(raw, data, encoding=encoding, ds=ds, **kwargs)
        return
    try:
        data["VR"] = dictionary_VR(raw.tag)
    except KeyError:
        data["VR"] = "UN"


if config.settings.reading_validation_mode == config.WARN:
    config.settings.reading_validation_mode = config.IGNORE
    config.logger.setLevel(logging.CRITICAL)
if hooks.raw_element_value is raw_element_value:
    hooks.register_callback("raw_element_value", _convert_any)
if hooks.raw_element_vr is raw_element_vr:
    hooks.register_callback("raw_element_vr", _look_up)
charset.python_encoding = _Terms(charset.python_encoding)
charset.custom_encoders = _Encoders(
    {codec: partial(encode_text, encoder) for codec, encoder in charset.custom_encoders.items()}
)


def get_value(index: DataSetIndex, encoding: Encoding, element: TagLike, default: Any) -> Any:
    """As `values.get_value`."""
    tag = tag_of(index, encoding, element)
    found = index.get(tag)
    if found is None or not found.length:
        return default
    vr = "CS" if tag == _SPECIFIC_CHARACTER_SET else found.vr
    if vr not in _CERTAIN_VRS:
        vr = _look_up_vr(index, encoding, found)
    if " or " in vr:
        # Which VR holds depends on other elements (PS3.6 section 6), which pydicom reads from a Dataset.
        resolved = read_header(index, encoding).get(tag)
        if resolved is not None:
            return resolved.value
    value = _convert(_raw(index, encoding, found, vr), vr, _character_sets(index))
    return default if not value and value != 0 else value


def read_header(index: DataSetIndex, encoding: Encoding) -> Dataset:
    """As `values.read_header`."""
    character_sets = _character_sets(index)
    elements: dict[BaseTag, RawDataElement | DataElement] = {}
    implicit, little = not encoding.explicit, encoding.little
    window = index.source.window
    new_raw, rest = tuple.__new__, _RAW_DEFAULTS  # at half the cost of calling the class
    for plain in split_header(index)[0]:
        tag, vr, _, value_offset, length, _ = plain
        if tag >> 16 in _OUTSIDE:
            continue
        implicit = not vr
        number = BaseTag(tag)
        if vr in _CERTAIN_VRS and length != UNDEFINED_LENGTH and not index.misread:
            value = bytes(window(value_offset, length)[:length])
            elements[number] = new_raw(RawDataElement, (number, vr, length, value, value_offset, False, little, *rest))
            continue
        element = Element._make(plain)
        raw = _raw(index, encoding, element, _declared_vr(index, encoding, element))
        # pydicom would write a raw value back unchanged, but this one is not in the encoding of the data set.
        own_encoding = raw.is_implicit_VR and bool(vr)
        elements[number] = convert_raw_data_element(raw, encoding=character_sets) if own_encoding else raw
    dataset = Dataset(elements)
    # as pydicom marks a data set without a character set: it would encode another one anew
    original = character_sets if _SPECIFIC_CHARACTER_SET in index else DEFAULT
    dataset.set_original_encoding(implicit, encoding.little, original)
    return dataset


def decode_text(value: bytes, specific_character_set: str | bytes, vr: str) -> str:
    """As `values.decode_text`."""
    return decode(value, codecs_of(specific_character_set), delimiters_of(vr))


def delimiters_of(vr: str) -> set[int]:
    """The characters that end a code extension in a text of this VR (PS3.5 section 6.1.2.5.3)."""
    if vr in _UNSEPARATED_VRS:
        return TEXT_VR_DELIMS
    return _NAME_DELIMITERS if vr == "PN" else _VALUE_DELIMITERS


def read_file_meta(data: bytes) -> FileMetaDataset:
    """As `values.read_file_meta`."""
    return FileMetaDataset(read_dataset(io.BytesIO(data), False, True))


def tag_of(index: DataSetIndex, encoding: Encoding, element: TagLike) -> int:
    """The number of an element; -1 for a private creator that is not there. Raises KeyError for an unknown keyword."""
    if isinstance(element, int):
        return element
    if isinstance(element, str):
        tag = tag_for_keyword(element)
        if tag is None:
            raise KeyError(unknown_keyword(element))
        return tag
    creator, number = element
    group = number >> 16
    for block in range(0x10, 0x100):
        owner = group << 16 | block
        if owner in index and _creator(index, encoding, owner) == creator.strip():
            return group << 16 | block << 8 | number & 0xFF
    return -1


@lru_cache(maxsize=64)  # a plugin may ask again for each instance, and there are 5000 keywords to compare with
def unknown_keyword(keyword: str) -> str:
    """The text of an error about a keyword that the dictionary does not know."""
    hint = did_you_mean(keyword, keyword_dict, similarity=0.75)
    return f"there is no element {keyword}" + ("; " + hint) * bool(hint)


def _creator(index: DataSetIndex, encoding: Encoding, tag: int) -> str:
    element = index.get(tag)
    if element is None or element.end - element.value_offset > _LONGEST_CREATOR:
        return ""
    return str(get_value(index, encoding, tag, "")).strip()


def _look_up_vr(index: DataSetIndex, encoding: Encoding, element: Element) -> str:
    """The VR of an element that has none (implicit VR), or UN, or an unknown one (PS3.5 section 6.2.2)."""
    tag = BaseTag(element.tag)
    if _format_of_items(index, encoding, element) is not None:
        return "SQ"
    try:
        if not tag.is_private:
            return dictionary_VR(tag)
        if tag.is_private_creator:
            return "LO"
        block = tag.element >> 8  # below 10H there are no blocks: an element would be its own creator
        return private_dictionary_VR(tag, _creator(index, encoding, tag.group << 16 | block) if block >= 0x10 else "")
    except KeyError:
        return "UL" if tag.element == 0 and not element.vr else "UN"


def _format_of_items(index: DataSetIndex, encoding: Encoding, element: Element) -> HeaderFormat | None:
    """How items are encoded in an element without a VR, of UN or of an unknown VR; None if it is no sequence."""
    if element.length != UNDEFINED_LENGTH or element.vr in _CERTAIN_VRS or element.tag in PIXEL_DATA_TAGS:
        return None
    if element.vr in ("", "UN"):
        return IMPLICIT_HEADERS  # PS3.5 section 6.2.2
    own = header_format_of(Encoding(explicit=True, little=encoding.little))
    return format_of_items(raw_value(index, element, ITEMS_HEAD), own)


def _declared_vr(index: DataSetIndex, encoding: Encoding, element: Element) -> str | None:
    """The VR that pydicom is told was read; None makes it look up the element."""
    if _format_of_items(index, encoding, element) is not None:
        return "SQ"
    if element.vr:
        return element.vr if element.vr in _CERTAIN_VRS else "UN"
    return None


def _raw(index: DataSetIndex, encoding: Encoding, element: Element, vr: str | None) -> RawDataElement:
    implicit = not element.vr or _format_of_items(index, encoding, element) is IMPLICIT_HEADERS
    return RawDataElement(
        BaseTag(element.tag),
        vr,
        element.length,
        mended_value(index, encoding, element) if index.misread else raw_value(index, element),
        element.value_offset,
        implicit,
        implicit or encoding.little or element.tag >> 16 == _FILE_META,
    )


def _character_sets(index: DataSetIndex) -> list[str]:
    element = index.get(_SPECIFIC_CHARACTER_SET)
    if element is None or element.length > _LONGEST_CHARACTER_SETS:
        return [DEFAULT]
    return _codecs_of(raw_value(index, element))


def _convert(raw: RawDataElement, vr: str, character_sets: list[str]) -> Any:
    data: dict[str, Any] = {"VR": vr}
    try:
        hooks.raw_element_value(raw, data, encoding=character_sets, ds=None, **hooks.raw_element_kwargs)
    except Exception:  # a plugin may have registered another hook instead of ours
        return raw.value
    return data["value"]
