"""Data sets full of identifying values, each of which occurs once in all the world, in every kind of place.

The places are the elements of PS3.15 table E.1-1, private elements, and elements that no dictionary has; at the top
level, in sequences, after the pixel data; and what senders do wrong: stray delimiters, repeated elements, other VRs,
sequences without items, character sets that are not declared.
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from pydicom.datadict import dictionary_VR

from dcmrecv_core.dataset.encodings import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from support.data.datasets import ITEM_END, PIXEL_DATA, SEQUENCE_END, Node, deflate, encode, item
from support.paths import ROOT
from support.uids import BIG_ENDIAN, CT, DEFLATED, ENHANCED_CT, EXPLICIT_LE, IMPLICIT_LE, JPEG

TABLE = ROOT / "plugins" / "dcmrecv-deidentify" / "tests" / "data" / "table_e1_1.tsv"

SYNTAXES = {
    EXPLICIT_LE: EXPLICIT_LITTLE,
    IMPLICIT_LE: IMPLICIT_LITTLE,
    BIG_ENDIAN: EXPLICIT_BIG,
    DEFLATED: EXPLICIT_LITTLE,
    JPEG: EXPLICIT_LITTLE,
}
CHARACTER_SETS = (
    b"ISO_IR 192",
    b"ISO_IR 100",
    b"ISO_IR 109",
    b"GB18030 ",
    b"hex ",
    b"UNDEFINED ",
    b"\\ISO 2022 IR 87 ",
    b"",
)
LARGER_THAN_A_HEADER_HOLDS = 70_000
LARGER_THAN_THE_SPOOL = 3 << 19

_LETTERS = "ABCDEFGHJKLMNPQRSTVWXYZ"
_SHORT = ("AE", "CS", "SH")
_BYTES = ("OB", "OW", "OF", "OD", "OL", "OV", "OB or OW", "UN", "FD", "FL", "UL", "US", "SL", "SS", "SV", "UV", "AT")
_SEQUENCES = (0x00081140, 0x00081250, 0x00083010, 0x00400275, 0x00120064, 0x0040A730, 0x52009229)
_NUMBERED = (0x0020000D, 0x00100010, 0x00100020, 0x00100030, 0x00080020, 0x00080050, 0x0020000E, 0x00200052)
"""Elements that names of files and the index are made from."""
_WITHOUT_DICTIONARY = (0x00089ABC, 0x00280FFF, 0x00E81001)
_ODD_GROUPS = (0x0009, 0x0011, 0x0029, 0x00E1, 0x2001)
_PER_FRAME, _FRAME_CONTENT = 0x52009230, 0x00209111
_FIXED = (0x00080005, 0x00080016, 0x00080018, 0x00080060, 0x00280010, PIXEL_DATA, 0x00020003)
"""Elements that are made on their own, and the one that would be read as File Meta Information."""


class Place(NamedTuple):
    """An element that identifies somebody, with its VR."""

    tag: int
    vr: str


@cache
def places() -> tuple[Place, ...]:
    """Those of table E.1-1, one of each repeating group, and some that are in no dictionary."""
    found = [Place(tag, "LO") for tag in _WITHOUT_DICTIONARY]
    with TABLE.open() as rows:
        for row in csv.DictReader(rows, delimiter="\t"):
            text = row["tag"].replace("50xxxxxx", "50023000").replace("60xx", "6004")
            if text == "private" or not row["profile"]:
                continue
            tag = int(text, 16)
            # fragments of encapsulated pixel data and the like are no data elements; group 0000 is of commands
            if tag not in _FIXED and tag >> 16 not in (0x0000, 0x0002, 0xFFFC):
                found.append(Place(tag, _vr_of(tag)))
    return tuple(found)


def _vr_of(tag: int) -> str:
    try:
        return dictionary_VR(tag).split(" or ")[0]
    except KeyError:
        return "LO"


@dataclass
class Secrets:
    """Makes identifying values and remembers them: without padding, by their form."""

    chance: random.Random
    words: set[bytes] = field(default_factory=set)
    """12 letters."""
    odd: set[bytes] = field(default_factory=set)
    """8 bytes from 80H on: text in a character set that nobody can know for sure, or a number."""
    numbers: set[bytes] = field(default_factory=set)
    """UIDs, dates, times, decimals: they stand between other characters than digits."""

    def count(self) -> int:
        return len(self.words) + len(self.odd) + len(self.numbers)

    def value(self, vr: str) -> bytes:
        """An identifying value of even length that fits the VR, more or less."""
        made = self._number(vr) if vr in ("UI", "DA", "TM", "DT", "DS", "IS") else self._text(vr)
        return made + (b"\0" if vr in ("UI", *_BYTES) else b" ") * (len(made) % 2)

    def large(self, vr: str) -> bytes:
        value = self.value(vr)
        return value + (b"\0" if vr in _BYTES else b" ") * LARGER_THAN_A_HEADER_HOLDS

    def word(self) -> bytes:
        made = "".join(self.chance.choices(_LETTERS, k=12)).encode()
        self.words.add(made)
        return made

    def _text(self, vr: str) -> bytes:
        if vr in _SHORT:
            return self.word()
        if vr in _BYTES and self.chance.random() < 0.5:
            return self._odd()
        forms = ("%w", "%w^%o", "%o^%w=%o") if vr == "PN" else ("%w", "%w", "%w%o", "%o%w", "a\\%w==")
        form = self.chance.choice(forms).encode()
        return re.sub(b"%[wo]", lambda part: self.word() if part[0] == b"%w" else self._odd(), form)

    def _odd(self) -> bytes:
        made = bytes(self.chance.choices(range(0x80, 0x100), k=8))
        self.odd.add(made)
        return made

    def _number(self, vr: str) -> bytes:
        below = self.chance.randrange
        day = b"%d%02d%02d" % (below(1850, 1899), below(1, 13), below(1, 29))
        time = b"%02d%02d%02d.%06d" % (below(24), below(60), below(60), below(10**6))
        made = {
            "UI": b"1.2.826.0.%d.%d" % (below(10**10, 10**11), below(10**8, 10**9)),
            "DA": day,
            "TM": time,
            "DT": day + time,
            "DS": b"%d.%08d" % (below(10, 99), below(10**8)),
            "IS": b"%d" % below(10**8, 10**9),
        }[vr]
        self.numbers.add(made)
        return made


class Maker:
    """Makes data sets, with unusual ones among them."""

    def __init__(self, secrets: Secrets, *, odd: bool = True) -> None:
        self.secrets = secrets
        self._chance = secrets.chance
        self._odd = odd

    def data_set(self, syntax: str, uid: bytes, sop_class: str = CT) -> bytes:
        """A whole one, encoded; `uid` is its SOP Instance UID."""
        encoding = SYNTAXES[syntax]
        nodes = self._before_the_pixels(uid, sop_class)
        data = self._encoded(nodes, encoding) + self._from_the_pixels_on(syntax, encoding)
        return deflate(data, padded=True) if syntax == DEFLATED else data

    def _perhaps(self, share: float) -> bool:
        return self._odd and self._chance.random() < share

    def _before_the_pixels(self, uid: bytes, sop_class: str) -> list[Node]:
        chance, secrets = self._chance, self.secrets
        nodes = {
            0x00080005: Node(0x00080005, "CS", chance.choice(CHARACTER_SETS) if self._odd else b"ISO_IR 192"),
            0x00080016: Node(0x00080016, "UI", _even(sop_class.encode(), b"\0")),
            0x00080018: Node(0x00080018, "UI", _even(uid, b"\0")),
            0x00080060: Node(0x00080060, "CS", b"CT"),
            0x00280010: Node(0x00280010, "US", b"\x10\x10"),
        }
        for node in [self._identifying(Place(tag, _vr_of(tag))) for tag in _NUMBERED] + self._some(20, depth=1):
            nodes.setdefault(node.tag, node)
        for tag in _SEQUENCES:
            if chance.random() < 0.25:
                nodes[tag] = self._sequence(tag, depth=2)
        if sop_class == ENHANCED_CT:
            nodes[_PER_FRAME] = self._frames()
        for group in chance.sample(_ODD_GROUPS, 2):
            nodes.update((node.tag, node) for node in self._private_block(group))
        if self._perhaps(0.3):
            nodes[0x00420011] = Node(0x00420011, "OB", secrets.large("OB"))
        if self._perhaps(0.3):
            nodes[0x002B1001] = Node(0x002B1001, "UN", secrets.large("UN"))  # without its creator
        if self._perhaps(0.2):
            nodes[0x00400260] = Node(0x00400260, "SQ", secrets.value("OB"))  # without items
        if self._perhaps(0.3):
            inside = [Node(0x00104000, "LT", secrets.value("LT")), Node(0x00420011, "OB", secrets.large("OB"))]
            nodes[0x00283000] = Node(0x00283000, "SQ", [inside], undefined=chance.random() < 0.5)
        return [nodes[tag] for tag in sorted(nodes) if tag < PIXEL_DATA]

    def _some(self, count: int, *, depth: int) -> list[Node]:
        """Elements of the table, some of them with a VR of their sender's, in order."""
        chosen = {place.tag: place for place in self._chance.sample(places(), count)}
        return [self._identifying(chosen[tag], depth) for tag in sorted(chosen)]

    def _identifying(self, place: Place, depth: int = 0) -> Node:
        tag, vr = place
        if vr == "SQ":
            return self._sequence(tag, depth - 1) if depth else Node(tag, vr, [])
        if self._perhaps(0.15):
            vr = self._chance.choice(("UN", "UN", "OB", "LO", "UT", "PN"))
        return Node(tag, vr, self.secrets.value(vr))

    def _sequence(self, tag: int, depth: int) -> Node:
        chance = self._chance
        found = [self._item(depth) for _ in range(chance.choice((1, 1, 2)))]
        undefined = chance.random() < 0.5
        # Implicit VR in an element of unknown VR: what became of it on its way (PS3.5 section 6.2.2)
        return Node(tag, "UN" if undefined and self._perhaps(0.2) else "SQ", found, undefined)

    def _item(self, depth: int) -> list[Node]:
        nodes = {node.tag: node for node in self._some(self._chance.randint(1, 4), depth=0)}
        if self._perhaps(0.3):
            nodes[0x00080005] = Node(0x00080005, "CS", self._chance.choice(CHARACTER_SETS))
        if self._perhaps(0.1):
            nodes[0x00081199] = Node(0x00081199, "SQ", self.secrets.value("OB"))
        if depth and self._chance.random() < 0.3:
            nodes.update((node.tag, node) for node in self._private_block(0x0019, nested=False))
        if depth:
            nodes[0x00400440] = self._sequence(0x00400440, depth - 1)
        return [nodes[tag] for tag in sorted(nodes)]

    def _frames(self) -> Node:
        """Per-frame Functional Groups, with standard and private ones."""
        frames = []
        for _ in range(3):
            content = [
                Node(0x00189151, "DT", self.secrets.value("DT")),
                Node(0x00209158, "LT", self.secrets.value("LT")),
            ]
            frames.append([Node(_FRAME_CONTENT, "SQ", [content]), *self._private_block(0x0021)])
        return Node(_PER_FRAME, "SQ", frames, undefined=self._chance.random() < 0.5)

    def _private_block(self, group: int, *, nested: bool = True) -> list[Node]:
        secrets, first = self.secrets, group << 16
        nodes = [
            Node(first | 0x10, "LO", secrets.value("LO")),
            Node(first | 0x1001, self._chance.choice(("LO", "UN", "PN", "DS")), secrets.value("LO")),
        ]
        if nested:
            nodes.append(Node(first | 0x1002, self._chance.choice(("UN", "SQ")), [self._item(0)], undefined=True))
        if self._perhaps(0.3):
            nodes.append(Node(first | 0x2201, "LO", secrets.value("LO")))  # of a block that nobody has reserved
        if self._perhaps(0.2):
            nodes.insert(0, Node(first | 0x05, "LO", secrets.value("LO")))  # illegal (PS3.5 section 7.8.1)
        return nodes

    def _encoded(self, nodes: Sequence[Node], encoding: Encoding) -> bytes:
        parts = [encode([node], encoding) for node in nodes]
        chance = self._chance
        if self._perhaps(0.3):
            stray = item(chance.choice((ITEM_END, SEQUENCE_END)), chance.choice((0, 8)), encoding)
            parts.insert(chance.randint(3, len(parts)), stray)
        if self._perhaps(0.3):
            repeated = encode([Node(0x00100010, "PN", self.secrets.value("PN"))], encoding)
            parts.insert(chance.randint(len(parts) // 2, len(parts)), repeated)
        if self._perhaps(0.2):
            parts.append(encode([Node(0x00100030, "LO", self.secrets.value("LO"))], encoding))
        if self._perhaps(0.2):
            parts.insert(0, encode(list(self._file_meta()), encoding))
        return b"".join(parts)

    def _file_meta(self) -> Iterator[Node]:
        """File Meta Information, which is not for data sets (PS3.10 section 7.1)."""
        yield Node(0x00020003, "UI", self.secrets.value("UI"))
        yield Node(0x00020016, "AE", self.secrets.value("AE"))
        yield Node(0x00020100, "UI", self.secrets.value("UI"))
        yield Node(0x00020102, "OB", self.secrets.value("OB"))

    def _from_the_pixels_on(self, syntax: str, encoding: Encoding) -> bytes:
        size = LARGER_THAN_THE_SPOOL if self._perhaps(0.1) else 512
        pixels = (b"", b"\xff\xd8" + bytes(size)) if syntax == JPEG else bytes(size)
        data = encode([Node(PIXEL_DATA, "OB" if syntax == JPEG else "OW", pixels)], encoding)
        if self._perhaps(0.5):
            data += encode(self._private_block(0x7FE1), encoding)
        if self._perhaps(0.3):
            data += item(ITEM_END, 0, encoding)
        if self._chance.random() < 0.5:
            data += encode([Node(0xFFFAFFFA, "SQ", [self._item(1)])], encoding)
        if self._perhaps(0.3):
            data += encode([Node(0xFFFCFFFC, "OB", self.secrets.value("OB"))], encoding)
        return data


def _even(value: bytes, padding: bytes) -> bytes:
    return value + padding * (len(value) % 2)
