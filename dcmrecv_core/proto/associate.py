"""A-ASSOCIATE-RQ and A-ASSOCIATE-AC (PS3.8 sections 9.3.2 and 9.3.3, user information items PS3.7 annex D.3.3).

Decoding is one bounded walk over the items. Unknown items and reserved fields are ignored (PS3.8 section 9.3.1); an
item that overruns its frame raises RemoteProtocolError with abort 0/0 (action AA-1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from dcmrecv_core.api.errors import LocalProtocolError, RemoteProtocolError
from dcmrecv_core.api.model import UserIdentity
from dcmrecv_core.proto.pdu import HEADER, PduType, check_request_length

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
"""DICOM's only application context name (PS3.7 annex A.2.1)."""

PROTOCOL_VERSION = 1
MIN_MAX_LENGTH = 8
"""The smallest useful maximum length: a PDV header and two bytes."""


class Item:
    """Item types (PS3.8 sections 9.3.2, 9.3.3; PS3.7 annex D.3.3)."""

    APPLICATION_CONTEXT = 0x10
    PROPOSED_CONTEXT = 0x20
    CONTEXT_RESULT = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAX_LENGTH = 0x51
    IMPLEMENTATION_CLASS_UID = 0x52
    ASYNC_WINDOW = 0x53
    ROLE = 0x54
    IMPLEMENTATION_VERSION_NAME = 0x55
    EXTENDED_NEGOTIATION = 0x56
    USER_IDENTITY = 0x58
    USER_IDENTITY_RESPONSE = 0x59


_FIXED = Struct(">H2x16s16s32x")
_ITEM = Struct(">BxH")
_MAX_ITEM_LENGTH = 0xFFFF
_CONTEXT_HEAD = 4
_U32 = Struct(">I")
_U16 = Struct(">H")
_WINDOW = Struct(">HH")

_MAX_ROLE_UID = 128
"""Bytes. The answer to a role repeats the requestor's UID: with longer ones it might not fit into its item."""


class RequestedContext(NamedTuple):
    """A presentation context of a request, UIDs without padding."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


class ContextResult(NamedTuple):
    """A presentation context of an answer (section 9.3.3.2): `result` 0 accepted, 1 user rejection, 2 no reason,
    3 abstract syntax not supported, 4 transfer syntaxes not supported."""

    context_id: int
    result: int
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class UserInformation:
    """The items of section 9.3.2.3 that are used here. `roles` is (SCU, SCP) by SOP class, `extended` the application
    information by SOP class; `max_length` is None if absent (0 and absent both mean no limit)."""

    max_length: int | None = None
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    async_window: tuple[int, int] | None = None
    roles: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    extended: dict[str, bytes] = field(default_factory=dict)
    user_identity: UserIdentity | None = None
    identity_response: bytes | None = None


class Proposal(NamedTuple):
    """The decoded items of an A-ASSOCIATE-RQ."""

    application_context: str
    contexts: tuple[RequestedContext, ...]
    user: UserInformation


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """A decoded A-ASSOCIATE-RQ. Titles are the 16 bytes as received."""

    called: bytes
    calling: bytes
    contexts: tuple[RequestedContext, ...]
    user: UserInformation
    protocol_version: int = PROTOCOL_VERSION
    application_context: str = APPLICATION_CONTEXT

    @property
    def called_ae_title(self) -> str:
        return ae_title(self.called)

    @property
    def calling_ae_title(self) -> str:
        return ae_title(self.calling)


@dataclass(frozen=True, slots=True)
class AssociateAccept:
    """An A-ASSOCIATE-AC to be encoded; titles as in the request."""

    called: bytes
    calling: bytes
    results: tuple[ContextResult, ...]
    user: UserInformation


def ae_title(raw: bytes) -> str:
    """An AE title without leading and trailing blanks, which are not significant (PS3.5 section 6.2), and without NUL,
    with which some senders pad. Bytes beyond ASCII are decoded as Latin-1, which never fails."""
    return raw.split(b"\0", 1)[0].decode("latin-1").strip(" ")


def uid_text(raw: bytes) -> str:
    """A UID without padding: NUL is padding only in data sets, but some senders use it here too, and blanks."""
    return raw.split(b"\0", 1)[0].decode("latin-1").strip(" ")


def _malformed(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"A-ASSOCIATE: {text}", source=0, reason=0)


def items(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(type, start, end) of each item's value between `start` and `end`; raises RemoteProtocolError."""
    while start < end:
        if start + _ITEM.size > end:
            raise _malformed(f"{end - start} bytes left, too few for an item")
        kind, length = _ITEM.unpack_from(data, start)
        start += _ITEM.size
        if start + length > end:
            raise _malformed(f"item {kind:02X} of {length} bytes overruns its frame")
        yield kind, start, start + length
        start += length


def decode_associate_rq(body: bytes, decode: Callable[[bytes], Proposal] | None = None) -> AssociateRequest:
    """Decode the body of an A-ASSOCIATE-RQ, without the 6 octets of the PDU header; raises RemoteProtocolError. The
    caller has checked its maximum length.

    `decode` may be a `decode_items` with a cache: senders change their titles more often than their proposal.
    """
    check_request_length(len(body), len(body))
    version, called, calling = _FIXED.unpack_from(body)
    application_context, contexts, user = (decode or decode_items)(body[_FIXED.size :])
    return AssociateRequest(called, calling, contexts, user, version, application_context)


def decode_items(data: bytes) -> Proposal:
    """The items of an A-ASSOCIATE-RQ, which follow its fixed fields; raises RemoteProtocolError."""
    application_context = ""
    contexts: dict[int, RequestedContext] = {}
    user = UserInformation()
    for kind, start, end in items(data, 0, len(data)):
        if kind == Item.APPLICATION_CONTEXT:
            application_context = uid_text(data[start:end])
        elif kind == Item.PROPOSED_CONTEXT:
            context = _decode_proposed(data, start, end)
            if context.context_id in contexts:
                raise _malformed(f"presentation context {context.context_id} is proposed twice")
            contexts[context.context_id] = context
        elif kind == Item.USER_INFORMATION:
            user = _decode_user_information(data, start, end)
    return Proposal(application_context, tuple(contexts.values()), user)


def _decode_proposed(body: bytes, start: int, end: int) -> RequestedContext:
    if end - start < _CONTEXT_HEAD:
        raise _malformed("presentation context item is too short")
    abstract_syntax = ""
    transfer_syntaxes: list[str] = []
    for kind, first, last in items(body, start + _CONTEXT_HEAD, end):
        if kind == Item.ABSTRACT_SYNTAX:
            abstract_syntax = uid_text(body[first:last])
        elif kind == Item.TRANSFER_SYNTAX:
            transfer_syntaxes.append(uid_text(body[first:last]))
    if not abstract_syntax or not transfer_syntaxes:
        missing = "transfer" if abstract_syntax else "abstract"
        detail = f"presentation context {body[start]} has no {missing} syntax"
        raise RemoteProtocolError("DUL Presentation Context translation failure", source=0, detail=detail)
    return RequestedContext(body[start], abstract_syntax, tuple(transfer_syntaxes))


def _decode_user_information(body: bytes, start: int, end: int) -> UserInformation:
    """As DCMTK reads it: numbers that are too short are ignored; of two roles for a SOP class the first counts."""
    values: dict[str, object] = {}
    roles: dict[str, tuple[bool, bool]] = {}
    extended: dict[str, bytes] = {}
    for kind, first, last in items(body, start, end):
        if kind == Item.MAX_LENGTH:
            if last - first >= _U32.size:
                values["max_length"] = _U32.unpack_from(body, first)[0]
        elif kind == Item.IMPLEMENTATION_CLASS_UID:
            values["implementation_class_uid"] = uid_text(body[first:last])
        elif kind == Item.IMPLEMENTATION_VERSION_NAME:
            values["implementation_version_name"] = ae_title(body[first:last])
        elif kind == Item.ASYNC_WINDOW:
            if last - first >= _WINDOW.size:
                values["async_window"] = _WINDOW.unpack_from(body, first)
        elif kind == Item.ROLE:
            uid, rest = _split_counted(body[first:last])
            if len(uid) <= _MAX_ROLE_UID:
                roles.setdefault(uid_text(uid), (rest[:1] == b"\1", rest[1:2] == b"\1"))
        elif kind == Item.EXTENDED_NEGOTIATION:
            uid, rest = _split_counted(body[first:last])
            extended[uid_text(uid)] = rest
        elif kind == Item.USER_IDENTITY:
            values["user_identity"] = _decode_identity(body[first:last])
    return UserInformation(roles=roles, extended=extended, **values)  # type: ignore[arg-type]


def _split_counted(value: bytes) -> tuple[bytes, bytes]:
    """Split a value into its first field, which has a 16-bit length before it, and the rest."""
    if len(value) < 2 or len(value) < 2 + _U16.unpack_from(value)[0]:
        raise _malformed("field in a user information item overruns it")
    length = _U16.unpack_from(value)[0]
    return value[2 : 2 + length], value[2 + length :]


def _decode_identity(value: bytes) -> UserIdentity:
    if len(value) < 2:
        raise _malformed("user identity item is too short")
    primary, rest = _split_counted(value[2:])
    secondary, _ = _split_counted(rest)
    return UserIdentity(value[0], value[1] == 1, primary, secondary)


def encode_associate_ac(accept: AssociateAccept) -> bytes:
    """The whole A-ASSOCIATE-AC PDU; titles are returned as received, up to a NUL."""
    parts = [
        _FIXED.pack(PROTOCOL_VERSION, _title(accept.called), _title(accept.calling)),
        _uid(Item.APPLICATION_CONTEXT, APPLICATION_CONTEXT),
    ]
    parts.append(_encode_results(accept.results))
    parts.append(_item(Item.USER_INFORMATION, _encode_user_information(accept.user)))
    body = b"".join(parts)
    return HEADER.pack(PduType.ASSOCIATE_AC, len(body)) + body


@lru_cache(maxsize=32)  # the same contexts are proposed again and again
def _encode_results(results: tuple[ContextResult, ...]) -> bytes:
    parts: list[bytes] = []
    for context_id, result, transfer_syntax in results:
        syntax = _uid(Item.TRANSFER_SYNTAX, transfer_syntax)
        parts.append(_item(Item.CONTEXT_RESULT, bytes((context_id, 0, result, 0)) + syntax))
    return b"".join(parts)


def _encode_user_information(user: UserInformation) -> bytes:
    parts: list[bytes] = []
    if user.max_length is not None:
        parts.append(_item(Item.MAX_LENGTH, _U32.pack(user.max_length)))
    if user.implementation_class_uid:
        parts.append(_uid(Item.IMPLEMENTATION_CLASS_UID, user.implementation_class_uid))
    if user.async_window is not None:
        parts.append(_item(Item.ASYNC_WINDOW, _WINDOW.pack(*user.async_window)))
    for uid, (scu, scp) in user.roles.items():
        parts.append(_item(Item.ROLE, _counted(uid.encode("latin-1")) + bytes((scu, scp))))
    if user.implementation_version_name:
        parts.append(_uid(Item.IMPLEMENTATION_VERSION_NAME, user.implementation_version_name))
    for uid, information in user.extended.items():
        parts.append(_item(Item.EXTENDED_NEGOTIATION, _counted(uid.encode("latin-1")) + information))
    if user.identity_response is not None:
        parts.append(_item(Item.USER_IDENTITY_RESPONSE, _counted(user.identity_response)))
    return b"".join(parts)


def _title(raw: bytes) -> bytes:
    return raw.split(b"\0", 1)[0].ljust(16)


def _item(kind: int, value: bytes) -> bytes:
    if len(value) > _MAX_ITEM_LENGTH:
        raise LocalProtocolError(f"item {kind:02X} of {len(value)} bytes cannot be sent")
    return _ITEM.pack(kind, len(value)) + value


def _uid(kind: int, uid: str) -> bytes:
    return _item(kind, uid.encode("latin-1"))


def _counted(value: bytes) -> bytes:
    return _U16.pack(len(value)) + value
