"""`peers` in the settings file: what each key means, and all that can be checked at the start."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dcmrecv_core import PluginError

_LONGEST_TITLE = 16
_TLS_KEYS = ("tls_authority", "tls_certificate", "tls_key", "tls_name")


@dataclass(frozen=True)
class Peer:
    """One table `[[plugins.commitment.peers]]`. docs/commitment.md describes the keys."""

    title: str
    host: str
    port: int
    tls: bool = False
    tls_authority: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_name: str | None = None
    same_association: bool = False


@dataclass(frozen=True)
class Route:
    """A peer that was checked, with the TLS context if it has one."""

    peer: Peer
    tls: ssl.SSLContext | None


def routes(peers: Sequence[Peer]) -> dict[str, Route]:
    """By title. Raises PluginError that names peer and key."""
    if not peers:
        raise PluginError("no peer is given: write [[plugins.commitment.peers]] into a settings file")
    made: dict[str, Route] = {}
    for each in peers:
        if not _is_title(each.title):
            _fail(each, "title", "1 to 16 characters of ASCII without backslash expected")
        if each.title in made:
            _fail(each, "title", "another peer has it too")
        if not 0 < each.port < 65536:
            _fail(each, "port", "a number from 1 to 65535 expected")
        made[each.title] = Route(each, _tls(each))
    return made


def _is_title(title: str) -> bool:
    """PS3.5 table 6.2-1, AE; as associations have it, without padding."""
    plain = title.isascii() and title.isprintable() and "\\" not in title
    return plain and title == title.strip() and 0 < len(title) <= _LONGEST_TITLE


def _tls(peer: Peer) -> ssl.SSLContext | None:
    """The context for a client, its files read."""
    given = [key for key in _TLS_KEYS if getattr(peer, key) is not None]
    if not peer.tls:
        if given:
            _fail(peer, given[0], "is of no use without tls = true")
        return None
    if (peer.tls_certificate is None) != (peer.tls_key is None):
        _fail(peer, "tls_certificate", "tls_certificate and tls_key belong together")
    try:
        context = ssl.create_default_context(cafile=peer.tls_authority)
    except OSError as error:  # an SSLError is one
        _fail(peer, "tls_authority", f"{peer.tls_authority} cannot be read: {_reason(error)}")
    if peer.tls_certificate is not None and peer.tls_key is not None:
        try:
            context.load_cert_chain(peer.tls_certificate, peer.tls_key, _no_password)
        except (OSError, ValueError) as error:
            names = f"{peer.tls_certificate} and {peer.tls_key}"
            _fail(peer, "tls_certificate", f"{names} cannot be used: {_reason(error)}")
    return context


def _no_password() -> str:
    """Else OpenSSL would ask for it on the terminal."""
    raise ValueError("the key has a password, which is not supported")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason.replace("_", " ").lower() if error.reason else "not in PEM"
    return getattr(error, "strerror", None) or str(error)


def _fail(peer: Peer, key: str, text: str) -> NoReturn:
    raise PluginError(f"peer {peer.title!r}: {key}: {text}")
