"""What a plugin changed inside the values of a header, where a read-only Dataset cannot see it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from dcmrecv_core.dataset.encodings import EXPLICIT_LITTLE
from dcmrecv_core.receive.replacement import encode

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def changed_elements(before: Dataset, after: Dataset) -> list[str]:
    """Names of the top-level elements that differ in two Datasets, by keyword, else by tag.

    Both are encoded: that also finds a changed entry of a value with several, and values in items of sequences. For a
    hook: `before` is `instance.copy_header()` from before its call, `after` the `instance.header` that it got.
    """
    names = []
    for tag in sorted({*before.keys(), *after.keys()}):
        if _encoded(before, tag) != _encoded(after, tag):
            element = (before if tag in before else after)[tag]
            names.append(element.keyword or str(element.tag))
    return names


def _encoded(dataset: Dataset, tag: int) -> bytes | str:
    from pydicom.config import disable_value_validation
    from pydicom.dataset import Dataset

    if tag not in dataset:
        return ""
    one = Dataset()
    for each in (0x00080005, tag):  # the character set decides how text is encoded
        if each in dataset:
            one.add(dataset[each])
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return encode(one, EXPLICIT_LITTLE)
        except Exception:  # pydicom lets any exception through, for values that it can read and not write
            return repr(dataset[tag])
