"""A pydicom Dataset that can be read as usual and not changed: what `Instance.header` is.

A change to the header would not reach the stored file, and a plugin that forgot `replace_header` would store patients'
names without noticing. So each change raises. The classes are pydicom's own, with a changed `__class__`: whatever reads
a Dataset, an element or a sequence takes them. Elements are decoded on first use, as in pydicom; that is when they
become read-only. Changes inside a value, such as one entry of several, are not seen here.

`copy.copy` and `copy.deepcopy` make ordinary, changeable objects.
"""

from __future__ import annotations

from collections.abc import Set, ValuesView
from copy import deepcopy
from typing import Any, NoReturn, cast

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dcmrecv_core.dataset.decoding import unknown_keyword

_HINT = (
    "instance.header is read-only: change a copy (header = instance.copy_header()), "
    "then store it with instance.replace_header(header)"
)

_set = object.__setattr__  # pydicom's own looks the name up in its dictionary, each time


def _is_misspelt(name: str) -> bool:
    """Whether it looks like a keyword, and is none."""
    return name[:1].isupper() and tag_for_keyword(name) is None


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError(_HINT)


def _changeable(kind: Any, frozen: Any, memo: dict[int, Any]) -> Any:
    """A deep copy of class `kind`; what it contains is copied by the same rule."""
    copied = kind.__new__(kind)
    memo[id(frozen)] = copied
    copied.__dict__.update(deepcopy(frozen.__dict__, memo))
    return copied


class ReadOnlyElement(DataElement):
    """An element whose attributes cannot be set."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "private_creator":  # pydicom sets it when the element is added to another Dataset
            _refuse()
        _set(self, name, value)

    __delattr__ = clear = _refuse

    def __copy__(self) -> DataElement:
        return deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> DataElement:
        return cast(DataElement, _changeable(DataElement, self, memo))


class ReadOnlySequence(Sequence):
    """A sequence whose items cannot be set, added or removed."""

    __setitem__ = __delitem__ = __iadd__ = append = extend = insert = _refuse

    def __copy__(self) -> Sequence:
        return deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Sequence:
        return cast(Sequence, _changeable(Sequence, self, memo))


class ReadOnlyDataset(Dataset):
    """A Dataset whose elements cannot be set, added or removed."""

    __setitem__ = __delitem__ = __delattr__ = _refuse
    clear = pop = popitem = update = set_pixel_data = set_original_encoding = _refuse

    @property
    def _dict(self) -> Any:  # type: ignore[override]
        """A copy: `Dataset(header)` would share the elements."""
        return self.__dict__["_dict"].copy()

    def decode(self) -> None:
        """Values are decoded when they are read."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):  # pydicom keeps caches there
            _refuse()
        _set(self, name, value)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError as error:
            if _is_misspelt(name):
                raise AttributeError(unknown_keyword(name), name=name, obj=self) from error
            raise

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return read_only(super().__getitem__(key))
        element = self.__dict__["_dict"].get(key)
        if type(element) is ReadOnlyElement:
            return element
        # pydicom decodes by setting the element again
        _set(self, "__class__", Dataset)
        try:
            element = Dataset.__getitem__(self, key)
        except KeyError as error:
            if isinstance(key, str) and _is_misspelt(key):
                raise KeyError(unknown_keyword(key)) from error
            raise
        finally:
            _set(self, "__class__", ReadOnlyDataset)
        _freeze(element)
        return element

    def get_item(self, key: Any, *, keep_deferred: bool = False) -> Any:
        if isinstance(key, slice):
            return self[key]
        element = super().get_item(key, keep_deferred=keep_deferred)
        _freeze(element)
        return element

    def items(self) -> Set[Any]:
        self._freeze_decoded()
        return super().items()

    def values(self) -> ValuesView[Any]:
        self._freeze_decoded()
        return super().values()

    def _freeze_decoded(self) -> None:
        for element in self.__dict__["_dict"].values():
            _freeze(element)

    def __copy__(self) -> Dataset:
        return deepcopy(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Dataset:
        return cast(Dataset, _changeable(Dataset, self, memo))


def read_only(dataset: Dataset) -> Dataset:
    """Make `dataset` itself read-only, with all that is in it; returns it."""
    _set(dataset, "__class__", ReadOnlyDataset)
    return dataset


def _freeze(element: Any) -> None:
    if type(element) is not DataElement:
        return
    if type(element.value) is Sequence:
        for item in element.value:
            read_only(item)
        _set(element.value, "__class__", ReadOnlySequence)
    _set(element, "__class__", ReadOnlyElement)
