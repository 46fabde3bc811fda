"""Where a name may hide: sequences, private blocks, large values, after the pixel data, in odd encodings."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit
from treated import EXPLICIT, PIXELS, Site, Stored, element, undefined, with_elements

from dcmrecv_core.testing import fake_instance, sample_dataset
from dcmrecv_deidentify.encoded.elements import FORMATS, IMPLICIT

SECRET = "SecretName"
NAME = element(0x00100010, "PN", SECRET)
SITES = Callable[..., Site]
BIG = FORMATS[True, False]


def check(result: Stored, *, stays: bytes = b"") -> Stored:
    assert b"Secret" not in result.data
    assert stays in result.data
    return result


@pytest.mark.parametrize("tag", [0x00081115, 0x00081140, 0x00400275, 0x52009229], ids=hex)
def test_sequences(site: SITES, tag: int) -> None:
    inner = element(0x00081140, "SQ", [[NAME, element(0x00081155, "UI", "1.2.3.4711")]])
    for sequence in (element(tag, "SQ", [[inner, NAME]]), undefined(tag, "SQ", [[inner, NAME], []])):
        result = check(site().store_with(sequence))
        assert b"1.2.3.4711" not in result.data


def test_what_stays_in_a_sequence(site: SITES) -> None:
    code = [element(0x00080100, "SH", "T-A0100"), element(0x00080102, "SH", "SRT"), element(0x00080104, "LO", "Brain")]
    result = site().store_with(undefined(0x00082218, "SQ", [code]))
    [item] = result.dataset.AnatomicRegionSequence
    assert (item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning) == ("T-A0100", "SRT", "Brain")


@pytest.mark.parametrize(("syntax", "fmt"), [(ImplicitVRLittleEndian, IMPLICIT), (ExplicitVRBigEndian, BIG)])
def test_other_encodings(site: SITES, syntax: str, fmt: object) -> None:
    def made(tag: int, vr: str, value: object) -> bytes:
        return element(tag, vr, value, fmt)  # type: ignore[arg-type]

    inner = [made(0x00080104, "LO", "Brain"), made(0x00100010, "PN", SECRET), made(0x00281050, "DS", "40")]
    result = check(site().store_with(made(0x00082218, "SQ", [inner]), syntax=syntax), stays=b"Brain")
    assert result.dataset.AnatomicRegionSequence[0].WindowCenter == 40
    assert result.dataset.PatientIdentityRemoved == "YES"
    assert result.dataset.Rows == 4


def test_encapsulated_pixel_data(site: SITES) -> None:
    dataset = sample_dataset(transfer_syntax_uid=JPEGBaseline8Bit)
    pixels = struct.pack("<HHI", 0xFFFE, 0xE000, 0) + struct.pack("<HHI", 0xFFFE, 0xE000, 4) + b"\xff\xd8\xff\xd9"
    dataset.PixelData = pixels
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    instance = fake_instance(dataset, in_receive=True)
    assert site().plugin.receive(instance) is None
    with instance.open() as stream:
        assert pixels in stream.read()


def test_private_elements(site: SITES) -> None:
    block = [
        element(0x00090010, "LO", "SITE"),
        element(0x00091001, "LO", SECRET),
        element(0x00091002, "UN", SECRET.encode()),
        element(0x00091003, "SQ", [[NAME]]),
        undefined(0x00091004, "UN", [[element(0x00100010, "PN", SECRET, IMPLICIT)]]),
        element(0x000900FF, "LO", SECRET),
        element(0x00110001, "LO", SECRET),
    ]
    for wrapped in (block, [element(0x00081140, "SQ", [block])]):
        result = check(site().store_with(*wrapped))
        assert b"SITE" not in result.data


def test_large_values(site: SITES) -> None:
    curve = bytes(range(256)) * 300
    contour = element(0x30060050, "DS", "1.5\\2.5\\3.5 " * 20)
    items = [[contour, NAME] for _ in range(400)]
    result = site().store_with(
        element(0x00281201, "OW", curve),
        element(0x00420011, "OB", (SECRET * 20_000).encode()),
        element(0x00291001, "UN", (SECRET * 20_000).encode()),
        element(0x30060040, "SQ", items),
    )
    check(result, stays=curve)
    assert len(result.dataset[0x30060040].value) == 400
    assert result.dataset[0x30060040].value[399][0x30060050].value[0] == "1.5"


def test_too_much(site: SITES, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcmrecv_deidentify.deidentifier.MOST_LARGE", 100_000)
    dataset = with_elements([element(0x00281201, "OW", bytes(60_000)), element(0x00281202, "OW", bytes(110_000))])
    refusal = site().judge(dataset)
    assert refusal is not None
    assert refusal.status == 0xA700


def test_after_the_pixel_data(site: SITES) -> None:
    signature = element(0xFFFAFFFA, "SQ", [[NAME]])
    check(site().store_with(element(0x7FE11010, "LO", SECRET), signature, element(0xFFFCFFFC, "OB", SECRET)))


def test_lengths_that_would_be_wrong_go(site: SITES) -> None:
    lengths = [element(0x00080000, "UL", b"\1\0\0\0"), element(0x00080001, "UL", b"\1\0\0\0")]
    assert not {0x00080000, 0x00080001} & set(site().store_with(*lengths).dataset.keys())


def test_file_meta_information_in_the_data_set_goes(site: SITES) -> None:
    title = element(0x00020016, "AE", SECRET)
    check(site().store_with(title, element(0x00081140, "SQ", [[title, element(0x00000010, "LO", SECRET)]])))


def test_pixel_data_in_an_item_go(site: SITES) -> None:
    icon = [element(0x00280010, "US", b"\1\0"), element(0x7FE00010, "OW", SECRET)]
    check(site().store_with(element(0x00081140, "SQ", [icon])))


@pytest.mark.parametrize("vr", ["UN", "LO", "OB", "SQ"])
def test_other_vrs(site: SITES, vr: str) -> None:
    """Of elements whose values stay: anything may stand in another VR."""
    for tag in (0x00280011, 0x00280010, 0x00180050, 0x00189073):
        value: object = [[NAME]] if vr == "SQ" else SECRET
        check(site().store_with(element(tag, vr, value)))  # type: ignore[arg-type]


def test_un_with_a_known_tag(site: SITES) -> None:
    sequence = b"".join(IMPLICIT.encode_item(element(t, v, x, IMPLICIT)) for t, v, x in [(0x00100010, "PN", SECRET)])
    result = check(
        site().store_with(
            element(0x00080070, "UN", b"VENDOR"),
            element(0x00081140, "UN", sequence),
            element(0x00280030, "UN", b"0.5\\0.5 "),
        )
    )
    assert result.dataset.Manufacturer == "VENDOR"
    assert result.dataset.get_item(0x00280030).VR == "DS"
    assert len(result.dataset[0x00081140].value) == 1


def test_what_stays_in_a_sequence_of_unknown_vr(site: SITES) -> None:
    item = [
        (0x00080060, "CS", "CT"),
        (0x00100010, "PN", SECRET),
        (0x00280010, "US", b"\x10\0"),
        (0x300C0006, "IS", "2"),
    ]
    sequence = IMPLICIT.encode_item(b"".join(element(tag, vr, value, IMPLICIT) for tag, vr, value in item))
    [stored] = check(site().store_with(element(0x300C0002, "UN", sequence))).dataset.ReferencedRTPlanSequence
    assert (stored.Modality, stored.Rows, stored.ReferencedBeamNumber) == ("CT", 16, 2)


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (0x00180050, "DS", SECRET),
        (0x00200013, "IS", SECRET),
        (0x00280008, "IS", "12SecretName"),
        (0x00280010, "US", SECRET),
        (0x00280106, "US", SECRET),
        (0x0018602C, "FD", SECRET + "x"),
        (0x00200062, "CS", SECRET * 7),
        (0x00180015, "CS", "CHEST\\Secret^Name"),
        (0x00081150, "UI", SECRET),
        (0x00200200, "UI", "1.2.Secret"),
        (0x0040A160, "UT", SECRET),
        (0x00189810, "DT", SECRET),
        (0x00140104, "ST", SECRET),
        (0x00140102, "ST", SECRET),
        (0x00142012, "PN", SECRET),
        (0x00149999, "LO", SECRET),
        (0x00080000, "UL", b"\1\0\0\0"),
    ],
)
def test_values_that_are_none_of_their_vr(site: SITES, tag: int, vr: str, value: str | bytes) -> None:
    check(site().store_with(element(tag, vr, value)))


@pytest.mark.parametrize("term", [SECRET, "ISO_IR 100\\" + SECRET])
@pytest.mark.parametrize("inside", [False, True])
def test_undefined_character_sets(site: SITES, term: str, inside: bool) -> None:
    texts = [element(0x00080005, "CS", term), element(0x00080070, "LO", "M\xfcller")]
    result = check(site().store_with(*([element(0x00081140, "SQ", [texts])] if inside else texts)))
    assert b"M\xfcller" not in result.data


@pytest.mark.parametrize("term", ["ISO_IR 100", "ISO_IR 192", "\\ISO 2022 IR 87", "GB18030"])
def test_texts_keep_their_bytes(site: SITES, term: str) -> None:
    texts = [element(0x00080005, "CS", term), element(0x00080070, "LO", "M\xfcller \x1b(J")]
    check(site().store_with(*texts), stays=b"M\xfcller \x1b(J")
    check(site().store_with(element(0x00081140, "SQ", [texts])), stays=b"M\xfcller \x1b(J")


STRAY = struct.pack("<HHI", 0xFFFE, 0xE00D, 0)


def test_stray_delimiters_in_sequences(site: SITES) -> None:
    items = EXPLICIT.encode_item(STRAY + NAME + STRAY) + STRAY
    check(site().store_with(element(0x00081140, "SQ", items)))


@pytest.mark.parametrize(
    "items",
    [
        SECRET.encode(),
        EXPLICIT.encode_item(b"\x10\0\x10\0??\2\0ab"),
    ],
)
def test_what_cannot_be_read_to_its_end_is_refused(site: SITES, items: bytes) -> None:
    refusal = site().judge(with_elements([element(0x00081140, "SQ", items)]))
    assert refusal is not None
    assert refusal.status == 0xC000
    assert "(0008,1140)" in refusal.comment
    assert "Secret" not in refusal.comment


def test_what_goes_anyway_need_not_be_read(site: SITES) -> None:
    check(site().store_with(element(0x00101002, "SQ", SECRET)))


def test_too_many_sequences_in_one_another(site: SITES) -> None:
    value: bytes = element(0x00080104, "LO", "Brain")
    for _ in range(40):
        value = element(0x00081140, "SQ", [[value]])
    refusal = site().judge(with_elements([value]))
    assert refusal is not None
    assert refusal.status == 0xC000


@pytest.mark.parametrize("uid", [None, "", "1.2.840.10008.1.2"])
def test_the_uid_of_the_command_does_not_come_through(site: SITES, uid: str | None) -> None:
    dataset = sample_dataset()
    if uid is None:
        del dataset.SOPInstanceUID
    else:
        dataset.SOPInstanceUID = uid
    instance = fake_instance(dataset, in_receive=True)
    instance.sop_instance_uid = instance.affected_sop_instance_uid = "1.2.3.4711"
    assert site().plugin.receive(instance) is None
    assert instance.sop_instance_uid.startswith("2.25.")
    with instance.open() as stream:
        assert b"1.2.3.4711" not in stream.read()


def test_pixel_data_are_not_read(site: SITES, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = fake_instance(in_receive=True)
    raw = type(instance).raw
    asked: list[object] = []

    def watched(self: object, tag: object, limit: int | None = None) -> object:
        asked.append(tag)
        return raw(self, tag, limit)  # type: ignore[arg-type]

    monkeypatch.setattr(type(instance), "raw", watched)
    assert site().plugin.receive(instance) is None
    assert 0x7FE00010 not in asked
    with instance.open() as stream:
        assert stream.read().endswith(PIXELS)
