"""One DIMSE-N request: its data set is collected, plugins are asked, their response is checked and encoded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from dcmrecv_core.api.errors import StatusError, described
from dcmrecv_core.api.services import EventReport, Response, Service
from dcmrecv_core.proto.dimse import Status
from dcmrecv_core.receive import request as service_request

if TYPE_CHECKING:
    from dcmrecv_core.api.model import Association
    from dcmrecv_core.hooks.plugins import Plugins
    from dcmrecv_core.proto.events import ServiceRequested

log = logging.getLogger("dcmrecv.net")

_WITHOUT_DATA_SET = (Service.N_DELETE,)
"""Services whose response has none (PS3.7 table 10.3-12)."""


class Answer(NamedTuple):
    """What to send: the response, its encoded data set, the tags for Offending Element, and the encoded data set of the
    report after it."""

    response: Response
    data_set: bytes | None = None
    elements: tuple[int, ...] = ()
    report: bytes | None = None


class ServiceReception:
    """The request of `event` on its way. `write` its data set, then `finish`."""

    def __init__(self, event: ServiceRequested, association: Association, plugins: Plugins) -> None:
        self.event = event
        self._association = association
        self._plugins = plugins
        self._data = bytearray()
        self._size = 0

    def write(self, fragments: list[memoryview]) -> None:
        """Take the next fragments; those of a data set that is too large are dropped."""
        self._size += sum(map(len, fragments))
        if self._size > service_request.MAX_DATA_SET:
            self._data = bytearray()
            return
        for fragment in fragments:
            self._data += fragment

    def finish(self) -> Answer:
        """The request is complete: ask the plugins."""
        try:
            return self._ask()
        except StatusError as error:
            return Answer(Response(error.status, comment=error.comment), elements=error.elements)
        except MemoryError as error:
            self._plugins.limits.memory.release(error)
            peer = self._association
            log.error("%s@%s: out of memory in a DIMSE-N request", peer.calling_ae_title, peer.peer_address)
            return Answer(Response(service_request.RESOURCE_LIMITATION, comment="Out of memory"))

    def _ask(self) -> Answer:
        if self._size > service_request.MAX_DATA_SET:
            text = f"Data set of more than {service_request.MAX_DATA_SET} bytes"
            raise StatusError(service_request.RESOURCE_LIMITATION, text)
        _, command, asked, transfer_syntax = self.event
        data = bytes(self._data) if command.has_data_set else None
        request = service_request.ReceivedRequest(asked, transfer_syntax, data)
        said = self._plugins.serve(self._association, request)
        if said is None:
            raise StatusError(Status.UNRECOGNIZED_OPERATION, "No plugin serves this request")
        plugin, response = said
        try:
            told = None if response.report is None else response.report.dataset
            report = service_request.encode(told, transfer_syntax)
            return Answer(response, self._encoded(response, transfer_syntax), report=report)
        except MemoryError:
            raise
        except Exception as error:  # pydicom lets any exception through
            peer = self._association
            who = f"{peer.calling_ae_title}@{peer.peer_address}"
            log.error("plugin %s: serve: %s (%s)", plugin, described(error, repr), who, exc_info=error)
            raise StatusError(service_request.PROCESSING_FAILURE, f"Plugin {plugin} failed in serve") from error

    def _encoded(self, response: Response, transfer_syntax: str) -> bytes | None:
        """The data set of the response. Raises ValueError if the service does not allow this response."""
        request = self.event.request
        data_set = service_request.encode(response.dataset, transfer_syntax)
        if data_set is not None and request.service in _WITHOUT_DATA_SET:
            raise ValueError(f"the response to {request.service.name} has no data set")
        unnamed = not (request.sop_instance_uid or response.affected_sop_instance_uid)
        if unnamed and not response.status:
            raise ValueError("the instance that was created needs affected_sop_instance_uid (PS3.7 section 10.1.5.1)")
        return data_set


class Reports:
    """The N-EVENT-REPORTs of one association that have no response yet, by Message ID."""

    def __init__(self) -> None:
        self._open: dict[int, EventReport] = {}
        self._last = 0

    def begin(self, report: EventReport) -> int:
        """Its Message ID."""
        self._last = self._last % 0xFFFF + 1
        self._open[self._last] = report
        return self._last

    def answered(self, message_id: int, status: int, sender: str) -> None:
        """Tell the plugin."""
        report = self._open.pop(message_id)
        log.info("Received N-EVENT-REPORT Response (%04X)", status)
        if report.answered is not None:
            try:
                report.answered(status)
            except Exception as error:  # plugin code
                log.error("answered of an N-EVENT-REPORT: %s (%s)", described(error, repr), sender, exc_info=error)
