"""What `-d` says about a conversation: the association request as it was decoded, and every command."""

from __future__ import annotations

import logging

from dcmrecv_core.proto.associate import AssociateRequest
from dcmrecv_core.proto.dimse import Command

log = logging.getLogger("dcmrecv.net")


def log_request(request: AssociateRequest) -> None:
    """All of an A-ASSOCIATE-RQ but the secrets of a user identity."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    user = request.user
    log.debug("A-ASSOCIATE-RQ: maximum length %s, asynchronous operations %s", user.max_length, user.async_window)
    log.debug("  implementation %r, version %r", user.implementation_class_uid, user.implementation_version_name)
    for context_id, abstract_syntax, transfer_syntaxes in request.contexts:
        log.debug("  proposed context %d: %s: %s", context_id, abstract_syntax, ", ".join(transfer_syntaxes))
    for uid, (scu, scp) in user.roles.items():
        log.debug("  role selection: %s: SCU %d, SCP %d", uid, scu, scp)
    for uid, information in user.extended.items():
        log.debug("  extended negotiation: %s: %d bytes", uid, len(information))
    if user.user_identity is not None:
        log.debug("  user identity of type %d", user.user_identity.kind)


def log_command(context_id: int, command: Command) -> None:
    """A DIMSE request."""
    if log.isEnabledFor(logging.DEBUG):
        log.debug(
            "command %04X on context %d: message %d, SOP class %r, SOP instance %r, %s data set",
            command.field,
            context_id,
            command.message_id,
            command.sop_class_uid,
            command.sop_instance_uid,
            "with" if command.has_data_set else "no",
        )


def log_response(command: Command, status: int, comment: str) -> None:
    """What the request was answered."""
    log.debug("response %04X: message %d, status %04X %s", command.field | 0x8000, command.message_id, status, comment)
