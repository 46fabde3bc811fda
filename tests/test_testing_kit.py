"""The kit for plugins' tests: what it promises, and that its failures explain themselves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from dcmrecv_core import Instance, Name, escape
from dcmrecv_core.errors import PluginError
from dcmrecv_core.settings import Settings
from dcmrecv_core.testing import (
    Receiver,
    StartReceiver,
    check_naming,
    fake_association,
    fake_instance,
    sample_dataset,
)
from dcmrecv_core.testing.torture import cases
from plugin_fakes import hooks

pytest_plugins = ["dcmrecv_core.testing"]

Hook = Callable[..., Any]


def by_uid(instance: Instance) -> str:
    return escape(instance.sop_instance_uid)


def problems(**functions: Hook) -> list[str]:
    """What `check_naming` finds, a line each."""
    with pytest.raises(AssertionError) as failure:
        check_naming(hooks(**functions))
    return [line.strip() for line in str(failure.value).splitlines()[1:]]


# check_naming


@pytest.mark.parametrize("name", ["instance_uid", "series_date", "no_subdir"])
def test_built_in_schemes_pass(name: str) -> None:
    check_naming(f"dcmrecv_builtin.{name}")


def test_schemes_that_make_new_names_pass_without_determinism() -> None:
    counter = itertools.count()
    plugin = hooks(choose_filename=lambda instance: f"{next(counter)}")
    with pytest.raises(AssertionError, match="not deterministic"):
        check_naming(plugin)
    check_naming(plugin, deterministic=False)


def test_the_paths_by_what_is_special() -> None:
    paths = check_naming(hooks(choose_subdir=lambda instance: escape(str(instance.get("PatientID", "none")))))
    assert len(paths) == len(list(cases()))
    assert paths["nothing but UIDs"].startswith("none/CT.")
    assert paths[".."].startswith("_~")
    assert paths["a Japanese name"].startswith("山田/")


def test_no_case_has_the_uid_of_another() -> None:
    uids = [case.dataset.SOPInstanceUID for case in cases()]
    assert len(set(uids)) == len(uids)
    assert max(map(len, uids)) == 64
    labels = [case.label for case in cases()]
    assert len(set(labels)) == len(labels)
    assert {case.twin for case in cases()} - {""} <= set(labels)


def test_what_is_refused() -> None:
    found = problems(choose_subdir=lambda instance: str(instance.get("PatientID", "none")), choose_filename=by_uid)
    refused = {line.split("'")[1]: line for line in found if line.startswith("refused")}
    assert refused.keys() == {"slashes and ..", "an absolute path", "..", "NUL and control characters"}
    assert "choose_subdir: ValueError: Chosen directory leaves the output directory" in refused[".."]


def test_a_missing_attribute() -> None:
    found = problems(choose_filename=lambda instance: f"{instance.header.PatientID}-{by_uid(instance)}")
    assert "refused: 'nothing but UIDs': Plugin SimpleNamespace failed in choose_filename: AttributeError" in found[0]


def test_what_was_sent_must_not_add_directories() -> None:
    def subdir(instance: Instance) -> str:
        return str(instance.get("PatientID", "none")).replace("..", "").strip("/").replace("\0", "")

    [line] = problems(choose_subdir=subdir, choose_filename=by_uid)[:1]
    assert line.startswith("what was sent adds directories: 'slashes and ..' becomes 'a/b/c/")


@pytest.mark.parametrize(
    ("on_exists", "consequence"),
    [
        (None, "the second is stored as NAME~ and a hash, with a warning each time"),
        ("overwrite", "the second replaces the first"),
        ("refuse", "the second can never be stored"),
        ("retry", "no attempt finds a free name"),
    ],
)
def test_collisions(on_exists: Any, consequence: str) -> None:
    found = problems(choose_filename=lambda instance: Name("image", on_exists))
    assert len(found) == len(list(cases())) - 1
    assert found[0].startswith("collision: 'an ordinary image' and 'another image of the same series' both become 'im")
    assert consequence in found[0]


@pytest.mark.parametrize("on_exists", ["replace-same", "rename", "keep"])
def test_instances_that_are_kept_apart_on_purpose_do_not_collide(on_exists: Any) -> None:
    check_naming(hooks(choose_filename=lambda: Name("image", on_exists)))
    check_naming(hooks(choose_filename=lambda: "image"), settings=Settings(on_duplicate=on_exists))


def test_names_that_are_tried_again_do_not_collide() -> None:
    check_naming(hooks(choose_filename=lambda instance: Name(f"image{instance.attempt}", "retry")))


def test_a_name_that_depends_on_what_came_before() -> None:
    seen: dict[str, int] = {}

    def filename(instance: Instance) -> str:
        return f"{seen.setdefault(instance.sop_class_uid, len(seen))}-{len(seen)}-{by_uid(instance)}-{count()}"

    calls = itertools.count()

    def count() -> int:
        return next(calls)

    assert all(line.startswith("not deterministic") for line in problems(choose_filename=filename))


def test_names_for_windows() -> None:
    plugin = hooks(
        choose_subdir=lambda instance: escape(str(instance.get("PatientID", "none"))),
        choose_filename=lambda instance: "x" if instance.get("PatientID") in ("p1", "P1") else by_uid(instance),
    )
    check_naming(plugin)
    with pytest.raises(AssertionError) as failure:
        check_naming(plugin, windows=True)
    refused = ("'NUL' cannot be a name", "'COM1.txt' cannot be a name", "'a.' cannot be a name")
    for text in (*refused, "'p1/x' and 'P1/x': one name there"):
        assert text in str(failure.value)


def test_options_and_settings_reach_the_plugin() -> None:
    roots: list[str] = []
    plugin = hooks(
        add_options=lambda options: options.add("--root", value="directory", default="here"),
        configure=lambda settings: roots.append(settings.for_plugin("SimpleNamespace")["root"]),
        choose_subdir=lambda instance: roots[-1],
    )
    assert check_naming(plugin)["an ordinary image"].startswith("here/")
    assert check_naming(plugin, options={"root": "there"})["an ordinary image"].startswith("there/")
    with pytest.raises(AssertionError, match="declares no option rot"):
        check_naming(plugin, options={"rot": "there"})


def test_what_is_no_naming_plugin() -> None:
    with pytest.raises(AssertionError, match="implements neither choose_subdir nor choose_filename"):
        check_naming(hooks(stored=lambda instance: None))
    with pytest.raises(PluginError):
        check_naming(object())


# fakes


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


def test_an_encoding_that_nobody_knows() -> None:
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


# receivers


def test_send_and_log(start_receiver: StartReceiver) -> None:
    receiver = start_receiver("-pm")
    assert receiver.send(calling_ae_title="ECHO") == [0]
    assert receiver.send(sample_dataset(SOPInstanceUID="1.2.3"), sample_dataset(SOPInstanceUID="1.2.4")) == [0, 0]
    assert receiver.files() == ["CT.1.2.3", "CT.1.2.4"]
    assert dcmread(receiver.output / "CT.1.2.3").PatientID == "4711"
    receiver.wait_for_log("Association Received")
    assert receiver.stop() == 0


def test_two_at_once(start_receiver: StartReceiver) -> None:
    first, second = start_receiver("-pm"), start_receiver("-pm")
    assert second.send(sample_dataset()) == [0]
    assert not first.files()
    assert second.files()


def test_one_that_does_not_start_says_why(start_receiver: StartReceiver) -> None:
    with pytest.raises(AssertionError, match=r"ended with 1:\n(.*\n)*.*no-such-plugin: neither"):
        start_receiver(plugins=["no-such-plugin"])


def test_a_rejection_says_what_is_missing(start_receiver: StartReceiver) -> None:
    receiver = start_receiver()
    with pytest.raises(AssertionError, match='started with "-pm"'):
        receiver.send(sample_dataset())


def test_one_that_ended_badly_fails_the_test(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "import signal\nfrom dcmrecv_core import hookimpl\n\n@hookimpl\ndef configure():\n"
        "    signal.signal = lambda *_: None  # SIGTERM is left to kill it\n"
    )
    receiver = Receiver(tmp_path / "home", plugins=[str(plugin)])
    assert "the receiver ended with -15" in receiver.end()
    assert receiver.end() == ""
