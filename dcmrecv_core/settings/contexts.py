"""The presentation contexts that are accepted by default: Verification, as in DCMTK dcmrecv; if the user named a plugin
that stores, all standard storage SOP classes as well."""

from __future__ import annotations

from dcmrecv_core.api.verdicts import SupportedContext
from dcmrecv_core.settings.syntax_order import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN, rank
from dcmrecv_core.settings.uids import storage_sop_classes, transfer_syntaxes

VERIFICATION = "1.2.840.10008.1.1"
_UNCOMPRESSED = (EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN)


def default_contexts(*, stores: bool) -> tuple[SupportedContext, ...]:
    """What is accepted if no plugin answers; `stores`: a plugin that stores was named."""
    return standard_storage() if stores else verification_only()


def verification_only() -> tuple[SupportedContext, ...]:
    """The default of DCMTK dcmrecv (NOTES, DICOM Conformance)."""
    return (SupportedContext(VERIFICATION, (IMPLICIT_LITTLE_ENDIAN,)),)


def standard_storage() -> tuple[SupportedContext, ...]:
    """Verification and all storage SOP classes in all known transfer syntaxes, uncompressed little endian first."""
    syntaxes = tuple(dict.fromkeys((*_UNCOMPRESSED, *sorted(transfer_syntaxes(), key=rank))))
    classes = dict.fromkeys((VERIFICATION, *storage_sop_classes()))
    return tuple(SupportedContext(uid, syntaxes) for uid in classes)
