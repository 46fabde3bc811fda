"""AMQP 0-9-1: a message counts when the server has confirmed it, which needs a queue that takes it.

pika's SelectConnection is used and not its BlockingConnection: that one waits for a confirm without limit, one message
at a time. Its loop runs only during calls, so there are no heartbeats; a server that is gone is found out by the
deadline of a call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pika
from pika.exceptions import AMQPError

from dcmrecv_core import TryAgain, Undeliverable
from dcmrecv_events.destinations import Route
from dcmrecv_events.messages import CONTENT_TYPE, Message
from dcmrecv_events.publishing import ConnectionLost

logging.getLogger("pika").setLevel(logging.CRITICAL)  # what goes wrong is raised as well

_PERSISTENT = 2
_PRECONDITION_FAILED = 406
"""With a text about its size: RabbitMQ does not take a message above its `max_message_size`."""
_CLOSING = 2.0
"""Seconds to end a connection: the receiver waits 7 s for a delivery process."""


class AmqpPublisher:
    """Publishes to one exchange with one routing key."""

    def __init__(self, route: Route) -> None:
        self._route = route
        destination = route.destination
        self._exchange = destination.exchange or ""
        self._routing_key = destination.routing_key or ""
        self._connection: Any = None
        self._channel: Any = None
        self._first = 0
        self._unconfirmed: set[int] = set()
        self._failure: Exception | None = None

    def publish(self, messages: Sequence[Message]) -> None:
        done = False
        try:
            if self._connection is None:
                self._connect()
            self._send(messages)
            self._wait(lambda: not self._unconfirmed, self._route.timeout)
            done = True
        finally:
            if not done:  # confirms on their way would be taken for those of the next call
                self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.is_open:
            connection.close()
        loop = connection.ioloop
        self._failure = None
        if not connection.is_closed:
            connection.add_on_close_callback(lambda *_: loop.stop())
            loop.call_later(_CLOSING, loop.stop)
            loop.start()
        loop.close()

    def _connect(self) -> None:
        """To the first server that can be had."""
        reasons = []
        for host, port in self._route.servers:
            try:
                self._connect_to(host, port)
                return
            except TryAgain as error:
                reasons.append(f"{host}:{port}: {error.reason}")
                self.close()
        raise TryAgain(f"no connection to {', '.join(reasons)}")

    def _connect_to(self, host: str, port: int) -> None:
        destination, tls, seconds = self._route.destination, self._route.tls, self._route.timeout
        user = pika.PlainCredentials(destination.user, destination.password) if destination.user else None
        parameters = pika.ConnectionParameters(
            host=host,
            port=port,
            virtual_host=self._route.path or "/",
            heartbeat=0,
            socket_timeout=seconds,
            stack_timeout=seconds,
            connection_attempts=1,
            ssl_options=None if tls is None else pika.SSLOptions(tls, host),
            client_properties={"connection_name": "dcmrecv-events"},
            **({} if user is None else {"credentials": user}),
        )
        self._failure, self._channel, ready = None, None, []
        self._unconfirmed.clear()
        self._first = 1
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=opened),
            on_open_error_callback=lambda _, error: self._fail(TryAgain(_reason(error))),
            on_close_callback=lambda _, error: self._fail(ConnectionLost(f"{self._place}: {_reason(error)}")),
        )

        def opened(channel: Any) -> None:
            self._channel = channel
            channel.add_on_close_callback(lambda _, error: self._fail(self._refusal(error)))
            channel.add_on_return_callback(self._note_return)
            channel.confirm_delivery(self._note_confirm, callback=confirming)

        def confirming(_: object) -> None:
            ready.append(True)
            self._connection.ioloop.stop()

        self._wait(lambda: bool(ready), seconds)

    def _refusal(self, error: Any) -> Exception:
        """Of a server that has closed the channel."""
        is_too_large = getattr(error, "reply_code", 0) == _PRECONDITION_FAILED and "message size" in error.reply_text
        return (Undeliverable if is_too_large else TryAgain)(f"{self._place}: {_reason(error)}")

    def _send(self, messages: Sequence[Message]) -> None:
        first = self._first
        self._first += len(messages)
        self._unconfirmed.update(range(first, self._first))
        try:
            for message in messages:
                properties = pika.BasicProperties(
                    message_id=message.id,
                    type=message.type,
                    content_type=CONTENT_TYPE,
                    delivery_mode=_PERSISTENT,
                    app_id="dcmrecv",
                )
                self._channel.basic_publish(self._exchange, self._routing_key, message.body, properties, mandatory=True)
        except AMQPError as error:
            raise ConnectionLost(f"{self._place}: {_reason(error)}") from None

    def _wait(self, is_done: Callable[[], bool], seconds: float) -> None:
        """Until all is done. Raises what has failed, TryAgain after `seconds`."""
        loop = self._connection.ioloop
        late: list[bool] = []

        def end() -> None:
            late.append(True)
            loop.stop()

        timer = loop.call_later(seconds, end)
        try:
            while not (is_done() or self._failure or late):
                loop.start()
        finally:
            loop.remove_timeout(timer)
        if self._failure is not None:
            raise self._failure
        if not is_done():
            raise TryAgain(f"no answer within {seconds:g} s")

    def _fail(self, failure: Exception) -> None:
        """The first failure counts: the end of the channel and of the connection follow it."""
        self._failure = self._failure or failure
        self._connection_loop_stop()

    def _connection_loop_stop(self) -> None:
        if self._connection is not None:
            self._connection.ioloop.stop()

    def _note_return(self, channel: object, method: Any, properties: object, body: bytes) -> None:
        """Of `mandatory`: it comes before the confirm."""
        text = f"{self._place}: no queue takes routing key {self._routing_key}"
        self._fail(TryAgain(f"{text} of exchange {self._exchange}" if self._exchange else text))

    def _note_confirm(self, frame: Any) -> None:
        method = frame.method
        if method.NAME == "Basic.Nack":
            self._fail(TryAgain(f"{self._place}: the server did not take a message"))
        if method.multiple:
            self._unconfirmed = {each for each in self._unconfirmed if each > method.delivery_tag}
        else:
            self._unconfirmed.discard(method.delivery_tag)
        if not self._unconfirmed:
            self._connection_loop_stop()

    @property
    def _place(self) -> str:
        host, port = self._route.servers[0]
        return f"{host}:{port}"


def _reason(error: object) -> str:
    """In one line; pika's errors have others inside."""
    inner = getattr(error, "exceptions", None) or getattr(error, "args", None)
    while isinstance(inner, Sequence) and inner and isinstance(inner[0], Exception):
        error = inner[0]
        inner = getattr(error, "exceptions", None) or error.args
    text = getattr(error, "reply_text", None) or getattr(error, "strerror", None) or str(error)
    return text or type(error).__name__
