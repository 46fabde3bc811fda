"""The arguments of hooks, without a network: settings, an association, and an instance made by the receiver's own
code."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dcmrecv_core.api.model import Association, Instance
from dcmrecv_core.api.options import PluginOptionRegistry
from dcmrecv_core.api.settings import PluginSettings
from dcmrecv_core.api.verdicts import OnExists
from dcmrecv_core.dataset.encodings import Encoding, encoding_of
from dcmrecv_core.dataset.scan import scan
from dcmrecv_core.dataset.sources import MemorySource
from dcmrecv_core.hooks.limits import HookTimer
from dcmrecv_core.receive.instance import ReceivedInstance
from dcmrecv_core.receive.replacement import whole
from dcmrecv_core.storage.content import FileContent
from dcmrecv_core.storage.file_meta import file_prefix
from dcmrecv_core.storage.publish import Publisher
from dcmrecv_core.storage.temporary import Capabilities

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dcmrecv_core.storage.taken import How

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

RECEIVED_AT = datetime(2020, 1, 2, 11, 22, 33, tzinfo=UTC)
"""When fake instances were received; a constant, so that tests have no good and bad days."""

_ELEMENTS: Mapping[str, Any] = {
    "SpecificCharacterSet": "ISO_IR 192",
    "SOPClassUID": CT_IMAGE_STORAGE,
    "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.1.1.1",
    "StudyDate": "20200102",
    "SeriesDate": "20200102",
    "StudyTime": "112233",
    "Modality": "CT",
    "Manufacturer": "ACME",
    "StudyDescription": "Thorax",
    "SeriesDescription": "Axial",
    "PatientName": "Doe^Jane",
    "PatientID": "4711",
    "PatientBirthDate": "19700102",
    "PatientSex": "F",
    "AccessionNumber": "A0001",
    "StudyID": "1",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.1.1",
    "SeriesNumber": 1,
    "InstanceNumber": 1,
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "Rows": 4,
    "Columns": 4,
    "BitsAllocated": 8,
    "BitsStored": 8,
    "HighBit": 7,
    "PixelRepresentation": 0,
}


def sample_dataset(*, transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN, **elements: Any) -> Dataset:
    """A small CT image that can be sent. `elements` are keywords and values to change or add; None removes an
    element. Raises KeyError for a keyword that does not exist."""
    from pydicom.datadict import keyword_dict
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID

    from dcmrecv_core.dataset.decoding import unknown_keyword

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    for keyword, value in {**_ELEMENTS, **elements}.items():
        if keyword not in keyword_dict:
            raise KeyError(unknown_keyword(keyword))
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.add_new(0x7FE00010, "OB", bytes(range(16)))
    return dataset


def fake_association(**fields: Any) -> Association:
    """An association of SENDER with ANY-SCP; `fields` are fields of `Association` with other values."""
    defaults: dict[str, Any] = {
        "calling_ae_title": "SENDER",
        "called_ae_title": "ANY-SCP",
        "peer_address": "127.0.0.1",
        "peer_port": 50104,
        "id": "1",
    }
    return Association(**(defaults | fields))


def fake_settings(
    plugin: Any = None,
    *,
    options: Mapping[str, Any] | None = None,
    others: Mapping[str, dict[str, Any]] | None = None,
    port: int | None = 11112,
    output_directory: str | Path = ".",
    state_directory: str | Path | None = None,
) -> PluginSettings:
    """The settings that `configure`, `worker_started` and `background` get.

    With `plugin`, a module or an object, its options have the defaults that it declares in `add_options`, except those
    in `options`, by key. `others` are the options of other plugins, by their name, for `for_plugin`. The state
    directory is `.dcmrecv` below the output directory unless it is given. Raises ValueError for an option that the
    plugin does not declare, PluginError for a declaration that the receiver would refuse.
    """
    values: dict[str, Any] = {}
    if plugin is not None:
        registry = PluginOptionRegistry()
        if hasattr(plugin, "add_options"):
            plugin.add_options(registry.of("plugin"))
        values = {option.key: option.default for option in registry}
        unknown = (options or {}).keys() - values.keys()
        if unknown:
            raise ValueError(f"the plugin declares no option {', '.join(sorted(unknown))}")
    output = Path(output_directory)
    state = Path(state_directory) if state_directory is not None else output / ".dcmrecv"
    return PluginSettings(
        port=port,
        output_directory=str(output),
        options={**values, **(options or {})},
        state_directory=state,
        all_options=others,
    )


class FakeInstance(ReceivedInstance):
    """A received instance; only the network is missing."""

    __slots__ = ("_can_save",)

    def _store(self, path: str, on_exists: OnExists | None) -> tuple[str, How, OnExists]:
        if not self._publisher.directories.root:
            raise PermissionError("no output directory was given: fake_instance(..., output_directory=tmp_path)")
        return super()._store(path, on_exists)


Kind = TypeVar("Kind", bound=FakeInstance)


def encode(dataset: Dataset, encoding: Encoding) -> bytes:
    """The data set as a sender encodes it, even values that break the rules of their VRs."""
    from pydicom.config import disable_value_validation

    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return b"".join(piece for piece in whole(dataset, encoding) if isinstance(piece, bytes))


def fake_instance(
    dataset: Dataset | None = None,
    *,
    association: Association | None = None,
    output_directory: str | Path = "",
    in_receive: bool = False,
    attempt: int = 0,
    received_at: datetime = RECEIVED_AT,
) -> Instance:
    """An instance as a hook gets it, received from `association` with `dataset` (default: `sample_dataset()`), at
    `received_at`, whatever the clock says.

    The data set is encoded in the transfer syntax of its `file_meta` (default: explicit VR little endian). The rest is
    the receiver's own code: `get`, `raw`, `header`, `open` read the encoded bytes, and `save` stores below
    `output_directory`. `replace` and `replace_header` work only with `in_receive`, as they do only in that hook. Raises
    ValueError for a transfer syntax whose encoding is not known.
    """
    instance = make_instance(FakeInstance, dataset, association, str(output_directory), in_receive, attempt)
    instance.completed_at = received_at.timestamp()
    return instance


def make_instance(
    kind: type[Kind],
    dataset: Dataset | None,
    association: Association | None,
    output_directory: str,
    in_receive: bool = False,
    attempt: int = 0,
) -> Kind:
    """As `fake_instance`, of a class of its own."""
    dataset = sample_dataset() if dataset is None else dataset
    meta = getattr(dataset, "file_meta", None)
    syntax = str(meta.TransferSyntaxUID) if meta is not None else EXPLICIT_VR_LITTLE_ENDIAN
    encoding = encoding_of(syntax)
    if encoding is None:
        raise ValueError(f"how data are encoded in transfer syntax {syntax} is not known")
    encoded = encode(copy.copy(dataset), encoding)
    uids = (str(dataset.get("SOPClassUID", "")), str(dataset.get("SOPInstanceUID", "")), syntax)
    instance = kind(
        association or fake_association(),
        uids,
        FileContent(file_prefix(*uids), (encoded,)),
        scan(MemorySource(memoryview(encoded)), encoding, whole=True),
        encoding,
        Publisher(output_directory, fsync=False, capabilities=Capabilities()),
        HookTimer(),
    )
    instance.may_replace = in_receive
    instance.attempt = attempt
    instance.completed_at = RECEIVED_AT.timestamp()
    return instance
