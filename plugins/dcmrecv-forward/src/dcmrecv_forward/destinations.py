"""`destinations` in the settings file: what each key means, and all that can be checked before the first instance."""

from __future__ import annotations

import logging
import os
import re
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn
from urllib.parse import urlsplit

from dcmrecv_core import PluginError
from dcmrecv_forward.rules import Rule

log = logging.getLogger("dcmrecv.forward")

_NAME = re.compile(r"[A-Za-z0-9._+@:-]{1,64}")
"""What the receiver allows for a target."""
_LONGEST_TITLE = 16
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_TLS_FILES = ("tls_authority", "tls_certificate", "tls_key")
_KEYS = {
    "dimse": ("host", "port", "called", "calling", "tls", "tls_name", *_TLS_FILES, "timeout"),
    "stow": ("url", "token", "user", "password", *_TLS_FILES, "timeout"),
    "folder": ("path",),
}
"""Besides name, kind and when."""
_REQUIRED = {"dimse": ("host", "port", "called"), "stow": ("url",), "folder": ("path",)}

CALLING = "DCMRECV"
TIMEOUT = 60.0


@dataclass(frozen=True)
class Destination:
    """One table `[[plugins.forward.destinations]]`. README.md describes the keys."""

    name: str
    kind: Literal["dimse", "stow", "folder"]
    when: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    host: str | None = None
    port: int | None = None
    called: str | None = None
    calling: str | None = None
    tls: bool | None = None
    tls_authority: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_name: str | None = None
    url: str | None = None
    token: str | None = field(default=None, repr=False, metadata={"secret": True})
    user: str | None = None
    password: str | None = field(default=None, repr=False, metadata={"secret": True})
    path: Path | None = None
    timeout: float | None = None


@dataclass(frozen=True)
class Route:
    """A destination that was checked: what it gets, and the TLS context if it has one."""

    destination: Destination
    rule: Rule
    tls: ssl.SSLContext | None


def routes(destinations: Sequence[Destination], output_directory: str) -> dict[str, Route]:
    """By name. Raises PluginError that names destination and key."""
    if not destinations:
        raise PluginError("no destination is given: write [[plugins.forward.destinations]] into a settings file")
    made: dict[str, Route] = {}
    for each in destinations:
        if each.name in made:
            _fail(each, "name", "another destination has it too")
        made[each.name] = _route(each, output_directory)
    return made


def _route(destination: Destination, output_directory: str) -> Route:
    if not _NAME.fullmatch(destination.name):
        _fail(destination, "name", "1 to 64 letters, digits and characters of ._-+@: expected")
    _check_keys(destination)
    _check_values(destination)
    _warn_of_secrets(destination)
    if destination.path is not None:
        _check_folder(destination, destination.path, output_directory)
    try:
        rule = Rule(destination.when)
    except ValueError as error:
        raise PluginError(f"destination {destination.name!r}: {error}") from error
    return Route(destination, rule, _tls(destination))


def _check_keys(destination: Destination) -> None:
    """Those that its kind needs are there, and no others."""
    kind = destination.kind
    for key in _REQUIRED[kind]:
        if getattr(destination, key) is None:
            _fail(destination, key, f'is missing: kind = "{kind}" needs it')
    for key in sorted({key for keys in _KEYS.values() for key in keys} - set(_KEYS[kind])):
        if getattr(destination, key) is not None:
            _fail(destination, key, f'kind = "{kind}" has no such key; there is {", ".join(_KEYS[kind])}')


def _check_values(destination: Destination) -> None:
    for key in ("called", "calling"):
        title = getattr(destination, key)
        if title is not None and not _is_title(title):
            _fail(destination, key, f"{title!r} is no AE title: 1 to 16 characters of ASCII without backslash")
    if destination.port is not None and not 0 < destination.port < 65536:
        _fail(destination, "port", "a number from 1 to 65535 expected")
    if destination.timeout is not None and not 0 < destination.timeout < 86400:
        _fail(destination, "timeout", "seconds expected, more than 0, less than a day")
    if destination.url is not None and not _is_url(destination.url):
        _fail(destination, "url", "http://HOST[:PORT]/PATH or https://... expected, without user, query or fragment")
    if destination.token is not None and destination.user is not None:
        _fail(destination, "token", "there is a user too: one of them expected")
    if (destination.user is None) != (destination.password is None):
        _fail(destination, "user", "user and password belong together")
    for key in ("token", "user", "password"):
        text = getattr(destination, key)
        if text is not None and (not text.isprintable() or (not text.isascii() and key == "token")):
            _fail(destination, key, "it has a character that no header can have")


def _warn_of_secrets(destination: Destination) -> None:
    parts = urlsplit(destination.url or "")
    if parts.scheme == "http" and parts.hostname not in _THIS_MACHINE:
        for key in ("token", "password"):
            if getattr(destination, key) is not None:
                text = "destination %r: %s: it is sent unencrypted, because the url begins with http:"
                log.warning(text, destination.name, key)


def _is_title(title: str) -> bool:
    """PS3.5 table 6.2-1, AE."""
    return title.isascii() and title.isprintable() and "\\" not in title and 0 < len(title.strip()) <= _LONGEST_TITLE


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or "@" in parts.netloc) and url.isascii() and url.isprintable()
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and plain and " " not in url


def _check_folder(destination: Destination, path: Path, output_directory: str) -> None:
    """It may come later, as a mounted file system does; but it is not the receiver's own."""
    own, other = os.path.realpath(output_directory), os.path.realpath(path)
    if os.path.commonpath((own, other)) in (own, other):
        _fail(destination, "path", f"{path} and the output directory {output_directory} are in each other")


def _tls(destination: Destination) -> ssl.SSLContext | None:
    """The context for a client, its files read."""
    files = [key for key in (*_TLS_FILES, "tls_name") if getattr(destination, key) is not None]
    if not (destination.tls or (destination.url or "").startswith("https:")):
        if files:
            needed = "tls = true" if destination.kind == "dimse" else "a URL that begins with https:"
            _fail(destination, files[0], f"is of no use without {needed}")
        return None
    if (destination.tls_certificate is None) != (destination.tls_key is None):
        _fail(destination, "tls_certificate", "tls_certificate and tls_key belong together")
    try:
        context = ssl.create_default_context(cafile=destination.tls_authority)
    except (OSError, ssl.SSLError) as error:
        _fail(destination, "tls_authority", f"{destination.tls_authority} cannot be read: {_reason(error)}")
    if destination.tls_certificate is not None and destination.tls_key is not None:
        try:
            context.load_cert_chain(destination.tls_certificate, destination.tls_key, _no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            names = f"{destination.tls_certificate} and {destination.tls_key}"
            _fail(destination, "tls_certificate", f"{names} cannot be used: {_reason(error)}")
    return context


def _no_password() -> str:
    """Else OpenSSL would ask for it on the terminal."""
    raise ValueError("the key has a password, which is not supported")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason.replace("_", " ").lower() if error.reason else "not in PEM"
    return getattr(error, "strerror", None) or str(error)


def _fail(destination: Destination, key: str, text: str) -> NoReturn:
    raise PluginError(f"destination {destination.name!r}: {key}: {text}")


def names(destinations: Iterable[Destination]) -> list[str]:
    """The targets."""
    return [each.name for each in destinations]
