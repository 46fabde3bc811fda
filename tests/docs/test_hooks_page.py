"""docs/hooks.md: one heading for each hook, with its signature; every example works as a plugin."""

from __future__ import annotations

import inspect
import logging
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dcmrecv_core import (
    Command,
    ConfigurationError,
    Discard,
    Ended,
    Name,
    NotStoredOutcome,
    PluginSettings,
    Refuse,
    Reject,
    RejectReason,
    Response,
    Service,
    StoredOutcome,
    Summary,
    Undeliverable,
)
from dcmrecv_core.api import hookspecs
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.dataset.encodings import IMPLICIT_LITTLE
from dcmrecv_core.hooks.loader import HOOKS, from_module
from dcmrecv_core.hooks.plugins import Plugins
from dcmrecv_core.receive.replacement import encode
from dcmrecv_core.receive.request import ReceivedRequest
from dcmrecv_core.testing import (
    fake_association,
    fake_event,
    fake_instance,
    fake_series,
    fake_study,
    sample_dataset,
)
from support.docs.blocks import PAGES
from support.uids import CT, EXPLICIT_LE, IMPLICIT_LE

COMMITMENT = "1.2.840.10008.1.20.1"

SECTIONS = dict(re.findall(r"^## (\w+)\(.*\)\n((?:(?!## ).*\n)*)", PAGES["hooks.md"], re.MULTILINE))
LABELS = ["Called", "Result", "Raising", "Blocking"]


def signature(hook: str) -> str:
    return f"{hook}({', '.join(inspect.signature(getattr(hookspecs, hook)).parameters)})"


def test_headings_are_the_signatures_in_order() -> None:
    assert re.findall(r"^## (\w+\(.*\))$", PAGES["hooks.md"], re.MULTILINE) == [signature(hook) for hook in HOOKS]


@pytest.mark.parametrize("hook", HOOKS)
def test_each_has_the_same_parts(hook: str) -> None:
    assert re.findall(r"^- \*\*(\w+)\*\*: ", SECTIONS[hook], re.MULTILINE) == LABELS
    assert f'<a id="{hook}"></a>\n## {hook}(' in PAGES["hooks.md"]


@pytest.mark.parametrize("hook", HOOKS)
def test_first_results_are_called_so(hook: str) -> None:
    options: dict[str, Any] = getattr(hookspecs, hook).dcmrecv_spec
    assert ("**Result**: the first" in SECTIONS[hook]) == bool(options["firstresult"])


@pytest.fixture
def example(request: pytest.FixtureRequest) -> Any:
    """The example of the hook that the test is named after, accepted as a plugin: its object, else the module."""
    hook = request.node.name.removeprefix("test_example_")
    [code] = re.findall(r"^```python\n(.*?)^```$", SECTIONS[hook], re.MULTILINE | re.DOTALL)
    module = ModuleType("ward")
    exec(compile(code, f"example of {hook}", "exec"), vars(module))
    plugins = Plugins()
    found = from_module("ward", module, "an example")
    plugins.add(found, named=True)
    assert hook in plugins.registered[0].hooks
    return found.plugin


def declared(example: Any) -> PluginOptionRegistry:
    registry = PluginOptionRegistry()
    example.add_options(registry.of("ward"))
    return registry


def test_example_add_options(example: Any) -> None:
    assert {option.key: option.default for option in declared(example)} == {
        "archive_root": Path("archive"),
        "archive_dry_run": False,
    }


def test_example_configure(example: Any) -> None:
    [option] = declared(example)
    assert option.key == "ward_titles"
    example.configure(PluginSettings(options={"ward_titles": "CT1,CT2"}))
    assert example.titles == {"CT1", "CT2"}
    with pytest.raises(ConfigurationError, match="--ward-titles is missing"):
        example.configure(PluginSettings(options={"ward_titles": ""}))


def test_example_worker_started(example: Any, tmp_path: Path) -> None:
    example.worker_started(PluginSettings(state_directory=tmp_path / ".dcmrecv"))
    assert example.database.execute("SELECT count(*) FROM seen").fetchone() == (0,)
    example.database.close()


def test_example_worker_stopping(example: Any) -> None:
    class Database:
        closed = False

        def close(self) -> None:
            self.closed = True

    example.worker_stopping()
    example.database = Database()
    example.worker_stopping()
    assert example.database.closed


def test_example_negotiate(example: Any) -> None:
    stranger = example.negotiate(fake_association(calling_ae_title="MR1"))
    assert stranger == Reject(RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED)
    [context] = example.negotiate(fake_association(calling_ae_title="CT1"))
    assert context.abstract_syntax == CT
    assert context.transfer_syntaxes == (EXPLICIT_LE,)


def test_example_association_accepted(example: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        example.association_accepted(fake_association(implementation_version_name="ACME_1"))
    assert caplog.messages == ["SENDER runs ACME_1"]


def test_example_serve(example: Any) -> None:
    [context] = example.negotiate(fake_association()).contexts
    assert context.abstract_syntax == COMMITMENT
    dataset = Dataset()
    dataset.TransactionUID = "1.2"
    dataset.ReferencedSOPSequence = [Dataset()]
    dataset.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3"

    def serve(service: Service, dataset: Dataset | None) -> Any:
        data = None if dataset is None else encode(dataset, IMPLICIT_LITTLE)
        request = ReceivedRequest(Command(service, 1, COMMITMENT, "1.2.840.10008.1.20.1.1"), IMPLICIT_LE, data)
        return example.serve(fake_association(), request)

    assert serve(Service.N_GET, dataset) is None
    assert serve(Service.N_ACTION, None).status == 0x0212
    assert serve(Service.N_ACTION, dataset) == Response(0)
    assert example.asked == [("SENDER", "1.2", ["1.2.3"])]


def test_example_receive(example: Any) -> None:
    assert example.receive(fake_instance()) is None
    assert example.receive(fake_instance(sample_dataset(PatientID=None))) == Refuse(0xA900, "Patient ID is missing")
    localizer = sample_dataset(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert example.receive(fake_instance(localizer)) == Discard("localizers are not kept")


def test_example_choose_subdir(example: Any) -> None:
    odd = fake_instance(association=fake_association(calling_ae_title="A/B"))
    assert re.fullmatch(r"A_B~[0-9a-f]{8}/CT", example.choose_subdir(odd))


def test_example_choose_filename(example: Any) -> None:
    dataset = sample_dataset(InstanceNumber=17)
    assert example.choose_filename(fake_instance(dataset)) == Name("000017", "retry")
    assert example.choose_filename(fake_instance(dataset, attempt=2)) == Name("000017-2", "retry")


def test_example_write(example: Any, tmp_path: Path) -> None:
    report = fake_instance(sample_dataset(Modality="SR"), output_directory=tmp_path)
    assert Path(example.write(report, str(tmp_path / "x" / "sr"))).exists()
    assert (tmp_path / "reports" / "sr").exists()
    example.write(fake_instance(output_directory=tmp_path), str(tmp_path / "x" / "ct"))
    assert not (tmp_path / "reports" / "ct").exists()


def test_example_stored(example: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        example.stored(fake_instance(), "x/y", StoredOutcome(0))
    assert re.fullmatch(r"\d+ bytes for ward ANY-SCP in x/y \(new\)", caplog.messages[-1])


def test_example_not_stored(example: Any, caplog: pytest.LogCaptureFixture) -> None:
    instance = fake_instance()
    example.not_stored(instance, NotStoredOutcome(0, "a copy", "ward"))
    assert not caplog.messages
    example.not_stored(instance, NotStoredOutcome(0x0124, "not you", "access"))
    assert caplog.messages == [f"{instance.sop_instance_uid}: refused by access: not you"]


def test_example_open_location(example: Any) -> None:
    asked: list[str] = []
    example.urlopen = asked.append
    example.open_location("/srv/x")
    example.open_location("https://store.example.org/x")
    assert asked == ["https://store.example.org/x"]


def test_example_remove_location(example: Any, tmp_path: Path) -> None:
    example.Path = lambda root, name: tmp_path / name
    (tmp_path / "x").touch()
    assert example.remove_location("tape:x") is example.remove_location("tape:x") is True
    assert not (tmp_path / "x").exists()
    assert example.remove_location("/srv/x") is None


def test_example_association_ended(example: Any, caplog: pytest.LogCaptureFixture) -> None:
    summary = Summary(stored=3, refused=0, discarded=0, bytes=9, seconds=0.1, ended=Ended.RELEASED)
    example.association_ended(fake_association(), summary)
    assert not caplog.messages
    example.association_ended(fake_association(), replace(summary, ended=Ended.ABORTED))
    assert caplog.messages == ["SENDER: aborted after 3"]


def test_example_delivery_targets(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    [option] = declared(example)
    assert option.key == "forward_to"
    assert example.delivery_targets(PluginSettings(options={"forward_to": ["PACS1"]})) == ["PACS1"]
    example.deliver(fake_event(location="out/1"), "PACS1")
    assert capsys.readouterr().out == "to PACS1 out/1\n"


def test_example_completion_targets(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    study = fake_study()
    for target in example.completion_targets(PluginSettings(), "study_completed"):
        example.study_completed(study, target)
    assert capsys.readouterr().out == f"report {study.study_instance_uid}\nworklist {study.study_instance_uid}\n"


def test_example_relocate_from(example: Any, tmp_path: Path) -> None:
    place = example.relocate_from(PluginSettings())
    instance = fake_instance(output_directory=tmp_path)
    assert example.write(instance).endswith(f"{place}/{instance.sop_instance_uid}")
    assert example.relocate(fake_event()).startswith("archive://")


def test_example_relocate(example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("archive").mkdir()
    event = fake_event()
    assert example.relocate(event) == (tmp_path / "archive" / event.sop_instance_uid).as_uri()
    with event.open() as file:
        assert (tmp_path / "archive" / event.sop_instance_uid).read_bytes() == file.read()


def test_example_deliver_many(example: Any, tmp_path: Path) -> None:
    example.delivery_started(PluginSettings(state_directory=tmp_path))
    first, second = fake_event(id="e1"), fake_event(id="e2")
    example.deliver_many([first])
    example.deliver_many([first, second])
    assert example.database.execute("SELECT * FROM counted").fetchall() == [("e1", "SENDER"), ("e2", "SENDER")]
    example.database.close()


def test_example_delivery_started(example: Any, tmp_path: Path) -> None:
    example.delivery_started(PluginSettings(state_directory=tmp_path))
    event = fake_event(id="e1")
    example.deliver(event)
    example.deliver(event)
    assert example.database.execute("SELECT * FROM counted").fetchall() == [("e1", "SENDER")]
    example.database.close()


def test_example_delivery_stopping(example: Any) -> None:
    class Database:
        closed = False

        def close(self) -> None:
            self.closed = True

    example.delivery_stopping()
    example.database = Database()
    example.delivery_stopping()
    assert example.database.closed


def test_example_deliver(example: Any, tmp_path: Path) -> None:
    example.Path = lambda root, name: tmp_path / name
    event = fake_event()
    example.deliver(event)
    assert (tmp_path / event.sop_instance_uid).read_bytes() == event.open().read()
    with pytest.raises(Undeliverable, match="no Patient ID"):
        example.deliver(fake_event(patient_id=""))


def test_example_series_completed(example: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        example.series_completed(fake_series(fake_event(location="out/a/1")))
    assert caplog.messages == ["CT series with 1 images in out/a"]


def test_example_study_completed(example: Any, capfd: pytest.CaptureFixture[str]) -> None:
    study = fake_study(fake_event(location="out/a/1"), revision=2)
    example.study_completed(study)
    assert capfd.readouterr().out == f"{study.study_instance_uid} 2 out/a\n"


def test_example_background(example: Any, tmp_path: Path) -> None:
    settings = PluginSettings(state_directory=tmp_path / ".dcmrecv")
    spooled = settings.state_directory / "spooled"
    spooled.mkdir(parents=True)
    for name, mtime in (("old.dcm", 0), ("new.dcm", None)):
        (spooled / name).touch()
        if mtime is not None:
            os.utime(spooled / name, (mtime, mtime))
    example.time = _until_it_sleeps()
    with pytest.raises(SystemExit):
        example.background(settings)
    assert [path.name for path in spooled.iterdir()] == ["new.dcm"]


def _until_it_sleeps() -> ModuleType:
    import time

    clock = ModuleType("time")
    clock.time = time.time  # type: ignore[attr-defined]
    clock.sleep = _stop  # type: ignore[attr-defined]
    return clock


def _stop(seconds: float) -> None:
    raise SystemExit


def test_every_example_has_its_test() -> None:
    tests: dict[str, Callable[..., None]] = {name: value for name, value in globals().items() if callable(value)}
    assert {name.removeprefix("test_example_") for name in tests if name.startswith("test_example_")} == set(HOOKS)
