"""What `replace_header` and `replace` make of received bytes."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread, read_dataset

from dcmrecv_core import Instance, Warn
from dcmrecv_core.dataset import walker
from dcmrecv_core.dataset.encodings import ENCAPSULATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from dcmrecv_core.receive import replacement
from support.data.datasets import Node, deflate, encode
from support.plugins import hooks
from support.publishing import names
from support.receiving import (
    HEAD,
    INSTANCE,
    LARGE_SEQUENCE,
    LARGE_VALUE,
    PIXEL_DATA,
    PIXELS,
    TRAILER,
    UNKNOWN,
    data_set,
    in_receive,
    in_syntax,
    read,
    receiver,
    send,
    stored_data,
)
from support.uids import BIG_ENDIAN, DEFLATED, EXPLICIT_LE, IMPLICIT_LE, JPEG, MR

MEMORY = pytest.mark.parametrize("memory", [None, 4000, 16], ids=["in memory", "spooled", "spooled at once"])
SYNTAXES = pytest.mark.parametrize("syntax", [EXPLICIT_LE, IMPLICIT_LE, BIG_ENDIAN, DEFLATED])
LARGE = (LARGE_SEQUENCE, Node(0x00091001, "UN", LARGE_VALUE), Node(0x00090010, "LO", b"SITE"))


def anonymise(instance: Instance) -> None:
    header = instance.copy_header()
    header.PatientName = "Любовь"
    header.PatientID = "17"
    del header.SeriesDate
    instance.replace_header(header, keep_unseen=True)


def inflated(data: bytes, syntax: str) -> bytes:
    return zlib.decompress(data, wbits=-15) if syntax == DEFLATED else data


@MEMORY
@SYNTAXES
def test_a_new_header_before_the_old_pixel_data(tmp_path: Path, memory: int | None, syntax: str) -> None:
    data = in_syntax(syntax, *LARGE, TRAILER)
    _, outcome = in_receive(receiver(tmp_path, memory=memory), data, anonymise, syntax=syntax)
    assert (outcome.status, outcome.location) == (0xB000, f"{tmp_path}/CT.{INSTANCE}")
    assert outcome.comment
    dataset = read(outcome.location)
    assert (dataset.PatientName, dataset.PatientID) == ("Любовь", "17")
    assert "SeriesDate" not in dataset
    assert dataset.Rows == int.from_bytes(b"\x10\x10", "little")
    assert dataset.ModalityLUTSequence[0].LUTData == LARGE_VALUE
    assert dataset[0x00091001].value == LARGE_VALUE
    # byte for byte, from the header of the pixel data to the end
    before, after = (inflated(part, syntax) for part in (data, stored_data(outcome.location)))
    tail = before[before.rindex(PIXELS) - 12 if syntax != IMPLICIT_LE else before.rindex(PIXELS) - 8 :]
    assert after.rstrip(b"\0").endswith(tail.rstrip(b"\0"))
    assert names(tmp_path) == [f"CT.{INSTANCE}"]


def test_encapsulated_pixel_data_stay(tmp_path: Path) -> None:
    fragments = Node(0x7FE00010, "OB", (b"", b"\xff\xd8" * 99, b"\xff\xd9"))
    data = data_set(pixel_data=fragments)
    _, outcome = in_receive(receiver(tmp_path), data, anonymise, syntax=JPEG)
    assert stored_data(outcome.location).endswith(encode([fragments], EXPLICIT_LITTLE))
    assert read(outcome.location).PatientID == "17"


def test_the_characters_of_text_after_a_large_element(tmp_path: Path) -> None:
    """The character set stands before it, the text after it."""
    comment = Node(0x00104000, "LT", "Größe ".encode() * 2)
    large = Node(0x00091001, "UN", LARGE_VALUE)

    def translate(instance: Instance) -> None:
        header = instance.copy_header()
        header.SpecificCharacterSet = "ISO_IR 144"
        header.PatientName = "Любовь"
        header.PatientComments = "Любовь"
        instance.replace_header(header, keep_unseen=True)

    _, outcome = in_receive(receiver(tmp_path), data_set(comment, large), translate)
    dataset = read(outcome.location)
    assert (dataset.PatientName, dataset.PatientComments) == ("Любовь", "Любовь")
    assert dataset["PatientComments"].value.encode("iso8859_5") in stored_data(outcome.location)


def test_what_the_plugin_does_not_touch_keeps_its_bytes(tmp_path: Path) -> None:
    """Odd values are not judged: a header that is put back as it is changes nothing."""
    odd = (Node(0x00080020, "DA", b"yesterday "), Node(0x00101010, "AS", b"old!"), Node(0x00200013, "IS", b"one "))
    data = data_set(*odd)
    _, outcome = in_receive(receiver(tmp_path), data, lambda i: i.replace_header(i.copy_header()))
    assert outcome.status == 0xB000
    assert stored_data(outcome.location) == data


def test_a_large_element_can_be_replaced(tmp_path: Path) -> None:
    def shorten(instance: Instance) -> None:
        header = instance.copy_header()
        header.add_new(0x00091001, "UN", b"short ")
        instance.replace_header(header, keep_unseen=True)

    _, outcome = in_receive(receiver(tmp_path), data_set(*LARGE), shorten)
    assert read(outcome.location)[0x00091001].value == b"short "


def test_without_pixel_data(tmp_path: Path) -> None:
    _, outcome = in_receive(receiver(tmp_path), data_set(LARGE_SEQUENCE, pixel_data=None), anonymise)
    dataset = read(outcome.location)
    assert (dataset.PatientID, dataset.ModalityLUTSequence[0].LUTData) == ("17", LARGE_VALUE)


def test_pixel_data_in_the_new_header_do_not_count(tmp_path: Path) -> None:
    def put(instance: Instance) -> None:
        header = instance.copy_header()
        header.add_new(0x7FE00010, "OW", b"other!")
        instance.replace_header(header)

    _, outcome = in_receive(receiver(tmp_path), data_set(), put)
    assert read(outcome.location).PixelData == PIXELS


@MEMORY
@SYNTAXES
def test_hooks_see_the_new_data(tmp_path: Path, memory: int | None, syntax: str) -> None:
    seen: list[Any] = []

    def choose_filename(instance: Instance) -> str:
        with instance.open() as file:
            whole = file.read()
        seen.extend(
            (
                *(instance.get("PatientID"), str(instance.header.PatientName), instance.raw("SeriesDate")),
                *(instance.get("Rows"), instance.get("PixelData"), instance.header.SOPInstanceUID),
                *(instance.get("ModalityLUTSequence")[0].LUTData == LARGE_VALUE, instance.sop_instance_uid),
                *(len(whole) - instance.size, whole),
            )
        )
        return "named"

    def replace(instance: Instance) -> None:
        anonymise(instance)
        header = instance.copy_header()
        header.SOPInstanceUID = "9.8.7"
        instance.replace_header(header, keep_unseen=True)  # once more

    place = receiver(tmp_path, hooks(choose_filename=choose_filename), memory=memory)
    _, outcome = in_receive(place, in_syntax(syntax, *LARGE), replace, syntax=syntax)
    assert outcome.location == f"{tmp_path}/named"
    assert seen[:6] == ["17", "Любовь", None, 0x1010, PIXELS, "9.8.7"]
    assert seen[6:8] == [True, "9.8.7"]
    content = Path(outcome.location).read_bytes()
    assert seen[9] == content
    assert seen[8] == len(content) - len(stored_data(outcome.location))
    assert read(outcome.location).file_meta.MediaStorageSOPInstanceUID == "9.8.7"


# A changed header, other UIDs


def test_fault_6_a_changed_header_that_is_not_stored_refuses_the_instance(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A plugin that forgot `replace_header` must not store the patient's name."""

    def receive(instance: Instance) -> None:
        instance.header.PatientName = "nobody"

    assert send(receiver(tmp_path, hooks(receive=receive)), data_set()).status == 0x0110
    assert "replace_header" in caplog.text
    assert names(tmp_path) == []


@pytest.mark.parametrize("memory", [None, 16], ids=["in memory", "spooled"])
def test_a_copied_header_has_file_meta_information(tmp_path: Path, memory: int | None) -> None:
    def look(instance: Instance) -> Dataset:
        with instance.open() as file:
            stored = dcmread(file).file_meta
        assert instance.copy_header().file_meta == stored
        renamed(instance)
        return instance.copy_header()

    header, _ = in_receive(receiver(tmp_path, memory=memory), data_set(), look)
    meta = header.file_meta
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (MR, "9.8.7")
    assert (meta.TransferSyntaxUID, header.SOPInstanceUID) == (EXPLICIT_LE, "9.8.7")


def renamed(instance: Instance) -> None:
    """Give it another UID and class, in two steps."""
    for uid in ("9.8.6", "9.8.7"):
        header = instance.copy_header()
        header.SOPClassUID, header.SOPInstanceUID = MR, uid
        instance.replace_header(header)


def replaced(instance: Instance) -> None:
    with instance.open() as file:
        dataset = dcmread(file)
    dataset.SOPClassUID, dataset.SOPInstanceUID = MR, "9.8.7"
    instance.replace(dataset)


NEW_UIDS = pytest.mark.parametrize("change", [renamed, replaced])


@NEW_UIDS
@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "MR.9.8.7"),
        ({"layout": "{SOPClassUID}/{SOPInstanceUID}"}, f"{MR}/9.8.7"),
        ({"layout": "{modality_prefix}/{sop_instance_uid}"}, "MR/9.8.7"),
    ],
    ids=["+fd", "layout of elements", "layout of attributes"],
)
def test_fault_6_new_uids_are_carried_on(
    tmp_path: Path, change: Any, settings: dict[str, Any], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dcmrecv.receive")
    seen: list[Any] = []

    def stored(instance: Instance, location: str) -> None:
        seen.extend((instance.sop_class_uid, instance.sop_instance_uid, instance.affected_sop_instance_uid))
        seen.append(location)

    place = receiver(tmp_path, hooks(stored=stored, receive=change), **settings)
    outcome = send(place, data_set())
    assert (outcome.status, outcome.location) == (0xB000, f"{tmp_path}/{name}")
    assert seen == [MR, "9.8.7", INSTANCE, outcome.location]
    dataset = read(outcome.location)
    meta = dataset.file_meta
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (MR, "9.8.7")
    assert dataset.PixelData == PIXELS
    assert caplog.text.count(f"SOP instance {INSTANCE}: a plugin made it SOP instance 9.8.7") == 1, (
        "for who reads the log"
    )


def test_a_removed_uid_leaves_that_of_the_command(tmp_path: Path) -> None:
    def remove(instance: Instance) -> tuple[str, str]:
        header = instance.copy_header()
        del header.SOPInstanceUID
        instance.replace_header(header)
        return instance.sop_instance_uid, instance.affected_sop_instance_uid

    uids, outcome = in_receive(receiver(tmp_path), data_set(), remove)
    assert uids == (INSTANCE, INSTANCE)
    assert outcome.location == f"{tmp_path}/CT.{INSTANCE}"


# replace


def other_data_set(**elements: object) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.3"
    dataset.SOPInstanceUID = "9.8.7"
    dataset.PatientID = "17"
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


@MEMORY
@SYNTAXES
def test_another_data_set(tmp_path: Path, memory: int | None, syntax: str) -> None:
    def replace(instance: Instance) -> None:
        instance.replace(other_data_set(Rows=2, BitsAllocated=8, PixelData=b"abcd"))

    _, outcome = in_receive(receiver(tmp_path, memory=memory), in_syntax(syntax), replace, syntax=syntax)
    assert outcome.status == 0xB000
    dataset = read(outcome.location)
    assert (dataset.PatientID, dataset.Rows, dataset.PixelData) == ("17", 2, b"abcd")
    assert dataset.file_meta.TransferSyntaxUID == syntax
    assert (dataset.file_meta.MediaStorageSOPClassUID, "Modality" in dataset) == ("1.2.3", False)


def test_encapsulated_frames_are_written_as_such(tmp_path: Path) -> None:
    from pydicom.encaps import encapsulate

    frames = encapsulate([b"\xff\xd8\xff\xd9"])
    data = data_set(pixel_data=Node(0x7FE00010, "OB", (b"", b"\xff\xd8\xff\xd9")))
    _, outcome = in_receive(
        receiver(tmp_path), data, lambda i: i.replace(other_data_set(BitsAllocated=8, PixelData=frames)), syntax=JPEG
    )
    assert read(outcome.location)["PixelData"].is_undefined_length
    assert read(outcome.location).PixelData == frames


def test_pixel_data_are_not_lost_by_accident(tmp_path: Path) -> None:
    place = receiver(tmp_path)
    with pytest.raises(ValueError, match="drop_pixel_data"):
        in_receive(place, data_set(), lambda i: i.replace(other_data_set()))
    assert stored_data(f"{tmp_path}/CT.{INSTANCE}") == data_set(), "nothing was replaced"
    _, outcome = in_receive(receiver(tmp_path), data_set(), lambda i: i.replace(other_data_set(), drop_pixel_data=True))
    assert (outcome.status, "PixelData" in read(outcome.location)) == (0xB000, False)
    without = data_set(pixel_data=None)
    _, outcome = in_receive(receiver(tmp_path), without, lambda i: i.replace(other_data_set()))
    assert outcome.status == 0xB000


# Where it is refused


def replace_all(instance: Instance) -> None:
    instance.replace(other_data_set(PixelData=b"abcd", BitsAllocated=8))


def replace_head(instance: Instance) -> None:
    instance.replace_header(other_data_set())


BOTH = pytest.mark.parametrize("replace", [replace_all, replace_head])


@BOTH
def test_not_with_bit_preserving(tmp_path: Path, replace: Any) -> None:
    with pytest.raises(PermissionError, match="bit-preserving"):
        in_receive(receiver(tmp_path, storage_mode="bit-preserving"), data_set(), replace)


@BOTH
def test_not_in_an_unknown_encoding(tmp_path: Path, replace: Any) -> None:
    with pytest.raises(PermissionError, match="not known"):
        in_receive(receiver(tmp_path), data_set(), replace, syntax=UNKNOWN)


@BOTH
@pytest.mark.parametrize("hook", ["choose_subdir", "choose_filename", "write", "stored"])
def test_not_in_other_hooks(tmp_path: Path, replace: Any, hook: str, caplog: pytest.LogCaptureFixture) -> None:
    outcome = send(receiver(tmp_path, hooks(**{hook: lambda instance: replace(instance)})), data_set())
    assert outcome.status == (0 if hook == "stored" else 0x0110)
    assert "PermissionError" in caplog.text


def test_values_that_cannot_be_encoded_refuse_the_instance(tmp_path: Path) -> None:
    def spoil(instance: Instance) -> None:
        header = instance.copy_header()
        header.add_new(0x00280010, "US", "many")
        instance.replace_header(header)

    assert send(receiver(tmp_path, hooks(receive=spoil)), data_set()).status == 0x0110
    assert names(tmp_path) == []


def test_a_warning_of_the_plugins_own_counts(tmp_path: Path) -> None:
    def receive(instance: Instance) -> Warn:
        anonymise(instance)
        return Warn(0xB006, "elements discarded")

    outcome = send(receiver(tmp_path, hooks(receive=receive)), data_set())
    assert (outcome.status, outcome.comment) == (0xB006, "elements discarded")
    assert read(outcome.location).PatientID == "17"


def test_nothing_is_lost_of_other_pixel_data(tmp_path: Path) -> None:
    """Float pixel data are pixel data; what follows them stays too."""
    floats = Node(0x7FE00008, "OF", PIXELS)
    data = encode([Node(0x00080060, "CS", b"CT"), floats, PIXEL_DATA, TRAILER], EXPLICIT_LITTLE)
    _, outcome = in_receive(receiver(tmp_path), data, lambda i: i.replace_header(other_data_set(), keep_unseen=True))
    assert stored_data(outcome.location).endswith(encode([floats, PIXEL_DATA, TRAILER], EXPLICIT_LITTLE))


LOWER = Node(0x00100020, "LO", b"16")


@pytest.mark.parametrize(
    "before",
    [
        [*HEAD, Node(0x7FE10010, "LO", b"SITE"), Node(0x7FE11001, "UN", b"kept"), PIXEL_DATA, TRAILER],
        [*HEAD, Node(0x7FE10010, "LO", b"SITE"), Node(0x7FE11001, "UN", LARGE_VALUE), PIXEL_DATA],
        [*HEAD, PIXEL_DATA, LOWER],
    ],
    ids=["private element above", "large one", "after the pixel data"],
)
def test_what_is_out_of_order_stays(tmp_path: Path, before: list[Node]) -> None:
    data = encode(before, EXPLICIT_LITTLE)
    _, outcome = in_receive(receiver(tmp_path), data, lambda i: i.replace_header(i.copy_header(), keep_unseen=True))
    assert stored_data(outcome.location) == data


@pytest.mark.parametrize("syntax", [EXPLICIT_LE, DEFLATED])
def test_zeros_after_the_last_element_stay(tmp_path: Path, syntax: str) -> None:
    data = data_set(pixel_data=None) + bytes(16)
    sent = deflate(data) if syntax == DEFLATED else data
    _, outcome = in_receive(receiver(tmp_path), sent, lambda i: i.replace_header(i.copy_header()), syntax=syntax)
    assert inflated(stored_data(outcome.location), syntax) == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode([*HEAD, HEAD[-1], PIXEL_DATA], EXPLICIT_LITTLE), r"\(0028,0011\) Columns, 2 bytes, repeated"),
        (encode([*HEAD, PIXEL_DATA], IMPLICIT_LITTLE), "implicit VR"),
        (encode([*HEAD, LOWER, *HEAD[:3], PIXEL_DATA], EXPLICIT_LITTLE), "repeated"),
        (data_set(*(Node(0x00091001 + n, "UN", b"") for n in range(9))), "after the first 9 elements"),
        (data_set(*(Node(0x00091001 + n, "SQ", []) for n in range(9))), "after the first 9 elements"),
    ],
    ids=["repeated", "in another encoding", "out of order", "too many", "too many sequences"],
)
def test_nothing_is_replaced_where_some_would_be_lost(
    tmp_path: Path, data: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walker, "MAX_ELEMENTS", 9)
    with pytest.raises(ValueError, match=reason):
        in_receive(receiver(tmp_path), data, lambda i: i.replace_header(i.copy_header()))
    with pytest.raises(ValueError, match="drop_pixel_data"):
        in_receive(receiver(tmp_path), data, lambda i: i.replace(other_data_set()))
    assert stored_data(f"{tmp_path}/CT.{INSTANCE}") == data


def test_what_a_plugin_spoils_is_not_the_senders_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacement, "encode", lambda dataset, encoding: b"garbage")
    outcome = send(receiver(tmp_path, hooks(receive=lambda instance: replace_all(instance))), data_set())
    assert outcome.status == 0x0110


# Large values are not copied


def pydicoms(dataset: Dataset, encoding: Encoding) -> bytes:
    return replacement.encode(dataset, encoding)


@pytest.mark.parametrize(("length", "read"), [(1 << 20, False), (1 << 20, True), ((1 << 20) + 1, False)])
@pytest.mark.parametrize("encoding", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG])
def test_large_values_are_encoded_as_by_pydicom(length: int, encoding: Encoding, read: bool) -> None:
    value = bytes(range(256)) * 4096 + bytes(length - (1 << 20))
    dataset = other_data_set(BitsAllocated=16, PixelData=value)
    dataset.add_new(0x00091001, "OB" if length % 2 else "UN", value)  # pydicom pads no UN
    dataset.add_new(0x00282000, "OB", value)  # ICC Profile
    dataset.add_new(0xFFFCFFFC, "OB", value)
    if read:  # values as they were read, not decoded
        stream = BytesIO(pydicoms(dataset, encoding))
        dataset = read_dataset(stream, not encoding.explicit, encoding.little)
    expected = pydicoms(dataset[:], encoding)
    pieces = replacement.whole(dataset, encoding)
    assert b"".join(map(bytes, pieces)) == expected  # type: ignore[arg-type]
    assert sum(piece is value for piece in pieces) == (0 if read else 4), "no copies"


@pytest.mark.parametrize("length", [1 << 20, (1 << 20) + 1])
def test_large_encapsulated_pixel_data(length: int) -> None:
    from pydicom.encaps import encapsulate

    frames = encapsulate([b"\xff\xd8" + bytes(length), b"\xff\xd8"])
    dataset = other_data_set(BitsAllocated=8, PixelData=frames)
    pieces = replacement.whole(dataset, ENCAPSULATED_LITTLE)
    assert b"".join(map(bytes, pieces)) == pydicoms(dataset, ENCAPSULATED_LITTLE)  # type: ignore[arg-type]
    assert sum(piece is frames for piece in pieces) == 1, "no copy"


def test_large_pixel_data_that_are_not_encapsulated_are_refused(tmp_path: Path) -> None:
    dataset = other_data_set(BitsAllocated=8, PixelData=bytes(1 << 20))
    data = data_set(pixel_data=Node(0x7FE00010, "OB", (b"", b"\xff\xd8")))
    with pytest.raises(ValueError, match="encapsulated"):
        in_receive(receiver(tmp_path), data, lambda instance: instance.replace(dataset), syntax=JPEG)


@SYNTAXES
def test_large_values_arrive(tmp_path: Path, syntax: str) -> None:
    pixels = bytes(range(256)) * 8192

    def replace(instance: Instance) -> None:
        with instance.open() as file:
            dataset = dcmread(file)
        dataset.PatientID = "17"
        dataset.PixelData = pixels
        instance.replace(dataset)

    _, outcome = in_receive(receiver(tmp_path), in_syntax(syntax), replace, syntax=syntax)
    dataset = read(outcome.location)
    assert (dataset.PatientID, dataset.PixelData) == ("17", pixels)


def test_what_stays_does_not_change_its_private_creator(tmp_path: Path) -> None:
    """A large private element stays only in a block of the creator that it was received with."""

    def receive(instance: Instance) -> None:
        header = instance.copy_header()
        header.remove_private_tags()
        header.private_block(0x0011, "OTHER", create=True).add_new(0x05, "LO", "x")
        instance.replace_header(header, keep_unseen=True)

    private = [Node(0x00110010, "LO", b"ME"), Node(0x00111001, "OB", bytes(70_000))]
    with pytest.raises(ValueError, match=r"\(0011,1001\) of private creator 'ME' cannot be kept"):
        in_receive(receiver(tmp_path), data_set(*private), receive)
