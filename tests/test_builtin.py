"""Each built-in scheme by itself, through the public hooks and model."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from dcmrecv_builtin import (
    file_writer,
    ignore,
    instance_uid,
    no_subdir,
    profile,
    promiscuous,
    series_date,
    short_unique,
    system_time,
    unique,
)
from dcmrecv_core import (
    Association,
    ConfigurationError,
    Discard,
    Name,
    PluginError,
    ProposedContext,
    RawElement,
    SupportedContext,
)
from dcmrecv_core.model import TagLike
from dcmrecv_core.settings import Settings
from plugin_fakes import ASSOCIATION, FakeInstance


@pytest.mark.parametrize(
    ("prefix", "uid", "name"),
    [
        ("CT", "1.2.3", "CT.1.2.3"),
        ("UNKNOWN", "1.2.3", "UNKNOWN.1.2.3"),
        ("CT", "", "CT."),
        ("CT", "1.2 .3", "CT.1.2 .3"),
    ],
)
def test_instance_uid(prefix: str, uid: str, name: str) -> None:
    instance = FakeInstance(modality_prefix=prefix, uid=uid)
    assert instance_uid.choose_filename(instance) == Name(name, by_default="overwrite")


def test_instance_uid_with_unfit_characters() -> None:
    names = [instance_uid.choose_filename(FakeInstance(uid=uid)).text for uid in ("1/2", "1_2", "1~2", "1%2", "../2")]
    assert names[1] == "CT.1_2"
    assert len(set(names)) == 5
    assert all(re.fullmatch(r"CT\.[0-9._]+~[0-9a-f]{8}", name) for name in (names[0], *names[2:]))


def test_unique() -> None:
    names = {unique.choose_filename(FakeInstance()) for _ in range(100)}
    assert len(names) == 100
    for name in names:
        assert re.fullmatch(r"CT\.X\.2\.25\.[1-9][0-9]*", name.text)
        assert len(name.text.removeprefix("CT.X.")) <= 64
        assert name.on_exists == "retry"


@pytest.mark.parametrize(("prefix", "shown"), [("MR", "MR"), ("UNKNOWN", "XX")])
def test_short_unique(prefix: str, shown: str) -> None:
    names = {short_unique.choose_filename(FakeInstance(modality_prefix=prefix)) for _ in range(100)}
    assert len(names) == 100
    for name in names:
        assert re.fullmatch(rf"{shown}_[0-9a-f]{{16}}", name.text)
        assert name.on_exists == "retry"


def test_system_time() -> None:
    before = datetime.now()
    name = system_time.choose_filename(FakeInstance(modality_prefix="UNKNOWN"))
    stamp, prefix = name.text.rsplit(".", 1)
    assert before <= datetime.strptime(stamp, "%Y%m%d%H%M%S.%f") <= datetime.now()
    assert (len(stamp), prefix, name.on_exists) == (21, "UNKNOWN", "retry")


def test_no_subdir() -> None:
    assert no_subdir.choose_subdir(FakeInstance()) == ""


@pytest.mark.parametrize("vr", ["DA", ""])
@pytest.mark.parametrize(
    ("value", "directory"),
    [
        (b"20200102", "2020/01/02"),
        (b"20200102  ", "2020/01/02"),
        (b"2020.01.02", "2020/01/02"),
        (b"20200102\\20210304", "2020/01/02"),
        (b"20200230", "2020/02/30"),
        (b"00010101", "0001/01/01"),
        (b"0000.01.01", "0000/01/01"),
        (b"99991231", "9999/12/31"),
    ],
)
def test_series_date(value: bytes, directory: str, vr: str) -> None:
    assert series_date.choose_subdir(FakeInstance(RawElement(vr, value))) == f"data/{directory}"


UNDEFINED = (
    *(b"", b" 20200102", b"\\20200102", b"20200102-20200103", b"2020-01-02", b"2020", b"202001", b"20200102101010"),
    *(b"00000000", b"20201301", b"20200100", b"20200132", b"20200102\0", b"yyyymmdd", b"2020.0102", b"\xb2\xb0200102"),
)


@pytest.mark.parametrize(
    "element",
    [None, RawElement("UN", b"20200102"), RawElement("LO", b"20200102"), *(RawElement("DA", v) for v in UNDEFINED)],
    ids=repr,
)
def test_series_date_that_is_none(element: RawElement | None, monkeypatch: pytest.MonkeyPatch) -> None:
    today = datetime.now().strftime("undef/%Y%m%d")
    chosen = series_date.choose_subdir(FakeInstance(element))
    assert chosen in (today, datetime.now().strftime("undef/%Y%m%d"))


def test_series_date_of_any_length_is_not_read() -> None:
    class Long(FakeInstance):
        def raw(self, element: TagLike, limit: int | None = None) -> RawElement | None:
            assert limit is not None and limit <= 0x10000
            return super().raw(element, limit)

    assert series_date.choose_subdir(Long(RawElement("DA", b"20200102"))) == "data/2020/01/02"


def test_ignore() -> None:
    assert ignore.receive() == Discard("--ignore")


def test_file_writer() -> None:
    assert file_writer.write(FakeInstance(), "out/a") == "saved out/a"


def proposing(*abstract_syntaxes: str) -> Association:
    contexts = (ProposedContext(2 * n + 1, uid, ("1.2.840.10008.1.2",)) for n, uid in enumerate(abstract_syntaxes))
    return Association("A", "B", "192.0.2.1", 1, "1", tuple(contexts))


def test_an_extension_that_no_name_can_have() -> None:
    with pytest.raises(PluginError, match=r"--filename-extension: .* not 256"):
        file_writer.configure(Settings(filename_extension="x" * 256))


def test_promiscuous() -> None:
    """Verification, standard, private and unknown storage, but no other known service."""
    accepted = ["1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.276.0.7230010.3.1.0.1", "1.2.3.4"]
    others = ["1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.31", "1.2.840.10008.1.20.1"]
    contexts = promiscuous.negotiate(proposing(*accepted, *others))
    assert contexts == [SupportedContext(uid, None) for uid in accepted]


PROFILE = """\
[[TransferSyntaxes]]
[Uncompressed]
TransferSyntax1 = LittleEndianExplicit
[[PresentationContexts]]
[Storage]
PresentationContext1 = CTImageStorage\\Uncompressed
[[Profiles]]
[Default]
PresentationContexts = Storage
"""


def test_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "_contexts", ())
    (tmp_path / "x.cfg").write_text(PROFILE)
    profile.configure(Settings(config_file=(str(tmp_path / "x.cfg"), "Default")))
    context = SupportedContext("1.2.840.10008.5.1.4.1.1.2", ("1.2.840.10008.1.2.1",))
    assert profile.negotiate(ASSOCIATION) == (context,)


def test_profile_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        profile.configure(Settings(config_file=(str(tmp_path / "missing.cfg"), "Default")))
