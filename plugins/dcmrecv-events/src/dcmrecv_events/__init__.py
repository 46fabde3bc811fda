"""Tells NATS JetStream, an AMQP 0-9-1 server or Kafka what dcmrecv has stored, as CloudEvents.

The hooks are here. Each destination is a queue of its own for each hook, so none holds up another. The way of an event:

    destinations     the tables of the settings file, checked
    messages         the event as a message
    publishing       what each of these does:
      jetstream        NATS JetStream
      amqp             AMQP 0-9-1: RabbitMQ
      kafka            Kafka
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from dcmrecv_core import (
    PluginOptions,
    PluginSettings,
    Series,
    StoredEvent,
    Study,
    cloud_event_source,
    hookimpl,
)
from dcmrecv_events.destinations import Destination, Route, publisher_of, routes
from dcmrecv_events.messages import message_of
from dcmrecv_events.publishing import ConnectionLost, Publisher

log = logging.getLogger("dcmrecv.events")

_KIND_OF_HOOK = {"deliver": "instance", "series_completed": "series", "study_completed": "study"}


class EventsPlugin:
    """Publishes each event to the destinations that want its kind."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self._source = ""
        self._publishers: dict[str, Publisher] = {}

    @hookimpl
    def add_options(self, options: PluginOptions) -> None:
        options.add("--destinations", table=Destination, many=True, help="where to publish events, and which")

    @hookimpl
    def configure(self, settings: PluginSettings) -> None:
        """Check all destinations; the delivery processes are forked from here."""
        self._routes = routes(settings.options["destinations"])
        self._source = cloud_event_source(settings)

    @hookimpl
    def delivery_targets(self, settings: PluginSettings) -> list[str]:
        return _targets(settings, "deliver")

    @hookimpl
    def completion_targets(self, settings: PluginSettings, hook: str) -> list[str]:
        return _targets(settings, hook)

    @hookimpl
    def deliver_many(self, events: Sequence[StoredEvent], target: str) -> None:
        self._publish(events, target)

    @hookimpl
    def series_completed(self, series: Series, target: str) -> None:
        self._publish([series], target)

    @hookimpl
    def study_completed(self, study: Study, target: str) -> None:
        self._publish([study], target)

    @hookimpl
    def delivery_stopping(self) -> None:
        for publisher in self._publishers.values():
            publisher.close()

    def _publish(self, events: Sequence[StoredEvent | Study | Series], target: str) -> None:
        if target not in self._publishers:
            self._publishers[target] = publisher_of(self._routes[target])
        publisher = self._publishers[target]
        messages = [message_of(event, self._source) for event in events]
        try:
            publisher.publish(messages)
        except ConnectionLost as error:
            log.debug("destination %s: %s, connecting again", target, error)
            publisher.publish(messages)
        log.debug("destination %s has %d events", target, len(messages))


plugin = EventsPlugin()


def _targets(settings: PluginSettings, hook: str) -> list[str]:
    return [each.name for each in settings.options["destinations"] if _KIND_OF_HOOK[hook] in each.when]
