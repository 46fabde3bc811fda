"""`--promiscuous`: what is accepted."""

from __future__ import annotations

from dcmrecv_builtin import promiscuous
from dcmrecv_core import Association, ProposedContext, SupportedContext
from support.uids import CT, IMPLICIT_LE, VERIFICATION


def proposing(*abstract_syntaxes: str) -> Association:
    contexts = (ProposedContext(2 * n + 1, uid, (IMPLICIT_LE,)) for n, uid in enumerate(abstract_syntaxes))
    return Association("A", "B", "192.0.2.1", 1, "1", tuple(contexts))


def test_promiscuous() -> None:
    """Verification, standard, private and unknown storage, but no other known service."""
    accepted = [VERIFICATION, CT, "1.2.276.0.7230010.3.1.0.1", "1.2.3.4"]
    others = ["1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.31", "1.2.840.10008.1.20.1"]
    contexts = promiscuous.negotiate(proposing(*accepted, *others))
    assert list(contexts) == [SupportedContext(uid, None) for uid in accepted]
