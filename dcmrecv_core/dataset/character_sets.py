"""Which Python codecs a Specific Character Set (0008,0005) means (PS3.3 C.12.1.1.2), and text in it.

Only character sets of the standard count. A sender's value is never looked up among Python's codecs, because some of
those (`hex`, `idna`, `undefined`) are not character sets and fail in other ways.

Bytes that a character set does not have become characters of Unicode's Private Use Area, one for each byte. U+FFFD
would make equal texts of different values. Lone surrogates, as of Python's `surrogateescape`, cannot be encoded, so
every plugin that writes a text to a database would have to expect them.
"""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Callable, Collection
from itertools import zip_longest

DEFAULT = "iso8859"
"""The default repertoire, ISO-IR 6. It has no characters above 7FH, but senders use bytes from 80H on; as Latin-1 they
stay different from each other."""

# The single-byte sets, by their registration number; each can be the only set or a code extension
# (tables C.12-2 and C.12-3).
_SINGLE_BYTE = {
    6: DEFAULT,
    13: "shift_jis",
    100: "latin_1",
    101: "iso8859_2",
    109: "iso8859_3",
    110: "iso8859_4",
    126: "iso_ir_126",
    127: "iso_ir_127",
    138: "iso_ir_138",
    144: "iso_ir_144",
    148: "iso_ir_148",
    166: "iso_ir_166",
    203: "iso8859_15",
}

_ALONE = {"ISO_IR 192": "UTF8", "GB18030": "GB18030", "GBK": "GBK"}
"""Those that allow no code extensions (table C.12-5)."""

_TERMS = {
    "": DEFAULT,
    **{f"ISO_IR {number}": codec for number, codec in _SINGLE_BYTE.items()},
    **{f"ISO 2022 IR {number}": codec for number, codec in _SINGLE_BYTE.items()},
    # the multi-byte code extensions (table C.12-4)
    "ISO 2022 IR 58": "iso_ir_58",
    "ISO 2022 IR 87": "iso2022_jp",
    "ISO 2022 IR 149": "euc_kr",
    "ISO 2022 IR 159": "iso2022_jp_2",
    **_ALONE,
    # not terms of the standard, but senders write them
    "ISO 2022 GBK": "GBK",
    "ISO 2022 58": "GB2312",
    "GB2312": "GB2312",
    "UTF-8": "UTF8",
    "UTF8": "UTF8",
}

# ISO-IR 100, ISO_IR-100, ISO IR 100 ..., iso_ir_100
_MISSPELT = re.compile(r"ISO[ _-]?(2022[ _-])?IR[ _-]?(\d{1,3})", re.ASCII)
_ISO_8859 = re.compile(r"ISO[ _-]?8859[ _-](\d{1,2})", re.ASCII)
_PARTS_OF_ISO_8859 = {1: 100, 2: 101, 3: 109, 4: 110, 5: 144, 6: 127, 7: 126, 8: 138, 9: 148, 11: 166, 15: 203}
_LONGEST_TERM = 16  # the longest defined one, ISO 2022 IR 149, has 15 characters
_MOST_TERMS = 32  # more than are defined

_FIRST_STAND_IN = 0xEF00
_STAND_INS = re.compile("([\uef00-\uefff]+)")
_PARTS = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")  # of a text with code extensions (PS3.5 section 6.1.2.5)
_ERRORS = "dcmrecv.surrogates"
_FIRST_SURROGATE = 0xDC00  # no text that was decoded has one
_STAND_INS_OF = {_FIRST_SURROGATE + byte: _FIRST_STAND_IN + byte for byte in range(256)}


def codecs_of(specific_character_set: str | bytes) -> list[str]:
    """The Python codecs for text under this value of Specific Character Set, as pydicom's `decode_bytes` takes them.

    The first codec is for text without escape sequences; escape sequences may switch to the others. An unknown term
    means the default repertoire, with bytes from 80H on as Latin-1, so that they stay different. Common misspellings
    (`ISO-IR 100`, `UTF-8`) are understood. Raises nothing, and never returns an empty list.
    """
    if isinstance(specific_character_set, bytes):
        specific_character_set = specific_character_set.decode("latin-1")
    terms = [term.strip(" \0") for term in specific_character_set.split("\\", _MOST_TERMS)[:_MOST_TERMS]]
    codecs = [codec_of(terms[0])]
    if codecs[0] not in _ALONE.values():
        codecs += [codec for term in terms[1:] if (codec := codec_of(term)) not in _ALONE.values()]
    return list(dict.fromkeys(codecs))


def codec_of(term: str) -> str:
    """The Python codec of one term; for an unknown term, the codec of the default repertoire."""
    codec = _TERMS.get(term)
    if codec is None and len(term) <= _LONGEST_TERM:
        codec = _TERMS.get(_corrected(term.upper()))
    return codec or DEFAULT


def decode(value: bytes, encodings: list[str], delimiters: Collection[int]) -> str:
    """The text of a value, with the codecs of `codecs_of`; one of the `delimiters` ends a code extension. A byte that
    cannot be decoded becomes the character U+EF00 plus its number. Raises nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydicom warns when it replaces what it cannot decode
        text = _decode_strictly(value, encodings, delimiters)
        if text is not None:
            return text
        parts = []
        for part in _PARTS.findall(value):
            text = _decode_strictly(part, encodings, delimiters)
            if text is None:
                # the escape character by itself: a codec that knows escape sequences would look for one
                is_escape = part.startswith(b"\x1b")
                decoded = _without_lookalikes(part[is_escape:].decode(encodings[0], _ERRORS))
                text = "\x1b" * is_escape + decoded.translate(_STAND_INS_OF)
            parts.append(text)
    return "".join(parts)


def has_stand_ins(text: str) -> bool:
    """Whether a character of `text` stands for a byte that its character set does not have."""
    return _STAND_INS.search(text) is not None


def encode_text(encoder: Callable[[str, str], bytes], value: str, errors: str = "strict") -> bytes:
    """`value` as `encoder` encodes it, but each stand-in as the byte for which it stands."""
    if not has_stand_ins(value):
        return encoder(value, errors)
    runs = _STAND_INS.split(value)
    encoded = [encoder(run, errors) if run else b"" for run in runs[::2]]
    bytes_between = [bytes(ord(character) - _FIRST_STAND_IN for character in run) for run in runs[1::2]]
    return b"".join(map(b"".join, zip_longest(encoded, bytes_between, fillvalue=b"")))


def _decode_strictly(value: bytes, encodings: list[str], delimiters: Collection[int]) -> str | None:
    """The text; None if it cannot be decoded."""
    from pydicom.charset import decode_bytes

    try:
        text = decode_bytes(value, encodings, set(delimiters))
    except (ValueError, LookupError, Warning):
        return None
    return _without_lookalikes(text)


def _without_lookalikes(text: str) -> str:
    """A character that looks like a stand-in becomes some itself."""
    return _STAND_INS.sub(lambda match: _shifted(match[0].encode(), _FIRST_STAND_IN), text)


def _shifted(data: bytes, first: int) -> str:
    return "".join(chr(first + byte) for byte in data)


def _replace_undecodable(error: UnicodeError) -> tuple[str, int]:
    """As an error handler of a codec: surrogates, which are told from the characters around them."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _shifted(error.object[error.start : error.end], _FIRST_SURROGATE), error.end


codecs.register_error(_ERRORS, _replace_undecodable)


def _corrected(term: str) -> str:
    """The defined term for a misspelt one in capitals."""
    if match := _MISSPELT.fullmatch(term):
        extension, number = match.groups()
        return f"ISO 2022 IR {int(number)}" if extension else f"ISO_IR {int(number)}"
    if match := _ISO_8859.fullmatch(term):
        return f"ISO_IR {_PARTS_OF_ISO_8859.get(int(match[1]))}"
    return term
