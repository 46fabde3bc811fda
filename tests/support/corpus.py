"""Reads the corpus: cases in text files, their bytes in hex with a little notation to stay readable.

A case, with blank lines around it:

    == title
    @ where the standard, or the rule of ours, is
    04 00 >4{ >4{ 03 03 $store_set } }
    -> 0000 stored

The bytes: hex digits; "text" (Latin-1); `$name`, defined in definitions.txt by `name = ...`; `512*` repeats the
next item, or several in `( )`. Braces: `>4{ }` and `<4{ }` put the length of their content before it, big or little
endian in 1, 2 or 4 bytes, `>4-2{ }` a length that is wrong by so many; `data{ }` marks a data set, which must be stored
unchanged; `deflate{ }` compresses. `FIN` and `RST` at the end say how the sender leaves. `$uid` is the case's own SOP
Instance UID.

The reaction, in order: `accept 1=0 3=4 58=...` (context results; user information items, if any, in hex), `reject
1/1/2`, `abort 2/6`, `release`, `close` (without an answer), statuses of responses with the further elements they carry
(`C000 0901 0902`) and `stored` after those that leave a file. An association that does not end must stay
usable. `-> strict:` and `-> preserving:` say what differs with --strict and --bit-preserving.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from support.paths import TESTS

DIRECTORY = TESTS / "corpus"
FILES = ("requests", "pdus", "commands", "datasets", "endings")
MODES = ("", "strict", "preserving")
UID = "1.2.826.0.1.3680043.9.9999.7."

_TOKEN = re.compile(
    r'"(?P<text>[^"]*)"'
    r"|\$(?P<name>\w+)"
    r"|(?P<times>\d+)\*"
    r"|(?P<order>[<>])(?P<size>[124])(?P<lie>[+-]\d+)?\{"
    r"|(?P<block>data|deflate)\{"
    r"|(?P<group>\()"
    r"|(?P<hex>(?:[0-9A-Fa-f]{2})+)(?![\w*])"
)


class Case(NamedTuple):
    """`data` are the data sets in it, put together; `end` is "FIN", "RST" or "" ."""

    file: str
    title: str
    reference: str
    sent: bytes
    data: bytes
    end: str
    reactions: dict[str, str]

    def reaction(self, mode: str) -> str:
        return self.reactions.get(mode, self.reactions[""])


@cache
def cases() -> tuple[Case, ...]:
    definitions = _definitions()
    found: list[Case] = []
    for file in FILES:
        for block in _blocks(DIRECTORY / f"{file}.txt"):
            found.append(_case(file, block, {**definitions, "uid": f'"{UID}{10000 + len(found)}"'}))
    return tuple(found)


@cache
def expand(text: str) -> bytes:
    """Bytes of a text in the notation that do not belong to a case."""
    return Expansion(text, {**_definitions(), "uid": f'"{UID}1"'}).sent


def _definitions() -> dict[str, str]:
    text = "\n".join(_lines(DIRECTORY / "definitions.txt"))
    parts = re.split(r"^(\w+) = ", text, flags=re.MULTILINE)
    assert not parts[0].strip()
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _lines(path: Path) -> Iterator[str]:
    return (line for line in path.read_text().splitlines() if not line.startswith("#"))


def _blocks(path: Path) -> Iterator[list[str]]:
    block: list[str] = []
    for line in [*_lines(path), "=="]:
        if line.startswith("==") and block:
            yield block
            block = []
        if line.strip():
            block.append(line.strip())


def _case(file: str, block: list[str], definitions: dict[str, str]) -> Case:
    title, reference = block[0].removeprefix("==").strip(), block[1].removeprefix("@").strip()
    assert block[1].startswith("@"), f"{title}: no reference"
    content, end = " ".join(line for line in block[2:] if not line.startswith("->")), ""
    if content.endswith(("FIN", "RST")):
        content, end = content[:-4], content[-3:]
    reactions = {}
    for line in (line.removeprefix("->").strip() for line in block[2:] if line.startswith("->")):
        mode, _, reaction = line.rpartition(": ")
        assert mode in MODES, f"{title}: {line}"
        reactions[mode] = reaction
    expansion = Expansion(content, definitions)
    return Case(file, title, reference, expansion.sent, expansion.data, end, reactions)


class Expansion:
    """The bytes of a text, and which of them are data sets."""

    def __init__(self, text: str, definitions: dict[str, str]) -> None:
        self._definitions = definitions
        self.data = b""
        self.sent, rest = self._sequence(text)
        assert not rest, f"brace too many before {rest!r}"

    def _sequence(self, text: str) -> tuple[bytes, str]:
        """The bytes of the text up to a closing brace, and the rest after it."""
        parts = []
        while text := text.lstrip():
            if text[0] in "})":
                return b"".join(parts), text
            part, text = self._item(text)
            parts.append(part)
        return b"".join(parts), ""

    def _item(self, text: str) -> tuple[bytes, str]:
        token = _TOKEN.match(text)
        assert token, f"not understood: {text[:40]!r}"
        rest = text[token.end() :]
        if token["text"] is not None:
            return token["text"].encode("latin-1"), rest
        if token["hex"]:
            return bytes.fromhex(token["hex"]), rest
        if token["name"]:
            return self._sequence(self._definitions[token["name"]])[0], rest
        if token["times"]:
            part, rest = self._item(rest.lstrip())
            return part * int(token["times"]), rest
        inside, rest = self._sequence(rest)
        assert rest[:1] == (")" if token["group"] else "}"), f"brace missing: {text[:40]!r}"
        return self._braced(token, inside), rest[1:]

    def _braced(self, token: re.Match[str], inside: bytes) -> bytes:
        if token["group"]:
            return inside
        if token["block"] == "data":
            self.data += inside
            return inside
        if token["block"] == "deflate":
            compressor = zlib.compressobj(wbits=-15)
            return compressor.compress(inside) + compressor.flush()
        length = len(inside) + int(token["lie"] or 0)
        return length.to_bytes(int(token["size"]), "big" if token["order"] == ">" else "little") + inside
