"""`--http ADDRESS:PORT`: where the pages are served."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass

_ANSWER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address and a TCP port to listen on."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `192.0.2.1:9104` or `[2001:db8::1]:9104`. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdecimal() or not 1 <= int(port) <= 65535:
            raise ValueError("ADDRESS:PORT expected, for example 127.0.0.1:9104")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        try:
            version = ipaddress.ip_address(bare).version
        except ValueError:
            raise ValueError(f"{host!r} is not an IP address; 0.0.0.0 and [::] are all addresses") from None
        if (version == 6) != (bare is not host):
            raise ValueError("square brackets belong around an IPv6 address, and only there")
        return cls(bare, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.family == socket.AF_INET6 else f"{self.host}:{self.port}"

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def bind(self) -> socket.socket:
        """A socket bound to it, not yet listening. Raises OSError."""
        bound = socket.socket(self.family, socket.SOCK_STREAM)
        try:
            # the port is free at once after an end; a second listener is refused all the same
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind((self.host, self.port))
        except BaseException:
            bound.close()
            raise
        return bound

    def check(self, server: str) -> None:
        """Find out before the start whether it can be bound; raises OSError if not.

        A taken port is all right if `server` answers there, which is this receiver itself: at a reload, at an upgrade,
        or when a second process only reads the same settings.
        """
        try:
            self._try()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or self._server() != server:
                raise

    def _try(self) -> None:
        with self.bind() as bound:
            bound.listen(1)

    def _server(self) -> str | None:
        """The name that a web server there gives itself."""
        import http.client  # large, and needed only if the port is taken

        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        connection = http.client.HTTPConnection(host, self.port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("HEAD", "/livez")
            return connection.getresponse().getheader("Server")
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
