"""POST of an event to a URL, as CloudEvents 1.0 in JSON (structured mode of the HTTP protocol binding)."""

from __future__ import annotations

import base64
import json
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from dcmrecv_core import PluginError, TryAgain, Undeliverable

TIMEOUT = 30.0
"""Seconds for each wait: for the connection, for the answer."""

_TRY_AGAIN = (408, 429)
"""Request Timeout, Too Many Requests: of the statuses that blame the client those that pass by themselves."""


class _NoRedirect(HTTPRedirectHandler):
    """A redirected POST would become a GET without the event, and its answer look like success."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


class Webhook:
    """The URL of `option`. What it raises names the server only: the rest of a URL may be secret."""

    def __init__(self, option: str, url: str) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = None
        if (
            not host
            or parts.scheme not in ("http", "https")
            or not url.isascii()
            or not url.isprintable()
            or " " in url
        ):
            raise PluginError(f"{option}: a URL that begins with http:// or https:// expected")
        self._server = f"{option}: {host}" + f":{port}" * bool(port)
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()
        self._headers = {"Content-Type": "application/cloudevents+json; charset=utf-8", "User-Agent": "dcmrecv-actions"}
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        self._opener = build_opener(_NoRedirect)

    def post(self, event: dict[str, Any]) -> None:
        """Send a CloudEvent. Raises Undeliverable if it is refused, TryAgain if it is to be tried again."""
        request = Request(self._url, json.dumps(event).encode(), self._headers, method="POST")
        try:
            with self._opener.open(request, timeout=TIMEOUT):
                pass
        except HTTPError as error:
            with error:
                said = f"{self._server} answered {error.code} {error.reason}"
                refused = 400 <= error.code < 500 and error.code not in _TRY_AGAIN
            raise (Undeliverable if refused else TryAgain)(said) from None
        except URLError as error:
            raise TryAgain(f"{self._server}: {getattr(error.reason, 'strerror', None) or error.reason}") from None
        except (OSError, HTTPException) as error:
            raise TryAgain(f"{self._server}: {error!r}") from None
