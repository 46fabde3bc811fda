"""DIMSE messages as DCMTK's tools dump them, for `-d`, and the names of statuses in the log.

Command sets only, as these identify no patient; data sets are not dumped.
"""

from __future__ import annotations

from dcmrecv_core.logs.records import escape_controls
from dcmrecv_core.proto.dimse import Command, CommandField, Tag, command_elements
from dcmrecv_core.settings.uids import name_of

_TYPES = {
    0x0001: "C-STORE",
    0x0010: "C-GET",
    0x0020: "C-FIND",
    0x0021: "C-MOVE",
    0x0030: "C-ECHO",
    0x0FFF: "C-CANCEL",
    0x0100: "N-EVENT-REPORT",
    0x0110: "N-GET",
    0x0120: "N-SET",
    0x0130: "N-ACTION",
    0x0140: "N-CREATE",
    0x0150: "N-DELETE",
}
_PRIORITIES = {0: "medium", 1: "high", 2: "low"}

_STATUSES = {
    0x0000: ("", "Success"),
    0x0110: ("Failure", "Processing failure"),
    0x0111: ("Failure", "Duplicate SOP Instance"),
    0x0112: ("Failure", "No such object instance"),
    0x0113: ("Failure", "No such event type"),
    0x0117: ("Failure", "Invalid SOP Instance"),
    0x0118: ("Failure", "No such SOP class"),
    0x0122: ("Refused", "SOP Class not supported"),
    0x0123: ("Failure", "No such action"),
    0x0124: ("Refused", "Not authorized"),
    0x0211: ("Failure", "Unrecognized operation"),
    0x0212: ("Failure", "Mistyped argument"),
    0x0213: ("Failure", "Resource limitation"),
    0xA700: ("Refused", "Out of resources"),
    0xA900: ("Error", "Data Set does not match SOP Class"),
    0xB000: ("Warning", "Coercion of Data Elements"),
    0xB006: ("Warning", "Elements discarded"),
    0xB007: ("Warning", "Data Set does not match SOP Class"),
    0xC000: ("Error", "Cannot understand"),
}
"""Category and text (PS3.4 table B.2-1, PS3.7 annex C)."""


def message_type(field: int) -> str:
    """The name of a request with this Command Field, for example "C-STORE"."""
    return _TYPES.get(field, f"command {field:04X}")


def status_name(status: int) -> str:
    """A status in the log line of a response: "Success", "Refused: OutOfResources"."""
    known = _STATUSES.get(status)
    if known is None:
        return f"{'Warning' if status >> 12 == 0xB else 'Error'}: {status:04X}"
    category, text = known
    joined = "".join(word[0].upper() + word[1:] for word in text.split(" "))
    return f"{category}: {joined}" if category else joined


def _status_line(status: int) -> str:
    category, text = _STATUSES.get(status, ("", f"Unknown Status: 0x{status:x}"))
    return text if category in ("", "Failure") else f"{category}: {text}"


def request(context_id: int, command: Command) -> str:
    """The dump of a request from its bytes."""
    elements = command_elements(command.encoded)
    # DCMTK shows the context only of requests that it handles
    has_context = command.field in (CommandField.C_STORE_RQ, CommandField.C_ECHO_RQ)
    lines = [
        "===================== INCOMING DIMSE MESSAGE ====================",
        _line("Message Type", f"{message_type(command.field)} RQ"),
        *([_line("Presentation Context ID", context_id)] * has_context),
    ]
    if Tag.MESSAGE_ID_BEING_RESPONDED_TO in elements:
        lines.append(_line("Message ID Being Responded To", command.message_id))
    else:
        lines.append(_line("Message ID", command.message_id))
    if command.field != CommandField.C_ECHO_RQ:
        lines += _uids(command, elements)
    lines.append(_line("Data Set", "present" if command.has_data_set else "none"))
    priority = elements.get(Tag.PRIORITY)
    if priority is not None:
        number = int.from_bytes(priority, "little")
        lines.append(_line("Priority", _PRIORITIES.get(number, f"unknown ({number:04X})")))
    if Tag.MOVE_ORIGINATOR_AE_TITLE in elements:
        lines.append(_line("Move Originator AE Title", escape_controls(command.move_originator)))
    if Tag.MOVE_ORIGINATOR_MESSAGE_ID in elements:
        originator = int.from_bytes(elements[Tag.MOVE_ORIGINATOR_MESSAGE_ID], "little")
        lines.append(_line("Move Originator ID", originator))
    lines.append("======================= END DIMSE MESSAGE =======================")
    return "\n".join(lines)


def response(context_id: int, command: Command, status: int, comment: str, with_data_set: bool = False) -> str:
    """The dump of the response to `command`."""
    lines = [
        "===================== OUTGOING DIMSE MESSAGE ====================",
        _line("Message Type", f"{message_type(command.field)} RSP"),
        _line("Presentation Context ID", context_id),
        _line("Message ID Being Responded To", command.message_id),
        *_uids(command, command_elements(command.encoded)),
        _line("Data Set", "present" if with_data_set else "none"),
        _line("DIMSE Status", f"0x{status:04x}: {_status_line(status)}"),
    ]
    if comment:
        lines.append(_line("Error Comment", escape_controls(comment)))
    lines.append("======================= END DIMSE MESSAGE =======================")
    return "\n".join(lines)


def _uids(command: Command, elements: dict[int, bytes]) -> list[str]:
    lines = []
    if Tag.AFFECTED_SOP_CLASS_UID in elements:
        uid = command.sop_class_uid
        lines.append(_line("Affected SOP Class UID", name_of(uid) or escape_controls(uid)))
    if Tag.AFFECTED_SOP_INSTANCE_UID in elements:
        lines.append(_line("Affected SOP Instance UID", escape_controls(command.sop_instance_uid)))
    return lines


def _line(label: str, value: object) -> str:
    return f"{label:<30}: {value}"
