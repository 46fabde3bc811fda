"""Data sets in which each identifying value occurs once in all the world, at the top level, in sequences, in private
blocks with and without a creator, in elements that no dictionary has, in values above 64 KiB, in functional groups of
frames, in File Meta Information within the data set, after the pixel data, after stray delimiters, repeated, out of
order, under other VRs, in sequences without items, in character sets that are not declared or do not exist, in five
transfer syntaxes, in memory and spooled. dcmrecv-deidentify treats them, together with dcmrecv-index and a plugin that
writes down its events; and a plugin made by hand with `copy_header` and `replace_header(keep_unseen=False)`. None of
these values is in a stored file, also inflated, in a name, the journal, the queues, the index, an event, the report or
the log at the default level, where the SOP Instance UID of the command may be unless `--log-uids hashed`. The search is
for whole values and parts, in each encoding that they may have got.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from dcmrecv_core.testing import until
from support.data.identified import SYNTAXES, Maker, Secrets
from support.paths import ROOT
from support.programs.environment import make_site
from support.programs.receivers import Receiver, Start
from support.promises.leaks import Search, contents
from support.promises.promises import promise
from support.promises.ways_to_disk import FILES, HIDDEN
from support.protocol.raw_sender import RawAssociation
from support.uids import CT, ENHANCED_CT

pytestmark = promise(38)

COERCED = 0xB000
FAILED = 0x0110
"""The plugin made by hand has failed: pydicom does not read all that senders make."""
CONTEXTS = [(sop_class, [syntax]) for sop_class in (CT, ENHANCED_CT) for syntax in SYNTAXES]
LAYOUT = "{PatientID}/{PatientName}/{StudyDate}/{AccessionNumber}/{StudyInstanceUID}/{SOPInstanceUID}"

BY_HAND = """\
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
        if items and not isinstance(items, bytes):  # bytes: pydicom cannot read all of it
            for item in items:
                clean(item)
            setattr(header, keyword, items)
    header.PatientID = pseudonym(str(instance.get("PatientID", "")))[:20]
    header.SOPInstanceUID = pseudonym(instance.sop_instance_uid)
    instance.replace_header(header, keep_unseen=False)
"""
LISTENS = """\
import os
from dcmrecv_core import hookimpl

def note(*told):  # several processes do, so each line is written at once
    fd = os.open("events", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (" ".join(map(repr, told)) + "\\n").encode())
    os.close(fd)

@hookimpl
def deliver(event, target):
    note(event)

@hookimpl
def study_completed(study):
    note(study, *study.instances)

@hookimpl
def not_stored(instance, outcome):
    note(outcome)
"""


CLEANED = tuple(
    word
    for name in ("clean-descriptors", "clean-structured-content", "retain-safe-private")
    for word in ("--deidentify-options", name)
)
"""The options of the profile that keep only what identifies nobody."""
KEY_AND_REPORT = ("--deidentify-key", "key", "--deidentify-report", "reports")


class Way(NamedTuple):
    """Options beside those of the package; whether the log may have the SOP Instance UID of the command."""

    options: tuple[str, ...] = ()
    uids_in_log: bool = True


WAYS = {
    "names by UID": Way(),
    "layout": Way(("--layout", LAYOUT)),
    "cleaned texts": Way(("--layout", LAYOUT, *CLEANED)),
    "hashed UIDs": Way((*HIDDEN, "--layout", LAYOUT, "--log-uids", "hashed"), uids_in_log=False),
}
BY_HAND_WAYS = {
    "layout": ("--layout", "{PatientID}/{PatientName}/{StudyInstanceUID}/{SOPInstanceUID}"),
    "hidden files": (*HIDDEN, "--layout", "{PatientID}/{SOPInstanceUID}"),
}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, program: Path) -> Path:
    """A dcmrecv beside which the packages are installed."""
    packages = (ROOT / "plugins" / name for name in ("dcmrecv-deidentify", "dcmrecv-index"))
    return make_site(tmp_path_factory.mktemp("site"), program, *packages)


class Sent(NamedTuple):
    """What was sent: identifying values, and the SOP Instance UIDs of commands; how often what was answered."""

    secrets: Secrets
    commands: Secrets
    statuses: dict[int | None, int]
    ordinary: dict[int | None, int]
    """The answers for data sets without anything unusual."""


def send(receiver: Receiver, cases: int, seed: str) -> Sent:
    """As many data sets, every second one unusual."""
    chance = random.Random(seed)
    secrets, commands = Secrets(chance), Secrets(chance)
    makers = Maker(secrets, odd=False), Maker(secrets)
    sent = Sent(secrets, commands, {}, {})
    with RawAssociation(receiver.port, CONTEXTS) as association:
        for case in range(cases):
            number = chance.randrange(len(CONTEXTS))
            sop_class, [syntax] = CONTEXTS[number]
            uid = commands.value("UI").rstrip(b"\0")
            # sometimes the data set has another one, which no one may see
            own = secrets.value("UI").rstrip(b"\0") if case % 2 and chance.random() < 0.2 else uid
            data = makers[case % 2].data_set(syntax, own, sop_class)
            status = association.store(sop_class, uid.decode(), data, context_id=2 * number + 1)
            answers = sent.statuses if case % 2 else sent.ordinary
            answers[status] = answers.get(status, 0) + 1
        association.release()
    return sent


def leaks(receiver: Receiver, sent: Sent, *, ours: set[str], uids_in_log: bool = True) -> dict[str, set[bytes]]:
    """Which of the values are where; `ours` are files that were there before."""
    search, commands = Search(sent.secrets), Search(sent.commands)
    paths = [path for path in receiver.directory.rglob("*") if path.name not in ours]
    files = [path for path in paths if path.is_file() and path.name != "stderr.log"]
    names = "\n".join(map(str, paths)).encode("utf-8", "surrogateescape")
    log = receiver.log.encode("utf-8", "surrogateescape")
    found = {str(path): search(data) | commands(data) for path, data in contents(files)}
    found |= {"names": search(names) | commands(names), "log": search(log)}
    if not uids_in_log:
        found["UIDs in the log"] = commands(log)
    return {place: values for place, values in found.items() if values}


def told_of(receiver: Receiver, instances: int) -> bool:
    """Whether the plugin has been told of so many instances, and of studies."""
    path = receiver.directory / "events"
    lines = path.read_text().splitlines() if path.exists() else []
    return sum(line.startswith("StoredEvent(") for line in lines) == instances and any(
        "Study(" in line for line in lines
    )


@pytest.mark.timeout(900)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_went_in_comes_out(
    ours: Start, site: Path, way: str, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    files = {**FILES, "listens.py": LISTENS, "reports/here": ""}
    plugins = [word for name in ("listens", "index", "deidentify") for word in ("--plugin", name)]
    arguments = ("-pm", "--no-fsync", "--study-timeout", "1", *plugins, *KEY_AND_REPORT, *WAYS[way].options)
    receiver = ours(*arguments, files=files, program=site)
    cases = count(40, 500)
    sent = send(receiver, cases, way)
    assert set(sent.ordinary) == {COERCED}, receiver.log
    stored = sent.ordinary[COERCED] + sent.statuses.get(COERCED, 0)
    until(lambda: told_of(receiver, stored), "all events", 100.0, lambda: receiver.log)
    assert receiver.stop() == 0
    assert sent.statuses.get(COERCED, 0) > cases / 10, "most unusual ones are refused: this run says little"
    assert len(receiver.files()) == stored, receiver.log
    assert list(receiver.output.rglob("index.sqlite")) and list(receiver.directory.glob("reports/*.json"))
    found = leaks(receiver, sent, ours={"listens.py", *FILES}, uids_in_log=WAYS[way].uids_in_log)
    assert found == {}, receiver.log
    figure(f"{way}: 0 of {sent.secrets.count()} values found, {stored} of {cases} data sets stored, the others refused")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", BY_HAND_WAYS)
def test_a_plugin_made_by_hand(
    ours: Start, way: str, count: Callable[[int, int], int], figure: Callable[[str], None]
) -> None:
    files = {**FILES, "by_hand.py": BY_HAND}
    receiver = ours("-pm", "--no-fsync", "--plugin", "by_hand", *BY_HAND_WAYS[way], files=files)
    cases = count(30, 250)
    sent = send(receiver, cases, way)
    assert receiver.stop() == 0
    assert set(sent.ordinary) == {COERCED} and sent.statuses.keys() <= {COERCED, FAILED}, receiver.log
    stored = sent.ordinary[COERCED] + sent.statuses.get(COERCED, 0)
    assert len(receiver.files()) == stored > cases * 0.7
    assert leaks(receiver, sent, ours=set(files)) == {}, receiver.log
    figure(f"by hand, {way}: 0 of {sent.secrets.count()} values found, {stored} of {cases} data sets stored")


def test_the_search_finds_what_comes_through(ours: Start, count: Callable[[int, int], int]) -> None:
    """Without a plugin."""
    receiver = ours("-pm", "--no-fsync", "--layout", "{PatientID}/{SOPInstanceUID}")
    sent = send(receiver, 20, "found")
    assert receiver.stop() == 0
    found = leaks(receiver, sent, ours=set(), uids_in_log=False)
    assert len(set().union(*found.values())) > 0.95 * sent.secrets.count()  # some are made, but not sent
    assert found["names"] & (sent.secrets.words | sent.secrets.odd) and found["names"] & sent.commands.numbers


@pytest.mark.parametrize("form", [str.upper, str.lower, str.title, lambda text: text[2:10], lambda text: f"{text}^X"])
def test_the_search_knows_the_forms_of_a_word(form: Callable[[str], str]) -> None:
    secrets = Secrets(random.Random(1))
    word = secrets.word()
    assert Search(secrets)(b"x" * 99 + form(word.decode()).encode() + b"x") == {word}


@pytest.mark.parametrize("codec", ["latin-1", "iso8859-2", "iso8859-5"])
@pytest.mark.parametrize("form", ["utf-8", "utf-16-le", "ascii"])
def test_the_search_knows_the_encodings_of_a_text(codec: str, form: str) -> None:
    secrets = Secrets(random.Random(2))
    value = bytes(range(0xE0, 0xE8))
    secrets.odd.add(value)
    assert Search(secrets)(b"<" + value.decode(codec).encode(form, "backslashreplace") + b">") == {value}


def test_the_search_knows_digits() -> None:
    secrets = Secrets(random.Random(4))
    value = bytes(range(0xE0, 0xEC))
    secrets.odd.add(value)
    search = Search(secrets)
    assert search(b"ab" + value.hex().encode()) == search(value.hex().upper().encode() + b"ab") == {value}
    assert search(b"ab" + value[:4].hex().encode() + b"0" * 16) == set()  # in hashes of a journal by chance


@pytest.mark.parametrize("vr", ["UI", "DA", "TM", "DT", "DS", "IS"])
def test_the_search_knows_numbers(vr: str) -> None:
    secrets = Secrets(random.Random(3))
    value = secrets.value(vr).strip(b" \0")
    search = Search(secrets)
    assert search(b"CT." + value + b"/1") == {value}
    assert search(b"7" + value + b"7") == ({value} if vr == "UI" else set())
