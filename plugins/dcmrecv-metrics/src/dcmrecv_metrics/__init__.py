"""Metrics for Prometheus, health checks and a status page of a dcmrecv receiver, over HTTP.

The hooks are here. A request goes from top to bottom:

    address         `--http`: where it listens
    service         what the process runs
    server          connections, limits, headers
    pages           what is answered at each path
        source        the status document of the receiver
      prometheus    /metrics
      page          the page for people
        history     the last hour
        plots       its drawings
        words       numbers and times
        markup      escaped HTML
"""

from __future__ import annotations

import errno
import logging
import socket
import time

from dcmrecv_core import PluginError, PluginOptions, PluginSettings, hookimpl
from dcmrecv_metrics.address import Address

log = logging.getLogger("dcmrecv.metrics")

BIND_SECONDS = 10.0
"""Seconds to wait for the port: at an upgrade the process before this one may still have it."""

_RETRY_SECONDS = 0.1


class MetricsPlugin:
    """Serves the pages from a process of its own; receiving does not wait for it."""

    @hookimpl
    def add_options(self, options: PluginOptions) -> None:
        options.add(
            "--http",
            value="address:port",
            type=Address.parse,
            help="serve metrics, health checks and a status page here",
        )

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        """Refuse a port that is taken."""
        address = settings.options["http"]
        if address is None:
            return
        settings.measure_hooks()
        try:
            address.check(_server_name(settings))
        except OSError as error:
            raise PluginError(f"--http: cannot listen on {address}: {error.strerror}") from error

    @hookimpl
    def background(self, settings: PluginSettings) -> None:
        address = settings.options["http"]
        if address is None:
            return
        from dcmrecv_metrics.service import serve  # only this process needs what it imports

        with _bound(address) as bound:
            log.info("serving metrics and a status page on http://%s/", address)
            serve(bound, settings, _server_name(settings))


plugin = MetricsPlugin()


def _server_name(settings: PluginSettings) -> str:
    """How the server calls itself: so another start for the same port of DICOM knows it."""
    return f"dcmrecv-metrics (receiver of port {settings.port})"


def _bound(address: Address) -> socket.socket:
    """Raises PluginError."""
    end = time.monotonic() + BIND_SECONDS
    while True:
        try:
            return address.bind()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise PluginError(f"--http: cannot listen on {address}: {error.strerror}") from error
        time.sleep(_RETRY_SECONDS)
