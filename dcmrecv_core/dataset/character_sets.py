"""Which Python codecs a Specific Character Set (0008,0005) means (PS3.3 C.12.1.1.2), and text in it.

Only character sets of the standard count. A sender's value is never looked up among Python's codecs, because some of
those (`hex`, `idna`, `undefined`) are not character sets and fail in other ways.

Bytes that a character set does not have become characters of Unicode's Private Use Area, one for each byte. U+FFFD
would make equal texts of different values. Lone surrogates, as of Python's `surrogateescape`, cannot be encoded, so
every plugin that writes a text to a database would have to expect them.
"""

from __future__ import annotations

import codecs
import logging
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

_ESCAPED_ONLY = ("iso2022_jp", "iso2022_jp_2")
"""Codecs of sets that have no characters without an escape sequence. As the first value of Specific Character Set,
where the standard does not allow them, they say nothing of text before one: it is ASCII. Python's codecs would look for
escape sequences in it."""

_PYDICOM_LOG = logging.getLogger("pydicom")

_FIRST_STAND_IN = 0xEF00
_FIRST_MARK = 0xDC00
_MARKED = {_FIRST_MARK + byte: _FIRST_STAND_IN + byte for byte in range(256)}
_STAND_INS = re.compile("([\uef00-\uefff]+)")
_PARTS = re.compile(rb"^[^\x1b]+|\x1b+(?=\x1b)|\x1b[^\x1b]*")  # of a text with code extensions (PS3.5 section 6.1.2.5)
_ERRORS = "dcmrecv.stand_ins"


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
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")  # in each of the character sets
    if encodings[0] in _ESCAPED_ONLY:
        encodings = ["ascii", *encodings]
    text = _decode_strictly(value, encodings, delimiters)
    if text is not None:
        return text
    extensions = _extensions(encodings)
    return "".join(_decode_part(part, encodings, delimiters, extensions) for part in _PARTS.findall(value))


def encode(text: str, encodings: list[str], delimiters: Collection[int]) -> bytes:
    """The bytes that `decode` reads as this text. Raises ValueError if there are none."""
    ends = re.escape("".join(map(chr, delimiters)))
    value = b"".join(_encode_run(run, encodings) for run in re.split(f"([{ends}])", text))
    padding = len(value) % 2
    if decode(value + b" " * padding, encodings, delimiters) != text + " " * padding:
        raise ValueError("the text would be read as another one")
    return value


def encode_text(encoder: Callable[[str, str], bytes], value: str, errors: str = "strict") -> bytes:
    """`value` as `encoder` encodes it, but each stand-in as the byte for which it stands."""
    if not _STAND_INS.search(value):
        return encoder(value, errors)
    runs = _STAND_INS.split(value)
    encoded = [encoder(run, errors) if run else b"" for run in runs[::2]]
    bytes_between = [bytes(ord(character) - _FIRST_STAND_IN for character in run) for run in runs[1::2]]
    return b"".join(map(b"".join, zip_longest(encoded, bytes_between, fillvalue=b"")))


def _encode_run(run: str, encodings: list[str]) -> bytes:
    """The bytes of a text without delimiters."""
    from pydicom.charset import encode_string

    if run.isascii():
        return run.encode("ascii")
    if encodings[0] in _ESCAPED_ONLY:
        encodings = [DEFAULT, *encodings]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydicom warns when it writes question marks
        try:
            if encodings[0] == _SINGLE_BYTE[13]:  # it has katakana and ASCII, which pydicom does not put side by side
                value = encode_text(lambda text, errors: text.encode(_SINGLE_BYTE[13], errors), run)
                if len(value) == len(run):
                    return value
        except UnicodeError:
            pass  # needs a code extension
        try:
            return encode_string(run, encodings)
        except Warning as warning:
            raise ValueError("the text cannot be encoded") from warning


def _decode_strictly(value: bytes, encodings: list[str], delimiters: Collection[int]) -> str | None:
    """The text; None if it cannot be decoded."""
    from pydicom.charset import decode_bytes

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # pydicom warns when it replaces what it cannot decode, and logs that
        was_disabled, _PYDICOM_LOG.disabled = _PYDICOM_LOG.disabled, True
        try:
            return _told_apart(decode_bytes(value, encodings, set(delimiters)), encodings[0])
        except (ValueError, LookupError, Warning):
            return None
        finally:
            _PYDICOM_LOG.disabled = was_disabled


def _extensions(encodings: list[str]) -> dict[bytes, str]:
    """The escape sequences that mean something with these codecs, and their codecs."""
    from pydicom.charset import CODES_TO_ENCODINGS

    return {code: codec for code, codec in CODES_TO_ENCODINGS.items() if codec in (*encodings, DEFAULT)}


def _decode_part(part: bytes, encodings: list[str], delimiters: Collection[int], extensions: dict[bytes, str]) -> str:
    """The text of what begins with an escape sequence, or is before the first one. A sender may send a million of them:
    pydicom, with its warnings, would need half a minute."""
    code = next((part[:length] for length in (4, 3) if part[:length] in extensions), None)
    if code is not None:
        try:
            return _told_apart(_decode_extension(part, code, extensions[code], encodings[0], delimiters), encodings[0])
        except UnicodeError:
            pass  # byte by byte then
    return _decode_bytewise(part, encodings[0])


def _decode_extension(part: bytes, code: bytes, codec: str, first: str, delimiters: Collection[int]) -> str:
    from pydicom.charset import handled_encodings

    if codec in handled_encodings:  # those know their escape sequences
        return part.decode(codec)
    text = part[len(code) :]
    end = next((at for at, byte in enumerate(text) if byte in delimiters), len(text))
    return text[:end].decode(codec) + text[end:].decode(first)


def _decode_bytewise(value: bytes, codec: str) -> str:
    """The text, with a stand-in for each byte that cannot be decoded."""
    return _told_apart(value.decode(codec, _ERRORS), codec).translate(_MARKED)


def _told_apart(text: str, codec: str) -> str:
    """The text with each received character that looks like a stand-in as the stand-ins of its bytes."""
    return _STAND_INS.sub(lambda match: _stand_ins(match[0].encode(codec)), text)


def _stand_ins(data: bytes) -> str:
    return "".join(chr(_FIRST_STAND_IN + byte) for byte in data)


def _mark_undecodable(error: UnicodeError) -> tuple[str, int]:
    """As an error handler of a codec: lone surrogates, which no codec decodes to, so they cannot be mistaken."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(_FIRST_MARK + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error(_ERRORS, _mark_undecodable)


def _corrected(term: str) -> str:
    """The defined term for a misspelt one in capitals."""
    if match := _MISSPELT.fullmatch(term):
        extension, number = match.groups()
        return f"ISO 2022 IR {int(number)}" if extension else f"ISO_IR {int(number)}"
    if match := _ISO_8859.fullmatch(term):
        return f"ISO_IR {_PARTS_OF_ISO_8859.get(int(match[1]))}"
    return term
