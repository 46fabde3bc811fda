"""Command sets (PS3.7 section 6.3, 9.3.1, 9.3.5 and annexes C and E): always implicit VR little endian."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from dcmrecv_core.api.errors import COMMENT_LENGTH, RemoteProtocolError

MAX_COMMAND_LENGTH = 64 * 1024
NO_DATA_SET = 0x0101
DATA_SET = 0x0001
"""Command Data Set Type (0000,0800): any other value than `NO_DATA_SET` says that there is one."""
RESPONSE_BIT = 0x8000
MAX_UID_LENGTH = 64

_ELEMENT = Struct("<HHI")
_US = Struct("<H")
_GROUP_LENGTH = Struct("<HHII")


class CommandField:
    """The requests that a storage receiver handles (PS3.7 annex E.1).

    Plain numbers, as all values that are compared for every PDU, item or element: access to an enum member costs 0.1
    microseconds in Python 3.11.
    """

    C_STORE_RQ = 0x0001
    C_ECHO_RQ = 0x0030
    C_CANCEL_RQ = 0x0FFF


class Status(IntEnum):
    """General statuses with which `proto/` itself answers (PS3.7 annex C)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_EVENT_TYPE = 0x0113
    INVALID_SOP_INSTANCE = 0x0117
    NO_SUCH_SOP_CLASS = 0x0118
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NO_SUCH_ACTION_TYPE = 0x0123
    UNRECOGNIZED_OPERATION = 0x0211
    MISTYPED_ARGUMENT = 0x0212


class Tag:
    """Elements of group 0000, by element number (PS3.7 annex E)."""

    GROUP_LENGTH = 0x0000
    AFFECTED_SOP_CLASS_UID = 0x0002
    REQUESTED_SOP_CLASS_UID = 0x0003
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
    PRIORITY = 0x0700
    DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    OFFENDING_ELEMENT = 0x0901
    ERROR_COMMENT = 0x0902
    AFFECTED_SOP_INSTANCE_UID = 0x1000
    REQUESTED_SOP_INSTANCE_UID = 0x1001
    EVENT_TYPE_ID = 0x1002
    ATTRIBUTE_IDENTIFIER_LIST = 0x1005
    ACTION_TYPE_ID = 0x1008
    MOVE_ORIGINATOR_AE_TITLE = 0x1030
    MOVE_ORIGINATOR_MESSAGE_ID = 0x1031


class Command(NamedTuple):
    """A request. UIDs are there as received, so that a response can echo them, and as text. `encoded` is
    the whole set."""

    field: int
    message_id: int
    has_data_set: bool
    sop_class: bytes = b""
    sop_instance: bytes = b""
    move_originator: str = ""
    encoded: bytes = b""
    sop_class_uid: str = ""
    sop_instance_uid: str = ""

    @property
    def originator(self) -> tuple[str, int] | None:
        """Move Originator AE Title and Message ID (PS3.7 section 9.1.1.1); None unless the command has both."""
        number = first_number(command_elements(self.encoded).get(Tag.MOVE_ORIGINATOR_MESSAGE_ID, b""))
        return None if number is None or not self.move_originator else (self.move_originator, number)


def command_text(raw: bytes) -> str:
    """Text up to the first NUL, without blanks around it. Latin-1 never fails and keeps different bytes different."""
    return raw.split(b"\0", 1)[0].decode("latin-1").strip(" ")


def decode_command(data: bytes) -> Command:
    """Decode the command set of a request or response.

    Group length and unknown elements are ignored (PS3.7 6.3 is a rule for senders); of repeated elements the first
    counts. Raises RemoteProtocolError (abort 2/6) if it cannot be read, or has no Command Field or Message ID.
    """
    elements = command_elements(data)
    field = _number(elements, Tag.COMMAND_FIELD)
    if field is None:
        raise RemoteProtocolError("command set without Command Field", reason=6)
    message_tag = Tag.MESSAGE_ID_BEING_RESPONDED_TO if _responds_or_cancels(field) else Tag.MESSAGE_ID
    message_id = _number(elements, message_tag)
    if message_id is None:
        raise RemoteProtocolError(f"command {field:04X} without Message ID", reason=6)
    data_set_type = _number(elements, Tag.DATA_SET_TYPE)
    if data_set_type is None:
        # C-STORE needs a data set, no other request has one
        data_set_type = 0 if field == CommandField.C_STORE_RQ else NO_DATA_SET
    sop_class = elements.get(Tag.AFFECTED_SOP_CLASS_UID, b"")
    sop_instance = elements.get(Tag.AFFECTED_SOP_INSTANCE_UID, b"")
    return Command(
        field,
        message_id,
        data_set_type != NO_DATA_SET,
        sop_class,
        sop_instance,
        command_text(elements.get(Tag.MOVE_ORIGINATOR_AE_TITLE, b"")),
        data,
        command_text(sop_class),
        command_text(sop_instance),
    )


def _responds_or_cancels(field: int) -> bool:
    return bool(field & RESPONSE_BIT) or field == CommandField.C_CANCEL_RQ


def command_elements(data: bytes) -> dict[int, bytes]:
    """Values of group 0000 by element number; raises RemoteProtocolError (abort 2/6)."""
    elements: dict[int, bytes] = {}
    start, size = 0, len(data)
    group = element = 0
    try:
        while start < size:
            group, element, length = _ELEMENT.unpack_from(data, start)
            start += 8
            end = start + length
            if not group and element not in elements:
                elements[element] = data[start:end]
            start = end
    except StructError:
        raise RemoteProtocolError("command set ends within an element", reason=6) from None
    if start > size:
        raise RemoteProtocolError(f"command element ({group:04X},{element:04X}) overruns its set", reason=6)
    return elements


def _number(elements: dict[int, bytes], tag: int) -> int | None:
    """The number of an element, None if it is absent; raises RemoteProtocolError for one that is too short."""
    value = elements.get(tag)
    if value is None:
        return None
    number = first_number(value)
    if number is None:
        raise RemoteProtocolError(f"command element (0000,{tag:04X}) has {len(value)} bytes instead of 2", reason=6)
    return number


def first_number(value: bytes) -> int | None:
    """The number in the first two bytes, None if there are fewer: some senders use four."""
    return int.from_bytes(value[:2], "little") if len(value) >= 2 else None


def _element(tag: int, value: bytes) -> bytes:
    return _ELEMENT.pack(0, tag, len(value)) + value


def _padded(value: bytes, padding: bytes) -> bytes:
    return value + padding if len(value) % 2 else value


def encode_elements(*elements: tuple[int, int | bytes | None]) -> bytes:
    """A command set from (element number, value) in ascending order, with its group length; numbers have 16 bits, what
    is None or empty is left out."""
    parts: list[bytes] = []
    for tag, value in elements:
        if isinstance(value, int):
            parts.append(_element(tag, _US.pack(value)))
        elif value:
            parts.append(_element(tag, value))
    body = b"".join(parts)
    return _GROUP_LENGTH.pack(0, Tag.GROUP_LENGTH, 4, len(body)) + body


def encoded_uid(uid: str) -> bytes:
    """A UID of even length. Latin-1 gives back what `command_text` has decoded."""
    return _padded(uid.encode("latin-1"), b"\0")


def encoded_tags(tags: tuple[int, ...]) -> bytes:
    """The value of an element of VR AT."""
    return b"".join(_US.pack(tag >> 16) + _US.pack(tag & 0xFFFF) for tag in tags)


def encoded_comment(text: str) -> bytes:
    """The value of Error Comment."""
    return _padded(_comment(text), b" ")


def _comment(text: str) -> bytes:
    """LO: at most 64 characters of the default repertoire, no backslash, no control characters (PS3.5 section 6.2)."""
    printable = (character if " " <= character <= "~" else "?" for character in text[:COMMENT_LENGTH])
    return "".join(printable).replace("\\", "/").encode("ascii")


def encode_response(
    command: Command, status: int, comment: str = "", offending_elements: tuple[int, ...] = ()
) -> bytes:
    """The response to `command` (PS3.7 9.3.1.2, 9.3.5.2): Message ID, class and instance as received."""
    more = b""
    if offending_elements:
        more = _element(Tag.OFFENDING_ELEMENT, encoded_tags(offending_elements))
    if comment:
        more += _element(Tag.ERROR_COMMENT, encoded_comment(comment))
    instance = command.sop_instance
    if len(instance) & 1:
        instance += b"\0"
    start, middle, end = _constant_parts(command.field, command.sop_class, len(more), len(instance))
    return start + _US.pack(command.message_id) + middle + _US.pack(status) + more + end + instance


@lru_cache(maxsize=16)  # the same for nearly all instances of a class
def _constant_parts(field: int, sop_class: bytes, more: int, instance: int) -> tuple[bytes, bytes, bytes]:
    """A response up to Message ID, up to Status, and before the SOP Instance UID, which has `instance` bytes; after the
    status come `more`."""
    start = _element(Tag.AFFECTED_SOP_CLASS_UID, _padded(sop_class, b"\0")) if sop_class else b""
    start += _element(Tag.COMMAND_FIELD, _US.pack(field | RESPONSE_BIT))
    start += _ELEMENT.pack(0, Tag.MESSAGE_ID_BEING_RESPONDED_TO, 2)
    middle = _element(Tag.DATA_SET_TYPE, _US.pack(NO_DATA_SET)) + _ELEMENT.pack(0, Tag.STATUS, 2)
    end = _ELEMENT.pack(0, Tag.AFFECTED_SOP_INSTANCE_UID, instance) if instance else b""
    length = len(start) + len(middle) + len(end) + 2 * _US.size + more + instance
    return _GROUP_LENGTH.pack(0, Tag.GROUP_LENGTH, 4, length) + start, middle, end
