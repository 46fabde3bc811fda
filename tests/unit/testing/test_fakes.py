"""The kit's instances and associations: the receiver's own, but for the network."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dcmrecv_core.testing import fake_association, fake_instance, fake_settings, sample_dataset
from support.plugins import hooks


def test_an_instance_has_the_time_that_the_test_says() -> None:
    assert fake_instance().received_at == fake_instance().received_at
    new_year = datetime(2027, 1, 1, tzinfo=UTC)
    assert fake_instance(received_at=new_year).received_at == new_year


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_an_instance_is_what_a_receiver_would_have_received(syntax: str) -> None:
    dataset = sample_dataset(transfer_syntax_uid=syntax, PatientName="山田^太郎", Rows=4)
    instance = fake_instance(dataset)
    assert instance.transfer_syntax_uid == syntax
    assert instance.sop_instance_uid == dataset.SOPInstanceUID
    assert instance.modality_prefix == "CT"
    assert instance.get("PatientName") == "山田^太郎"
    assert instance.get("StationName", "none") == "none"
    raw = instance.raw("Rows")
    assert raw is not None
    assert raw.value == (b"\0\4" if syntax == ExplicitVRBigEndian else b"\4\0")
    assert instance.header.Rows == 4
    with instance.open() as file:
        stored = dcmread(file)
    assert stored.file_meta.TransferSyntaxUID == syntax
    assert stored.PixelData == dataset.PixelData


def test_the_data_set_that_is_given_stays_as_it_is() -> None:
    dataset = sample_dataset()
    before = dataset.to_json()
    fake_instance(dataset)
    assert dataset.to_json() == before


def test_an_unknown_encoding() -> None:
    with pytest.raises(ValueError, match=r"1\.2\.3"):
        fake_instance(sample_dataset(transfer_syntax_uid="1.2.3"))


def test_save_and_replace_are_the_real_ones(tmp_path: Path) -> None:
    instance = fake_instance(output_directory=tmp_path, in_receive=True)
    instance.replace(sample_dataset(PatientID="0815"))
    path = instance.save("a/b.dcm")
    assert path == f"{tmp_path}/a/b.dcm"
    assert dcmread(path).PatientID == "0815"
    with pytest.raises(PermissionError, match="receive hook only"):
        fake_instance().replace(sample_dataset())


def test_save_asks_for_a_directory() -> None:
    with pytest.raises(PermissionError, match="output_directory=tmp_path"):
        fake_instance().save("file.dcm")


def test_who_sent_it() -> None:
    association = fake_association(calling_ae_title="CT1", peer_address="192.0.2.1")
    instance = fake_instance(association=association, attempt=2)
    assert instance.association.calling_ae_title == "CT1"
    assert instance.attempt == 2


def test_settings(tmp_path: Path) -> None:
    plugin = hooks(add_options=lambda options: options.add("--keep-days", value="days", type=int, default=30))
    assert fake_settings(plugin).options == {"keep_days": 30}
    settings = fake_settings(
        plugin, options={"keep_days": 7}, output_directory=tmp_path, others={"index": {"url": "x"}}
    )
    assert settings.options == {"keep_days": 7}
    assert settings.output_directory == str(tmp_path)
    assert settings.state_directory == tmp_path / ".dcmrecv"
    assert settings.port == 11112
    assert settings.for_plugin("index") == {"url": "x"}
    with pytest.raises(LookupError, match="no plugin called 'access' has options"):
        settings.for_plugin("access")
    with pytest.raises(ValueError, match="declares no option keep_hours"):
        fake_settings(plugin, options={"keep_hours": 1})
    assert fake_settings(options={"any": 1}, state_directory=tmp_path).state_directory == tmp_path


def test_fault_24_a_keyword_that_does_not_exist() -> None:
    with pytest.raises(KeyError) as caught:
        sample_dataset(PatientId="4711")
    assert caught.value.args == ("there is no element PatientId; did you mean PatientID?",)


@pytest.mark.filterwarnings("ignore:Camel case attribute")  # pydicom's own, which says that it keeps the value
@pytest.mark.parametrize("replace", ["replace", "replace_header"])
def test_fault_24_a_keyword_that_does_not_exist_is_not_lost(replace: str) -> None:
    instance = fake_instance(in_receive=True)
    header = instance.copy_header()
    header.PatientId = "0815"
    text = "a value was set that would not be stored: there is no element PatientId; did you mean PatientID"
    with pytest.raises(ValueError, match=text):
        getattr(instance, replace)(header, **({"drop_pixel_data": True} if replace == "replace" else {}))
