"""The kit's sender: what it says of an association that is not accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
from pynetdicom.acse import ACSE

from dcmrecv_core.testing import StartReceiver, until

pytest_plugins = ["dcmrecv_core.testing"]

REJECTING = """
from dcmrecv_core import Reject, RejectReason, hookimpl


@hookimpl
def negotiate(association):
    return Reject(RejectReason.CALLED_AE_TITLE_NOT_RECOGNIZED)
"""


def test_a_rejection_that_pynetdicom_does_not_see_is_told(
    start_receiver: StartReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When pynetdicom looks whether there is a connection, it has ended: on a busy machine that happens by chance."""
    negotiate = ACSE._negotiate_as_requestor

    def late(acse: ACSE) -> None:
        request = acse.send_request

        def until_over() -> None:
            request()
            connection = acse.socket
            assert connection is not None
            until(lambda: connection._ready.is_set() and not connection._is_connected, "the connection has ended")

        monkeypatch.setattr(acse, "send_request", until_over)
        negotiate(acse)

    monkeypatch.setattr(ACSE, "_negotiate_as_requestor", late)
    (tmp_path / "rejecting.py").write_text(REJECTING)
    receiver = start_receiver("-pm", plugins=[str(tmp_path / "rejecting.py")])
    with pytest.raises(AssertionError, match="was rejected: called ae title not recognized; "):
        receiver.send()
