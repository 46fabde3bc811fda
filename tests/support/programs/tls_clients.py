"""Options of our receiver for TLS, and clients with Python's ssl."""

from __future__ import annotations

import contextlib
import ssl

from support.programs.certificates import Certificates, Pair


def tls(certificates: Certificates, *more: object, pair: Pair | None = None) -> list[object]:
    """Arguments of a receiver that accepts the certificates of the authority."""
    return ["-v", "-pm", "+tls", *(pair or certificates.server), "+cf", certificates.authority, *more]


def client_context(certificates: Certificates, pair: Pair | None) -> ssl.SSLContext:
    """A client that trusts the authority and shows the certificate of `pair`."""
    context = ssl.create_default_context(cafile=str(certificates.authority))
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return context


def client_hello() -> bytes:
    """The first record of a handshake."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()
