"""`destinations` in the settings file: what each key means, and all that can be checked before the first event."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NoReturn
from urllib.parse import unquote, urlsplit

from dcmrecv_core import PluginError
from dcmrecv_events.publishing import Publisher

log = logging.getLogger("dcmrecv.events")

TIMEOUT = 30.0
KINDS = ("instance", "series", "study")
PORTS = {"nats": 4222, "amqp": 5672, "kafka": 9092}
TLS_PORTS = {**PORTS, "amqp": 5671}

_NAME = re.compile(r"[A-Za-z0-9._+@:-]{1,64}")
"""What the receiver allows for a target."""
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_TLS_FILES = ("tls_authority", "tls_certificate", "tls_key")
_OF_SCHEMES = {
    "nats": ("subject", "token"),
    "amqp": ("exchange", "routing_key"),
    "kafka": ("topic",),
}
"""Keys that one kind of server has; the others are for all."""
_REQUIRED = {"nats": "subject", "amqp": "routing_key", "kafka": "topic"}
_LIBRARIES = {"nats": "nats", "amqp": "pika", "kafka": "confluent_kafka"}
_WORDS = {
    "subject": re.compile(r"[^\s.*>]+(\.[^\s.*>]+)*"),
    "topic": re.compile(r"[A-Za-z0-9._-]{1,249}"),
    "exchange": re.compile(r".{0,127}"),
    "routing_key": re.compile(r".{1,127}"),
}


@dataclass(frozen=True)
class Destination:
    """One table `[[plugins.events.destinations]]`. docs/events.md describes the keys."""

    name: str
    url: str
    when: tuple[Literal["instance", "series", "study"], ...] = ("instance", "series", "study")
    subject: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    topic: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False, metadata={"secret": True})
    token: str | None = field(default=None, repr=False, metadata={"secret": True})
    tls: bool | None = None
    tls_authority: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    timeout: float | None = None


@dataclass(frozen=True)
class Route:
    """A destination that was checked. `servers` are hosts and ports, `path` what the URL has after them."""

    destination: Destination
    scheme: str
    servers: tuple[tuple[str, int], ...]
    path: str
    timeout: float
    tls: ssl.SSLContext | None


def routes(destinations: Sequence[Destination]) -> dict[str, Route]:
    """By name. Raises PluginError that names destination and key."""
    if not destinations:
        raise PluginError("no destination is given: write [[plugins.events.destinations]] into a settings file")
    made: dict[str, Route] = {}
    for each in destinations:
        if each.name in made:
            _fail(each, "name", "another destination has it too")
        made[each.name] = _route(each)
    return made


def publisher_of(route: Route) -> Publisher:
    """Imported in the process that needs it: the libraries take a while, and some start threads."""
    if route.scheme == "nats":
        from dcmrecv_events.jetstream import JetStreamPublisher

        return JetStreamPublisher(route)
    if route.scheme == "amqp":
        from dcmrecv_events.amqp import AmqpPublisher

        return AmqpPublisher(route)
    from dcmrecv_events.kafka import KafkaPublisher

    return KafkaPublisher(route)


def _route(destination: Destination) -> Route:
    if not _NAME.fullmatch(destination.name):
        _fail(destination, "name", "1 to 64 letters, digits and characters of ._-+@: expected")
    if not destination.when:
        _fail(destination, "when", f"at least one of {', '.join(KINDS)} expected")
    scheme, servers, path = _url(destination)
    _check_keys(destination, scheme)
    if destination.timeout is not None and not 0 < destination.timeout < 86400:
        _fail(destination, "timeout", "seconds expected, more than 0, less than a day")
    if destination.token is not None and destination.user is not None:
        _fail(destination, "token", "there is a user too: one of them expected")
    if (destination.user is None) != (destination.password is None):
        _fail(destination, "user", "user and password belong together")
    if find_spec(_LIBRARIES[scheme]) is None:
        _fail(destination, "url", f"{scheme}: needs pip install 'dcmrecv-events[{scheme}]'")
    if not destination.tls and any(host not in _THIS_MACHINE for host, _ in servers):
        log.warning("destination %r: events are sent unencrypted, since it has no tls = true", destination.name)
    tls = _tls(destination)
    return Route(destination, scheme, servers, path, destination.timeout or TIMEOUT, tls)


def _url(destination: Destination) -> tuple[str, tuple[tuple[str, int], ...], str]:
    """Scheme, servers, and the path without its first slash."""
    expected = "nats://HOST[:PORT],..., amqp://HOST[:PORT]/VHOST or kafka://HOST[:PORT],... expected, without user"
    url = destination.url
    parts = urlsplit(url)
    ports = TLS_PORTS if destination.tls else PORTS
    plain = url.isascii() and url.isprintable() and not re.search(r"[ @?#]", url)
    if parts.scheme not in PORTS or not plain or (parts.scheme != "amqp" and parts.path not in ("", "/")):
        _fail(destination, "url", expected)
    servers = []
    for each in parts.netloc.split(","):
        try:
            server = urlsplit(f"//{each}")
            host, port = server.hostname, server.port
        except ValueError:
            host = port = None
        if not host or port == 0:
            _fail(destination, "url", expected)
        servers.append((host, port or ports[parts.scheme]))
    return parts.scheme, tuple(servers), unquote(parts.path[1:])


def _check_keys(destination: Destination, scheme: str) -> None:
    """Those that its server needs are there, and none of another's."""
    if getattr(destination, _REQUIRED[scheme]) is None:
        _fail(destination, _REQUIRED[scheme], f"is missing: {scheme}: needs it")
    for other, keys in _OF_SCHEMES.items():
        for key in keys:
            if other != scheme and getattr(destination, key) is not None:
                _fail(destination, key, f"is for {other}: only, and the url begins with {scheme}:")
    for key, allowed in _WORDS.items():
        text = getattr(destination, key)
        if text is not None and not (text.isprintable() and allowed.fullmatch(text)):
            _fail(destination, key, f"{text!r} cannot be one")


def _tls(destination: Destination) -> ssl.SSLContext | None:
    """The context for a client, its files read."""
    if not destination.tls:
        for key in _TLS_FILES:
            if getattr(destination, key) is not None:
                _fail(destination, key, "is of no use without tls = true")
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
