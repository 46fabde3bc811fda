"""Plugins made of functions, and a fake instance."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any, BinaryIO

from pydicom.dataset import Dataset

from dcmrecv_core import Association, Instance, RawElement, hookimpl
from dcmrecv_core.api.model import TagLike
from dcmrecv_core.api.verdicts import OnExists
from dcmrecv_core.hooks.loader import Found
from dcmrecv_core.hooks.plugins import Plugins
from support.uids import CT, EXPLICIT_LE

ASSOCIATION = Association("SCANNER", "ARCHIVE", "192.0.2.7", 4711, "1")


def hooks(**functions: Callable[..., Any]) -> SimpleNamespace:
    """A plugin object: `hooks(receive=lambda instance: None)`."""
    return SimpleNamespace(**{name: hookimpl(function) for name, function in functions.items()})


def found(plugin: object, name: str = "site") -> Found:
    return Found(name, plugin, "test")


def load(*plugins: object) -> Plugins:
    """Load these plugins, as if named on the command line in this order: plugin0, plugin1 ..."""
    loaded = Plugins()
    for number, plugin in enumerate(plugins):
        loaded.add(found(plugin, f"plugin{number}"), named=True)
    return loaded


def raising(error: BaseException) -> Callable[..., Any]:
    """A hook that raises it."""

    def function() -> None:
        raise error

    return function


class FakeInstance(Instance):
    """An instance, as far as naming plugins use it."""

    def __init__(self, series_date: RawElement | None = None, modality_prefix: str = "CT", uid: str = "1.2.3") -> None:
        self.association = ASSOCIATION
        self.sop_class_uid = CT
        self.sop_instance_uid = uid
        self.transfer_syntax_uid = EXPLICIT_LE
        self.modality_prefix = modality_prefix
        self.attempt = 0
        self.on_exists: OnExists = "overwrite"
        self.state: dict[str, Any] = {}
        self.series_date = series_date
        self.saved: list[str] = []

    @property
    def size(self) -> int:
        return 0

    def get(self, element: TagLike, default: Any = None) -> Any:
        return default

    def raw(self, element: TagLike, limit: int | None = None) -> RawElement | None:
        return self.series_date if element == 0x00080021 else None

    @property
    def header(self) -> Dataset:
        return Dataset()

    def open(self) -> BinaryIO:
        return io.BytesIO()

    def copy_header(self) -> Dataset:
        raise NotImplementedError

    def unseen_tags(self) -> tuple[int, ...]:
        return ()

    def save_copy(self, path: str, on_exists: OnExists | None = None) -> str:
        return f"saved {path}"

    def outside_time_limit(self) -> AbstractContextManager[None]:
        return nullcontext()

    def save(self, path: str, on_exists: OnExists | None = None) -> str:
        self.saved.append(path)
        return f"saved {path}"

    def replace_header(self, dataset: Dataset, *, keep_unseen: bool | None = None) -> None:
        raise PermissionError

    def replace(self, dataset: Dataset, *, drop_pixel_data: bool = False) -> None:
        raise PermissionError
