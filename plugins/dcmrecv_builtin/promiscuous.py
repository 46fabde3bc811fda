"""`-pm, --promiscuous`: accept Verification and every storage class, private and unknown ones too, in any proposed
transfer syntax; but no UID that is known to be another service."""

from dcmrecv_core import Association, SupportedContext, hookimpl, is_other_service

VERIFICATION = "1.2.840.10008.1.1"


def is_storage(abstract_syntax: str) -> bool:
    """Whether instances of this SOP class may be stored; true of Verification too."""
    return abstract_syntax == VERIFICATION or not is_other_service(abstract_syntax)


@hookimpl
def negotiate(association: Association) -> list[SupportedContext]:
    return [
        SupportedContext(proposed.abstract_syntax, transfer_syntaxes=None)
        for proposed in association.proposed
        if is_storage(proposed.abstract_syntax)
    ]
