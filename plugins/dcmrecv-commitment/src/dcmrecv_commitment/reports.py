"""N-EVENT-REPORT (PS3.4 section J.3.3), on an association that we request, in the role of an SCP."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_role

from dcmrecv_commitment.evaluation import Verdict
from dcmrecv_commitment.information import TRY_AGAIN, event_type, information
from dcmrecv_commitment.peers import Route
from dcmrecv_commitment.requests import INSTANCE, STORAGE_COMMITMENT, Asked

if TYPE_CHECKING:
    from pynetdicom.association import Association

log = logging.getLogger("dcmrecv.commitment")

TIMEOUT = 30.0
"""Seconds for the connection, and for each answer."""

CALLING = "DCMRECV"
"""Our title, if the one that the requestor has called cannot be used."""


class NotReported(Exception):
    """The peer has not taken the report; the text says why. It is tried again."""


def report(route: Route, asked: Asked, verdict: Verdict) -> int:
    """Send a report; returns the status with which the peer has answered. Raises NotReported."""
    association = _associate(route, asked.called)
    try:
        if not association.accepted_contexts[0].as_scp:
            log.info("%s has not taken the proposed role (SCP), it gets the report all the same", asked.title)
        told = information(asked, verdict)
        answer, _ = association.send_n_event_report(told, event_type(verdict), STORAGE_COMMITMENT, INSTANCE)
    except (ValueError, RuntimeError, OSError) as error:
        raise NotReported(f"the report cannot be sent: {error}") from error
    finally:
        if association.is_established:
            association.release()
    status = getattr(answer, "Status", None)
    if status is None:
        raise NotReported("no answer to the report")
    if status in TRY_AGAIN:
        raise NotReported(f"the report was answered with status {status:04X}")
    return int(status)


def reach(route: Route, called: str) -> None:
    """Return if the peer accepts an association for reports. Raises NotReported."""
    _associate(route, called).release()


def _associate(route: Route, called: str) -> Association:
    peer = route.peer
    entity = _entity(called)
    entity.add_requested_context(STORAGE_COMMITMENT, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    association = entity.associate(
        peer.host,
        peer.port,
        ae_title=peer.title,
        ext_neg=[build_role(UID(STORAGE_COMMITMENT), scu_role=False, scp_role=True)],
        tls_args=None if route.tls is None else (route.tls, peer.tls_name or peer.host),
    )
    if association.is_established:
        return association
    where = f"{peer.host} port {peer.port}"
    if association.is_rejected:
        answer = association.acceptor.primitive
        raise NotReported(f"{where} rejected the association: {getattr(answer, 'reason_str', 'no reason')}")
    if association.rejected_contexts:
        raise NotReported(f"{where} does not accept storage commitment")
    raise NotReported(f"no association with {where}")


def _entity(called: str) -> AE:
    try:
        entity = AE(ae_title=called)
    except ValueError:
        entity = AE(ae_title=CALLING)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT
    return entity
