"""Associations as DCMTK's tools dump them, for `+v` and `-d`: the request, the answer, the request's bytes.

Unlike DCMTK, text from a peer is escaped, so that it cannot forge a line, and credentials are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from dcmrecv_core.api.errors import RemoteProtocolError
from dcmrecv_core.api.model import UserIdentity
from dcmrecv_core.api.verdicts import Role, SupportedContext
from dcmrecv_core.api.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dcmrecv_core.logs.records import escape_controls
from dcmrecv_core.proto.associate import AssociateRequest, Item, items
from dcmrecv_core.proto.negotiation import ACCEPTED, Answer
from dcmrecv_core.proto.pdu import HEADER_LENGTH, MIN_REQUEST_LENGTH
from dcmrecv_core.settings.uids import name_of

MAX_DUMPED = 512
"""Bytes of a PDU that are dumped."""

_BYTES_PER_LINE = 16
_HIDDEN = "**"

_STATES = {
    ACCEPTED: "Accepted",
    1: "User Rejection",
    2: "No Reason",
    3: "Abstract Syntax Not Supported",
    4: "Transfer Syntaxes Not Supported",
}

_PROPOSED_ROLES = {
    None: "Default",
    (True, True): "SCP/SCU",
    (True, False): "SCU",
    (False, True): "SCP",
    (False, False): "None",
}
_CONFIGURED_ROLES = {None: "Default", Role.BOTH: "SCP/SCU", Role.SCU: "SCU", Role.SCP: "SCP"}


class Decision(NamedTuple):
    """The decision on a request: the answer, and the supported contexts that led to it."""

    answer: Answer
    supported: Sequence[SupportedContext]


def association(kind: str, request: AssociateRequest, max_pdu: int, decision: Decision | None = None) -> str:
    """The dump of a `kind` "A-ASSOCIATE-RQ" (no decision yet), "-AC" or "-RJ"; `max_pdu` is the length we announce."""
    user = request.user
    lines = [
        f"====================== BEGIN {kind} =====================",
        f"Our Implementation Class UID:      {IMPLEMENTATION_CLASS_UID}",
        f"Our Implementation Version Name:   {IMPLEMENTATION_VERSION_NAME}",
        f"Their Implementation Class UID:    {escape_controls(user.implementation_class_uid)}",
        f"Their Implementation Version Name: {escape_controls(user.implementation_version_name)}",
        f"Application Context Name:    {escape_controls(request.application_context)}",
        f"Calling Application Name:    {escape_controls(request.calling_ae_title)}",
        f"Called Application Name:     {escape_controls(request.called_ae_title)}",
        f"Responding Application Name: {escape_controls(request.called_ae_title) if decision else ''}",
        f"Our Max PDU Receive Size:    {max_pdu & ~1}",
        f"Their Max PDU Receive Size:  {user.max_length or 0}",
        "Presentation Contexts:",
        *(_proposed_contexts(request) if decision is None else _decided_contexts(request, decision)),
        *_extended("Requested Extended Negotiation:", user.extended),
        *_extended("Accepted Extended Negotiation: ", decision.answer.extended if decision else {}),
        *_identity(user.user_identity),
        "User Identity Negotiation Response:  none",
        f"======================= END {kind} ======================",
    ]
    return "\n".join(lines)


def _proposed_contexts(request: AssociateRequest) -> Iterator[str]:
    for context_id, abstract_syntax, transfer_syntaxes in request.contexts:
        yield from _context(context_id, "Proposed", abstract_syntax, request)
        yield "    Proposed Transfer Syntax(es):"
        yield from (f"      {_named(uid)}" for uid in transfer_syntaxes)


def _decided_contexts(request: AssociateRequest, decision: Decision) -> Iterator[str]:
    roles: dict[str, Role] = {}
    for supported in decision.supported:
        if supported.role is not None:
            roles.setdefault(supported.abstract_syntax, supported.role)
    results = {result.context_id: result for result in decision.answer.results}
    for context_id, abstract_syntax, _ in request.contexts:
        result = results[context_id]
        # DCMTK checks the role after the transfer syntax: "No Reason" refuses a role
        role = roles.get(abstract_syntax) if result.result in (ACCEPTED, 2) else None
        yield from _context(context_id, _STATES[result.result], abstract_syntax, request)
        yield f"    Accepted SCP/SCU Role: {_CONFIGURED_ROLES[role]}"
        if result.result == ACCEPTED:
            yield f"    Accepted Transfer Syntax: {_named(result.transfer_syntax)}"


def _context(context_id: int, state: str, abstract_syntax: str, request: AssociateRequest) -> tuple[str, ...]:
    return (
        f"  Context ID:        {context_id} ({state})",
        f"    Abstract Syntax: {_named(abstract_syntax)}",
        f"    Proposed SCP/SCU Role: {_PROPOSED_ROLES[request.user.roles.get(abstract_syntax)]}",
    )


def _named(uid: str) -> str:
    name = name_of(uid)
    return f"={name}" if name else escape_controls(uid)


def _extended(title: str, extended: Mapping[str, bytes]) -> list[str]:
    if not extended:
        return [f"{title} none"]
    lines = [title.rstrip()]
    for uid, information in extended.items():
        octets = ", ".join(f"0x{octet:02x}" for octet in information)
        lines += [f"  ={name_of(uid) or 'Unknown-UID'} ({escape_controls(uid)})", f"    [{octets}]"]
    return lines


_TOKENS = {
    3: ("Kerberos", "Kerberos Service Ticket"),
    4: ("SAML", "SAML Assertion"),
    5: ("JWT", "JSON Web Token"),
}


def _identity(identity: UserIdentity | None) -> list[str]:
    title = "Requested User Identity Negotiation:"
    if identity is None:
        return [f"{title} none"]
    lines = [title]
    if identity.kind in (1, 2):
        lines += [
            f"  Authentication mode {identity.kind}: {'Username/Password' if identity.kind == 2 else 'Username'}",
            f"  Username: [{escape_controls(identity.primary.decode('utf-8', 'replace'))}]",
        ]
        if identity.kind == 2:
            lines.append("  Password: [not dumped]")
    elif identity.kind in _TOKENS:
        mode, token = _TOKENS[identity.kind]
        lines += [
            f"  Authentication mode {identity.kind}: {mode}",
            f"  {token} (not dumped) length: {len(identity.primary)}",
        ]
    else:
        lines += [
            f"  Authentication mode: Unknown ({identity.kind})",
            f"  First value (not dumped), length: {len(identity.primary)}",
            f"  Second value (not dumped), length: {len(identity.secondary)}",
        ]
    lines.append(f"  Positive Response requested: {'Yes' if identity.response_requested else 'No'}")
    return lines


def request_bytes(data: bytes) -> str:
    """The dump of a whole A-ASSOCIATE-RQ, header included, with user identities hidden."""
    shown = [f"{octet:02x}" for octet in data[:MAX_DUMPED]]
    for start, end in _credentials(data):
        count = min(end, MAX_DUMPED) - start
        if count > 0:
            shown[start : start + count] = [_HIDDEN] * count
    length = len(data) - HEADER_LENGTH
    lines = [f"PDU Type: Associate Request, PDU Length: {length} + {HEADER_LENGTH} bytes PDU header"]
    if len(data) > MAX_DUMPED:
        lines.append(f"Only dumping {MAX_DUMPED} bytes.")
    for start in range(0, len(shown), _BYTES_PER_LINE):
        lines.append("".join(f"  {octet}" for octet in shown[start : start + _BYTES_PER_LINE]))
    if len(shown) % _BYTES_PER_LINE == 0:
        lines.append("")  # DCMTK begins another line here
    return "\n".join(lines)


def _credentials(data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of bytes that may be secret: a user identity after its type byte, and everything from the first
    item that cannot be read."""
    read = HEADER_LENGTH + MIN_REQUEST_LENGTH
    try:
        for kind, start, end in items(data, read, len(data)):
            if kind == Item.USER_INFORMATION:
                for inner, first, last in items(data, start, end):
                    if inner == Item.USER_IDENTITY:
                        yield first + 1, last
                    read = last
            elif kind == Item.USER_IDENTITY:  # outside the user information
                yield start, end
            read = end
    except RemoteProtocolError:
        yield read, len(data)
