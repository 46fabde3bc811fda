"""The content of structured reports: what becomes of a content item by its concept name (PS3.15 table E.3.4-1)."""

from __future__ import annotations

from dcmrecv_deidentify.encoded.elements import Format, items_of, parts_of
from dcmrecv_deidentify.encoded.values import padded, stripped
from dcmrecv_deidentify.profile import table
from dcmrecv_deidentify.profile.actions import Action

_CONCEPT_NAME = 0x0040A043
_VALUE_TYPE = 0x0040A040
_CODE_VALUE, _SCHEME = 0x00080100, 0x00080102
_HARMLESS = frozenset((b"CODE", b"CONTAINER", b"NUM", b"SCOORD", b"SCOORD3D", b"TCOORD", b"TABLE"))
"""Value types that stay if the table does not name the concept; UIDs in references are replaced anyway."""
_REFERENCES = frozenset((b"COMPOSITE", b"IMAGE", b"UIDREF", b"WAVEFORM"))
_DATES = frozenset((b"DATE", b"DATETIME", b"TIME"))


class Content:
    """Decides about content items under the options chosen."""

    def __init__(self, options: frozenset[str]) -> None:
        self._options = options

    def action_of(self, elements: list[tuple[int, str, bytes]], fmt: Format) -> Action:
        """For the elements of one item: CONTENT (treat each as anywhere), KEEP (its text stays), DUMMY (no text stays)
        or REMOVE. Raises Unreadable."""
        found = {tag: value for tag, _, value in elements if tag in (_CONCEPT_NAME, _VALUE_TYPE)}
        value_type = stripped(found.get(_VALUE_TYPE, b""))
        columns = table.content_items().get(_concept(found.get(_CONCEPT_NAME, b""), fmt))
        if columns is not None:
            codes = columns.under(self._options)
            if codes:
                return Action.CONTENT if "C" in codes else Action.KEEP
            return Action.REMOVE if columns.profile == "X" else Action.DUMMY
        if value_type in _HARMLESS or value_type in _REFERENCES or not value_type:
            return Action.CONTENT
        dated = not self._options.isdisjoint((table.RETAIN_FULL_DATES, table.RETAIN_MODIFIED_DATES))
        if value_type in _DATES and dated:
            return Action.CONTENT
        if value_type == b"TEXT" and table.CLEAN_DESCRIPTORS in self._options:
            return Action.CONTENT
        return Action.DUMMY

    def dummy(self, fmt: Format) -> bytes:
        """The items of a Content Sequence that says nothing: one comment."""

        def text(tag: int, vr: str, value: bytes) -> bytes:
            return fmt.encode(tag, vr, padded(vr, value))

        code = text(_CODE_VALUE, "SH", b"121106") + text(_SCHEME, "SH", b"DCM") + text(0x00080104, "LO", b"Comment")
        return fmt.encode_item(
            text(0x0040A010, "CS", b"CONTAINS")
            + text(_VALUE_TYPE, "CS", b"TEXT")
            + fmt.encode(_CONCEPT_NAME, "SQ", fmt.encode_item(code))
            + text(0x0040A160, "UT", b"REMOVED")
        )


def _concept(value: bytes, fmt: Format) -> tuple[str, str]:
    """Coding scheme and code value of a Concept Name Code Sequence."""
    for start, end in items_of(value, 0, len(value), fmt):
        found = {
            part.tag: stripped(value[part.start : part.end]).decode("latin-1")
            for part in parts_of(value, start, end, fmt)
            if part.tag in (_CODE_VALUE, _SCHEME)
        }
        return found.get(_SCHEME, ""), found.get(_CODE_VALUE, "")
    return "", ""
