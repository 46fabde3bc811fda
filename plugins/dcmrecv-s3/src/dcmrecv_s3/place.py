"""Where objects go: bucket and prefix, server, time limit; keys and locations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_URL = re.compile(r"s3://([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place:
    """`prefix` is "" or ends with "/". `endpoint` is the URL of the server, None for the one of AWS's settings.
    `timeout` is in seconds, of each request."""

    bucket: str
    prefix: str
    endpoint: str | None
    timeout: int

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def key_of(self, path: str) -> str:
        """The key of a path that is relative to the output directory."""
        return self.prefix + path

    def location_of(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def key_in(self, location: str) -> str | None:
        """The key of a location, None if it is not below this place."""
        if not location.startswith(self.url) or location == self.url:
            return None
        return self.prefix + location.removeprefix(self.url)


def place_of(url: str, endpoint: str | None, timeout: int) -> Place:
    """Raises ValueError, with the reason."""
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError(f"--s3-url: s3://BUCKET or s3://BUCKET/PREFIX expected, not {url}")
    prefix = (found[2] or "").removesuffix("/")
    if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
        raise ValueError(f"--s3-url: the prefix of {url} has an empty part, '.' or '..'")
    if endpoint is not None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username is not None:
            raise ValueError("--s3-endpoint: a URL like https://s3.example.org expected")
    return Place(found[1], f"{prefix}/" if prefix else "", endpoint, timeout)
