"""Looks for identifying values that were sent in all that a receiver has made of them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from support.data.identified import Secrets
from support.data.stored_files import stored_file
from support.uids import DEFLATED

_WINDOW = 8
_RUNS = re.compile(rb"([\0 ])\1{15,}")
_NUMBERS = re.compile(
    rb"1\.2\.826\.0\.\d{11}\.\d{9}"  # the forms of `Secrets.numbers`, as long as no digit stands beside them
    rb"|(?<!\d)(?:18[5-9]\d{5}|\d{6}\.\d{6}|\d{14}(?:\.\d{6})?|\d\d\.\d{8}|\d{9})(?!\d)"
)
_DATES = re.compile(rb"(18[5-9]\d)[-./](\d\d)[-./](\d\d)")
_CODECS = (
    *("utf-8", "latin-1", "cp1252", "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9"),
    *("tis-620", "shift_jis", "euc-jp", "euc-kr", "gb18030"),
)
"""In which a text may have been understood whose character set nobody knows."""


class Search:
    """Finds values of `secrets`, whole or a part, in the encodings that a program may have given them."""

    def __init__(self, secrets: Secrets) -> None:
        self._numbers = set(secrets.numbers)
        # a date and time leaks without its fraction, too
        self._numbers |= {value[:14] for value in secrets.numbers if re.fullmatch(rb"\d{14}\.\d{6}", value)}
        self._windows: dict[bytes, bytes] = {}
        for word in secrets.words:
            for form in (word, word.lower(), word.title()):
                self._windows.update((form[start : start + _WINDOW], word) for start in (0, 2, 4))
        # eight digits alone would be found in the hashes of any journal
        self._digits = {form[:_WINDOW]: form[: 2 * _WINDOW] for value in secrets.odd for form in _digits(value)}
        for value in secrets.odd:
            self._windows.update((form[:_WINDOW], value) for form in (*_forms(value), *_digits(value)))

    def __call__(self, data: bytes) -> set[bytes]:
        data = _RUNS.sub(rb"\1\1", data)
        windows, digits = self._windows, self._digits
        found = {
            windows[part]
            for at in range(len(data) - _WINDOW + 1)
            if (part := data[at : at + _WINDOW]) in windows and data.startswith(digits.get(part, part), at)
        }
        return found | self.numbers(data)

    def numbers(self, data: bytes) -> set[bytes]:
        """UIDs, dates and the like alone."""
        return self._numbers & {*_NUMBERS.findall(data), *map(b"".join, _DATES.findall(data))}


def _forms(value: bytes) -> Iterator[bytes]:
    """The bytes of a text that has no ASCII characters, as they were sent and as programs write them."""
    yield value
    yield "".join(f"\\x{byte:02x}" for byte in value).encode()
    for codec in _CODECS:
        try:
            text = value.decode(codec)
        except UnicodeDecodeError:
            continue
        yield text.encode()
        yield text.encode("utf-16-le")
        yield text.encode("ascii", "backslashreplace")
        yield text.encode("ascii", "xmlcharrefreplace")


def _digits(value: bytes) -> tuple[bytes, bytes]:
    return value.hex().encode(), value.hex().upper().encode()


def contents(paths: Iterable[Path]) -> Iterator[tuple[Path, bytes]]:
    """What is in files, in deflated ones also what was deflated."""
    for path in paths:
        content = path.read_bytes()
        yield path, content
        if content[128:132] == b"DICM" and DEFLATED.encode() in content[:1000]:
            yield path, zlib.decompress(stored_file(path).data, -zlib.MAX_WBITS)
