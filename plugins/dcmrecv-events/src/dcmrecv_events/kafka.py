"""Kafka: a message counts when all replicas in sync have it.

librdkafka has threads and connections of its own, connects again by itself, and gives a message up after `timeout`. The
Study Instance UID is the key, so the events of one study are in one partition, in order; the event's id is a header.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from dcmrecv_core import TryAgain, Undeliverable
from dcmrecv_events.destinations import Route
from dcmrecv_events.messages import CONTENT_TYPE, Message

_LIBRARY = logging.getLogger("dcmrecv.events.librdkafka")
_LIBRARY.setLevel(logging.CRITICAL)  # what goes wrong is raised as well
_LARGEST = 1_000_000_000
"""Bytes of a message: the server says what is too large, and not the library."""
_GRACE = 5.0
"""Seconds more than the library gives itself."""
_FOR_GOOD = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD)


class KafkaPublisher:
    """Publishes to one topic."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._producer: Producer | None = None
        self._last_error = ""

    def publish(self, messages: Sequence[Message]) -> None:
        producer = self._producer = self._producer or Producer(self._configuration(), logger=_LIBRARY)
        failures: list[KafkaError] = []
        open_ = [len(messages)]

        def reported(error: KafkaError | None, _: Any) -> None:
            open_[0] -= 1
            if error is not None:
                failures.append(error)

        topic = self._route.destination.topic or ""
        try:
            for message in messages:
                headers: list[Any] = [("content-type", CONTENT_TYPE.encode()), ("id", message.id.encode())]
                producer.produce(topic, message.body, message.study, on_delivery=reported, headers=headers)
            producer.flush(self._route.timeout + _GRACE)
        except BufferError:
            raise self._again("the queue of the library is full") from None
        except KafkaException as error:
            failures.append(error.args[0])
        if failures:
            raise self._failure(failures[0])
        if open_[0]:
            raise self._again(f"no answer within {self._route.timeout:g} s")

    def close(self) -> None:
        """What is not confirmed is given up: the receiver publishes it again."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.purge()
            producer.flush(1.0)

    def _failure(self, error: KafkaError) -> Exception:
        if error.code() in _FOR_GOOD:
            return Undeliverable(f"{self._place}: {error.str()}")
        text = error.str()
        if error.code() == KafkaError._MSG_TIMED_OUT:
            text = f"no answer within {self._route.timeout:g} s" + f" ({self._last_error})" * bool(self._last_error)
        return self._again(text)

    def _again(self, text: str) -> TryAgain:
        """With a new producer next time: an idempotent one may be unable to go on after a failure."""
        self.close()
        return TryAgain(f"{self._place}: {text}")

    def _note(self, error: KafkaError) -> None:
        self._last_error = error.str()

    def _configuration(self) -> dict[str, Any]:
        destination = self._route.destination
        milliseconds = max(1, int(self._route.timeout * 1000))
        security = ("SASL_" if destination.user else "") + ("SSL" if destination.tls else "PLAINTEXT")
        given = {
            "sasl.mechanism": "PLAIN" if destination.user else None,
            "sasl.username": destination.user,
            "sasl.password": destination.password,
            "ssl.ca.location": destination.tls_authority,
            "ssl.certificate.location": destination.tls_certificate,
            "ssl.key.location": destination.tls_key,
        }
        return {
            "bootstrap.servers": ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self._route.servers),
            "client.id": "dcmrecv-events",
            "acks": "all",
            "enable.idempotence": True,
            "message.timeout.ms": milliseconds,
            "socket.timeout.ms": max(10, milliseconds),
            "message.max.bytes": _LARGEST,
            "linger.ms": 0,
            "security.protocol": security,
            "error_cb": self._note,
            **{key: str(value) for key, value in given.items() if value is not None},
        }

    @property
    def _place(self) -> str:
        host, port = self._route.servers[0]
        return f"{host}:{port}"
