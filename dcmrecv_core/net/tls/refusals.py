"""What an administrator can do about a handshake that failed, because OpenSSL's reasons do not say it."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from dcmrecv_core.api.errors import TlsError
from dcmrecv_core.net.tls.context import reason_of
from dcmrecv_core.settings.tls_profiles import PROFILES

if TYPE_CHECKING:
    from dcmrecv_core.settings.settings import Settings

_OPTIONS = {
    "bcp195-nd": "+py",
    "bcp195-ex": "+pz",
    "bcp195": "+px",
    "aes": "+pa",
    "null": "+pn",
}
"""Of each profile, the strongest one first."""

_NOTHING_SHARED = ("no shared cipher", "unsupported protocol")
_WHAT_TO_DO = {
    "peer did not return a certificate": (
        "the sender shows no certificate; give it one that +cf or +cd trusts, or use -vc to serve it without"
    ),
    "wrong version number": "no TLS after its first record",
}


def explained(error: OSError, context: ssl.SSLContext, hello: bytes, settings: Settings) -> str:
    """The cause of a failed handshake in words, and the option to look at; "" if OpenSSL's text has to do.

    `hello` is the ClientHello, `context` that of the handshake, made of `settings`.
    """
    reason = reason_of(error)
    if hello and reason in _NOTHING_SHARED:
        return _what_would_serve(context, hello, settings)
    if reason == "certificate verify failed":
        said = getattr(error, "verify_message", "")
        return f"the sender's certificate is not accepted ({said}); see +cf, +cd, -vc"
    if " alert " in f" {reason} " and ("ca" in reason.split() or "certificate" in reason):
        return "the sender does not accept our certificate; it has to trust who issued it"
    return _WHAT_TO_DO.get(reason, "")


def _what_would_serve(context: ssl.SSLContext, hello: bytes, settings: Settings) -> str:
    """Try the other profiles with the same key and the same ClientHello."""
    others = (name for name in _OPTIONS if name != settings.tls_profile)
    try:
        serving = next((name for name in others if _serves(context, hello, name)), None)
    finally:
        PROFILES[settings.tls_profile].apply(context, settings.tls_ciphers)
    offered = "the sender offers no version and cipher of the profile in use"
    if serving is None:
        return f"{offered}, nor of any other"
    return f"{offered}; it would be served with {_OPTIONS[serving]} ({PROFILES[serving].title})"


def _serves(context: ssl.SSLContext, hello: bytes, profile: str) -> bool:
    """Whether the handshake goes beyond our answer to the ClientHello."""
    incoming = ssl.MemoryBIO()
    incoming.write(hello)
    with suppress(ssl.SSLError, TlsError):  # TlsError: this OpenSSL has no suite of the profile
        PROFILES[profile].apply(context, ())
        try:
            context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
        except ssl.SSLWantReadError:
            return True
    return False
