"""Log lines about connections that bring no association: without a byte, of another protocol, refused by a limit.

The supervisor logs those without TLS, a worker those with TLS. Health checks and port scans make no line above debug.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dcmrecv_core.logs.serving import EXTRA, sender
from dcmrecv_core.proto.first_bytes import protocol_of, titles_of

if TYPE_CHECKING:
    from dcmrecv_core.net.handover import Handover

log = logging.getLogger("dcmrecv.net")

PLAIN_ON_TLS = "DICOM without TLS on a port with TLS (--enable-tls)"

_WHAT_TO_DO = {
    "TLS": "use --enable-tls here, or send without TLS",
    "HTTP": "this port speaks DICOM only; a health check connects without sending",
    "the PROXY protocol, version 1": "use --proxy-from for this load balancer",
    "the PROXY protocol, version 2": "use --proxy-from for this load balancer",
    "SSH": "this port speaks DICOM only",
    "HL7 (MLLP)": "HL7 messages go to another port",
}


def log_failed_request(address: str, why: str, detail: str = "") -> None:
    """A connection brought no association request, or an invalid one; `why` is DCMTK's text."""
    text = "Could not receive association request: %s\n  from %s%s"
    log.error(text, why, address, detail and f": {detail}", extra={EXTRA: {"peer": address}})


def log_incomplete_request(address: str, why: str, data: bytes | bytearray, *, tls: bool = False) -> None:
    """A connection ended, because of `why` in DCMTK's words, when it had brought `data`, with `tls` instead of a whole
    ClientHello. DCMTK logs one without a byte as an empty request."""
    if not data:
        log.debug("connection with %s ended without a byte: %s", address, why)
    elif not (log_other_than_tls if tls else log_other_protocol)(address, data):
        log_failed_request(address, why)


def log_other_protocol(address: str, data: bytes | bytearray) -> bool:
    """A connection began with `data`; whether it was another protocol, which is said then."""
    protocol = protocol_of(data)
    if protocol:
        _log_foreign(address, f"{protocol} instead of DICOM", _WHAT_TO_DO[protocol])
    return bool(protocol)


def log_other_than_tls(address: str, data: bytes | bytearray) -> bool:
    """The same for a port with TLS, where a connection began with `data`."""
    if protocol_of(data) == "TLS":
        return False
    calling, called = titles_of(data)
    if calling or called:
        _log_foreign(sender(calling, address, called), PLAIN_ON_TLS, "use TLS in the sender, or a port without it")
        return True
    return log_other_protocol(address, data)


def log_without_proxy_header(address: str, why: str) -> None:
    """A connection from a load balancer of `--proxy-from` did not begin with a PROXY header, as `why` says."""
    text = "connection from load balancer %s refused: %s; switch the PROXY protocol on there, see --proxy-from"
    log.warning(text, address, why, extra={EXTRA: {"peer": address}})


def _log_foreign(who: str, what: str, to_do: str) -> None:
    log.warning("connection from %s refused: %s; %s", who, what, to_do)


def log_local_limit(handover: Handover, option: str, cause: str, *, waits_for_ever: bool) -> None:
    """The supervisor rejects an association because of the limit `option`, and `cause` has counts; `waits_for_ever`:
    associations that peers leave open are to blame, and no --dimse-timeout ends them."""
    calling, called = titles_of(handover.request)
    who = sender(calling, handover.address, called)
    hint = "; --dimse-timeout ends associations that peers leave open" if waits_for_ever else ""
    known = {"peer": handover.address, "calling": calling, "called": called}
    text = "Refusing Association from %s (local limit exceeded): see %s; %s%s"
    log.warning(text, who, option, cause, hint, extra={EXTRA: {name: value for name, value in known.items() if value}})
