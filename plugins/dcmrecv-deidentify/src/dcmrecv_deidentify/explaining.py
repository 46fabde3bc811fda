"""What `--explain` says of each element: what would become of it, and why. No values."""

from __future__ import annotations

from pydicom.datadict import keyword_for_tag

from dcmrecv_deidentify.encoded.elements import shown


class Watcher:
    """Adds a line for each element to a list; those of items come before their sequence, further to the right."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def __call__(self, depth: int, tag: int, became: str, why: str) -> None:
        name = keyword_for_tag(tag) or ("private" if tag >> 16 & 1 else "")
        self._lines.append(f"{'> ' * depth}{shown(tag)} {name}".rstrip() + f": {became} ({why})")
