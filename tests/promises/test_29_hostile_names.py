"""Strings made to lead elsewhere, to collide or to be too long stand in each value that can name a directory or a file:
UIDs of the command and of the data set, both AE titles, dates, text. All files must be where they may be, and each
string must have its own place.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support.data.datasets import element, identification
from support.programs.receivers import Receiver, Start
from support.promises.promises import promise
from support.protocol.pdus import Command, status_of, store_rq
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, EXPLICIT_LE

pytestmark = promise(29)

Count = Callable[[int, int], int]
Figure = Callable[[str], None]

CONTEXTS = [(CT, [EXPLICIT_LE])]
LATIN_1 = element(0x00080005, "CS", b"ISO_IR 100")
# fmt: off
PIECES = [
    b"..", b"/", b"../", b"/../..", b"/etc/passwd", b"\\..\\", b"\\", b"\0", b"\n", b"\r", b"\t", b"\x1b[2J", b"\x1b$B",
    b"\x7f", b"\x85", b"\xff", b"\xc3\xa9", b"\xc3", b"e\xcc\x81", b"\xe2\x80\xae", b"~", b"~0123abcd", b".dcmrecv",
    b".dcmrecv/tmp", b"-rf", b"$(id)", b"`id`", b"%s", b"%2e%2e%2f", b"{random}", b"*", b"?", b"|", b":", b"<", b">",
    b'"', b"'", b"^", b"=", b"CON", b"nul.txt", b".", b"_", b" ", b"a", b"A", b"1", b"1.2", b"x" * 60,
]
# fmt: on


def hostile(number: int, longest: int, plain: Callable[[bytes], bytes]) -> list[bytes]:
    """So many strings of 1 to `longest` bytes that mean something and differ in it; `plain` gives what one means."""
    rng = random.Random(f"hostile {longest}")
    found: dict[bytes, bytes] = {}
    while len(found) < number:
        pieces = rng.choices(PIECES, k=rng.choice((1, 1, 2, 2, 3, 4, 8, 80)))
        text = b"".join(pieces)[: rng.choice((longest, longest, 16))]
        if meant := plain(text):
            found.setdefault(meant, text)
    return list(found.values())


def text(value: bytes) -> bytes:
    """Blanks and NULs around a value are not part of it, nor around each of several."""
    return b"\\".join(part.strip(b" \0") for part in value.split(b"\\"))


def command_uid(value: bytes) -> bytes:
    return value.partition(b"\0")[0].strip(b" ")


def data_uid(value: bytes) -> bytes:
    """No white space is part of a UID, and a value has several; NEL is what Latin-1 adds to ASCII's."""
    return b"\\".join(part.strip(b" \0\t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0") for part in value.split(b"\\"))


def person_name(value: bytes) -> bytes:
    """Empty components and component groups at the end may be left out (PS3.5 sections 6.2.1.1 and 6.2.1.2)."""
    return b"=".join(group.rstrip(b" \0^") for group in value.split(b"=")).strip(b" \0=")


class Field(NamedTuple):
    """A value that names: what a layout calls it, its bytes at most, what it means, how a sender says it."""

    name: str
    longest: int
    plain: Callable[[bytes], bytes]
    command: Callable[[bytes], Command] = lambda value: {}
    data: Callable[[bytes], bytes] = lambda value: b""


def in_command(name: str, number: int) -> Field:
    return Field(name, 64, command_uid, command=lambda value: {number: value + bytes(len(value) % 2)})


def in_data(name: str, tag: int, vr: str, longest: int = 300, plain: Callable[[bytes], bytes] = text) -> Field:
    return Field(f"{name}[*]", longest, plain, data=lambda value: element(tag, vr, value))


FIELDS = [
    in_command("sop_instance_uid", 0x1000),
    in_command("sop_class_uid", 0x0002),
    in_data("StudyDate", 0x00080020, "DA"),
    in_data("PatientName", 0x00100010, "PN", plain=person_name),
    in_data("PatientID", 0x00100020, "LO"),
    in_data("PatientComments", 0x00104000, "LT", 1000),
    in_data("StudyInstanceUID", 0x0020000D, "UI", plain=data_uid),
    in_data("StudyID", 0x00200010, "SH"),
]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_values_in_a_layout(ours: Start, count: Count, figure: Figure, field: Field) -> None:
    receiver = ours("-q", "-pm", "--no-fsync", "--layout", f"{{{field.name}}}/{{{field.name}}}.dcm")
    before = around(receiver)
    values = hostile(count(300, 10_000), field.longest, field.plain)
    store(receiver, ((field.command(value), LATIN_1 + field.data(value)) for value in values))
    check_places(receiver, [len(values), len(values)])
    assert around(receiver) == before
    figure(f"{len(values)} strings in each of {len(FIELDS) + 4} values: as many places")


def test_values_in_a_layout_with_a_limit(ours: Start, count: Count) -> None:
    field = next(field for field in FIELDS if field.name == "PatientComments[*]")
    layout = f"{{{field.name}}}/{{{field.name}}}.dcm"
    receiver = ours("-q", "-pm", "--no-fsync", "--layout", layout, "--layout-limit", "80")
    values = hostile(count(200, 10_000), field.longest, field.plain)
    store(receiver, ((field.command(value), LATIN_1 + field.data(value)) for value in values))
    check_places(receiver, [len(values), len(values)])
    assert max(len(b"/".join(place)) for place in paths(receiver.output)) == 80


@pytest.mark.parametrize("options", [(), ("-fe", "/../x"), ("+B",)], ids=str)
def test_sop_instance_uid_as_name(ours: Start, count: Count, options: tuple[str, ...]) -> None:
    receiver = ours("-q", "-pm", "--no-fsync", *options)
    before = around(receiver)
    values = hostile(count(300, 10_000), 64, command_uid)
    store(receiver, (({0x1000: value + bytes(len(value) % 2)}, LATIN_1) for value in values))
    check_places(receiver, [len(values)])
    assert around(receiver) == before


def test_ae_titles(ours: Start, count: Count) -> None:
    layout = "{calling_ae_title}/{called_ae_title}"
    receiver = ours("-q", "-pm", "--no-fsync", "-dhl", "--layout", layout)
    before = around(receiver)
    titles = [value.decode("latin-1") for value in hostile(count(200, 10_000), 16, command_uid)]
    for calling, called in zip(titles, reversed(titles), strict=True):
        with RawAssociation(receiver.port, CONTEXTS, calling=calling, called=called) as association:
            assert association.store(CT, "1.2.3", LATIN_1) == 0
            association.release()
    check_places(receiver, [len(titles), len(titles)])
    assert around(receiver) == before


def test_series_date(ours: Start, count: Count) -> None:
    """Of dates only the form of the directory is certain: many strings mean none."""
    receiver = ours("-q", "-pm", "--no-fsync", "+ssd")
    before = around(receiver)
    number = count(300, 10_000)
    dates = [b"2020/../", b"20200102/../../..", b"....-..-..", b"2020.01.02", *hostile(number, 300, text)]
    store(receiver, (({}, identification(CT, "1.2.3", date)) for date in dates))
    assert len(receiver.files()) == len(dates)
    place = re.compile(r"(?:data/\d{4}/\d\d/\d\d|undef/\d{8})/CT\.1\.2\.\d+")
    assert [path for path in receiver.files() if not place.fullmatch(path)] == []
    assert around(receiver) == before


def store(receiver: Receiver, instances: Iterable[tuple[Command, bytes]]) -> None:
    """Each with Success; what the command does not say otherwise is a UID of its own."""
    with RawAssociation(receiver.port, CONTEXTS) as association:
        for number, (command, data) in enumerate(instances):
            association.request(store_rq(CT, f"1.2.{number}") | command, data)
            assert status_of(association.response()) == 0, (command, data)
        association.release()


def check_places(receiver: Receiver, distinct: list[int]) -> None:
    """So many different names are there on each level, all of them fit, and nothing else."""
    places = list(paths(receiver.output))
    names = [name for place in places for name in place]
    assert {len(place) for place in places} == {len(distinct)}
    assert [len(set(level)) for level in zip(*places, strict=True)] == distinct
    assert [name for name in names if len(name) > 255 or name.startswith(b".dcmrecv")] == []


def paths(root: Path) -> Iterator[list[bytes]]:
    top = os.fsencode(root)
    for directory, _, names in os.walk(top):
        for name in names:
            path = os.path.relpath(os.path.join(directory, name), top)
            if not path.startswith(b".dcmrecv/"):
                yield path.split(b"/")


def around(receiver: Receiver) -> dict[str, tuple[int, int, int]]:
    """Everything beside the output directory: what it is, its size, when it was changed."""
    found = {}
    for path in receiver.directory.parent.rglob("*"):
        if receiver.output not in (path, *path.parents):
            status = path.lstat()
            found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns)
    return found
