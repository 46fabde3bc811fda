"""The record of one instance, made while its sender waits: undecoded elements, as one line of JSON.

The feeder decodes later: that costs more than all the rest, and a broken value must not disturb the reception.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcmrecv_core import StatusError

if TYPE_CHECKING:
    from dcmrecv_core import Instance

ELEMENTS: Mapping[str, int] = {
    "SpecificCharacterSet": 0x00080005,
    "SOPClassUID": 0x00080016,
    "SOPInstanceUID": 0x00080018,
    "StudyDate": 0x00080020,
    "SeriesDate": 0x00080021,
    "StudyTime": 0x00080030,
    "AccessionNumber": 0x00080050,
    "Modality": 0x00080060,
    "ReferringPhysicianName": 0x00080090,
    "StudyDescription": 0x00081030,
    "SeriesDescription": 0x0008103E,
    "PatientName": 0x00100010,
    "PatientID": 0x00100020,
    "IssuerOfPatientID": 0x00100021,
    "PatientBirthDate": 0x00100030,
    "PatientSex": 0x00100040,
    "BodyPartExamined": 0x00180015,
    "StudyInstanceUID": 0x0020000D,
    "SeriesInstanceUID": 0x0020000E,
    "StudyID": 0x00200010,
    "SeriesNumber": 0x00200011,
    "InstanceNumber": 0x00200013,
}
"""All are text; their keywords are those of the record's `elements`."""

LONGEST_VALUE = 1024
"""Bytes that are kept of a value: more than the longest legal one here, a person name in three groups."""

LONGEST_READ = 1 << 20
"""Bytes that are read of a value. One that is longer than what is kept gets a hash of them: it may be a key."""


_encode = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make an encoder for each line


@dataclass(frozen=True, slots=True)
class Record:
    """One stored instance: UIDs, where it went, bytes of its data set, when (nanoseconds since the epoch), elements.

    `elements` has the bytes of values as Latin-1 text, which loses nothing; absent and empty elements are left out.
    `moment` rises from record to record, even if the clock is set (queue.py); 0 for records that come from files.
    """

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    location: str
    size: int
    received: int
    elements: Mapping[str, str]
    moment: int = 0

    def to_line(self) -> bytes:
        """The record as one line; raises nothing, whatever a peer sent."""
        values = (
            self.sop_instance_uid,
            self.sop_class_uid,
            self.transfer_syntax_uid,
            self.location,
            self.size,
            self.received,
            self.elements,
            self.moment,
        )
        return _encode(values).encode("ascii") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Record:
        """Raises ValueError for anything but a whole line of `to_line`, of this version or an earlier one."""
        try:
            values = json.loads(line)
        except RecursionError as error:
            raise ValueError("not a record") from error
        if not isinstance(values, list) or tuple(map(type, values)) not in (_KINDS, _KINDS[:-1]):
            raise ValueError("not a record")
        return cls(*values)


_KINDS = (str, str, str, str, int, int, dict, int)


def record_of(instance: Instance, location: str, received: int, moment: int = 0) -> Record:
    """The record of a stored instance."""
    elements = {}
    raw = instance.raw
    for keyword, tag in ELEMENTS.items():
        try:
            element = raw(tag, LONGEST_READ)
        except StatusError:
            continue  # --bit-preserving stores broken data sets, too; what can be read counts
        if element is not None and element.value:
            elements[keyword] = kept(element.value)
    return Record(
        # as in the File Meta Information: the data set's, which a plugin may have replaced
        sop_instance_uid=uid(elements.get("SOPInstanceUID", "")) or instance.sop_instance_uid,
        sop_class_uid=uid(elements.get("SOPClassUID", "")) or instance.sop_class_uid,
        transfer_syntax_uid=instance.transfer_syntax_uid,
        location=absolute(location),
        size=instance.size,
        received=received,
        elements=elements,
        moment=moment,
    )


def kept(value: bytes) -> str:
    """The bytes of a value as a record has them."""
    if len(value) > LONGEST_VALUE:
        value = value.strip(b" \0")
        if len(value) > LONGEST_VALUE:
            value = b"%b~%b" % (value[:LONGEST_VALUE], hashlib.sha256(value).hexdigest().encode())
    return value.decode("latin-1")


def uid(text: str) -> str:
    """A UID without its padding."""
    return text.partition("\0")[0].strip(" ")


def absolute(location: str) -> str:
    """A path in the form in which the index keeps it; a URI as it is."""
    return location if "://" in location else os.path.abspath(location)
