"""A sender like a modality, by pynetdicom."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_SECONDS = 20.0
_HINT = '; without a plugin that names or stores, it accepts Verification only, unless it is started with "-pm"'


def send(
    port: int,
    *datasets: Dataset,
    host: str = "127.0.0.1",
    calling_ae_title: str = "SENDER",
    called_ae_title: str = "ANY-SCP",
) -> list[int]:
    """Send instances in one association, each in the transfer syntax of its `file_meta`; returns their statuses.

    Without instances it sends a C-ECHO. Raises AssertionError if there is no association, no context for an instance,
    or no response within 20 seconds.
    """
    from pynetdicom import AE

    entity = AE(ae_title=calling_ae_title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = _SECONDS
    wanted = {(str(dataset.SOPClassUID), str(dataset.file_meta.TransferSyntaxUID)) for dataset in datasets}
    for sop_class, syntax in sorted(wanted) or [("1.2.840.10008.1.1", "1.2.840.10008.1.2")]:
        entity.add_requested_context(sop_class, syntax)
    association = entity.associate(host, port, ae_title=called_ae_title)
    if not association.is_established:
        # on a busy machine pynetdicom reports some rejections as aborts, so both get the same message
        raise AssertionError(f"the association with port {port} was rejected or aborted{_HINT}")
    try:
        accepted = {(context.abstract_syntax, context.transfer_syntax[0]) for context in association.accepted_contexts}
        refused = wanted - {(str(sop_class), str(syntax)) for sop_class, syntax in accepted}
        if refused:
            raise AssertionError(f"the receiver accepts no context for {sorted(refused)}{_HINT}")
        answers = [association.send_c_store(dataset) for dataset in datasets] or [association.send_c_echo()]
    finally:
        association.release()
    missing = [number for number, answer in enumerate(answers) if "Status" not in answer]
    if missing:
        raise AssertionError(f"no response to instance {missing[0] + 1} of {len(answers)}: connection lost or time out")
    return [int(answer.Status) for answer in answers]
