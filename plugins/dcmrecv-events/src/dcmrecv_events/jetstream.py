"""NATS JetStream: a message counts when the stream has acknowledged it.

nats-py needs an event loop. It runs only during calls: a connection that was idle for minutes may be ended by the
server meanwhile, and is opened anew. The library does not reconnect by itself, since it would hold messages back then.
Its `publish_async` is not used: it never hears of a message that a stream refuses.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error, MaxPayloadError, NoServersError
from nats.js.api import Header

from dcmrecv_core import TryAgain, Undeliverable
from dcmrecv_events.destinations import Route
from dcmrecv_events.messages import CONTENT_TYPE, Message
from dcmrecv_events.publishing import ConnectionLost

_CLOSING = 2.0
"""Seconds to end a connection: the receiver waits 7 s for a delivery process."""

_NO_RESPONDERS = "503"
_TOO_LARGE = 10054
"""Status of the server if no stream takes a subject; JetStream's code of a message above the `max_msg_size` of one."""


class JetStreamPublisher:
    """Publishes to one subject, which a stream takes."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._runner = asyncio.Runner()
        self._client: Client | None = None
        self._closed = asyncio.Event()

    def publish(self, messages: Sequence[Message]) -> None:
        done = False
        try:
            self._runner.run(self._publish(messages))
            done = True
        finally:
            if not done:  # acknowledgements on their way would be taken for those of the next call
                self._disconnect()

    def close(self) -> None:
        self._disconnect()
        self._runner.close()

    async def _publish(self, messages: Sequence[Message]) -> None:
        try:
            async with asyncio.timeout(self._route.timeout):
                client = self._client
                if client is None or client.is_closed:
                    client = await self._connect()
                await self._publish_over(client, messages)
        except TimeoutError:
            raise TryAgain(f"{self._place}: no answer within {self._route.timeout:g} s") from None

    async def _publish_over(self, client: Client, messages: Sequence[Message]) -> None:
        subject = self._route.destination.subject or ""
        replies: asyncio.Queue[Msg] = asyncio.Queue()
        inbox = client.new_inbox()
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            subscription = await client.subscribe(f"{inbox}.*", cb=replies.put)
            for number, message in enumerate(messages):
                headers = {Header.MSG_ID: message.id, "Content-Type": CONTENT_TYPE}
                await client.publish(subject, message.body, reply=f"{inbox}.{number}", headers=headers)
            unanswered = {f"{inbox}.{number}" for number in range(len(messages))}
            while unanswered:  # streams of several domains may all answer to one message
                reply = asyncio.ensure_future(replies.get())
                await asyncio.wait((reply, closed), return_when=asyncio.FIRST_COMPLETED)
                if not reply.done():
                    reply.cancel()
                    raise ConnectionLost(f"{self._place}: the connection was lost")
                self._check(reply.result())
                unanswered.discard(reply.result().subject)
            await subscription.unsubscribe()
        except MaxPayloadError:
            size = max(len(message.body) for message in messages)
            raise Undeliverable(f"{self._place}: {size} bytes are more than its max_payload") from None
        except (Error, OSError) as error:
            raise ConnectionLost(f"{self._place}: {_reason(error)}") from None
        finally:
            closed.cancel()

    def _check(self, reply: Msg) -> None:
        """Raises unless it is the acknowledgement of a stream."""
        if (reply.headers or {}).get(Header.STATUS) == _NO_RESPONDERS:
            raise TryAgain(f"{self._place}: no stream takes subject {self._route.destination.subject}")
        try:
            told = json.loads(reply.data)
            error = told.get("error")
            if error is None and not told["stream"]:
                raise ValueError
        except (ValueError, KeyError, AttributeError):
            raise TryAgain(f"{self._place}: an answer that is not JetStream's") from None
        if error is not None:
            refused = error.get("err_code") == _TOO_LARGE
            raise (Undeliverable if refused else TryAgain)(f"{self._place}: {error.get('description')}")

    async def _connect(self) -> Client:
        """To the first server that can be had."""
        reasons = []
        for host, port in self._route.servers:
            try:
                self._client = await self._connect_to(host, port)
                return self._client
            except (Error, OSError) as error:
                reasons.append(f"{host}:{port}: {_reason(error)}")
        raise TryAgain(f"no connection to {', '.join(reasons)}")

    async def _connect_to(self, host: str, port: int) -> Client:
        destination = self._route.destination
        reasons: list[Exception] = []
        closed = asyncio.Event()

        async def note_closed() -> None:
            closed.set()

        async def note(error: Exception) -> None:
            """Without it the library would log a traceback."""
            reasons.append(error)

        client = _ClientWithTls() if self._route.tls else Client()
        options: dict[str, Any] = {
            key: value for key in ("user", "password", "token") if (value := getattr(destination, key)) is not None
        }
        try:
            await client.connect(
                f"nats://[{host}]:{port}" if ":" in host else f"nats://{host}:{port}",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=max(1, int(self._route.timeout / len(self._route.servers))),
                closed_cb=note_closed,
                error_cb=note,
                name="dcmrecv-events",
                tls=self._route.tls,
                **options,
            )
        except BaseException as error:
            with suppress(Error, OSError, TimeoutError):
                await asyncio.wait_for(client.close(), _CLOSING)  # a failed TLS handshake makes it wait for ever
            if isinstance(error, NoServersError) and reasons:
                raise reasons[-1] from None
            raise
        self._closed = closed
        return client

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Error, OSError, TimeoutError):
                self._runner.run(asyncio.wait_for(client.close(), _CLOSING))

    @property
    def _place(self) -> str:
        host, port = self._route.servers[0]
        return f"{host}:{port}"


class _ClientWithTls(Client):
    """The library goes on without TLS, and sends a password so, if the server does not ask for TLS."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and not info.get("tls_required"):
            raise Error("it does not offer TLS")
        await super()._process_info(info, initial_connection)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
