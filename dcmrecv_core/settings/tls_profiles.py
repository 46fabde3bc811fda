"""Security profiles and ciphersuites of TLS: which there are, and their names for OpenSSL.

The suites of each profile, and the protocol versions, are those that DCMTK dcmrecv 3.6.7 was seen to accept.
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from dcmrecv_core.api.errors import TlsError

_NAMES = (
    "TLS_RSA_WITH_NULL_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_DHE_DSS_WITH_AES_128_CBC_SHA",
    "TLS_DHE_DSS_WITH_CAMELLIA_128_CBC_SHA",
    "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_DHE_RSA_WITH_CAMELLIA_128_CBC_SHA",
    "TLS_DHE_DSS_WITH_AES_128_CBC_SHA256",
    "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_DHE_DSS_WITH_AES_128_GCM_SHA256",
    "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_DSS_WITH_AES_256_CBC_SHA",
    "TLS_DHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_DHE_DSS_WITH_CAMELLIA_256_CBC_SHA",
    "TLS_DHE_RSA_WITH_CAMELLIA_256_CBC_SHA",
    "TLS_DHE_DSS_WITH_AES_256_CBC_SHA256",
    "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256",
    "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_DHE_DSS_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
)
_OPENSSL_WORDS = (("AES_", "AES"), ("CAMELLIA_", "CAMELLIA"), ("_CBC", ""), ("POLY1305_SHA256", "POLY1305"), ("_", "-"))


def _openssl_name(name: str) -> str:
    name = name.removeprefix("TLS_").replace("_WITH_", "_").removeprefix("RSA_")
    for words, ours in _OPENSSL_WORDS:
        name = name.replace(words, ours)
    return name


def _available() -> dict[str, str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    known = {suite["name"] for suite in context.get_ciphers()}
    return {name: openssl for name in _NAMES if (openssl := _openssl_name(name)) in known}


SUITES: dict[str, str] = _available()
"""OpenSSL's name of each suite of TLS 1.2 and older that the library of `ssl` has, by its IANA name, in the order in
which DCMTK shows them. Those of TLS 1.3 cannot be chosen."""

_STRONG = (
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
)
_STRONG_ECDSA = ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
_AES = ("TLS_RSA_WITH_AES_128_CBC_SHA",)
_NULL = ("TLS_RSA_WITH_NULL_SHA",)

_V1_0, _V1_2, _V1_3 = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@dataclass(frozen=True, slots=True)
class Profile:
    """A security profile (DICOM PS3.15 annex B): its name in messages, protocol versions, suites.

    `security_level` is OpenSSL's: 1 takes RSA keys from 1024 bits, as the original does, 0 is needed for TLS 1.0 and
    1.1 and for suites without encryption.
    """

    title: str
    oldest: ssl.TLSVersion
    newest: ssl.TLSVersion
    suites: tuple[str, ...]
    security_level: int = 1

    def apply(self, context: ssl.SSLContext, more: Sequence[str]) -> None:
        """Set versions and suites, with `more` of them. Raises TlsError (exit code 71) for one that is not possible."""
        for name in more:
            if name not in SUITES:
                raise TlsError(f"000b:0003 Unknown or invalid ciphersuite: {name}")
            if "_WITH_NULL_" in name and self is not PROFILES["null"]:
                raise TlsError(
                    f"Unencrypted ciphersuite '{name}' not permitted with security profile '{self.title}'\n"
                    "000b:000a Ciphersuite not allowed in current DICOM security profile"
                )
        suites = [SUITES[name] for name in (*self.suites, *more) if name in SUITES]
        try:
            context.set_ciphers(":".join((*suites, f"@SECLEVEL={self.security_level}")))
        except ssl.SSLError as error:
            # an error of Python's module `ssl` itself has no reason
            reason = getattr(error, "reason", None) or error
            raise TlsError(f"000b:0003 No ciphersuite of the {self.title} is available: {reason}") from error
        _set_versions(context, self.oldest, self.newest)


def _set_versions(context: ssl.SSLContext, oldest: ssl.TLSVersion, newest: ssl.TLSVersion) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the help says which profiles allow TLS 1.0
        context.maximum_version = newest
        context.minimum_version = oldest


PROFILES: dict[str, Profile] = {
    "bcp195-nd": Profile("Non-downgrading BCP 195 TLS Profile", _V1_2, _V1_3, _STRONG),
    "bcp195": Profile("BCP 195 TLS Profile", _V1_0, _V1_3, _STRONG + _AES, security_level=0),
    "bcp195-ex": Profile("Extended BCP 195 TLS Profile", _V1_2, _V1_2, _STRONG_ECDSA + _STRONG),
    "aes": Profile("AES TLS Secure Transport Connection Profile", _V1_0, _V1_2, _AES, security_level=0),
    "null": Profile("Authenticated unencrypted communication", _V1_0, _V1_2, _NULL, security_level=0),
}
"""By the value of the setting `tls_profile`."""
