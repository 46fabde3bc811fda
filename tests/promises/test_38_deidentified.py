"""A plugin made by hand keeps a list of technical elements, cleans sequences, gives new UIDs and one new name, and
drops the rest (`copy_header`, `replace_header(keep_unseen=False)`). Each identifying value of the data sets that it
gets is unique: at the top level, in sequences, in private blocks, in values above 64 KiB, after the pixel data, after
stray delimiters, repeated, out of order, in sequences without items, in character sets that are not declared or do not
exist, in five transfer syntaxes, in memory and spooled. Then each data set is stored, and none of these values is in a
stored file, also inflated, in a name below the output directory, or in the log at the default level, which may have the
SOP Instance UID of the command.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dcmrecv_core.dataset.encodings import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from support.data.datasets import ITEM_END, PIXEL_DATA, SEQUENCE_END, Node, deflate, encode, item
from support.programs.receivers import Receiver, Start
from support.promises.promises import promise
from support.promises.ways_to_disk import FILES, HIDDEN
from support.protocol.raw_sender import RawAssociation
from support.uids import BIG_ENDIAN, CT, DEFLATED, EXPLICIT_LE, IMPLICIT_LE, JPEG

pytestmark = promise(38)

COERCED = 0xB000
PLUGIN = """\
import hashlib

from dcmrecv_core import hookimpl

TECHNICAL = {"SpecificCharacterSet", "SOPClassUID", "Modality", "SamplesPerPixel", "PhotometricInterpretation", "Rows",
             "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleIntercept"}
LARGE = ("ModalityLUTSequence", "PerFrameFunctionalGroupsSequence")

def pseudonym(uid):
    return f"2.25.{int.from_bytes(hashlib.sha256(uid.encode()).digest()[:16])}"

def clean(dataset):
    for element in list(dataset):
        if element.VR == "SQ":
            for item in element.value:
                clean(item)
        elif element.VR == "PN":
            element.value = "nobody"
        elif element.VR == "UI" and element.keyword and element.keyword != "SOPClassUID":
            element.value = pseudonym(str(element.value))
        elif element.keyword not in TECHNICAL:
            del dataset[element.tag]
    dataset.remove_private_tags()

@hookimpl
def receive(instance):
    header = instance.copy_header()
    clean(header)
    if header.get("SpecificCharacterSet") is not None:
        header.SpecificCharacterSet = "ISO_IR 192"
    for keyword in LARGE:
        items = instance.get(keyword)
        if items is not None:
            for item in items:
                clean(item)
            setattr(header, keyword, items)
    header.PatientID = pseudonym(str(instance.get("PatientID", "")))[:20]
    header.SOPInstanceUID = pseudonym(instance.sop_instance_uid)
    instance.replace_header(header, keep_unseen=False)
"""
SYNTAXES = {
    EXPLICIT_LE: EXPLICIT_LITTLE,
    IMPLICIT_LE: IMPLICIT_LITTLE,
    BIG_ENDIAN: EXPLICIT_BIG,
    DEFLATED: EXPLICIT_LITTLE,
    JPEG: EXPLICIT_LITTLE,
}
CONTEXTS = [(CT, [syntax]) for syntax in SYNTAXES]
WAYS = {
    "names by UID": (),
    "layout": ("--layout", "{PatientID}/{PatientName}/{StudyInstanceUID}/{SOPInstanceUID}"),
    "hidden files": (*HIDDEN, "--layout", "{PatientID}/{SOPInstanceUID}"),
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
SEQUENCES = (0x00081140, 0x00083010, 0x00400275, 0x00120064)
TEXTS = {"LO": 0x00081040, "SH": 0x00080050, "PN": 0x00080090, "LT": 0x00104000, "UT": 0x0040A160, "UI": 0x0020000E}


WORD = re.compile(rb"(?=([A-Z]{12}))")
ODD = re.compile(rb"(?=([\x80-\xff]{8}))")
UID = re.compile(rb"1\.2\.826\.0\.\d{11}\.\d{9}")
"""The forms of identifying values."""


class Secrets:
    """Values that occur once in all the world, as far as can be told; remembers them."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.sent: set[bytes] = set()

    def __call__(self, vr: str = "LO") -> bytes:
        """An identifying value of even length, with or without bytes that few character sets have."""
        if vr == "UI":
            value = b"1.2.826.0.%d.%d" % (self._chance.randrange(10**10, 10**11), self._chance.randrange(10**8, 10**9))
            self.sent.add(value)
            return value + b"\0" * (len(value) % 2)
        word = "".join(self._chance.choices("ABCDEFGHJKLMNPQRSTVWXYZ", k=12)).encode()
        odd = bytes(self._chance.choices(range(0x80, 0x100), k=8))
        self.sent |= {word, odd}
        return self._chance.choice((word, word + odd, odd + word, word[:6] + b"^" + word, b"a\\" + word + b"=="))

    def padded(self, vr: str = "LO", size: int = 0) -> bytes:
        value = self(vr)
        return value.ljust(size + len(value) % 2 + len(value), b"\0" if vr in ("UI", "OB", "UN") else b" ")


def items(secret: Secrets, chance: random.Random, depth: int) -> list[list[Node]]:
    """Some items with an identifying value of each kind."""
    found = []
    for _ in range(chance.randint(1, 2)):
        nodes = [Node(tag, vr, secret.padded(vr)) for vr, tag in TEXTS.items() if chance.random() < 0.7]
        if chance.random() < 0.3:
            nodes.append(Node(0x00080005, "CS", chance.choice(CHARACTER_SETS)))
        if chance.random() < 0.1:
            nodes.append(Node(0x00081199, "SQ", secret.padded("OB")))
        if depth:
            nodes.append(Node(0x00081250, "SQ", items(secret, chance, depth - 1), undefined=chance.random() < 0.5))
        found.append(sorted(nodes, key=by_tag))
    return found


def by_tag(node: Node) -> int:
    return node.tag


def private_block(secret: Secrets, chance: random.Random, group: int) -> list[Node]:
    creator = Node(group << 16 | 0x10, "LO", secret.padded())
    inner = Node(group << 16 | 0x1002, "UN", items(secret, chance, 1), undefined=True)
    return [creator, Node(group << 16 | 0x1001, chance.choice(("LO", "UN", "PN")), secret.padded()), inner]


def main_elements(secret: Secrets, chance: random.Random, uid: bytes) -> list[Node]:
    """What comes before the pixel data, in order."""
    nodes = [
        Node(0x00080005, "CS", chance.choice(CHARACTER_SETS)),
        Node(0x00080016, "UI", CT.encode() + b"\0"),
        Node(0x00080018, "UI", uid),
        Node(0x00080060, "CS", b"CT"),
        *(Node(tag, vr, secret.padded(vr)) for vr, tag in TEXTS.items()),
        *private_block(secret, chance, 0x0009),
        Node(0x00100010, "PN", secret.padded("PN")),
        Node(0x00100020, "LO", secret.padded()),
        Node(0x0020000D, "UI", secret.padded("UI")),
        Node(0x00280010, "US", b"\x10\x10"),
        *(
            Node(tag, "SQ", items(secret, chance, 2), undefined=chance.random() < 0.5)
            for tag in SEQUENCES
            if chance.random() < 0.6
        ),
    ]
    if chance.random() < 0.3:
        nodes.append(Node(0x00420011, "OB", secret.padded("OB", 70_000)))
    if chance.random() < 0.3:
        nodes.append(Node(0x00291001, "UN", secret.padded("UN", 70_000)))
    if chance.random() < 0.2:
        nodes.append(Node(0x00400260, "SQ", secret.padded("OB")))
    if chance.random() < 0.3:
        inside = [[Node(0x00283003, "LO", secret.padded()), Node(0x00283006, "OW", secret.padded("OB", 70_000))]]
        nodes.append(Node(0x00283000, "SQ", inside, undefined=chance.random() < 0.5))
    return sorted(nodes, key=by_tag)


def with_oddities(nodes: list[Node], secret: Secrets, chance: random.Random, encoding: Encoding) -> bytes:
    """The elements encoded, sometimes with stray delimiters, repeated and out of order."""
    parts = [encode([node], encoding) for node in nodes]
    if chance.random() < 0.3:
        strays = item(chance.choice((ITEM_END, SEQUENCE_END)), chance.choice((0, 8)), encoding)
        parts.insert(chance.randint(3, len(parts)), strays)
    if chance.random() < 0.3:
        repeated = encode([Node(0x00100010, "PN", secret.padded("PN"))], encoding)
        parts.insert(chance.randint(len(parts) // 2, len(parts)), repeated)
    if chance.random() < 0.2:
        parts.append(encode([Node(0x00100030, "LO", secret.padded())], encoding))
    if chance.random() < 0.1:
        parts.insert(0, encode([Node(0x00020100, "UI", secret.padded("UI"))], encoding))
    return b"".join(parts)


def data_set(secret: Secrets, chance: random.Random, syntax: str, uid: bytes) -> bytes:
    encoding = SYNTAXES[syntax]
    data = with_oddities(main_elements(secret, chance, uid), secret, chance, encoding)
    size = 3 << 19 if chance.random() < 0.1 else 512
    pixels = (b"", b"\xff\xd8" + bytes(size)) if syntax == JPEG else bytes(size)
    data += encode([Node(PIXEL_DATA, "OB" if syntax == JPEG else "OW", pixels)], encoding)
    if chance.random() < 0.5:
        data += encode(private_block(secret, chance, 0x7FE1), encoding)
    if chance.random() < 0.3:
        data += item(ITEM_END, 0, encoding) + encode([Node(0xFFFAFFFA, "SQ", items(secret, chance, 1))], encoding)
    if chance.random() < 0.3:
        data += encode([Node(0xFFFCFFFC, "OB", secret.padded("OB"))], encoding)
    return deflate(data, padded=True) if syntax == DEFLATED else data


def texts(path: Path) -> Iterator[bytes]:
    """The bytes of a stored file, and its data set inflated."""
    content = path.read_bytes()
    yield content
    if DEFLATED.encode() in content[:1000]:
        yield zlib.decompress(content[144 + int.from_bytes(content[140:144], "little") :], -15)


def found_in(text: bytes, values: set[bytes]) -> set[bytes]:
    return values & {value for form in (WORD, ODD) for value in form.findall(text)} | values & set(UID.findall(text))


def leaks(receiver: Receiver, sent: set[bytes], commands: set[bytes]) -> dict[str, set[bytes]]:
    """Which of the values are where."""
    everything = sent | commands
    paths = list(receiver.output.rglob("*"))
    places = {str(path): found_in(text, everything) for path in paths if path.is_file() for text in texts(path)}
    places["names"] = found_in("\n".join(map(str, paths)).encode(), everything)
    places["log"] = found_in(receiver.log.encode("utf-8", "surrogateescape"), sent)
    return {place: values for place, values in places.items() if values}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", WAYS)
def test_no_value_comes_through(
    ours: Start, way: str, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    receiver = ours("-pm", "--no-fsync", "--plugin", "deidentify", *WAYS[way], files={**FILES, "deidentify.py": PLUGIN})
    chance = random.Random(way)
    secret = Secrets(chance)
    statuses: list[int | None] = []
    commands: list[bytes] = []
    cases = count(30, 170)
    with RawAssociation(receiver.port, CONTEXTS) as association:
        for _ in range(cases):
            number = chance.randrange(len(CONTEXTS))
            uid = Secrets(chance)("UI")
            commands.append(uid.rstrip(b"\0"))
            # sometimes the data set has another one, which no one may see
            own = secret("UI") if chance.random() < 0.2 else uid
            data = data_set(secret, chance, CONTEXTS[number][1][0], own)
            statuses.append(association.store(CT, commands[-1].decode(), data, context_id=2 * number + 1))
        association.release()
    assert receiver.stop() == 0
    assert set(statuses) == {COERCED}, receiver.log
    assert len([path for path in receiver.output.rglob("*") if path.is_file()]) == cases
    found = leaks(receiver, secret.sent, set(commands))
    assert found == {}, receiver.log
    figure(f"{way}: 0 of {len(secret.sent)} values found, {cases} of {cases} data sets stored")
