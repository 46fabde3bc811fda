"""The values of a header, to see whether a hook has changed them in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def values_of(dataset: Dataset) -> tuple[Any, ...]:
    """Tag, VR and value of each element, items of sequences as well; equal for equal data sets.

    Not the encoded bytes: a pydicom value that was changed to something that cannot be encoded must be seen too.
    """
    return tuple((int(element.tag), element.VR, _value(element.value)) for element in dataset)


def _value(value: Any) -> Any:
    if isinstance(value, str | bytes | int | float | None):
        return value if isinstance(value, bytes) else repr(value)
    items = getattr(value, "__iter__", None)
    if items is None or hasattr(value, "original_string"):
        return repr(value)
    return tuple(
        values_of(item) if hasattr(item, "file_meta") or hasattr(item, "walk") else _value(item) for item in value
    )
