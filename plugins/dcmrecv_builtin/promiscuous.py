"""`-pm, --promiscuous`: accept Verification and every storage class, private and unknown ones too, in any proposed
transfer syntax; but no UID that is known to be another service."""

from functools import lru_cache

from dcmrecv_core import Association, SupportedContext, hookimpl, is_other_service

VERIFICATION = "1.2.840.10008.1.1"


def is_storage(abstract_syntax: str) -> bool:
    """Whether instances of this SOP class may be stored; true of Verification too."""
    return abstract_syntax == VERIFICATION or not is_other_service(abstract_syntax)


@hookimpl
def negotiate(association: Association) -> tuple[SupportedContext, ...]:
    return _supported(tuple([proposed.abstract_syntax for proposed in association.proposed]))


# a sender proposes the same each time, and what follows from the same object is known too
@lru_cache(maxsize=16)
def _supported(abstract_syntaxes: tuple[str, ...]) -> tuple[SupportedContext, ...]:
    return tuple(SupportedContext(each, transfer_syntaxes=None) for each in abstract_syntaxes if is_storage(each))
