"""Proposed presentation contexts against supported ones (PS3.8 section 9.3.3, PS3.7 annexes D.3.3.4 and D.3.3.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dcmrecv_core.api.model import ProposedContext
from dcmrecv_core.api.verdicts import Role, SupportedContext
from dcmrecv_core.proto.associate import ContextResult, RequestedContext
from dcmrecv_core.settings.syntax_order import rank

ACCEPTED = 0
NO_REASON = 2
"""Used here if the peer did not propose the only role that is allowed."""
ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED = 4

RESULTS = {
    ACCEPTED: "accepted",
    NO_REASON: "no reason given",
    ABSTRACT_SYNTAX_NOT_SUPPORTED: "abstract syntax not supported",
    TRANSFER_SYNTAXES_NOT_SUPPORTED: "transfer syntaxes not supported",
}
"""Names of the results of a context (PS3.8 table 9-18)."""

PLACEHOLDER = "1.2.840.10008.1.2"
"""Transfer syntax of a rejected context: the field is required but not significant (section 9.3.3.2)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The contents of the A-ASSOCIATE-AC.

    `accepted` is (abstract, transfer syntax) by context id; `refused` is the other contexts with their results.
    """

    results: tuple[ContextResult, ...]
    accepted: dict[int, tuple[str, str]]
    roles: dict[str, tuple[bool, bool]] = field(default_factory=dict)
    extended: dict[str, bytes] = field(default_factory=dict)
    refused: tuple[tuple[ProposedContext, int], ...] = ()


def proposed_contexts(
    contexts: tuple[RequestedContext, ...], roles: dict[str, tuple[bool, bool]], extended: dict[str, bytes]
) -> tuple[ProposedContext, ...]:
    """The contexts of a request, with roles and extended negotiation by SOP class, as hooks see them."""
    return tuple(
        ProposedContext(context_id, abstract, transfer, roles.get(abstract), extended.get(abstract))
        for context_id, abstract, transfer in contexts
    )


@dataclass(slots=True)
class AcceptedSyntaxes:
    """The transfer syntaxes that all sources together accept for an abstract syntax: those `listed`, in this order;
    then, with `any_syntax`, every other one, by its rank and in the order of the proposal."""

    listed: dict[str, None]
    any_syntax: bool
    role: Role | None
    extended: bytes | None


def merge(supported: Sequence[SupportedContext]) -> dict[str, AcceptedSyntaxes]:
    """One entry for each abstract syntax: the union of all sources, in the order of the first; role and extended
    negotiation are those of the first source that has them."""
    merged: dict[str, AcceptedSyntaxes] = {}
    for context in supported:
        entry = merged.get(context.abstract_syntax)
        if entry is None:
            entry = merged[context.abstract_syntax] = AcceptedSyntaxes({}, False, context.role, context.extended)
        if context.transfer_syntaxes is None:
            entry.any_syntax = True
        elif not entry.any_syntax:  # after any syntax a list has no effect
            entry.listed.update(dict.fromkeys(context.transfer_syntaxes))
        entry.role = entry.role or context.role
        if entry.extended is None:
            entry.extended = context.extended
    return merged


def negotiate(
    proposed: Sequence[ProposedContext], supported: Sequence[SupportedContext], preferred: Sequence[str] = ()
) -> Answer:
    """Decide on each proposed context on its own (PS3.8 section 7.1.1.13).

    The transfer syntax is the first of the `preferred` ones that is proposed and accepted; else the first of ours that
    is proposed; else, if any is accepted, the first proposed of the lowest `rank`.
    """
    ours = merge(supported)
    results: list[ContextResult] = []
    accepted: dict[int, tuple[str, str]] = {}
    roles: dict[str, tuple[bool, bool]] = {}
    extended: dict[str, bytes] = {}
    for context in proposed:
        abstract_syntax = context.abstract_syntax
        entry = ours.get(abstract_syntax)
        if entry is None:
            results.append(ContextResult(context.context_id, ABSTRACT_SYNTAX_NOT_SUPPORTED, PLACEHOLDER))
            continue
        transfer_syntax = _choose(entry, context.transfer_syntaxes, preferred)
        if transfer_syntax is None:
            results.append(ContextResult(context.context_id, TRANSFER_SYNTAXES_NOT_SUPPORTED, PLACEHOLDER))
            continue
        if entry.role is Role.SCP and context.role is None:
            results.append(ContextResult(context.context_id, NO_REASON, PLACEHOLDER))
            continue
        results.append(ContextResult(context.context_id, ACCEPTED, transfer_syntax))
        accepted[context.context_id] = (abstract_syntax, transfer_syntax)
        if context.role is not None:
            role = _answer_role(entry.role, context.role)
            if role is not None:
                roles[abstract_syntax] = role
        if entry.extended is not None:
            extended[abstract_syntax] = entry.extended
    refused = tuple(
        (context, result.result) for context, result in zip(proposed, results, strict=True) if result.result != ACCEPTED
    )
    return Answer(tuple(results), accepted, roles, extended, refused)


def _choose(entry: AcceptedSyntaxes, proposed: tuple[str, ...], preferred: Sequence[str]) -> str | None:
    for syntax in preferred:
        if syntax in proposed and (entry.any_syntax or syntax in entry.listed):
            return syntax
    for syntax in entry.listed:
        if syntax in proposed:
            return syntax
    return min(proposed, key=rank) if entry.any_syntax else None


def _answer_role(ours: Role | None, asked: tuple[bool, bool]) -> tuple[bool, bool] | None:
    """(SCU, SCP) for the requestor: never more than it proposed (PS3.7 D.3.3.4).

    Without a configured role the default roles apply. Only a requestor that proposed SCU gets them in the answer; to
    others it would be 0/0, which means no role at all.
    """
    scu, scp = asked
    if ours is None:
        return (True, False) if scu else None
    return scu and ours is not Role.SCP, scp and ours is not Role.SCU
