"""A plugin that does what the calling AE title says."""

from __future__ import annotations

from dcmrecv_core import Association, Discard, Instance, Refuse, Reject, RejectReason, hookimpl


@hookimpl
def negotiate(association: Association) -> Reject | None:
    if association.calling_ae_title == "REJECT":
        return Reject(RejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED)
    return None


@hookimpl
def receive(instance: Instance) -> Refuse | Discard | None:
    return {"REFUSE": Refuse(0xA700, "no room for it"), "DISCARD": Discard()}.get(instance.association.calling_ae_title)
