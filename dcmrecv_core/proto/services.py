"""DIMSE-N requests and responses (PS3.7 section 10.3, elements of annex E.1), which plugins serve."""

from __future__ import annotations

from struct import iter_unpack

from dcmrecv_core.api.services import Command as ServiceCommand
from dcmrecv_core.api.services import EventReport, Response, Service
from dcmrecv_core.proto import dimse
from dcmrecv_core.proto.dimse import MAX_UID_LENGTH, Command, Status, Tag, command_elements, command_text, first_number

FIELDS = frozenset(service.value for service in Service)

REPORT_RESPONSE = Service.N_EVENT_REPORT.value | dimse.RESPONSE_BIT
"""The Command Field of the only response that a peer may send."""

_AFFECTED = (Service.N_EVENT_REPORT, Service.N_CREATE)
"""Their requests name the Affected class and instance, all others the Requested ones."""


def decode_service(command: Command) -> ServiceCommand:
    """The request as plugins see it; `command` is one of `FIELDS`. What is absent or too short counts as absent."""
    service = Service(command.field)
    elements = command_elements(command.encoded)
    affected = service in _AFFECTED
    class_tag = Tag.AFFECTED_SOP_CLASS_UID if affected else Tag.REQUESTED_SOP_CLASS_UID
    instance_tag = Tag.AFFECTED_SOP_INSTANCE_UID if affected else Tag.REQUESTED_SOP_INSTANCE_UID
    event_type = first_number(elements.get(Tag.EVENT_TYPE_ID, b"")) if service is Service.N_EVENT_REPORT else None
    action_type = first_number(elements.get(Tag.ACTION_TYPE_ID, b"")) if service is Service.N_ACTION else None
    wanted = elements.get(Tag.ATTRIBUTE_IDENTIFIER_LIST, b"") if service is Service.N_GET else b""
    return ServiceCommand(
        service,
        command.message_id,
        command_text(elements.get(class_tag, b"")),
        command_text(elements.get(instance_tag, b"")),
        event_type,
        action_type,
        tuple(group << 16 | element for group, element in iter_unpack("<HH", wanted[: len(wanted) & ~3])),
    )


def refusal_of(request: ServiceCommand) -> tuple[int, str] | None:
    """Status and comment for a request that no plugin could understand: it lacks what the standard wants in it."""
    service = request.service
    if not 0 < len(request.sop_class_uid) <= MAX_UID_LENGTH:
        return Status.NO_SUCH_SOP_CLASS, f"SOP Class UID is {_fault(request.sop_class_uid)}"
    unnamed = service is Service.N_CREATE and not request.sop_instance_uid  # the receiver chooses one
    if not unnamed and not 0 < len(request.sop_instance_uid) <= MAX_UID_LENGTH:
        return Status.INVALID_SOP_INSTANCE, f"SOP Instance UID is {_fault(request.sop_instance_uid)}"
    if service is Service.N_EVENT_REPORT and request.event_type_id is None:
        return Status.NO_SUCH_EVENT_TYPE, "Event Type ID is missing"
    if service is Service.N_ACTION and request.action_type_id is None:
        return Status.NO_SUCH_ACTION_TYPE, "Action Type ID is missing"
    return None


def _fault(uid: str) -> str:
    return f"longer than {MAX_UID_LENGTH} characters" if uid else "missing"


def encode_service_response(
    request: ServiceCommand, response: Response, elements: tuple[int, ...] = (), *, has_data_set: bool
) -> bytes:
    """The command set of the response: class, instance and type are those of the request, unless `response` has others.

    `elements` are the tags for Offending Element.
    """
    service = request.service
    instance = response.affected_sop_instance_uid or request.sop_instance_uid
    event_type = action_type = None
    if service is Service.N_EVENT_REPORT:
        event_type = request.event_type_id if response.event_type_id is None else response.event_type_id
    elif service is Service.N_ACTION:
        action_type = request.action_type_id if response.action_type_id is None else response.action_type_id
    return dimse.encode_elements(
        (Tag.AFFECTED_SOP_CLASS_UID, dimse.encoded_uid(request.sop_class_uid)),
        (Tag.COMMAND_FIELD, service.value | dimse.RESPONSE_BIT),
        (Tag.MESSAGE_ID_BEING_RESPONDED_TO, request.message_id),
        (Tag.DATA_SET_TYPE, dimse.DATA_SET if has_data_set else dimse.NO_DATA_SET),
        (Tag.STATUS, int(response.status)),
        (Tag.OFFENDING_ELEMENT, dimse.encoded_tags(elements)),
        (Tag.ERROR_COMMENT, dimse.encoded_comment(response.comment)),
        (Tag.AFFECTED_SOP_INSTANCE_UID, dimse.encoded_uid(instance)),
        (Tag.EVENT_TYPE_ID, None if event_type is None else int(event_type)),
        (Tag.ACTION_TYPE_ID, None if action_type is None else int(action_type)),
    )


def encode_event_report(message_id: int, report: EventReport, *, has_data_set: bool) -> bytes:
    """The command set of an N-EVENT-REPORT-RQ (PS3.7 table 10.3-1)."""
    return dimse.encode_elements(
        (Tag.AFFECTED_SOP_CLASS_UID, dimse.encoded_uid(report.sop_class_uid)),
        (Tag.COMMAND_FIELD, Service.N_EVENT_REPORT.value),
        (Tag.MESSAGE_ID, message_id),
        (Tag.DATA_SET_TYPE, dimse.DATA_SET if has_data_set else dimse.NO_DATA_SET),
        (Tag.AFFECTED_SOP_INSTANCE_UID, dimse.encoded_uid(report.sop_instance_uid)),
        (Tag.EVENT_TYPE_ID, int(report.event_type_id)),
    )


def status_in(response: Command) -> int:
    """The status of a response; 0110 (processing failure) if it has none."""
    status = first_number(command_elements(response.encoded).get(Tag.STATUS, b""))
    return Status.PROCESSING_FAILURE if status is None else status
