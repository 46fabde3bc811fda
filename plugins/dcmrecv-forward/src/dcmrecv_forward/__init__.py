"""Sends on what dcmrecv has stored: by C-STORE, by STOW-RS, or into a folder.

The hooks are here. Each destination is a target of its own: a queue and a process, so none holds up another.

    destinations    the tables of the settings file, checked
    rules           `when`: which instances a destination gets
    outage          a destination that is down: pauses, and what the log says
    stored          the file that is sent
    dimse           C-STORE: contexts, one association while there is work, statuses
      contexts        what is proposed
      association     negotiation and C-STORE, over ...
        commands        the messages
        connection      ... a connection with deadlines
      reencoding      for peers that accept no other transfer syntax
    stow            STOW-RS
    folder          copies
    errors          what a sender raises besides Undeliverable
"""

from __future__ import annotations

import logging
from typing import Protocol, TypeVar

from dcmrecv_core import PluginOptions, PluginSettings, StoredEvent, Undeliverable, hookimpl
from dcmrecv_forward.destinations import CALLING, TIMEOUT, Destination, Route, names, routes
from dcmrecv_forward.errors import NotSent, Unreachable
from dcmrecv_forward.outage import Outage

log = logging.getLogger("dcmrecv.forward")

T = TypeVar("T")


class Sender(Protocol):
    """Sends to one destination; used by one process, one call at a time."""

    def send(self, event: StoredEvent) -> str:
        """Return when the destination has it: its warning, "" for none.

        Raises Undeliverable if it refuses this instance, Unreachable if it takes nothing now, NotSent if this instance
        is to be tried again, and what `event.open` raises.
        """

    def close(self) -> None:
        """End what is open."""


class ForwardPlugin:
    """Sends each instance to the destinations whose rules it meets."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self._output_directory = ""
        self._senders: dict[str, tuple[Sender, Outage]] = {}

    @hookimpl
    def add_options(self, options: PluginOptions) -> None:
        options.add("--destinations", table=Destination, many=True, help="where to send instances, and which")

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        """Check all destinations; the delivery processes are forked from here."""
        self._output_directory = settings.output_directory
        self._routes = routes(settings.options["destinations"], settings.output_directory)

    @hookimpl
    def delivery_targets(self, settings: PluginSettings) -> list[str]:
        return names(settings.options["destinations"])

    @hookimpl
    def deliver(self, event: StoredEvent, target: str) -> None:
        route = self._routes[target]
        if not route.rule.is_met(event):
            return
        if target not in self._senders:
            self._senders[target] = (_sender(route, self._output_directory), Outage(target))
        sender, outage = self._senders[target]
        while True:
            try:
                said = sender.send(event)
            except Unreachable as error:
                outage.wait(error)
            except NotSent:
                outage.slow_down()
                raise
            except Undeliverable:
                outage.worked()
                raise
            else:
                outage.worked()
                log.info("SOP instance %s sent to %s%s", event.sop_instance_uid, target, f": {said}" * bool(said))
                return

    @hookimpl
    def delivery_stopping(self) -> None:
        for sender, _ in self._senders.values():
            sender.close()


def _sender(route: Route, output_directory: str) -> Sender:
    """Imported in the process that needs it: pynetdicom takes a while."""
    destination = route.destination
    timeout = destination.timeout or TIMEOUT
    if destination.kind == "folder":
        from dcmrecv_forward.folder import FolderSender

        return FolderSender(_given(destination.path), output_directory)
    if destination.kind == "stow":
        from dcmrecv_forward.stow import Service, StowSender, authorization

        headers = authorization(destination.token, destination.user, destination.password)
        return StowSender(Service(_given(destination.url), timeout, headers, route.tls))
    from dcmrecv_forward.connection import Peer
    from dcmrecv_forward.dimse import DimseSender

    return DimseSender(
        Peer(
            host=_given(destination.host),
            port=_given(destination.port),
            called=_given(destination.called),
            calling=destination.calling or CALLING,
            timeout=timeout,
            tls=route.tls,
            tls_name=destination.tls_name,
        )
    )


def _given(value: T | None) -> T:
    """A value that `routes` has made sure of."""
    if value is None:
        raise TypeError("a destination lacks what its kind needs")
    return value


plugin = ForwardPlugin()
